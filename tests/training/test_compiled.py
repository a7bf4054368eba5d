"""``fit(compile=...)``: the same parameters under the same names, or an honest error."""

import pytest
import torch
from every_system import KINDS, SYSTEMS, build, complete

from ppl_mm import fit
from ppl_mm import networks as nets
from ppl_mm.training.compiled import networks

OPTIONS = {
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
    "precision": "64-true",
    "progress": False,
}


def trained(**options):
    torch.manual_seed(0)
    system = build("vae")
    fit(system, complete(16, "bernoulli"), **{**OPTIONS, **options})
    return system


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # as torch._dynamo reads it
def test_compiled_networks_train_to_the_same_parameters():
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    plain = trained()
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] == 0
    compiled = trained(compile="eager")
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] > 0
    one, other = plain.state_dict(), compiled.state_dict()
    assert list(one) == list(other)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-12, atol=1e-13)
    assert all(module._compiled_call_impl is None for module in networks(compiled))


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_compiled_are_networks_each_once(name):
    system = build(name)
    found = networks(system)
    inside = [id(p) for module in found for p in module.parameters()]
    assert len(inside) == len(set(inside)) > 0
    for part in (system.model, system.guide):
        holders = [getattr(part, kind, {}) for kind in ("encoders", "decoders")]
        for network in (network for holder in holders for network in holder.values()):
            assert network in found


def test_a_backend_that_does_not_work_is_told(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no C++ compiler\nmore")

    with pytest.raises(ValueError, match=r"compile: expected a bool or one of .*'fast'"):
        trained(compile="fast")
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(RuntimeError, match=r"'inductor' does not work here \(no C\+\+ compiler\)"):
        trained(compile=True)


def _one_graph():  # recurrent networks are none: torch does not compile them
    for name in ("bernoulli", "categorical", "poisson", "normal_learned"):
        yield pytest.param(KINDS[name].encoder(2), KINDS[name].draw(3), id=f"{name} encoder")
        yield pytest.param(KINDS[name].decoder(2), torch.rand(3, 2), id=f"{name} decoder")
    conv = nets.ConvEncoder(2, event_shape=(1, 8, 8), layers=((4, 4, 2, 1),))
    yield pytest.param(conv, torch.rand(3, 1, 8, 8), id="ConvEncoder")
    back = nets.ConvDecoder(2, start=(4, 4, 4), layers=((1, 4, 2, 1),))
    yield pytest.param(back, torch.rand(3, 2), id="ConvDecoder")


@pytest.mark.parametrize(("network", "value"), list(_one_graph()))
def test_a_network_is_one_graph(network, value):
    torch.compiler.reset()
    whole = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(value), network(value))
