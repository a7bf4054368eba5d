"""A training step reads nothing from the device, and copies nothing there that it had before.

Without a device "meta" stands for one. Its tensors have no values, so whatever would read one, a
``.item()``, a ``bool(...)``, a mask as an index, raises there.
"""

import warnings
from collections import Counter

import pyro
import pytest
import torch
from every_system import KINDS, SYSTEMS, build, complete, kinds_of, mixed, modalities
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ppl_mm.batch.host_masks import HostTensor, constants
from ppl_mm.training.batches import Streams, resident
from ppl_mm.training.graphed import synchronisation

META = torch.device("meta")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


class Copies(TorchDispatchMode):
    """Counts what goes from the host to the device, by operation."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        ins, outs = (
            {x.device.type for x in tree_leaves(tree) if isinstance(x, torch.Tensor) and x.dim()}
            for tree in ((args, kwargs), out)
        )
        if "meta" in outs and "cpu" in ins:
            self.found[func._schema.name] += 1
        return out


class Numbers(TorchFunctionMode):
    """Counts tensors that are made of Python's numbers on the device: each is a copy, too."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        makers = (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
        if func in makers and not isinstance(out, HostTensor) and out.device == META:
            self.found[func.__name__] += 1
        return out


def on(device, system, obs):
    system.model.to(device).train()
    system.guide.to(device).train()
    return resident(obs, device)


def step(system, obs, optimizer):
    """As ``fit`` takes it."""
    optimizer.zero_grad()
    if bool(obs.any_data.any()):
        (system(obs) / len(obs)).backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0, error_if_nonfinite=False)
        optimizer.step()


def copies_of_a_step(system, obs):
    """What the second step on a batch copies; both raise if they read from the device."""
    obs = on(META, system, obs)
    optimizer = torch.optim.SGD(system.parameters(), lr=0.1, momentum=0.9)
    with pyro.validation_enabled(False), constants():
        step(system, obs, optimizer)
        with Copies() as copies, Numbers() as numbers:
            step(system, obs, optimizer)
    return copies.found + numbers.found


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_step_on_complete_rows_reads_and_copies_nothing(name):
    assert not copies_of_a_step(build(name), complete(4, *kinds_of(name)))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_step_on_rows_with_missing_values_reads_nothing(name):
    system = build(name)
    obs = on(META, system, mixed(*kinds_of(name)))
    with pyro.validation_enabled(False):
        step(system, obs, torch.optim.SGD(system.parameters(), lr=0.1))


@pytest.mark.parametrize("name", ["mmvae", "mopoe", "mmvae_plus"])
def test_strata_drawn_at_random_are_read_only_where_rows_miss_something(name):
    system = build(name, strata=1)
    assert not copies_of_a_step(system, complete(4))
    # Which rows are decoded hangs on the strata, and the device draws them.
    with pytest.raises(RuntimeError, match="meta tensors"):
        copies_of_a_step(system, mixed())


@pytest.mark.parametrize("kind", KINDS)
def test_no_likelihood_reads_or_copies(kind):
    assert not copies_of_a_step(build("vae", modalities(kind)), mixed(kind))


@pytest.mark.parametrize("name", SYSTEMS)
def test_known_masks_change_no_bit(name):
    obs = mixed(*kinds_of(name))
    losses = []
    for known in (False, True):
        torch.manual_seed(0)
        system = build(name)
        rows = obs
        if known:
            rows = obs.only(*obs.names)
            for kind in ("present", "scored", "evidence", "source"):
                masks = getattr(obs, kind)
                setattr(rows, kind, {n: HostTensor.of(m, m.device) for n, m in masks.items()})
        torch.manual_seed(1)
        losses.append(system(rows))
    assert losses[0] == losses[1]


def test_reading_from_the_stand_in_is_noticed():
    x = torch.zeros(3, device=META)
    for read in (bool, float, torch.Tensor.cpu, torch.Tensor.tolist, torch.Tensor.nonzero):
        with pytest.raises((RuntimeError, NotImplementedError)):
            read(x if read is not float else x.sum())
    with pytest.raises(NotImplementedError):
        x[x > 0]
    with Copies() as copies, Numbers() as numbers:
        torch.ones(3).to(META)
        torch.tensor(1.0, device=META)
    assert copies.found + numbers.found == {"aten::_to_copy": 1, "tensor": 1}


def test_known_tensors_stay_on_the_host_until_they_meet_others():
    mask = HostTensor.of(torch.tensor([True, False, True]), META)
    rows = mask.nonzero().squeeze(-1)
    assert rows.tolist() == [0, 2]
    assert isinstance(torch.stack([mask, ~mask]).any(0), HostTensor)
    assert mask.device == mask.to(META).device == META
    x = torch.zeros(3, 2, device=META).index_select(0, rows)
    assert not isinstance(x, HostTensor)
    assert x.shape == (2, 2)
    drawn = torch.multinomial(torch.where(mask, 1.0, 0.0), 2)
    assert not isinstance(drawn, HostTensor)
    assert drawn.device == META  # with the device's own random numbers


def test_a_known_tensor_that_was_changed_is_copied_again():
    mask = HostTensor.of(torch.tensor([True, False]), torch.device("cpu"))
    with constants():
        before = (mask * torch.ones(2)).tolist()
        mask &= ~mask
        assert before == [1.0, 0.0]
        assert (mask * torch.ones(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("number", [1, 2])
def test_batches_take_values_on_the_device_and_masks_on_the_host(number):
    parts = [mixed(), complete(8)][:number]
    streams = Streams(parts).to(META)
    order = streams.epoch(4)
    with Copies() as copies:
        batch = streams.take(order[0])
    assert copies.found.keys() <= {"aten::_to_copy"}
    assert copies.found["aten::_to_copy"] == number  # the indices
    torch.manual_seed(0)
    same = Streams(parts).take(order[0])
    for name in same.names:
        assert batch.values[name].device == META
        assert batch.present[name].host.tolist() == same.present[name].tolist()


@needs_cuda
@pytest.mark.parametrize("data", [complete, mixed])
@pytest.mark.parametrize("name", SYSTEMS)
def test_cuda_finds_no_synchronisation(name, data):
    system = build(name)
    obs = complete(8, *kinds_of(name)) if data is complete else mixed(*kinds_of(name))
    obs = on(torch.device("cuda"), system, obs)
    optimizer = torch.optim.Adam(system.parameters(), fused=True)
    with pyro.validation_enabled(False):
        step(system, obs, optimizer)
        with synchronisation("error"):
            step(system, obs, optimizer)


def test_the_mode_is_set_back_and_its_own_warning_is_no_wait(monkeypatch):
    modes = [0]

    def set_mode(mode):
        text = "Synchronization debug mode does not yet detect all synchronizing operations"
        warnings.warn(text, stacklevel=2)
        modes.append(mode)

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_mode)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    with pytest.raises(RuntimeError, match="waits"), synchronisation("error"):
        raise RuntimeError("waits")
    assert modes == [0, "error", 0]
