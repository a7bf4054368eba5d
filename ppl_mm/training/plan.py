"""The plan of how a run takes its steps, as far as it is known before the first step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch import host_masks
from ppl_mm.training.batches import Streams
from ppl_mm.training.compiled import check_compiler

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Missing", "Plan", "check_step", "missing", "plan"]

_STEPS = ("auto", "eager", "recorded", "compiled")
_SHORT = 20  # Recording costs about as much as this number of steps.
_LONG = 20_000  # From this number of steps on, compilation pays off.
_TIMED = _LONG  # From this number on, "auto" times steps on rows that miss something.

Choice = Literal["recorded", "counted", "timed"]


class Plan(NamedTuple):
    """The way in which a run takes its steps.

    Attributes:
        captured: Whether the whole step is replayed, as a CUDA graph; otherwise only loss and
            gradients are.
        why_not: The reason why steps are eager; None tries to replay them.
        compile: Whether recorded loss and gradients are also compiled.
    """

    captured: bool
    why_not: str | None
    compile: bool


@dataclass
class Missing:
    """How steps are taken on rows that hold different modalities.

    Attributes:
        largest: The size of the batches that are recorded with their masks as inputs; others are
            eager.
        steady: The modalities whose masks are the same in all rows of the run, so that they are no
            inputs; None if all are.
        choice: How it is decided whether steps are recorded: ``"recorded"``, they are;
            ``"counted"``, if rows that do not count cost less, in products of matrices, than Python
            does, of which the first of these batches is the measure;
            ``"timed"``, if a recorded step takes less time than an eager one.
        first: The number of steps of the run before the first recorded one.
        dense: Whether steps are recorded, once that is known. A checkpoint keeps it.
    """

    largest: int
    steady: frozenset[str] | None = None
    choice: Choice = "recorded"
    first: int = 0
    dense: bool | None = None


def check_step(step: str, device: torch.device) -> None:
    """Check the option ``step`` of ``fit``, and that there is a compiler if it needs one.

    Raises:
        ValueError: If the option is unknown.
        RuntimeError: If the option is "compiled" and no working compiler is found.
    """
    if step not in _STEPS:
        raise ValueError(unknown_name("step", step, _STEPS))
    if step == "compiled":
        check_compiler(device)


def plan(
    step: str, fabric: "Fabric", streams: Streams, impartial: object, precision: str, num_steps: int
) -> Plan:
    """Plan a run of ``num_steps`` steps; a resumed run gets the same plan."""
    why_not = _obstacle(fabric, impartial, precision)
    if step == "eager":
        why_not = "step='eager'"
    elif step == "auto" and num_steps < _SHORT:
        why_not = f"the run has fewer than {_SHORT} steps"
    if step == "compiled" or not host_masks.waits(fabric.device):
        long = step == "auto" and num_steps >= _LONG
        return Plan(False, why_not, step == "compiled" or long)
    if why_not is None and not streams.one_pattern:
        why_not = "rows hold different modalities, so shapes differ from batch to batch"
    if why_not is None and streams.mapped:
        why_not = "rows are read from files while it trains"
    return Plan(True, why_not, False)


def missing(
    step: str, streams: Streams, transform: object, batch_size: int, num_steps: int
) -> Missing:
    """Plan what is done with rows that hold different modalities.

    Recorded steps on all rows equal steps on some to rounding only. ``"auto"`` counts, which gives
    the same answer every time, and begins with eager steps, so that a run has the same numbers
    however often it is stopped and made longer. Only long runs take the time to measure.
    """
    steady = None if streams.one_pattern else frozenset[str]()
    if steady is not None and transform is None:
        steady = streams.steady
    largest = streams.largest(batch_size)
    if step != "auto":
        return Missing(largest, steady)
    if num_steps >= _TIMED:
        return Missing(largest, steady, "timed")
    never = False if streams.one_pattern else None  # A transform may make masks at any step.
    return Missing(largest, steady, "counted", _SHORT, never)


def _obstacle(fabric: "Fabric", impartial: object, precision: str) -> str | None:
    """Return why a step cannot be replayed on any device; None if it can."""
    if fabric.world_size > 1:
        return "several processes train together"
    if impartial is not None:
        return "impartial looks at gradients on the host"
    if precision.startswith("16"):
        return f"the loss scale of precision {precision!r} is set on the host"
    return None
