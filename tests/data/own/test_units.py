"""Columns keep their units: densities with the Jacobian, exact; results in the user's own units."""

import numpy as np
import pandas
import pytest
import scipy.stats
import torch

from ppl_mm import Observations, data, likelihoods, log_likelihood, networks, systems
from ppl_mm.evaluation import classifier_accuracy, train_classifiers
from ppl_mm.systems import System

CENTRE, SPREAD = (170.0, -3.0, 1e6), (10.0, 0.01, 1e4)


def decoders() -> tuple[networks.TableDecoder, networks.TableDecoder]:
    """One in the user's units and one of standardised values, with the same parameters."""
    own = networks.TableDecoder(2, centre=CENTRE, spread=SPREAD, hidden=(5,))
    plain = networks.TableDecoder(2, centre=(0.0,) * 3, spread=(1.0,) * 3, hidden=(5,))
    plain.load_state_dict(own.state_dict())
    return own, plain


@pytest.mark.parametrize("likelihood", [likelihoods.Normal(), likelihoods.Laplace(scale=None)])
def test_the_log_density_is_that_of_standardised_values_and_the_jacobian(likelihood):
    own, plain = decoders()
    z, standard = torch.randn(6, 2), torch.randn(6, 3)
    x = torch.tensor(CENTRE) + torch.tensor(SPREAD) * standard
    jacobian = torch.tensor(SPREAD).log().sum()
    expected = likelihood(plain(z)).log_prob(standard) - jacobian
    torch.testing.assert_close(likelihood(own(z)).log_prob(x), expected)


def test_the_log_density_is_scipys():
    own, _ = decoders()
    z = torch.randn(4, 2)
    loc, scale = (t.detach().numpy() for t in own(z))
    x = np.array(CENTRE) + np.array(SPREAD) * np.random.default_rng(0).normal(size=(4, 3))
    expected = scipy.stats.norm(loc, scale).logpdf(x).sum(1)
    found = likelihoods.Normal()(own(z)).log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12)


def test_positive_values_have_scipys_log_normal_density():
    decoder = networks.TableDecoder(2, centre=(1.0, -2.0), spread=(0.5, 3.0), hidden=(5,))
    z, x = torch.randn(4, 2), torch.rand(4, 2) * 9 + 0.1
    loc, scale = (t.detach().numpy() for t in decoder(z))
    expected = scipy.stats.lognorm(s=scale, scale=np.exp(loc)).logpdf(x.numpy()).sum(1)
    found = likelihoods.LogNormal()(decoder(z)).log_prob(x)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12)


def test_counts_have_scipys_density():
    decoder = networks.RatesDecoder(2, log_mean=(1.0, -2.0, 3.0), hidden=(5,))
    z, x = torch.randn(4, 2), torch.randint(0, 30, (4, 3)).double()
    total, logits = (t.detach().numpy() for t in decoder(z))
    expected = scipy.stats.nbinom(total, 1 / (1 + np.exp(logits))).logpmf(x.numpy()).sum(1)
    found = likelihoods.NegativeBinomial()(decoder(z)).log_prob(x)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10)
    poisson = networks.RatesDecoder(2, log_mean=(1.0, -2.0, 3.0), hidden=(5,), dispersion=False)
    assert poisson(z).shape == (4, 3)


def test_encoders_see_standardised_values():
    own = networks.TableEncoder(2, centre=CENTRE, spread=SPREAD, hidden=(5,))
    plain = networks.TableEncoder(2, centre=(0.0,) * 3, spread=(1.0,) * 3, hidden=(5,))
    plain.load_state_dict(own.state_dict())
    standard = torch.randn(6, 3)
    x = torch.tensor(CENTRE) + torch.tensor(SPREAD) * standard
    for found, expected in zip(own(x), plain(standard), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    log = networks.TableEncoder(
        2, centre=(0.0,) * 3, spread=(1.0,) * 3, hidden=(5,), transform="log"
    )
    log.load_state_dict(own.state_dict())
    torch.testing.assert_close(log(standard.exp())[0], plain(standard)[0])
    assert log(torch.zeros(1, 3))[0].isfinite().all()  # a missing row is stored as zeros


def frame(scale: float, shift: float) -> pandas.DataFrame:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, 4)) @ generator.normal(size=(4, 4))
    return pandas.DataFrame(scale * x + shift, columns=list("abcd"))


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
def test_units_change_log_likelihoods_by_the_jacobian_alone():
    """The same data in metres and in millimetres, in the same networks."""
    keys = {
        "left": {"columns": ["a", "b"], "kind": "real"},
        "right": {"columns": ["c", "d"], "kind": "real"},
    }
    found = []
    for scale, shift in ((1.0, 0.0), (1000.0, 7.0)):
        dataset = data.from_frame(frame(scale, shift), keys, latent_dim=2)
        torch.manual_seed(0)
        system = systems.mvae(dataset.modalities, 2)
        found.append(log_likelihood(system, dataset.test, num_samples=50).value)
    torch.testing.assert_close(found[1], found[0] - 4 * np.log(1000.0))


