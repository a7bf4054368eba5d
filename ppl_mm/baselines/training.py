"""Plain minimisation over batches of rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ppl_mm.processes import one_thread

__all__ = ["minimise", "seeded"]


@contextmanager
def seeded(seed: int, device: str | torch.device) -> Iterator[None]:
    """Inside, torch's random numbers are of this seed; outside they are left alone."""
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with one_thread(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def minimise(
    module: nn.Module,
    loss: Callable[[Tensor], Tensor],
    num_rows: int,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    whole_batches: bool = False,
) -> None:
    """Adam on a loss of rows, given as indices; the module ends in evaluation mode.

    Args:
        module: Whose parameters learn.
        loss: From the indices of a batch's rows to what is minimised.
        num_rows: Rows in all.
        epochs: Passes through them, each in a new order.
        batch_size: Rows per step.
        learning_rate: Of Adam.
        whole_batches: Leave out an incomplete last batch, where there is another.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    module.train()
    for _ in range(epochs):
        for rows in torch.randperm(num_rows).split(batch_size):
            if whole_batches and len(rows) < min(batch_size, num_rows):
                continue
            optimizer.zero_grad()
            loss(rows).backward()
            optimizer.step()
    module.eval()
