"""A recorded step's program, with the tensors that it reads and those that it sets."""

import logging
import time
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, fx

from ppl_mm.arguments.wording import first_line
from ppl_mm.batch.unread import Uses
from ppl_mm.training.compiled import compiled
from ppl_mm.training.tape import program

__all__ = ["Replayed"]

_TOLERANCE = 1e-2  # The largest relative error of a gradient that is equal up to rounding.
_log = logging.getLogger("ppl_mm")


class Replayed:
    """A function from the tensors of a batch to its loss; it sets the parameters' gradients.

    Args:
        graph: The recorded step: parameters, buffers and a batch's tensors to loss and gradients.
        constants: The other tensors that it reads.
        state: The parameters and buffers.
        parameters: The parameters.
        uses: The networks that see rows which count, whose flags are the graph's last result; None
            if no masks are among the inputs.

    Attributes:
        dense: Whether masks are among the inputs.
        compiled: Whether the compiled program runs.
        not_compiled: The reason why it does not though it should; empty if there is none.
        proofs: The number of steps in which it agreed with the eager step.
        doubted: Whether it agreed before, and a callback may have changed what steps do.
    """

    def __init__(
        self,
        graph: fx.Graph,
        constants: dict[str, Shaped[Tensor, "..."]],
        state: Sequence[Shaped[Tensor, "..."]],
        parameters: Sequence[Float[Tensor, "..."]],
        uses: Uses | None,
    ) -> None:
        self.graph, self.constants = graph, constants
        self.run: Callable[..., Sequence[Tensor | None]] = program(graph, constants)
        self.state, self.parameters = state, parameters
        self.dense = uses is not None
        self.flags = [[] if uses is None else uses.of(p) for p in parameters]
        self.compiled, self.not_compiled = False, ""
        self.proofs, self.doubted = 0, False

    @property
    def exact(self) -> bool:
        """Whether the numbers are those of the eager step to the last bit."""
        return not (self.compiled or self.dense)

    def compile(self, tensors: Sequence[Shaped[Tensor, "..."]]) -> None:
        """Run the compiled program from now on, if the compiler works."""
        start = time.perf_counter()
        try:
            self.run = compiled(self.graph, self.constants, [*self.state, *tensors])
        except Exception as error:
            self.give_up(first_line(error))
            return
        self.compiled = True
        _log.info("fit: a step is compiled, in %.0f s", time.perf_counter() - start)

    def give_up(self, why: str) -> None:
        """Run the recorded program again."""
        self.run = program(self.graph, self.constants)
        self.compiled, self.proofs = False, 0
        self.not_compiled = f"not compiled: {why}"
        _log.info("fit: steps are recorded, %s", self.not_compiled)

    def __call__(self, tensors: Sequence[Shaped[Tensor, "..."]]) -> Float[Tensor, ""]:
        """Return the loss; the parameters get its gradients."""
        # The program was recorded below autograd and does not need it.
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            loss, *found = self.run(*self.state, *tensors)
        if self.dense:
            found = self._counting(found)
        for p, gradient in zip(self.parameters, found, strict=True):
            p.grad = gradient
        assert loss is not None
        return loss

    def _counting(self, found: list[Tensor | None]) -> list[Tensor | None]:
        """Return the gradients; None for networks that saw no row that counts."""
        *gradients, flags = found
        used = [] if flags is None else flags.tolist()
        if all(used):
            return gradients
        pairs = zip(gradients, self.flags, strict=True)
        return [g if not own or any(used[i] for i in own) else None for g, own in pairs]

    def agrees(
        self, own: list[Shaped[Tensor, "..."] | None], others: list[Shaped[Tensor, "..."] | None]
    ) -> bool:
        """Whether loss and gradients equal the eager step's, or the eager loss is not finite."""
        assert others[0] is not None
        if not bool(torch.isfinite(others[0])):
            return True
        pairs = list(zip(own, others, strict=True))
        if any((a is None) != (b is None) for a, b in pairs):
            return False
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        if self.exact:
            return all(torch.equal(a, b) for a, b in both)
        gap, norm = (
            sum(float(x.double().square().sum()) for x in xs) ** 0.5
            for xs in ([a - b for a, b in both[1:]], [b for _, b in both[1:]])
        )
        loss, same = (float(x) for x in both[0])
        return gap <= _TOLERANCE * norm and abs(loss - same) <= _TOLERANCE * abs(same)
