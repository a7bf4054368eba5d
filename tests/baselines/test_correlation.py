"""Canonical correlations: known answers, every kind of view, missing rows."""

import sys

import pytest
import torch
from every_system import KINDS, complete, modalities, modality
from torch import nn

from ppl_mm import Modality, Observations, baselines, likelihoods

pytest.importorskip("cca_zoo", reason="needs the extra baselines")
SMALL = {"hidden": (16,), "epochs": 3, "batch_size": 64}
METHODS = {
    "cca": baselines.cca,
    "dcca": lambda *args, **options: baselines.dcca(*args, **SMALL, **options),
    "dccae": lambda *args, **options: baselines.dccae(*args, **SMALL, **options),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def numbers(name, size):
    return Modality(
        name, likelihoods.Normal(1.0), lambda z: nn.Linear(size, z), lambda z: nn.Linear(z, size)
    )


def views(num_rows=300):
    """Two views of 4 and 3 numbers that share a signal."""
    signal = torch.randn(num_rows, 2)
    a = signal @ torch.randn(2, 4) + torch.randn(num_rows, 4) + 3.0
    b = signal @ torch.randn(2, 3) + 0.3 * a[:, :3] + torch.randn(num_rows, 3)
    return [numbers("a", 4), numbers("b", 3)], Observations({"a": a, "b": b})


def correlations(projection, obs):
    """The correlation matrix of the features of both views."""
    return torch.corrcoef(torch.cat([projection(obs, view=n) for n in projection.names], 1).T)


def singular_values(a, b, ridge=0.0):
    a, b = a - a.mean(0), b - b.mean(0)
    whitened = []
    for x in (a, b):
        values, vectors = torch.linalg.eigh(x.T @ x / (len(x) - 1) + ridge * torch.eye(x.shape[1]))
        whitened.append(x @ vectors @ (values**-0.5).diag() @ vectors.T)
    return torch.linalg.svdvals(whitened[0].T @ whitened[1] / (len(a) - 1))


# ------------------------------------------------------------------ known answers


def test_cca_has_the_singular_values_of_the_whitened_covariance_as_correlations():
    declared, obs = views()
    found = correlations(baselines.cca(obs, declared, 3), obs)
    rho = singular_values(obs["a"], obs["b"])
    assert 0.05 < rho[2] < rho[0] < 0.99
    expected = torch.eye(6)
    expected[:3, 3:] = expected[3:, :3] = rho.diag()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_a_rotated_view_is_perfectly_correlated():
    a = torch.randn(50, 4)
    obs = Observations({"a": a, "b": a @ torch.linalg.qr(torch.randn(4, 4))[0]})
    projection = baselines.cca(obs, [numbers("a", 4), numbers("b", 4)], 4)
    torch.testing.assert_close(projection(obs), projection(obs, view="b"), rtol=0, atol=1e-8)
    ridged = baselines.cca(obs, [numbers("a", 4), numbers("b", 4)], 4, shrinkage=0.5)
    assert not torch.allclose(projection(obs), ridged(obs))


def test_new_rows_are_centred_by_the_training_rows():
    declared, obs = views()
    projection = baselines.cca(obs, declared, 2)
    torch.testing.assert_close(projection(obs).mean(0), torch.zeros(2), rtol=0, atol=1e-10)
    torch.testing.assert_close(projection(obs[5:8]), projection(obs)[5:8])


def test_the_librarys_objective_is_the_sum_of_squared_singular_values():
    from cca_zoo.deep.objectives import CCALoss

    _, obs = views()
    rho = singular_values(obs["a"], obs["b"], ridge=1e-2)
    torch.testing.assert_close(-CCALoss(1e-2)([obs["a"], obs["b"]]), rho.square().sum())


def test_deep_cca_finds_what_linear_cca_cannot():
    torch.set_default_dtype(torch.float32)
    x = torch.randn(400, 1)
    obs = Observations({"a": x, "b": x.square()})
    declared = [numbers("a", 1), numbers("b", 1)]
    linear = correlations(baselines.cca(obs, declared, 1), obs)[0, 1]
    options = {"hidden": (32, 32), "epochs": 60, "batch_size": 200, "learning_rate": 1e-2}
    deep = correlations(baselines.dcca(obs, declared, 1, **options), obs)[0, 1]
    assert abs(linear) < 0.3
    assert deep > 0.97


def test_deep_features_end_in_linear_cca():
    declared, obs = views()
    options = {"hidden": (8,), "epochs": 2, "batch_size": 100}
    found = correlations(baselines.dcca(obs, declared, 2, **options), obs)
    for block in (found[:2, :2], found[2:, 2:], found[:2, 2:] / found[:2, 2:].diagonal()):
        torch.testing.assert_close(block, torch.eye(2), rtol=0, atol=1e-6)
    other = correlations(baselines.dcca(obs, declared, 2, ridge=10.0, **options), obs)
    assert not torch.allclose(other, found)


def test_decoders_of_dccae_mirror_its_encoders(monkeypatch):
    import cca_zoo.deep

    whole, seen = cca_zoo.deep.DCCAE, {}
    monkeypatch.setattr(cca_zoo.deep, "DCCAE", lambda **o: seen.update(o) or whole(**o))
    declared, obs = views()
    baselines.dccae(obs, declared, 2, hidden=(8, 5), epochs=1, batch_size=300)
    for size, encoder, decoder in zip((4, 3), seen["encoders"], seen["decoders"], strict=True):
        shapes = [
            [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Linear)]
            for network in (encoder, decoder)
        ]
        assert shapes == [[(8, size), (5, 8), (2, 5)], [(5, 2), (8, 5), (size, 8)]]


