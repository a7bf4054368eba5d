"""Likelihoods of pairs under MEME, in the direction of training and against it.

MEME of two modalities s and t has two joint densities, which share all networks:

    s from t:   p(s | z) e_t(z | t) p(t)  =  p(s | t) p(t)  over z
    t from s:   p(t | z) e_s(z | s) p(s)  =  p(t | s) p(s)  over z

with the encoders e; p(t) and p(s) are the mixtures of the pseudo-inputs' encodings, decoded.
Appendix C of Joy et al. 2022 (arXiv:2106.12570) trains one direction alone, the other, and both,
and scores pairs in each.
"""

import warnings
from copy import copy, deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.arguments.wording import counted
from ppl_mm.batch.observations import Observations
from ppl_mm.evaluation import Estimate, LogLikelihood, UnreliableLikelihoodWarning, log_likelihood
from ppl_mm.experiments import tables
from ppl_mm.experiments.findings import finding
from ppl_mm.experiments.tables import Record, spread, table
from ppl_mm.objectives import MutualSupervisionELBO
from ppl_mm.programs.contracts import Model
from ppl_mm.systems import System

__all__ = ["BOTH", "OneDirection", "measure", "table_2"]

BOTH = "both"
_NUM_INPUTS = 1000
_REFINED_ROWS = 20  # The test rows, at most, that are also estimated by refined draws.
# Table 2 of Joy et al. 2022: (s, t) in the test -> values by s in training.
_PAPER = {
    ("mnist", "svhn"): {"mnist": -14733.6, "svhn": -40249.9, BOTH: -14761.3},
    ("svhn", "mnist"): {"mnist": -428728.7, "svhn": -11668.1, BOTH: -11355.4},
}


class OneDirection(MutualSupervisionELBO):
    """MEME's bound L_s of one direction, s from the others; rows without s contribute 0.

    Args:
        target: The modality s.
        **options: The options of :class:`ppl_mm.objectives.MutualSupervisionELBO`.

    Source: Joy et al. 2022, eq. 1.
    """

    def __init__(self, target: str, **options: Any) -> None:
        super().__init__(**options)
        self.target = target

    def bound(self, model: Model, guide: Any, obs: Observations) -> Float[Tensor, " B"]:
        """The value of every row, (B,)."""
        own = copy(guide)
        own.strata = lambda rows: rows.strata([(self.target,)])
        return super().bound(model, own, obs)


def measure(
    system: System, train: Observations, test: Observations, *, num_samples: int, seed: int = 0
) -> dict[str, Any]:
    """Return mean log-likelihoods of pairs in nats, [value, standard error over rows].

        s given t     log p(s | t)
        joint         log p(s | t) + log p(t), in the one direction and in the other
        refined gain  what refined draws add to that, for the first rows
        refined gain  what refined draws add to that of the first rows
        both          log of the equal mixture of the two joint densities

    Complete rows do not train pseudo-inputs, so 1000 training rows take their place.

    Args:
        system: A MEME of two modalities.
        train: Its training rows.
        test: Complete rows.
        num_samples: The number of draws of each row for each of the four densities.
        seed: The seed of the draws.
    """
    system = deepcopy(system)
    prior: Any = system.model.prior
    prior.initialise(train[:_NUM_INPUTS], min(_NUM_INPUTS, len(train)))
    first, second = (m.name for m in system.modalities)
    out: dict[str, Any] = {}
    joints = []
    few = test[:_REFINED_ROWS]
    for s, t in ((first, second), (second, first)):
        conditional, marginal = _both(system, test, s, t, num_samples, seed, "none")
        joints.append(conditional.value + marginal.value)
        refined = sum(part.value for part in _both(system, few, s, t, num_samples, seed, "auto"))
        out[f"{s} from {t}"] = {
            "conditional": Estimate.of(conditional.value).to_list(),
            "joint": Estimate.of(joints[-1]).to_list(),
            "refined gain": Estimate.of(refined - joints[-1][: len(few)]).to_list(),
            "refined rows": len(few),
            "unreliable rows": len(conditional.unreliable),
        }
    mixture = torch.stack(joints).logsumexp(0) - torch.tensor(2.0).log()
    return out | {BOTH: Estimate.of(mixture).to_list()}


def _both(
    system: System, rows: Observations, s: str, t: str, num_samples: int, seed: int, refine: str
) -> tuple[LogLikelihood, LogLikelihood]:
    """Return log p(s | t) and log p(t) of the rows."""
    options: dict[str, Any] = {"num_samples": num_samples, "seed": seed, "refine": refine}
    with warnings.catch_warnings():  # The direction that was not trained has them.
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        conditional = log_likelihood(system, rows, s, t, **options)
        return conditional, log_likelihood(system, rows, t, **options)


def table_2(records: list[Record]) -> list[str]:
    """Show log-likelihoods of pairs by the direction of training, on one data set."""
    own = [r for r in records if "likelihoods" in r["measures"]]
    if not own:
        return []
    measures = [
        [r["measures"]["likelihoods"] for r in runs] for runs in tables.settings(own, ["meme"])
    ]
    configs = [runs[0]["config"] for runs in tables.settings(own, ["meme"])]
    heads = [f"{c['preset']}, {_trained(c)}, {counted(c['epochs'], 'epoch')}" for c in configs]
    rows = [["log-likelihood, nats", *heads]]
    for way in (key for key in measures[0][0] if key != BOTH):
        s, t = way.split(" from ")
        for kind, label in (("conditional", f"{s} given {t}"), ("joint", f"pair, {way}")):
            rows.append([label, *(spread([m[way][kind] for m in runs]) for runs in measures)])
        if all("refined gain" in m[way] for runs in measures for m in runs):
            number = counted(max(m[way]["refined rows"] for runs in measures for m in runs), "row")
            gains = (spread([m[way]["refined gain"] for m in runs]) for runs in measures)
            rows.append([f"refined draws add, {way}, {number}", *gains])
        known = _PAPER.get((s, t), {}) if configs[0]["dataset"] == "mnist_svhn" else {}
        if known:
            rows.append([f"*{way}, paper*", *(f"{known[c['direction']]:.1f}" for c in configs)])
    rows.append(["pair, both", *(spread([m[BOTH] for m in runs]) for runs in measures)])
    notes = (
        [finding("meme", "Table 2"), finding("meme", "Table 2: the paper's values")]
        if configs[0]["dataset"] == "mnist_svhn"
        else [finding("meme", "Table 2")]
    )
    return ["Likelihood of pairs, by the direction trained:\n", *table(rows), *notes]


def _trained(config: Record) -> str:
    direction: str = config["direction"]
    return "both ways" if direction == BOTH else f"{direction} alone"
