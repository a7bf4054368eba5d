"""Checks before training: the options, the data, and that the optimiser has every parameter."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pyro
import torch
from jaxtyping import Float
from pyro.infer import ELBO
from torch import Tensor

from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import ELBOTerms, Objective
from ppl_mm.objectives.automatic import latents_of_rows
from ppl_mm.objectives.sites import shared_sites
from ppl_mm.objectives.stock import check_matched, check_trainable, has_points, looked_at
from ppl_mm.objectives.training_weights import TrainingWeights
from ppl_mm.objectives.weights import absent_names
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.programs.conditioning import holds
from ppl_mm.programs.contracts import Model
from ppl_mm.systems import System
from ppl_mm.training.batches import Streams

__all__ = [
    "Optimizer",
    "Transform",
    "check_data",
    "check_options",
    "first_rows",
    "make_optimizer",
    "parameters",
    "warn_of_untrained",
]

Optimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
Transform = Callable[[Observations], Observations]


class Found(NamedTuple):
    """Properties of the programs, found by running them once.

    Attributes:
        shares: Whether the programs have sites that all rows share.
        points: Whether the guide has a point estimate of a latent.
    """

    shares: bool
    points: bool


def parameters(system: System) -> list[Float[Tensor, "..."]]:
    """The parameters that training changes."""
    return [p for p in system.parameters() if p.requires_grad]


def make_optimizer(factory: Optimizer, system: System) -> torch.optim.Optimizer:
    """Call the factory and check that its optimiser has every parameter."""
    optimizer = factory(parameters(system))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "optimizer: expected a function from parameters to a torch optimiser, got one to "
            f"{type(optimizer).__name__}; Pyro's optimisers go with pyro.infer.SVI."
        )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise TypeError(
            f"optimizer: {type(optimizer).__name__} needs a closure that computes the loss several "
            "times a step, and fit computes it once; take another, such as torch.optim.Adam."
        )
    return optimizer


def check_options(system: System, annealing_epochs: int) -> None:
    """Raise if options do not fit the system."""
    check_trainable(system.objective)
    if annealing_epochs and not isinstance(system.objective, TrainingWeights):
        raise ValueError(
            f"annealing_epochs: {type(system.objective).__name__} has no beta to anneal; wrap it "
            "as objectives.Reweighted(...)."
        )
    if not parameters(system):
        raise ValueError("fit: the system has no parameter to train.")


def _check_own_streams(objective: ELBO, streams: Streams) -> None:
    """Raise if a modality's own term, which is a mean over rows, would occur in several streams."""
    if not isinstance(objective, ELBOTerms) or objective.mean != "rows":
        return
    if len(streams.parts) == 1 or callable(objective.terms):
        return
    own = {n for t in objective.terms if len(t.names) == 1 and not t.alone for n in t.names}
    for name in sorted(own):
        number = sum(
            name in part.names and bool(part.present[name].any()) for part in streams.parts
        )
        if number > 1:
            raise ValueError(
                f"fit: the term of modality {name!r} alone would count on {number} of the streams, "
                "each of which has a term of its own. Build the system with the option "
                "unpaired='disjoint', or give one set of rows."
            )


def _check_conditioned_on(model: Model, parts: Sequence[Observations]) -> None:
    """Raise if every row lacks a modality that the model conditions on."""
    names = conditioned_on(model)
    if not any(bool(holds(part, names).any()) for part in parts):
        raise ValueError(
            f"fit: no row of the data holds {' and '.join(names)}, which the model conditions on; "
            "it learns from no other rows."
        )


def warn_of_untrained(system: System, streams: Streams) -> None:
    """Warn about every declared modality that no training row holds."""
    for modality in system.modalities:
        name = modality.name
        if not any(
            n == name and bool(m.any()) for p in streams.parts for n, m in p.present.items()
        ):
            warnings.warn(
                f"fit: no training row holds modality {name!r}; its networks learn nothing of it.",
                stacklevel=4,  # The warning points to the caller of fit.
            )


def first_rows(streams: Streams, transform: Transform | None, number: int = 256) -> Observations:
    """Return the first rows of each stream as steps get them; random numbers stay as they are."""
    rows = streams.head(number)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return rows if transform is None else transform(rows)


def _few_of_files(part: Observations) -> Observations:
    """Return rows in memory unchanged; of rows in files, return some that hold each modality."""
    if not isinstance(part, MemoryMapped):
        return part
    held = [mask.byte().topk(min(8, len(mask))).indices for mask in part.present.values()]
    return part[torch.cat(held).unique()].in_memory()


def _check_guide(system: System, few: Observations) -> None:
    """Raise for an autoguide whose parameters are the latents of one batch of rows."""
    for kind, name in latents_of_rows(system.guide, few):
        raise ValueError(
            f"fit: {kind} holds one {name!r} for each row of one batch and looks at no data, and "
            "fit takes batches of ever other rows. Use a guide that looks at the data, such as "
            "guides.ProductOfExperts, or train with pyro.infer.SVI on all rows at once."
        )


def check_data(
    system: System,
    streams: Streams,
    transform: Transform | None,
    validation: Observations | None,
) -> Found:
    """Check the support of all rows, and run the programs on a few with Pyro's validation on.

    Only a few rows of files are checked here; :func:`ppl_mm.fit` checks the others when it first
    reads them.
    """
    _check_own_streams(system.objective, streams)
    parts = [_few_of_files(part) for part in streams.parts]
    parts = [part if transform is None else transform(part) for part in parts]
    for part in (*parts, *(() if validation is None else (validation,))):
        system.check(part)
    _check_conditioned_on(system.model, [*parts, *streams.parts] if streams.mapped else parts)
    few = Streams(parts).head(8).to(system)
    absent = absent_names(system.model, few)
    if absent and not isinstance(system.objective, Objective):
        raise ValueError(
            f"fit: the data do not hold modality {min(absent)!r} at all, and "
            f"{type(system.objective).__name__} would score draws of it. Use an objective of "
            "ppl_mm.objectives, or a model without it."
        )
    _check_guide(system, few)
    p, q = looked_at(system.model, system.guide, few)
    check_matched(system.objective, p, q)
    with pyro.validation_enabled(True), pyro.poutine.trace(param_only=True) as shown:
        system.objective.loss(system.model, system.guide, few)
    own = {id(p) for p in system.parameters()}
    for name, site in shown.trace.nodes.items():
        parameter = site["value"].unconstrained()
        if parameter.requires_grad and id(parameter) not in own:
            raise ValueError(
                f"fit: {name!r} is a pyro.param, which a torch optimiser does not see. Make it a "
                "torch.nn.Parameter of the model or guide, or train with pyro.infer.SVI."
            )
    return Found(shared_sites(p, q), has_points(q))
