"""An autoencoder's code, a Boltzmann machine's hidden units, and the regression that reads them."""

from functools import partial

import pytest
import torch
from every_system import KINDS, complete, modality
from sklearn.neural_network import BernoulliRBM

from ppl_mm import Modality, Observations, baselines, likelihoods, networks

UNBOUNDED = (
    "normal",
    "normal_learned",
    "laplace",
    "laplace_learned",
    "poisson",
    "negative_binomial",
    "zero_inflated",
)


def linear(name="x", size=3):
    """Two linear maps and a Normal of scale 1: the best code spans the principal components."""
    return Modality(
        name,
        likelihoods.Normal(scale=1.0),
        partial(networks.MLPEncoder, event_shape=(size,), hidden=()),
        partial(networks.MLPDecoder, event_shape=(size,), hidden=()),
    )


def test_a_linear_autoencoder_finds_the_principal_component():
    direction = torch.tensor([2.0, -1.0, 2.0]) / 3
    x = 3 * torch.randn(200, 1) * direction + 0.01 * torch.randn(200, 3)
    options = {"epochs": 60, "batch_size": 50, "learning_rate": 3e-2}
    codes = baselines.autoencoder(Observations({"x": x}), linear(), 1, **options)
    code = codes(Observations({"x": x}))
    assert code.shape == (200, 1)
    correlation = torch.corrcoef(torch.stack([code[:, 0], x @ direction]))[0, 1].abs()
    assert correlation > 0.999


def test_a_code_has_no_noise_and_of_its_encoder_the_location_learns():
    obs = complete(10, "normal")
    codes = baselines.autoencoder(obs, modality("normal"), 2, epochs=1, batch_size=5)
    assert torch.equal(codes(obs), codes(obs))
    again = baselines.autoencoder(obs, modality("normal"), 2, epochs=1, batch_size=5)
    assert torch.equal(codes(obs), again(obs))


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_with_rows_missing(kind):
    obs = Observations(complete(20, kind).values, {kind: torch.arange(20) > 4})
    fits = [partial(baselines.autoencoder, latent_dim=2)]
    if kind not in UNBOUNDED:
        fits.append(partial(baselines.rbm, hidden=3))
    for fit in fits:
        one = fit(obs, modality=modality(kind), epochs=2, batch_size=6)
        other = fit(obs[5:], modality=modality(kind), epochs=2, batch_size=6)
        assert one(obs[5:]).isfinite().all()
        assert torch.equal(one(obs[5:]), other(obs[5:]))
        with pytest.raises(ValueError, match="5 of 20 rows lack it"):
            one(obs)


def test_hidden_units_are_scikit_learn_s():
    x = torch.rand(40, 6)
    features = baselines.rbm(
        Observations({"x": x}), linear(size=6), hidden=4, epochs=3, batch_size=10, seed=5
    )
    machine = BernoulliRBM(4, learning_rate=0.05, batch_size=10, n_iter=3, random_state=5)
    expected = torch.from_numpy(machine.fit(x.numpy()).transform(x.numpy()))
    torch.testing.assert_close(features(Observations({"x": x})), expected, rtol=0, atol=1e-12)


def test_values_outside_the_unit_interval_are_refused():
    obs = Observations({"x": torch.tensor([[0.0, -1.0, 2.0], [0.0, 0.0, 0.0]])})
    with pytest.raises(ValueError, match=r"modality 'x': expected values from 0 to 1, got -1 to 2"):
        baselines.rbm(obs, linear())


@pytest.mark.parametrize(
    ("fit", "options", "message"),
    [
        (baselines.rbm, {"hidden": 0}, "hidden"),
        (baselines.rbm, {"epochs": 0}, "epochs"),
        (baselines.autoencoder, {"latent_dim": 0}, "latent_dim"),
        (baselines.autoencoder, {"latent_dim": 1, "batch_size": 0}, "batch_size"),
    ],
)
def test_wrong_numbers_are_errors(fit, options, message):
    obs = Observations({"x": torch.rand(4, 3)})
    with pytest.raises(ValueError, match=message):
        fit(obs, linear(), **options)


def test_logistic_regression_is_at_the_optimum_of_its_objective():
    x, y = torch.randn(60, 2), torch.randint(3, (60,))
    machine = baselines.logistic_regression(x, y, penalty=0.5).machine
    weight = torch.tensor(machine.coef_, requires_grad=True)
    bias = torch.tensor(machine.intercept_, requires_grad=True)
    log_p = torch.log_softmax(x @ weight.T + bias, 1)[torch.arange(60), y]
    (0.5 * log_p.sum() - weight.square().sum() / 2).backward()
    assert weight.grad.abs().max() < 1e-2  # the solver's tolerance, of about 60 rows
    assert bias.grad.abs().max() < 1e-2


def test_it_predicts_the_classes_that_it_has_seen():
    x = torch.cat([torch.randn(30, 2) - 3, torch.randn(30, 2) + 3])
    y = torch.tensor([2] * 30 + [7] * 30)
    found = baselines.logistic_regression(x, y).predict(x)
    assert torch.equal(found, y)
    assert found.dtype == torch.int64


def test_classes_that_do_not_fit_are_errors():
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r"classes: expected one class a row, \(4,\), got \(3,\)"):
        baselines.logistic_regression(x, torch.zeros(3))
    with pytest.raises(ValueError, match="two classes at least"):
        baselines.logistic_regression(x, torch.ones(4))
