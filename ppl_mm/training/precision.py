"""The precision that a system is trained in, and its restoration if training fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.rows import default_dtype
from ppl_mm.systems import System

__all__ = ["PRECISIONS", "check_clipping", "check_precision", "in_precision"]

PRECISIONS = ("32-true", "64-true", "bf16-mixed", "16-mixed")
"""The precisions of ``fit``, by Fabric's names."""

_REFUSED = {
    "16-true": "parameters of 16 bits lose the small steps of an optimiser",
    "bf16-true": "parameters of 16 bits lose the small steps of an optimiser",
    "transformer-engine": "it replaces linear layers of the user's networks by its own",
    "transformer-engine-float16": "it replaces linear layers of the user's networks by its own",
}


def check_precision(system: System, precision: str, accelerator: str) -> None:
    """Raise, and change nothing, if "cpu" or "cuda" cannot train the system in this precision.

    Raises:
        ValueError: If the precision is unknown, the device lacks it, or learned parameters have 16
            bits.
    """
    if precision in _REFUSED:
        raise ValueError(
            f"precision={precision!r}: {_REFUSED[precision]}. Take one of "
            f"{', '.join(PRECISIONS)}; 'bf16-mixed' computes in 16 bits."
        )
    if precision not in PRECISIONS:
        raise ValueError(unknown_name("precision", precision, PRECISIONS))
    if precision == "16-mixed" and accelerator != "cuda":
        raise ValueError(
            "precision='16-mixed' needs a CUDA device; 'bf16-mixed' works on the CPU too."
        )
    if precision == "64-true":
        return
    for name, p in system.named_parameters():
        if p.requires_grad and p.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"fit: the parameter {name!r} has 16 bits, {p.dtype}, and would lose the small "
                "steps of an optimiser. Convert the system, system.float(), and take "
                "precision='bf16-mixed'."
            )


def check_clipping(
    optimizer: torch.optim.Optimizer, precision: str, clip_norm: float | None
) -> None:
    """Raise if gradients cannot be clipped because the optimiser itself removes their scale.

    Raises:
        ValueError: If ``clip_norm`` is given with a fused optimiser in "16-mixed".
    """
    fused = getattr(optimizer, "_step_supports_amp_scaling", False)
    if precision == "16-mixed" and clip_norm is not None and fused:
        raise ValueError(
            "clip_norm: with precision='16-mixed' the gradients of a fused optimiser cannot be "
            f"clipped; make it {type(optimizer).__name__}(..., fused=False)."
        )


@contextmanager
def in_precision(system: System, precision: str) -> Iterator[None]:
    """Inside, the system has the precision's dtype, and new tensors have the system's.

    The system keeps that dtype afterwards. After an error every parameter and buffer has its former
    dtype and device again, with its latest value.
    """
    before = [(holder, name, x.dtype, x.device) for holder, name, x in _tensors(system)]
    try:
        if precision == "64-true":
            system.double()
        with default_dtype(system.dtype):
            yield
    except BaseException:
        for holder, name, dtype, device in before:
            _restore(holder, name, dtype, device)
        raise


def _tensors(system: System) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Yield every parameter and buffer with the dict of the module that holds it."""
    for module in system.modules():
        for holder in (module._parameters, module._buffers):
            yield from ((holder, name, x) for name, x in holder.items() if x is not None)


def _restore(holder: dict[str, Any], name: str, dtype: torch.dtype, device: torch.device) -> None:
    """Convert a parameter and its gradient in place, because optimisers hold the object."""
    x = holder[name]
    if not isinstance(x, torch.nn.Parameter):
        holder[name] = x.to(device, dtype)
    elif (x.dtype, x.device) != (dtype, device):
        gradient, x.grad = x.grad, None
        x.data = x.data.to(device, dtype)
        x.grad = None if gradient is None else gradient.to(device, dtype)
