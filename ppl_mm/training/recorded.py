"""Loss and gradients of a step as a recorded program, equal to the eager step's to the last bit.

With rows of one pattern, a step performs the same operations for every batch of one size. So the
first step is recorded (:mod:`ppl_mm.training.tape`), and the others replay the recording or run the
program that :mod:`ppl_mm.training.compiled` compiles from it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.infer import ELBO
from torch import Tensor, fx, nn

from ppl_mm.batch.host_masks import recording
from ppl_mm.batch.observations import Observations
from ppl_mm.training.batches import resident
from ppl_mm.training.compiled import compiled
from ppl_mm.training.step_state import Annealing, State, Step, pattern, stage_of
from ppl_mm.training.tape import program, record

__all__ = ["Recorded"]

_MOST = 12  # The largest number of programs: a run has some for last batches, stages and streams.
_PROOFS = 2  # The number of steps in which a new program is compared with eager steps.
_TOLERANCE = 1e-2  # The largest relative error of a compiled gradient.
_log = logging.getLogger("ppl_mm")


class Recorded:
    """Loss and gradients of a batch, by a recorded program if there is one, else by an eager step.

    Every batch size, stage and pattern of present modalities has its own program. The first steps
    of each are taken both ways and compared. If a program gives other numbers, the eager step's
    numbers are used and steps stay eager.

    Args:
        eager: The function from a batch, its share and size to its loss; it sets the parameters'
            gradients.
        system: The system, whose parameters and buffers are the state of a step.
        objective: The objective, whose stage and annealing are read.
        why_not: The reason to record nothing; None tries to record.
        compile: The size of the batches whose programs are compiled; 0 for none.

    Attributes:
        why_not: The reason why steps are eager, as given or found later; None if there is none.
        not_compiled: The reason why programs that should be compiled are not; empty if there is
            none.
        replayed: The number of replayed steps.
    """

    def __init__(
        self,
        eager: Step,
        system: nn.Module,
        objective: ELBO,
        why_not: str | None,
        compile: int = 0,
    ) -> None:
        self.eager, self.objective = eager, objective
        self.parameters = list(system.parameters())
        self.beta = Annealing(objective, self.parameters[0].device)
        self.state = [*self.parameters, *system.buffers(), self.beta.tensor]
        self.why_not, self.compile, self.not_compiled = why_not, compile, ""
        self.replayed = 0
        self.programs: dict[Any, _Program] = {}
        self.compiled: set[Any] = set()  # The parts of keys without their patterns.

    @property
    def outcome(self) -> str:
        """How steps were taken, in a line."""
        if self.why_not is not None:
            return f"eager: {self.why_not}"
        if self.replayed == 0:
            return f"eager: no more than {_PROOFS} batches of one size and stage"
        kind = "compiled" if any(p.compiled for p in self.programs.values()) else "recorded"
        more = f" ({self.not_compiled})" if self.not_compiled else ""
        return f"{kind}: {self.replayed} steps replayed{more}"

    def __call__(self, batch: Observations, share: range, size: int) -> Tensor:
        """Return the loss of a batch; the parameters get its gradients."""
        if self.why_not is None and (key_of_rows := pattern(batch)) is None:
            self._note("only the device knows the masks that the transform makes")
        if self.why_not is not None:
            return self.eager(batch, share, size)
        grows, learned = self.beta.follow(), tuple(p.requires_grad for p in self.parameters)
        key = size, stage_of(self.objective), grows, learned, key_of_rows
        if key not in self.programs and len(self.programs) == _MOST:
            self._note("masks or the objective differ from batch to batch")
        if key not in self.programs and not self._recorded(key, batch, share, size):
            return self.eager(batch, share, size)
        found = self.programs[key]
        if found.proofs < _PROOFS:
            return self._proven(key, batch, share, size)
        self.replayed += 1
        return found(batch)

    def doubt(self) -> None:
        """Compare each program with an eager step again; record again those that differ."""
        for found in self.programs.values():
            if found.proofs == _PROOFS:
                found.proofs, found.doubted = _PROOFS - 1, True

    def _recorded(self, key: Any, batch: Observations, share: range, size: int) -> bool:
        """Record a step, and leave parameters, buffers and random numbers unchanged."""
        if self.why_not is not None:
            return False
        before = State(self.state)
        with recording():
            rows = resident(batch, batch.device)

        def step() -> list[Tensor | None]:
            loss = self.eager(rows, share, size)
            return [loss, *(p.grad for p in self.parameters)]

        inputs = [*self.state, *rows.values.values()]
        try:
            with self.beta:
                graph, constants = record(step, inputs)
        except Exception as error:  # An eager step raises the user's own errors.
            self._note(str(error).strip().splitlines()[0])
            return False
        finally:
            before.restore()
            for p in self.parameters:
                p.grad = None
        found = _Program(program(graph, constants), self.state, self.parameters)
        if size == self.compile and key[:4] not in self.compiled:
            self.compiled.add(key[:4])
            found.compile(graph, constants, inputs)
            self.not_compiled = found.not_compiled or self.not_compiled
        self.programs[key] = found
        return True

    def _proven(self, key: Any, batch: Observations, share: range, size: int) -> Tensor:
        """Take the step both ways; use the program's numbers if they agree with the eager ones."""
        found = self.programs[key]
        before = State(self.state)
        loss = self.eager(batch, share, size)
        numbers = [loss, *(p.grad for p in self.parameters)]
        after = State(self.state)
        before.restore()
        own = found(batch)
        same = found.agrees([own, *(p.grad for p in self.parameters)], numbers)
        if same and after.equals(State(self.state), exactly=not found.compiled):
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

    def _note(self, why: str) -> None:
        self.why_not = why
        _log.info("fit: steps are eager, as %s", why)


