"""A network runs on the rows that it may see, in its own dtype and with its own statistics."""

import pytest
import torch
from torch import nn

from ppl_mm.batch.rows import (
    at_least_float32,
    default_dtype,
    dtype_of,
    eval_mode,
    indices,
    one_if_same,
    put_rows,
    run_network,
    running_statistics,
)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6)])
def test_indices_are_flat_and_none_is_all(shape):
    mask = (torch.arange(6) % 4 == 1).reshape(shape)
    assert indices(mask).tolist() == [1, 5]
    assert indices(torch.ones(shape, dtype=torch.bool)) is None
    assert indices(torch.zeros(shape, dtype=torch.bool)).tolist() == []


def test_a_mask_that_is_the_same_in_every_row_becomes_one():
    same = torch.tensor([[True, True], [False, False]])
    assert one_if_same(same).tolist() == [[True], [False]]
    other = torch.tensor([[True, True], [False, True]])
    assert one_if_same(other) is other
    assert one_if_same(torch.ones(1, dtype=torch.bool)).tolist() == [True]


def test_a_mask_on_a_device_is_not_looked_at():
    mask = torch.ones(2, 3, dtype=torch.bool, device="meta")
    assert one_if_same(mask) is mask


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_put_rows_inverts_index_select(dim):
    whole = torch.randn(4, 4, 4)
    rows = torch.tensor([2, 0])
    found = put_rows(rows, whole.index_select(dim, rows), 4, 7.0, dim)
    others = torch.tensor([1, 3])
    assert found.shape == whole.shape
    assert torch.equal(found.index_select(dim, rows), whole.index_select(dim, rows))
    assert bool((found.index_select(dim, others) == 7.0).all())


def test_put_rows_of_all_and_of_none():
    x = torch.randn(3, 2)
    assert put_rows(None, x, 3, 0.0, 0) is x
    none = put_rows(torch.zeros(0, dtype=torch.int64), x[:0], 3, -1.0, 0)
    assert torch.equal(none, -torch.ones(3, 2))


def test_a_gradient_reaches_the_rows_that_were_put_and_no_fill():
    x = torch.randn(2, 2, requires_grad=True)
    put_rows(torch.tensor([3, 1]), x, 4, 5.0, 0).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


# ---------------------------------------------------------------- the network's own dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_come_in_the_networks_dtype(dtype):
    seen = []

    class Look(nn.Linear):
        def forward(self, x, more):
            seen.extend([x.dtype, more.dtype])
            return super().forward(x)

    network = Look(2, 2).to(dtype)
    rows = torch.randn(3, 2, dtype=torch.float32)
    out = run_network(network, rows, torch.ones(3, dtype=torch.bool))
    assert seen == [dtype, torch.bool]
    assert out.dtype == (torch.float32 if dtype == torch.bfloat16 else dtype)


