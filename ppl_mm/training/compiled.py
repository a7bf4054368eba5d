"""The compilation of a recorded step by torch's compiler."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, fx

from ppl_mm.arguments.wording import first_line

__all__ = ["check_compiler", "compiled"]

_OPTIONS = {
    "fallback_random": True,  # Draw torch's own random numbers, as without the compiler.
    "reorder_for_peak_memory": False,  # The order of draws is unchanged.
}


def compiled(
    graph: fx.Graph,
    constants: dict[str, Shaped[Tensor, "..."]],
    inputs: Sequence[Shaped[Tensor, "..."]],
) -> Callable[..., Any]:
    """Compile a graph of :func:`ppl_mm.training.tape.record`; results are equal up to rounding.

    Args:
        graph: The graph to compile.
        constants: The tensors that the graph reads besides its inputs.
        inputs: The inputs that it was recorded with.

    Raises:
        Exception: Any error of the compiler, for example if there is none.
    """
    root: dict[str, Any] = dict(constants)
    module = fx.GraphModule(root, graph)
    detached: list[Any] = [x.detach() for x in inputs]
    with torch.no_grad():
        return torch._inductor.compile(module, detached, options=dict(_OPTIONS))


def check_compiler(device: torch.device) -> None:
    """Raise unless torch can compile for the device.

    Raises:
        RuntimeError: If no working compiler is found.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:
        raise RuntimeError(
            "step='compiled': torch's compiler does not work here "
            f"({first_line(error)}). It needs a C++ compiler, and Triton for a "
            "CUDA device; step='auto' does without where there is none."
        ) from error
