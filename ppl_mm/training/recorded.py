"""Loss and gradients of a step as a recorded program.

With rows of one pattern, a step performs the same operations for every batch of one size. So the
first step is recorded (:mod:`ppl_mm.training.tape`), and the others replay the recording or run the
program that :mod:`ppl_mm.training.compiled` compiles from it. It equals the eager step to the last
bit.

With rows that hold different modalities, an eager step gives networks the rows that count. A
recorded one gives them all rows, and its masks are inputs (:mod:`ppl_mm.batch.unread`). It equals
the eager step up to rounding, and is faster where networks are small. How much more its products of
matrices compute, for each operation of the program, says whether they are.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from jaxtyping import Float
from pyro.infer import ELBO
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ppl_mm.arguments.wording import first_line
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.unread import Uses, collecting
from ppl_mm.training.plan import Missing
from ppl_mm.training.replayed import Replayed
from ppl_mm.training.step_state import (
    Annealing,
    State,
    Step,
    layout,
    mixed,
    pattern,
    stage_of,
    tensors_of,
    to_record,
)
from ppl_mm.training.tape import record

__all__ = ["Recorded"]

_MOST = 12  # The largest number of programs: a run has some for last batches, stages and streams.
_PROOFS = 2  # The number of steps in which a new program is compared with eager steps.
_OFTEN = 3  # A pattern of a whole batch has a program of its own from this batch on.
_TRIALS = 5  # The number of steps each way that are timed.
_GAIN = 0.9  # Steps on all rows are taken if they need at most this part of the eager time.
_SMALL = 500_000  # Floating-point operations that take as long as Python does for one operation.
_log = logging.getLogger("ppl_mm")

Key = tuple[object, ...]  # All that decides what a step does, the size of its batch first.


class Recorded:
    """Loss and gradients of a batch, by a recorded program if there is one, else by an eager step.

    Every batch size, stage and pattern of present modalities has its own program; one program
    serves all batches that mix patterns. The first steps of each are taken both ways and compared.
    If a program gives other numbers, the eager step's numbers are used and steps stay eager.

    Args:
        eager: The function from a batch, its share and size to its loss; it sets the parameters'
            gradients.
        system: The system, whose parameters and buffers are the state of a step.
        objective: The objective, whose stage and annealing are read.
        why_not: The reason to record nothing; None tries to record.
        compile: Whether the programs of the largest batches are compiled.
        missing: How steps are taken on rows that hold different modalities.

    Attributes:
        why_not: The reason why steps are eager, as given or found later; None if there is none.
        not_compiled: The reason why programs that should be compiled are not; empty if there is
            none.
        replayed: The number of replayed steps.
        step: The position of the next step in the run, which the loop sets.
    """

    def __init__(
        self,
        eager: Step,
        system: nn.Module,
        objective: ELBO,
        why_not: str | None,
        compile: bool = False,
        *,
        missing: Missing,
    ) -> None:
        self.eager, self.objective, self.missing = eager, objective, missing
        self.parameters = list(system.parameters())
        self.beta = Annealing(objective, self.parameters[0].device)
        self.state = [*self.parameters, *system.buffers(), self.beta.tensor]
        self.why_not, self.compile, self.not_compiled = why_not, compile, ""
        self.replayed = self.step = 0
        self.programs: dict[Key, Replayed] = {}
        self.compiled: set[Key] = set()  # The parts of keys without their patterns.
        self.met: Counter[Key] = Counter()
        if missing.dense and missing.steady is None:  # As found before a resume.
            missing.steady = frozenset()

    @property
    def outcome(self) -> str:
        """How steps were taken, in a line."""
        if self.why_not is not None:
            return f"eager: {self.why_not}"
        if self.missing.dense is False and self.replayed == 0 and self.missing.steady is not None:
            return "eager: rows hold different modalities; step='recorded' gives networks all rows"
        if self.replayed == 0:
            return f"eager: no more than {_PROOFS} batches of one size and stage"
        kind = "compiled" if any(p.compiled for p in self.programs.values()) else "recorded"
        more = [self.not_compiled] if self.not_compiled else []
        if self.missing.dense:
            more.append("networks see all rows, and masks what is missing")
        return f"{kind}: {self.replayed} steps replayed" + (f" ({'; '.join(more)})" if more else "")

    def __call__(self, batch: Observations, share: range, size: int) -> Float[Tensor, ""]:
        """Return the loss of a batch; the parameters get its gradients."""
        key = self._key(batch, size)
        if key is not None and key not in self.programs and len(self.programs) == _MOST:
            self._masks_differ()
            key = self._key(batch, size)
        if key is None:
            return self.eager(batch, share, size)
        if key not in self.programs and not self._recorded(key, batch, share, size):
            return self.eager(batch, share, size)
        found, tensors = self.programs[key], tensors_of(batch, self._unknown(key))
        if found.dense and self.missing.dense is None:
            self.missing.dense = self._worthwhile(found, batch, share, size)
            if not self.missing.dense:
                return self.eager(batch, share, size)
        if found.proofs < _PROOFS:
            return self._proven(key, batch, share, size)
        self.replayed += 1
        return found(tensors)

    def doubt(self) -> None:
        """Compare each program with an eager step again; record again those that differ."""
        for found in self.programs.values():
            if found.proofs == _PROOFS:
                found.proofs, found.doubted = _PROOFS - 1, True

    def _key(self, batch: Observations, size: int) -> Key | None:
        """All that decides what a step does, its size first; None if the step is eager."""
        if self.why_not is not None:
            return None
        grows, learned = self.beta.follow(), tuple(p.requires_grad for p in self.parameters)
        what = size, stage_of(self.objective), grows, learned
        if self.missing.steady is None or not mixed(batch):
            alike = pattern(batch)
            if alike is None:
                self._note("only the device knows the masks that the transform makes")
                return None
            key = (*what, "alike", alike)
            if self.missing.steady is None or key in self.programs:
                return key
            self.met[key] += 1
            return key if self.met[key] >= _OFTEN and len(self.programs) < _MOST else None
        if self.missing.dense is False or self.step < self.missing.first:
            return None
        if size < self.missing.largest:
            return None
        return (*what, "mixed", layout(batch, self.missing.steady))

    def _unknown(self, key: Key) -> frozenset[str] | None:
        """The modalities whose masks are no inputs of a program; None for all."""
        return self.missing.steady if key[4] == "mixed" else None

    def _masks_differ(self) -> None:
        """Take it that every batch may have masks of its own; or give up, if that was so."""
        if self.missing.steady is not None:
            self._note("masks or the objective differ from batch to batch")
        self.missing.steady = frozenset()
        self.programs.clear()
        self.compiled.clear()

    def _recorded(self, key: Key, batch: Observations, share: range, size: int) -> bool:
        """Record a step, and leave parameters, buffers and random numbers unchanged."""
        before, steady = State(self.state), self._unknown(key)
        rows, tensors = to_record(batch, steady), tensors_of(batch, steady)
        uses = None if steady is None else Uses()

        def step() -> list[Tensor | None]:
            with nullcontext() if uses is None else collecting(uses):
                loss = self.eager(rows, share, size)
            flags = [] if uses is None else [uses.flags()]
            return [loss, *(p.grad for p in self.parameters), *flags]

        try:
            with self.beta:
                graph, constants = record(step, [*self.state, *tensors])
        except Exception as error:  # An eager step raises the user's own errors.
            self._note(first_line(error))
            return False
        finally:
            before.restore()
            self._forget_gradients()
        found = Replayed(graph, constants, self.state, self.parameters, uses)
        if self.compile and size == self.missing.largest and key[:4] not in self.compiled:
            self.compiled.add(key[:4])
            found.compile(tensors)
            self.not_compiled = found.not_compiled or self.not_compiled
        self.programs[key] = found
        return True

    def _proven(self, key: Key, batch: Observations, share: range, size: int) -> Tensor:
        """Take the step both ways; use the program's numbers if they agree with the eager ones."""
        found, tensors = self.programs[key], tensors_of(batch, self._unknown(key))
        before = State(self.state)
        loss = self.eager(batch, share, size)
        numbers = [loss, *(p.grad for p in self.parameters)]
        after = State(self.state)
        before.restore()
        own = found(tensors)
        same = found.agrees([own, *(p.grad for p in self.parameters)], numbers)
        if same and after.equals(State(self.state), exactly=found.exact):
            found.proofs += 1
            return own
        after.restore()
        for p, gradient in zip(self.parameters, numbers[1:], strict=True):
            p.grad = gradient
        if found.doubted:
            del self.programs[key]
            self.compiled.discard(key[:4])
        elif found.compiled:
            found.give_up("it gives other numbers")
            self.not_compiled = found.not_compiled
        else:
            self._note("a replayed step gives other numbers than it would otherwise")
        return loss

    def _worthwhile(self, found: Replayed, batch: Observations, share: range, size: int) -> bool:
        """Whether the steps are recorded; parameters, buffers and random numbers stay the same."""
        if self.missing.choice == "recorded":
            return True
        before = State(self.state)
        program = partial(found, tensors_of(batch, self.missing.steady))
        eager = partial(self.eager, batch, share, size)
        try:
            if self.missing.choice == "counted":
                return _flops(program) - _flops(eager) < _SMALL * len(found.graph.nodes)
            return self._faster(program, eager)
        finally:
            before.restore()
            self._forget_gradients()

    def _faster(self, program: Callable[[], Tensor], eager: Callable[[], Tensor]) -> bool:
        """Time steps of both kinds; return whether the program is clearly the faster."""

        def seconds(step: Callable[[], Tensor]) -> float:
            self._forget_gradients()
            start = time.perf_counter()
            step()
            return time.perf_counter() - start

        times = [(seconds(program), seconds(eager)) for _ in range(_TRIALS)]
        own, other = (min(each) for each in zip(*times, strict=True))
        _log.info("fit: a step takes %.1f ms on all rows, %.1f on some", own * 1e3, other * 1e3)
        return own <= _GAIN * other

    def _forget_gradients(self) -> None:
        for p in self.parameters:
            p.grad = None

    def _note(self, why: str) -> None:
        self.why_not = why
        _log.info("fit: steps are eager, as %s", why)


def _flops(step: Callable[[], object]) -> int:
    """What a step's products of matrices and convolutions compute."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())
