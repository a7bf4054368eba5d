"""Coherence of whole pictures, of which the modalities are parts, as one classifier reads them."""

from collections.abc import Sequence
from typing import Unpack

import torch
from jaxtyping import Integer
from torch import Tensor, nn

from ppl_mm.arguments.tensors import Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.subsets import check_all_subsets, non_empty_subsets
from ppl_mm.data.dataset import Join
from ppl_mm.measures.coherence import Coherence, coherence_of
from ppl_mm.measures.generation import GenerationOptions
from ppl_mm.measures.readings import generations, parts_of, read_generations
from ppl_mm.oracles.outputs import logits_of
from ppl_mm.results.estimate import Estimate
from ppl_mm.systems import System

__all__ = ["confidence", "joint_confidence", "whole_coherence"]


@typed
def whole_coherence(
    system: System,
    obs: Observations,
    labels: Integer[Tensor, " N"],
    oracle: nn.Module,
    join: Join | None,
    subsets: Sequence[str | Sequence[str]] | None = None,
    *,
    batch_size: int = 500,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> Coherence:
    """Synergy and cross-coherence: P( oracle(join(x_1, ..., x_M)) = label ),  x from x_S.

    z ~ q(z | x_S), one draw a row, from which **every** modality is generated, also those given;
    the oracle reads the likelihoods' means, joined. Synergy is the cell of all modalities, cross-
    coherence those of the others. The one target, ``"whole"``, is never given, so ``mean()`` is
    over all cells: read the cells, or ``by_size()``, whose last entry is synergy.

    Args:
        system: The system, a model and a guide.
        obs: The rows, which hold every modality that is given.
        labels: The classes of the rows, (N,); rows of class -1 have none and do not count.
        oracle: Module from pictures (B, C, H, W) to logits (B, classes), as
            :func:`train_oracle` returns.
        join: From modality -> values (B, *event) to pictures, see
            :class:`~ppl_mm.data.DataSet`.
        subsets: The subsets to give; None is every non-empty subset of the modalities.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`.

    Raises:
        TypeError: Without ``join``.
        ValueError: If some row lacks what it should be given, or the labels do not fit.

    Source: Kutuzova et al. 2020 (SVAE), table 1 and figures 4 and 6.

    Example:
        ``whole_coherence(system, test, labels, oracle, dataset.join).cell("top", "whole")``
    """
    join = _checked(join)
    if subsets is None:
        check_all_subsets(parts_of(system, obs), "whole_coherence", "Name those to give: subsets=.")
    chosen = non_empty_subsets(parts_of(system, obs)) if subsets is None else subsets
    readings = read_generations(
        system,
        obs,
        {"whole": oracle},
        chosen,
        join=join,
        batch_size=batch_size,
        seed=seed,
        **options,
    )
    return coherence_of(readings, labels)


@typed
def joint_confidence(
    system: System,
    oracle: nn.Module,
    join: Join | None,
    num_samples: int = 1000,
    *,
    like: Observations | None = None,
    batch_size: int = 500,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> Estimate:
    """The oracle's confidence in pictures drawn from the prior: mean max_c p(c | join(x)).

    z ~ p(z), x the likelihoods' means. A draw has no label, and one oracle has nothing to agree
    with, so this is no accuracy: read it beside ``confidence(oracle, pictures)`` of real test
    pictures. An oracle may be sure of what looks like no class, and a model that draws one
    picture over and over is not found out.

    Args:
        system: The system, a model and a guide.
        oracle: Module from pictures (B, C, H, W) to logits (B, classes).
        join: From modality -> values (B, *event) to pictures.
        num_samples: The number of draws.
        like: Rows whose covariates the draws have, from the first on, where networks read any.
        batch_size: The number of draws at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`.

    Raises:
        TypeError: Without ``join``.

    Source: ours, with the 1,000 draws of Kutuzova et al. 2020 (SVAE), who show pictures and
    report no number.
    """
    join = _checked(join)
    blank = Observations.blank(num_samples, like)
    drawn = generations(
        system,
        blank,
        parts_of(system, blank),
        [()],
        batch_size=batch_size,
        seed=seed,
        **options,
    )
    return Estimate.of(torch.cat([_largest(oracle, join(values)) for _, values in drawn]))


@typed
def confidence(oracle: nn.Module, pictures: Numbers) -> Estimate:
    """The mean over pictures of the oracle's largest class probability, max_c p(c | x).

    Args:
        oracle: Module from pictures (B, C, H, W) to logits (B, classes).
        pictures: (N, C, H, W), such as ``dataset.join(dataset.test.values)``.

    Example:
        >>> probabilities = torch.tensor([[0.2, 0.8], [0.9, 0.1]])
        >>> print(confidence(nn.Flatten(), probabilities.log().reshape(2, 2, 1, 1)))
        0.850 ± 0.050
    """
    return Estimate.of(_largest(oracle, pictures))


def _largest(oracle: nn.Module, pictures: Tensor) -> Tensor:
    return logits_of(oracle, pictures).double().softmax(-1).amax(-1)


def _checked(join: Join | None) -> Join:
    if not callable(join):
        raise TypeError(
            "join: expected a function from the modalities' values to whole pictures, got "
            f"{join!r}; only data sets whose modalities are parts of a picture have one."
        )
    return join