def test_dccae_without_reconstruction_is_dcca():
    declared, obs = views()
    options = {"hidden": (8,), "epochs": 4, "batch_size": len(obs)}
    one = baselines.dcca(obs, declared, 2, **options)
    other = baselines.dccae(obs, declared, 2, lam=0.0, **options)
    torch.testing.assert_close(correlations(one, obs), correlations(other, obs))
    third = baselines.dccae(obs, declared, 2, lam=0.9, **options)
    assert not torch.allclose(correlations(one, obs), correlations(third, obs))


# ------------------------------------------------------------------ rows and views


@every_method
def test_rows_that_lack_a_view_are_left_out(method):
    declared, obs = views()
    present = {"a": torch.arange(300) % 3 != 0, "b": torch.arange(300) % 5 != 0}
    some = Observations(obs.values, present)
    both = present["a"] & present["b"]
    one, other = method(some, declared, 2), method(obs[both], declared, 2)
    torch.testing.assert_close(one(obs), other(obs))
    with pytest.raises(
        ValueError, match=r"modality 'a': 100 of 300 rows lack it, or .* take obs\[obs"
    ):
        one(some)
    assert one(some[present["b"]], view="b").shape == (240, 2)


@every_method
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_view(method, kind):
    other = modality("normal", name="other")
    obs = Observations({**complete(80, kind).values, "other": KINDS["normal"].draw(80)})
    projection = method(obs, [modality(kind), other], 2)
    for view in (kind, "other"):
        found = projection(obs, view=view)
        assert found.shape == (80, 2)
        assert found.isfinite().all()
        torch.testing.assert_close(found.mean(0), torch.zeros(2), rtol=0, atol=1e-8)


@every_method
def test_seeds_and_nothing_else_decide(method):
    declared, obs = views()
    state = torch.get_rng_state()
    one, other = method(obs, declared, 2), method(obs, declared, 2)
    assert torch.equal(one(obs), other(obs))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in one.modules())


def test_the_seed_matters():
    declared, obs = views()
    one, other = (METHODS["dcca"](obs, declared, 2, seed=seed) for seed in (0, 1))
    assert not torch.allclose(one(obs), other(obs))


def test_fewer_rows_than_a_batch_are_one():
    declared, obs = views()
    options = {"epochs": 2, "hidden": (8,)}
    all_rows, more = (
        baselines.dcca(obs, declared, 2, batch_size=size, **options) for size in (len(obs), 10**4)
    )
    shorter = baselines.dcca(obs, declared, 2, batch_size=10**4, hidden=(8,), epochs=1)
    assert torch.equal(all_rows(obs), more(obs))
    assert not torch.allclose(more(obs), shorter(obs))


def test_views_are_named_or_the_first_two():
    declared, obs = modalities(), complete(40)
    assert baselines.cca(obs, declared, 1).names == ("bernoulli", "categorical")
    projection = baselines.cca(obs, declared, 1, views=("normal", "bernoulli"))
    assert projection.names == ("normal", "bernoulli")
    assert torch.equal(projection(obs), projection(obs, view="normal"))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, o: baselines.cca(o, m, 1, views=("normal", "x")), "unknown view 'x'"),
        (lambda m, o: baselines.cca(o, m, 1, views=("normal",)), "two different modalities"),
        (lambda m, o: baselines.cca(o, m, 4, views=("normal", "categorical")), "at most 3"),
        (lambda m, o: baselines.cca(o.without("normal"), m[1:], 1), "got 0 of 40"),
        (lambda m, o: baselines.dccae(o, m, 1, lam=1.5), r"lam: expected .* from 0 to 1, got 1.5"),
        (lambda m, o: baselines.cca(o, m, 1)(o, view="normal"), "unknown view 'normal'"),
        (lambda m, o: baselines.dcca(o, m, 1, epochs=0), "epochs"),
        (lambda m, o: baselines.cca(o, m, 0), "latent_dim: .*at least 1, got 0"),
        (lambda m, o: baselines.dcca(o, m, 0), "latent_dim: .*at least 1, got 0"),
        (lambda m, o: baselines.dcca(o, m, 2, batch_size=2), "latent_dim = 2, .*, got 2"),
        (lambda m, o: baselines.dccae(o[:3], m, 3), "latent_dim = 3, .*, got 3; give more rows"),
    ],
)
def test_wrong_calls_are_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(modalities(), complete(40))


def test_one_name_of_a_view_is_an_error():
    with pytest.raises(TypeError, match=r"views: .*got 'normal'; put it in a list"):
        baselines.cca(complete(40), modalities(), 1, views="normal")


def test_the_error_without_the_library_names_the_extra(monkeypatch):
    declared, obs = views()
    monkeypatch.setitem(sys.modules, "cca_zoo", None)
    for method in METHODS.values():
        with pytest.raises(ImportError, match=r"pip install 'ppl-mm\[baselines\]'"):
            method(obs, declared, 2)