class _Program:
    """A program, with the tensors that it reads and the parameters that get its gradients."""

    def __init__(
        self,
        run: Callable[..., Sequence[Tensor | None]],
        state: Sequence[Tensor],
        parameters: Sequence[Tensor],
    ) -> None:
        self.run = self.recorded = run
        self.state, self.parameters = state, parameters
        self.compiled, self.not_compiled = False, ""
        self.proofs, self.doubted = 0, False

    def compile(
        self, graph: fx.Graph, constants: dict[str, Tensor], inputs: Sequence[Tensor]
    ) -> None:
        """Run the compiled program from now on, if the compiler works."""
        start = time.perf_counter()
        try:
            self.run = compiled(graph, constants, inputs)
        except Exception as error:
            self.give_up(str(error).strip().splitlines()[0])
            return
        self.compiled = True
        _log.info("fit: a step is compiled, in %.0f s", time.perf_counter() - start)

    def give_up(self, why: str) -> None:
        """Run the recorded program again."""
        self.run, self.compiled, self.proofs = self.recorded, False, 0
        self.not_compiled = f"not compiled: {why}"
        _log.info("fit: steps are recorded, %s", self.not_compiled)

    def __call__(self, batch: Observations) -> Tensor:
        """Return the loss; the parameters get its gradients."""
        # The program was recorded below autograd and does not need it.
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            loss, *gradients = self.run(*self.state, *batch.values.values())
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient
        assert loss is not None
        return loss

    def agrees(self, own: list[Tensor | None], others: list[Tensor | None]) -> bool:
        """Whether loss and gradients equal the eager step's, or the eager loss is not finite."""
        assert others[0] is not None
        if not bool(torch.isfinite(others[0])):
            return True
        pairs = list(zip(own, others, strict=True))
        if any((a is None) != (b is None) for a, b in pairs):
            return False
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        if not self.compiled:
            return all(torch.equal(a, b) for a, b in both)
        gap, norm = (
            sum(float(x.double().square().sum()) for x in xs) ** 0.5
            for xs in ([a - b for a, b in both[1:]], [b for _, b in both[1:]])
        )
        loss, same = (float(x) for x in both[0])
        return gap <= _TOLERANCE * norm and abs(loss - same) <= _TOLERANCE * abs(same)
