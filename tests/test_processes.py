"""What one process keeps for itself: its generators' seed."""

import pytest
import torch

from ppl_mm.processes import seed_torch


@pytest.mark.parametrize("seed", [0, 7, -3, 2**63 - 1])
def test_a_seed_gives_the_draws_of_torchs_own(seed: int) -> None:
    torch.manual_seed(seed)
    expected = torch.randn(5)
    seed_torch(seed)
    assert torch.equal(torch.randn(5), expected)
    assert torch.initial_seed() % 2**64 == seed % 2**64
