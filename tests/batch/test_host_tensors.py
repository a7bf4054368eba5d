"""Masks that the host knows: what stays there, what goes to the device, and how often."""

import operator

import pytest
import torch

from ppl_mm.batch.host_masks import HostTensor, constants, on_host, plain, recording, waits
from ppl_mm.batch.rows import indices, one_if_same

META = torch.device("meta")  # it holds no values, so nothing can have read them there
CPU = torch.device("cpu")


def host(values, target=META):
    return HostTensor.of(torch.tensor(values), target)


MASK, OTHER = [True, False, True], [True, True, False]

STAYS = {
    "not": (lambda m: ~m, [False, True, False]),
    "and": (lambda m: m & host(OTHER), [True, False, False]),
    "or": (lambda m: m | host(OTHER), [True, True, True]),
    "and a number": (lambda m: m & True, MASK),
    "row": (lambda m: m[1:], [False, True]),
    "new dimension": (lambda m: m[:, None], [[True], [False], [True]]),
    "expanded": (lambda m: m[None].expand(2, 3), [MASK, MASK]),
    "any": (lambda m: m.any(), True),
    "all": (lambda m: m.all(), False),
    "sum": (lambda m: m.sum(), 2),
    "stack": (lambda m: torch.stack([m, host(OTHER)]), [MASK, OTHER]),
    "cat": (lambda m: torch.cat([m, m]), MASK + MASK),
    "where": (lambda m: torch.where(m, 1, 0), [1, 0, 1]),
    "zeros like": (lambda m: torch.zeros_like(m), [False] * 3),
    "long": (lambda m: m.long(), [1, 0, 1]),
    "nonzero": (lambda m: m.nonzero()[:, 0], [0, 2]),
    "clone": (lambda m: m.clone(), MASK),
}


@pytest.mark.parametrize("case", STAYS)
def test_what_is_made_of_host_tensors_alone_stays_on_the_host(case):
    make, values = STAYS[case]
    found = make(host(MASK))
    assert isinstance(found, HostTensor)
    assert found.host.tolist() == values
    assert (found.device, found.host.device) == (META, CPU)


MEETS = {
    "times": (operator.mul, torch.float64),
    "and": (operator.and_, torch.bool),
    "where": (lambda m, x: torch.where(m, x, 0.0), torch.float64),
    "where the other": (lambda m, x: torch.where(x > 0, x, m), torch.float64),
    "index": (lambda m, x: x.masked_fill(m, 0.0), torch.float64),
    "stack": (lambda m, x: torch.stack([m.double(), x]), torch.float64),
}


@pytest.mark.parametrize("case", MEETS)
def test_what_meets_another_tensor_goes_to_its_device(case):
    make, dtype = MEETS[case]
    x = torch.ones(3, device=META, dtype=torch.bool if dtype == torch.bool else torch.float64)
    found = make(host(MASK), x)
    assert not isinstance(found, HostTensor)
    assert (found.device, found.dtype) == (META, dtype)


@pytest.mark.parametrize("draw", [torch.rand_like, torch.bernoulli, torch.randn_like])
def test_random_numbers_are_drawn_on_the_device(draw):
    found = draw(host([0.5, 0.5]))
    assert not isinstance(found, HostTensor)
    assert found.device == META


@pytest.mark.parametrize("target", [META, "meta"])
def test_a_move_to_a_device_gives_a_plain_tensor_there(target):
    found = host(MASK).to(target)
    assert not isinstance(found, HostTensor)
    assert found.device == META


def test_a_change_of_dtype_is_no_move():
    found = host(MASK).to(torch.float32)
    assert isinstance(found, HostTensor)
    assert found.host.tolist() == [1.0, 0.0, 1.0]


def test_new_tensors_of_one_are_on_the_host_too():
    found = host([1.0]).new_zeros(2)
    assert isinstance(found, HostTensor)
    found = torch.ones_like(host([1.0]), device=META)
    assert isinstance(found, HostTensor)
    assert found.host.tolist() == [1.0]


def test_a_copy_is_made_once_and_again_after_a_change():
    mask = host(MASK, CPU)
    first = mask.copied()
    assert mask.copied() is first
    assert not isinstance(first, HostTensor)
    mask[1] = True
    assert mask.copied() is not first
    assert mask.copied().tolist() == [True, True, True]


def test_copies_are_shared_by_value_among_batches():
    with constants() as kept:
        first, again = host(MASK).copied(), host(MASK).copied()
        assert again is first
        assert host(OTHER).copied() is not first
        assert host([1, 0, 1]).copied().dtype == torch.int64
        assert host([MASK]).copied().shape == (1, 3)
        assert len(kept) == 4
    with constants(kept):
        assert host(MASK).copied() is first
    with constants():
        assert host(MASK).copied() is not first


def test_constants_may_be_nested_and_the_last_one_is_in_use():
    with constants() as outer:
        host(MASK).copied()
        with constants() as inner:
            host(MASK).copied()
            host(OTHER).copied()
        host(OTHER).copied()
    assert (len(outer), len(inner)) == (2, 2)


def test_plain_is_the_tensor_on_its_device():
    x = torch.ones(2)
    assert plain(x) is x
    assert plain(host(MASK)).device == META
    assert plain(host(MASK, CPU)).tolist() == MASK


def test_who_waits_for_a_device():
    assert not waits(CPU)
    assert waits(META)
    assert on_host(torch.ones(1))
    assert not on_host(torch.ones(1, device=META))
    assert on_host(host(MASK))
    with recording():
        assert waits(CPU)
        assert not on_host(torch.ones(1))
        assert on_host(host(MASK))
        with recording():
            pass
        assert waits(CPU)
    assert not waits(CPU)


def test_recording_ends_after_an_error():
    with pytest.raises(ZeroDivisionError), recording():
        raise ZeroDivisionError
    assert not waits(CPU)


def test_the_host_reads_which_rows_there_are_without_the_device():
    assert indices(host(MASK)).host.tolist() == [0, 2]
    assert indices(host([True, True])) is None
    assert one_if_same(host([[True, True]])).host.tolist() == [[True]]


def test_a_host_tensor_has_no_gradient():
    x = host([1.0, 2.0], CPU)
    y = torch.ones(2, requires_grad=True)
    (x * y).sum().backward()
    assert y.grad.tolist() == [1.0, 2.0]
    assert not x.requires_grad
