"""Settings that hold during a run and are restored after it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ppl_mm.batch.rows import eval_mode
from ppl_mm.files import owned
from ppl_mm.processes import is_first, one_thread, seed_torch
from ppl_mm.systems import System
from ppl_mm.training.impartial import Rule, impartially
from ppl_mm.training.parallel import AlwaysDifferentiable
from ppl_mm.training.precision import in_precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["module_of", "surroundings"]


@contextmanager
def surroundings(
    system: System,
    fabric: "Fabric",
    file: Path | None,
    seed: int,
    precision: str,
    impartial: str | Rule | None,
) -> Iterator[None]:
    """Own the checkpoint, the system's modes and torch's generators inside; put them back."""
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with (
        one_thread(),
        owned(file) if file is not None and is_first() else nullcontext(),
        eval_mode(system),
        torch.random.fork_rng(devices=devices),
        impartially(system, impartial),
        in_precision(system, precision),
    ):
        seed_torch(seed)
        yield


def module_of(system: System, fabric: "Fabric", shares: bool) -> torch.nn.Module:
    """Return the module whose output is the loss; data parallelism needs its gradient always."""
    module: torch.nn.Module = system.objective(system.model, system.guide)
    return AlwaysDifferentiable(module, shares) if fabric.world_size > 1 else module