def test_units_are_those_of_the_training_rows_and_survive_saving(tmp_path):
    values = frame(3.0, 50.0)
    dataset = data.from_frame(values, {"x": {"columns": ["*"], "kind": "real"}}, latent_dim=2)
    rows = [int(label) for label in dataset.provenance.rows["train"]]
    features = dataset.modalities[0].encoder(2).features
    training = values.iloc[rows].to_numpy()
    np.testing.assert_allclose(features.centre.numpy(), training.mean(0))
    np.testing.assert_allclose(features.spread.numpy(), training.std(0))
    system = systems.vae(dataset.modalities, 2)
    system.save(tmp_path / "system")
    loaded = System.load(tmp_path / "system")
    torch.manual_seed(1)
    before = system(dataset.test)
    torch.manual_seed(1)
    assert torch.equal(loaded(dataset.test), before)


@pytest.mark.parametrize("name", ["cvae", "cmmd", "jmvae", "jmvae_zero", "vaevae"])
def test_joint_networks_see_standardised_columns_too(name):
    keys = {n: {"columns": pair, "kind": "real"} for n, pair in (("x", "[ab]"), ("y", "[cd]"))}
    values = frame(1e3, 1e6).mask(np.random.default_rng(0).random((80, 4)) < 0.1)
    dataset = data.from_frame(values, keys)
    options = {"cvae": {"given": ("x",)}, "cmmd": {"observed": ("x",)}}.get(name, {})
    system = systems.build(name, dataset.modalities, 2, **options)
    loss = system(dataset.train)
    loss.backward()
    assert 0 < loss / len(dataset.train) < 100
    assert all(p.grad.isfinite().all() for p in system.parameters() if p.grad is not None)


def test_a_constant_column_has_a_spread_of_one():
    values = frame(1.0, 0.0).assign(a=5.0)
    dataset = data.from_frame(values, {"x": {"columns": ["a", "b"], "kind": "real"}})
    features = dataset.modalities[0].encoder(2).features
    assert features.centre[0] == 5.0
    assert features.spread[0] == 1.0
    assert systems.vae(dataset.modalities, 2)(dataset.train).isfinite()


def test_classifiers_that_judge_coherence_see_standardised_columns():
    generator = np.random.default_rng(0)
    sort = np.arange(300) % 2
    table = pandas.DataFrame({"a": 1e5 + 10 * sort + generator.normal(size=300), "sort": sort})
    keys = {"x": {"columns": "a", "kind": "real"}, "sort": {"columns": "sort"}}
    dataset = data.from_frame(table, keys, label="sort", quiet=True)
    classifiers = train_classifiers(dataset, ["x"], epochs=20, progress=False)
    found = classifier_accuracy(classifiers, dataset.test, dataset.classes("test"))
    assert found["x"].value == 1.0


@pytest.mark.parametrize(
    "kind", [networks.TableFeatures, lambda **units: networks.TableDecoder(2, **units)]
)
def test_units_need_a_centre_and_a_spread_for_each_column(kind):
    for centre, spread in (((1.0,), (1.0, 2.0)), ((), ()), ((1.0,), (0.0,))):
        with pytest.raises(ValueError, match="expected a centre and a spread above 0"):
            kind(centre=centre, spread=spread)
    with pytest.raises(ValueError, match="at least one column"):
        networks.RatesDecoder(2, log_mean=())


def test_a_positive_value_of_zero_is_refused():
    x = Observations({"x": torch.tensor([[1.0], [0.0]])})
    with pytest.raises(ValueError, match="modality 'x': expected values above 0"):
        likelihoods.LogNormal().check("x", x["x"])
