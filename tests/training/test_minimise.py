"""The minimisation that classifiers and baselines share."""

import pytest
import torch
from torch import nn

from ppl_mm.training.minimise import Drawn, Shuffled, minimise, seeded


def test_every_pass_has_each_row_once():
    batches = Shuffled(10, batch_size=4, epochs=3)
    found = list(batches)
    assert len(found) == len(batches) == 9
    for i in range(3):
        assert torch.cat(found[3 * i : 3 * i + 3]).sort().values.tolist() == list(range(10))
    assert [len(rows) for rows in found] == [4, 4, 2] * 3


@pytest.mark.parametrize(
    ("num_rows", "size", "sizes"), [(10, 4, [4, 4]), (8, 4, [4, 4]), (3, 4, [3])]
)
def test_an_incomplete_batch_is_left_out_where_there_is_another(num_rows, size, sizes):
    batches = Shuffled(num_rows, size, epochs=2, whole=True)
    assert [len(rows) for rows in batches] == sizes * 2
    assert len(batches) == 2 * len(sizes)


def test_no_epochs_are_no_steps():
    module = nn.Linear(1, 1)
    before = module.weight.clone()
    minimise(module, lambda rows: module.weight.sum(), Shuffled(5, 2, 0), learning_rate=1.0)
    assert torch.equal(module.weight, before)


def test_rows_are_drawn_with_replacement():
    (rows,) = Drawn(3, batch_size=1000, num_steps=1)
    assert rows.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize("decay", [False, True])
def test_steps_are_those_of_adam(decay):
    """A loss of constant gradient moves a parameter by the learning rate in every step of Adam."""
    module = nn.Linear(1, 1, bias=False).double()
    start = module.weight.item()
    minimise(
        module,
        lambda rows: module.weight.sum(),
        Drawn(2, 1, 4),
        learning_rate=0.1,
        decay=decay,
    )
    steps = 0.1 * torch.tensor([1.0, 0.75, 0.5, 0.25] if decay else [1.0] * 4)
    assert start - module.weight.item() == pytest.approx(steps.sum().item(), rel=1e-6)
    assert not module.training


def test_a_diverged_loss_is_an_error():
    module = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match=r"Linear diverged.*lower learning rate than 0\.1"):
        minimise(
            module, lambda rows: module.weight.sum() * torch.inf, Drawn(2, 1, 1), learning_rate=0.1
        )


def test_other_random_numbers_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with seeded(5, "cpu"):
        one = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(5, "cpu"):
        assert torch.equal(torch.rand(3), one)
