"""The state in which measures run, put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch

from ppl_mm.batch.rows import default_dtype, eval_mode
from ppl_mm.processes import one_thread, seed_torch
from ppl_mm.systems import System

__all__ = ["evaluating"]


@contextmanager
def evaluating(system: System, seed: int) -> Iterator[None]:
    """Eval mode, no gradients, no validation, and random numbers of a seed of their own.

    New tensors have the system's dtype. Other threads of the process wait. Afterwards every module
    is in its former mode and torch's generators in their former states.
    """
    devices = [system.device] if system.device.type == "cuda" else []
    with (
        one_thread(),
        torch.random.fork_rng(devices=devices),
        torch.no_grad(),
        pyro.validation_enabled(False),
        eval_mode(system),
        default_dtype(system.dtype),
    ):
        seed_torch(seed)
        yield
