"""The precision that a system is trained in, and its way back where training fails."""

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
"""What ``fit`` trains in, by Fabric's names."""

_REFUSED = {
    "16-true": "parameters of 16 bits lose the small steps of an optimiser",
    "bf16-true": "parameters of 16 bits lose the small steps of an optimiser",
    "transformer-engine": "it replaces linear layers of the user's networks by its own",
    "transformer-engine-float16": "it replaces linear layers of the user's networks by its own",
}


def check_precision(system: System, precision: str, accelerator: str) -> None:
    """Raise unless the system can be trained so on "cpu" or "cuda"; nothing has changed then.

    Raises:
        ValueError: For another precision, one that the device lacks, or learned parameters of
            16 bits.
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
    """Raise where gradients cannot be clipped, as the optimiser itself takes out their scale.

    Raises:
        ValueError: For ``clip_norm`` with a fused optimiser in "16-mixed".
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

    It keeps that dtype afterwards. After an error every parameter and buffer has its former dtype
    and device again, and the value that it has come to.
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
    """Every parameter and buffer, by the dict of its module that holds it."""
    for module in system.modules():
        for holder in (module._parameters, module._buffers):
            yield from ((holder, name, x) for name, x in holder.items() if x is not None)


def _restore(holder: dict[str, Any], name: str, dtype: torch.dtype, device: torch.device) -> None:
    """The same object for a parameter, which optimisers and users hold; its gradient too."""
    x = holder[name]
    if not isinstance(x, torch.nn.Parameter):
        holder[name] = x.to(device, dtype)
    elif (x.dtype, x.device) != (dtype, device):
        gradient, x.grad = x.grad, None
        x.data = x.data.to(device, dtype)
        x.grad = None if gradient is None else gradient.to(device, dtype)
