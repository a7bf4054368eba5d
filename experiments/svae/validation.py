"""The choice of the epoch by validation after every epoch, as in the SVAE paper's appendix F."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ppl_mm import data, evaluation
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import captions
from ppl_mm.systems import System
from ppl_mm.training.monitor import Monitor

__all__ = ["best_by"]

_ROWS = 1000  # The numbers of rows and of draws of a measure after every epoch.


def best_by(dataset: data.DataSet, readers: Mapping[str, nn.Module], config: Any) -> dict[str, Any]:
    """Return the options of :func:`ppl_mm.fit` by which the best epoch counts.

    Args:
        dataset: Parts of pictures, pairs of pictures, or birds and captions.
        readers: The classifier of whole pictures as ``whole``, or one of each picture of a pair;
            none of birds.
        config: The run's options.
    """
    number = min(config.num_test or _ROWS, _ROWS)
    # Where no rows are held out, the measure is of draws from the prior and looks at none.
    held_out = dataset.train[-number:] if dataset.validation is None else dataset.validation
    rows = held_out[:number]

    def from_the_first_part(system: System, obs: Observations) -> float:
        (name, *_), labels = dataset.train.names, dataset.classes("validation")[: len(obs)]
        found = evaluation.whole_coherence(
            system, obs, labels, readers["whole"], dataset.join, [(name,)], seed=config.seed
        )
        return found.mean().value

    def of_pairs_from_the_prior(system: System, obs: Observations) -> float:
        return evaluation.joint_coherence(
            system, readers, config.prior_samples, seed=config.seed
        ).value

    def of_birds_from_the_prior(system: System, obs: Observations) -> float:
        found = captions.measure(system, dataset, obs, seed=config.seed)
        return float(found["cells"][found["given"].index([])][0][0])

    if dataset.vocabulary is not None:
        monitor: Monitor = of_birds_from_the_prior
    else:
        monitor = of_pairs_from_the_prior if dataset.join is None else from_the_first_part
    return {"validation": rows, "monitor": monitor, "mode": "max"}
