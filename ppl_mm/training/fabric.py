"""The processes, devices and precision that a run trains with."""

import os
from typing import TYPE_CHECKING

import torch

from ppl_mm.systems import System
from ppl_mm.training.precision import check_precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["make_fabric"]


def make_fabric(system: System, device: str, precision: str) -> "Fabric":
    """Lightning Fabric, launched, for a device as ``fit`` takes it.

    Raises:
        ValueError: For a device that is not there, or a precision that it lacks.
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
        # Fabric would give a loss of float64 back rounded; in_precision converts the system.
        precision="32-true" if precision == "64-true" else precision,
    )
    fabric.launch()
    return fabric
