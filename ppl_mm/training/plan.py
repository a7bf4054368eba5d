"""Which way the steps of a run are taken, as far as it can be said before the first."""

from typing import TYPE_CHECKING, NamedTuple

import torch

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch import host_masks as known
from ppl_mm.training.batches import Streams
from ppl_mm.training.compiled import check_compiler

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Plan", "check_step", "plan"]

_STEPS = ("auto", "eager", "recorded", "compiled")
_SHORT = 20  # steps that recording costs about as much as
_LONG = 20_000  # steps that repay the compiler, whose work grows with the step's as its gain does


class Plan(NamedTuple):
    """How to take steps.

    Attributes:
        captured: Whether it is the whole step that is repeated, as a CUDA graph; else loss and
            gradients are.
        why_not: Why steps are eager; None to try.
        compile: Whether recorded loss and gradients are compiled, too.
    """

    captured: bool
    why_not: str | None
    compile: bool


def check_step(step: str, device: torch.device) -> None:
    """Raise for an unknown option of ``fit``, or one that needs a compiler that is not there.

    Raises:
        ValueError: For another option.
        RuntimeError: For "compiled" where no working compiler is found.
    """
    if step not in _STEPS:
        raise ValueError(unknown_name("step", step, _STEPS))
    if step == "compiled":
        check_compiler(device)


def plan(
    step: str, fabric: "Fabric", streams: Streams, impartial: object, precision: str, num_steps: int
) -> Plan:
    """The plan of a run of ``num_steps`` steps, the same wherever it is resumed."""
    why_not = _obstacle(fabric, streams, impartial, precision)
    if step == "eager":
        why_not = "step='eager'"
    elif step == "auto" and num_steps < _SHORT:
        why_not = f"the run has fewer than {_SHORT} steps"
    if step == "compiled" or not known.waits(fabric.device):
        long = step == "auto" and num_steps >= _LONG
        return Plan(False, why_not, step == "compiled" or long)
    if why_not is None and streams.mapped:
        why_not = "rows are read from files while it trains"
    return Plan(True, why_not, False)


def _obstacle(fabric: "Fabric", streams: Streams, impartial: object, precision: str) -> str | None:
    """Why steps differ in more than numbers on any device; None if they do not."""
    if fabric.world_size > 1:
        return "several processes train together"
    if not streams.one_pattern:
        return "rows hold different modalities, so shapes differ from batch to batch"
    if impartial is not None:
        return "impartial looks at gradients on the host"
    if precision.startswith("16"):
        return f"the loss scale of precision {precision!r} is set on the host"
    return None
