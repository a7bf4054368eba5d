"""The processes, devices and precision that a run trains with."""

import atexit
import gc
import os
from typing import TYPE_CHECKING

import torch

from ppl_mm.systems import System
from ppl_mm.training.precision import check_precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["make_fabric"]


def make_fabric(system: System, device: str, precision: str) -> "Fabric":
    """Launch Lightning Fabric for the ``device`` and ``precision`` arguments of ``fit``.

    Raises:
        ValueError: If the device is not available or lacks the precision.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    world = int(os.environ.get("WORLD_SIZE", "1"))
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:1', got {device!r}.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: torch sees no CUDA device here; use 'auto' or 'cpu'.")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    check_precision(system, precision, accelerator)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    fabric = Fabric(
        accelerator=accelerator,
        devices=[int(index)] if index else local,
        num_nodes=world // local,
        strategy=DDPStrategy(find_unused_parameters=True) if world > 1 else "auto",
        # Fabric would round a float64 loss; in_precision converts the system instead.
        precision="32-true" if precision == "64-true" else precision,
    )
    started = torch.distributed.is_available() and torch.distributed.is_initialized()
    fabric.launch()
    if world > 1 and not started:
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    """Leave the group of processes, unless the script has done so already.

    The threads of the group run for as long as something refers to it. An interpreter that ends
    while they run may be aborted, and torchrun then stops the other processes too.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    gc.collect()  # a wrapped system refers to its group, and to itself