def test_integers_stay_integers_and_a_function_has_no_dtype():
    assert run_network(nn.Embedding(3, 2), torch.tensor([0, 2])).shape == (2, 2)
    half = torch.ones(2, dtype=torch.float16)
    assert run_network(lambda x: x, half).dtype == torch.float32
    assert run_network(lambda x: x, torch.ones(2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("module", "dtype"),
    [
        (nn.Identity(), None),
        (nn.Sequential(nn.ReLU(), nn.Linear(1, 1).half()), torch.float16),
        (nn.BatchNorm1d(2, affine=False).float(), torch.float32),
        (nn.Sequential(nn.Identity(), nn.Sequential()), None),
    ],
    ids=["none", "nested", "buffers", "empty"],
)
def test_the_dtype_is_that_of_the_first_parameter_or_buffer(module, dtype):
    assert dtype_of(module) == dtype


def test_a_parameter_says_the_dtype_before_a_buffer_does():
    module = nn.Linear(1, 1).double()
    module.register_buffer("steps", torch.zeros(1, dtype=torch.float16))
    assert dtype_of(module) == torch.float64
    counts = nn.Identity()
    counts.register_buffer("count", torch.zeros(1, dtype=torch.int64))
    assert dtype_of(counts) is None


def test_half_precision_is_converted_in_every_part_of_an_output():
    half, whole = torch.ones(1, dtype=torch.float16), torch.ones(1, dtype=torch.float64)
    found = at_least_float32({"a": half, "b": [half, (whole, 0.5)], "c": None})
    assert found["a"].dtype == torch.float32
    assert found["b"][0].dtype == torch.float32
    assert found["b"][1][0] is whole
    assert (found["b"][1][1], found["c"]) == (0.5, None)


def test_the_default_dtype_comes_back_after_an_error():
    with default_dtype(torch.float16):
        assert torch.tensor(0.5).dtype == torch.float16
    with pytest.raises(ZeroDivisionError), default_dtype(torch.float16):
        raise ZeroDivisionError
    assert torch.get_default_dtype() == torch.float64


# ---------------------------------------------------------------- batch normalisation


def test_one_row_alone_uses_running_statistics_and_leaves_them():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    x = torch.randn(5, 2)
    with torch.no_grad():
        before = network[1].running_mean.clone()
        alone = run_network(network, x[:1])
        assert torch.equal(network[1].running_mean, before)
        network.eval()
        torch.testing.assert_close(alone, network(x[:1]))
        network.train()
        run_network(network, x)
    assert not torch.equal(network[1].running_mean, before)
    assert network.training
    assert network[1].training


def test_dropout_stays_on_for_a_row_alone():
    network = nn.Dropout(1.0)
    assert bool((run_network(network, torch.ones(1, 50)) == 0).all())


def test_modes_come_back_each_as_it_was():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    network[1].eval()
    modes = [m.training for m in network.modules()]
    with eval_mode(network):
        assert not any(m.training for m in network.modules())
    assert [m.training for m in network.modules()] == modes
    with running_statistics(network):
        assert [m.training for m in network.modules()] == [True, False, *modes[2:]]
    assert [m.training for m in network.modules()] == modes


def test_modes_come_back_after_an_error():
    network = nn.BatchNorm1d(2)
    with pytest.raises(ZeroDivisionError), eval_mode(network, nn.Identity()):
        raise ZeroDivisionError
    assert network.training


# ---------------------------------------------------------------- errors and covariates


def test_an_error_has_a_note_with_the_network_and_its_input():
    with pytest.raises(RuntimeError) as caught:
        run_network(nn.Linear(3, 1), torch.ones(2, 4), note="the encoder of modality 'x'")
    assert caught.value.__notes__ == [
        "In the encoder of modality 'x' of shape (2, 4), torch.float64."
    ]
    with pytest.raises(RuntimeError) as caught:
        run_network(nn.Linear(3, 1), torch.ones(2, 4))
    assert not hasattr(caught.value, "__notes__")


def test_a_network_is_given_the_covariates_that_it_names_and_no_others():
    class Reads(nn.Linear):
        reads_covariates = ("age",)

        def forward(self, x, covariates):
            assert list(covariates) == ["age"]
            return super().forward(x) + covariates["age"][:, None]

    given = {"age": torch.ones(2, dtype=torch.float32), "batch": torch.zeros(2).long()}
    network = Reads(1, 1)
    x = torch.zeros(2, 1)
    torch.testing.assert_close(
        run_network(network, x, covariates=given), network.bias.expand(2, 1) + 1.0
    )
    assert run_network(nn.Linear(1, 1), x, covariates=given).shape == (2, 1)
    with pytest.raises(ValueError, match="covariate 'age': Reads reads it, and none is given"):
        run_network(network, x)


def test_modes_that_change_inside_are_put_back():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    with eval_mode(network):
        network.train()
    assert [part.training for part in network.modules()] == [False] * 3
    network[1].train()
    with eval_mode(network):
        assert [part.training for part in network.modules()] == [False] * 3
        network.train()
    assert [part.training for part in network.modules()] == [False, False, True]
