"""Collapse of posteriors and of variances, in closed form."""

import math
from itertools import combinations

import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of
from linear_gaussian import LinearGaussian
from torch import nn
from torch.distributions import (
    Categorical,
    Laplace,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from ppl_mm import Modality, Observations, System, data, guides, likelihoods, models, systems
from ppl_mm.evaluation import collapse_of, posterior_collapse, variance_collapse
from ppl_mm.measures.coordinates import divergence
from ppl_mm.objectives import IWAE
from ppl_mm.programs.answerable import conditioned_on


class Reads(nn.Module):
    """x = (loc, scale) of the posterior."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x.chunk(2, -1)


def system_of(guide=guides.MixtureOfExperts, prior=None, size=2):
    """What the modalities a and b hold are the posteriors; a's decoder says z is its variance."""

    class Variance(nn.Module):
        def forward(self, z):
            return torch.zeros(*z.shape[:-1], 2 * size), torch.cat([z, z], -1).clamp(
                min=1e-9
            ).sqrt()

    modalities = [
        Modality(n, likelihoods.Normal(), lambda _: Reads(), lambda _: Variance()) for n in "ab"
    ]
    return System(
        models.SharedLatent(modalities, size, prior), guide(modalities, size, prior=prior), IWAE()
    )


def rows(loc, scale):
    return torch.cat([loc, scale], -1)


def test_standard_posteriors_are_collapsed_from_zero_on():
    obs = Observations({"a": rows(torch.zeros(50, 2), torch.ones(50, 2))})
    found = posterior_collapse(system_of(), obs, "a")
    assert found.thresholds.tolist() == [0, 0]
    assert found.epsilons.tolist() == pytest.approx([6 * i / 39 for i in range(40)])
    assert found.fractions.tolist() == [1.0] * 40
    assert found.delta == 0.01


def test_a_shift_c_collapses_at_half_its_square():
    loc = torch.tensor([1.0, 3.0]).expand(50, 2)
    found = posterior_collapse(system_of(), Observations({"a": rows(loc, torch.ones(50, 2))}), "a")
    assert found.thresholds.tolist() == [0.5, 4.5]
    assert [found.at(e) for e in (0.49, 0.5, 4.4, 4.5)] == [0.0, 0.5, 0.5, 1.0]


@pytest.mark.parametrize(("outliers", "collapsed"), [(1, 1.0), (2, 1.0), (3, 0.0)])
def test_delta_is_the_share_of_rows_that_may_exceed(outliers, collapsed):
    loc = torch.zeros(200, 2)
    loc[-outliers:] = 5.0
    obs = Observations({"a": rows(loc, torch.ones(200, 2))})
    assert posterior_collapse(system_of(), obs, "a").at(0.1) == collapsed
    # the definition, word by word
    values = loc.square() / 2
    for delta in (0.0, 0.004, 0.02, 0.5):
        found = posterior_collapse(system_of(), obs, "a", delta=delta)
        for epsilon in (0.0, 0.1, 12.5, 20.0):
            share = (values <= epsilon).double().mean(0)
            assert found.at(epsilon) == (share >= 1 - delta).double().mean()


def test_a_share_that_rounding_puts_below_a_whole_number():
    # 0.29 * 100 is 28.999999999999996: 29 rows may exceed
    values = torch.cat([torch.zeros(71), torch.ones(29)])[:, None]
    assert collapse_of(values, delta=0.29).thresholds.item() == 0
    assert collapse_of(values, delta=0.28).thresholds.item() == 1


def test_divergence_is_that_of_each_row_and_coordinate():
    loc, scale = torch.randn(2, 30, 2), 0.2 + torch.rand(2, 30, 2)
    obs = Observations({n: rows(loc[i], scale[i]) for i, n in enumerate("ab")})
    q, p = (Normal(loc[i], scale[i]) for i in (0, 1))
    variance = (q.scale / p.scale).square()
    expected = 0.5 * (variance - variance.log() + ((q.loc - p.loc) / p.scale).square() - 1)
    found = posterior_collapse(system_of(), obs, "a", against="b", delta=0.1, batch_size=7)
    assert found.quantity == "KL( q(z | a) || q(z | b) )"
    torch.testing.assert_close(found.thresholds, expected.sort(0).values[26], atol=1e-9, rtol=0)
    standard = kl_divergence(p, Normal(torch.zeros(()), 1.0))
    found = posterior_collapse(system_of(), obs, ("b",), delta=0.1)
    assert found.quantity == "KL( q(z | b) || N(0, 1) )"
    torch.testing.assert_close(found.thresholds, standard.sort(0).values[26], atol=1e-9, rtol=0)


def test_laplace_posteriors_have_the_standard_laplace_as_reference():
    loc, scale = torch.randn(30, 2), 0.2 + torch.rand(30, 2)
    obs = Observations({"a": rows(loc, scale)})
    found = posterior_collapse(system_of(prior="laplace"), obs, "a", delta=0.0)
    expected = kl_divergence(Laplace(loc, scale), Laplace(torch.zeros(()), 1.0)).max(0).values
    torch.testing.assert_close(found.thresholds, expected, atol=1e-9, rtol=0)
    assert found.quantity.endswith("|| Laplace(0, 1) )")


def test_curve_never_falls():
    obs = LinearGaussian().sample(100)
    toy = LinearGaussian(latent_dim=2)
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    found = posterior_collapse(system, obs, "b", epsilons=torch.linspace(0, 30, 200))
    assert (found.fractions.diff() >= 0).all()
    assert (found.fractions[0], found.fractions[-1]) == (0.0, 1.0)
    assert found.to_dict()["fractions"] == found.fractions.tolist()


def test_private_latents():
    digits = data.load("digits")
    system = systems.mmvae_plus(digits.modalities, 3, private_dim=2).double()
    obs = digits.test[:40].to(torch.float64)
    shared = posterior_collapse(system, obs, "top")
    assert shared.quantity.startswith("KL( q(u | top)")
    assert shared.thresholds.shape == (3,)
    private = posterior_collapse(system, obs, "top", site="w_top")
    assert private.thresholds.shape == (2,)
    missing = posterior_collapse(system, obs, "top", site="w_bottom")  # its prior
    assert missing.thresholds.tolist() == [0.0, 0.0]


def test_the_three_questions_of_a_conditional_prior():
    digits = data.load("digits")
    system = systems.cmmd(digits.modalities, 4, observed=("top",), label="label").double()
    obs = digits.test[:40].to(torch.float64)
    with torch.no_grad():
        system.eval()
        p = system.model.prior(obs.given("top")).base_dist
        q = system.posterior(obs).base_dist
    standard = Normal(torch.zeros(()), 1.0)
    everything = ("top", "bottom", "label")
    for found, expected in (
        (posterior_collapse(system, obs, "top"), kl_divergence(p, standard)),
        (posterior_collapse(system, obs, everything), kl_divergence(q, standard)),
        (posterior_collapse(system, obs, "top", everything), kl_divergence(p, q)),
    ):
        highest = expected.max(0).values  # none of 40 rows may exceed
        torch.testing.assert_close(found.thresholds, highest, atol=1e-9, rtol=0)
    with pytest.raises(ValueError, match=r"'top': the model conditions on it"):
        posterior_collapse(system, obs, "bottom")


@pytest.mark.parametrize("family", [Normal, Laplace])
def test_mixtures_diverge_as_an_integral_says(family):
    prior = None if family is Normal else "laplace"
    loc = torch.tensor([[[0.0, 1.0]], [[0.5, -1.0]]]).expand(2, 7, 2)
    scale = torch.tensor([[[1.0, 0.1]], [[0.3, 0.1]]]).expand(2, 7, 2)
    obs = Observations({n: rows(loc[i], scale[i]) for i, n in enumerate("ab")})
    system = system_of(prior=prior)
    z = torch.linspace(-20, 20, 200_001)[:, None]
    each = [family(loc[i, 0], scale[i, 0]) for i in range(2)]
    log_q = torch.logaddexp(*(p.log_prob(z) for p in each)) - math.log(2)
    log_p = family(0.0, 1.0).log_prob(z)

    def integral(values):
        return torch.trapezoid(values, z, dim=0)

    found = posterior_collapse(system, obs, ("a", "b"), batch_size=3)
    expected = integral(log_q.exp() * (log_q - log_p))
    torch.testing.assert_close(found.thresholds, expected, atol=0.01, rtol=0)
    found = posterior_collapse(system, obs, "a", against=("a", "b"))
    log_a = each[0].log_prob(z)
    expected = integral(log_a.exp() * (log_a - log_q))
    torch.testing.assert_close(found.thresholds, expected, atol=0.01, rtol=0)
    itself = posterior_collapse(system, obs, ("a", "b"), against=("b", "a"))
    assert itself.at(1e-12) == 1.0


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_from_every_subset(name):
    system, obs = build(name), complete(6, *kinds_of(name))
    fixed = conditioned_on(system.model)
    fewest = 1 if name == "meme" else 0  # MEME's prior is no posterior but a mixture of many
    for given in (s for k in range(fewest, 4) for s in combinations(obs.names, k)):
        if set(fixed) <= set(given):
            found = posterior_collapse(system, obs, given)
            assert bool((found.thresholds >= -0.01).all())


def test_what_is_not_known_or_does_not_exist_is_refused():
    toy = LinearGaussian()
    with pytest.raises(TypeError, match=r"q\(z \| a\): expected .*, got MultivariateNormal"):
        posterior_collapse(toy.system(toy.exact_guide()), toy.sample(5), "a")
    loc, scale = torch.randn(2, 5, 2), torch.ones(2, 5, 2)
    obs = Observations({n: rows(loc[i], scale[i]) for i, n in enumerate("ab")})
    system = system_of()
    with pytest.raises(ValueError, match="unknown latent site 'w'"):
        posterior_collapse(system, obs, "a", site="w")
    obs = Observations(obs.values, {"a": torch.arange(5) > 1})
    with pytest.raises(ValueError, match=r"'a': 2 of 5 rows lack it"):
        posterior_collapse(system, obs, "a")
    for delta in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"delta from 0 up to 1, got {delta}"):
            posterior_collapse(system, obs, "b", delta=delta)
    with pytest.raises(ValueError, match=r"N rows and D coordinates, got \(3,\)"):
        collapse_of(torch.zeros(3))


# ---------------------------------------------------------------- variances


def test_variance_collapses_at_the_variance():
    loc = torch.tensor([0.04, 0.25]).expand(200, 2).clone()  # the mean of z, and a's variances
    loc[0] = 9.0  # one row in 200 may exceed
    obs = Observations({"a": torch.ones(200, 4), "b": rows(loc, torch.ones(200, 2))})
    found = variance_collapse(system_of(), obs, "a", given="b", batch_size=64)
    assert found.thresholds.tolist() == pytest.approx([0.04, 0.25, 0.04, 0.25])
    assert found.at(0.06) == 0.5
    assert found.epsilons[-1].item() == pytest.approx(0.13)
    assert found.quantity == "variance of a | b"
    assert variance_collapse(system_of(), obs.drop("a"), "a").at(0.06) == 0.5
    strict = variance_collapse(system_of(), obs, "a", given="b", delta=0.0)
    assert strict.thresholds.tolist() == pytest.approx([9.0] * 4)


def test_variance_of_a_fixed_scale_and_of_classes():
    toy = LinearGaussian()
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    found = variance_collapse(system, toy.sample(20), "b", "a")
    assert found.thresholds.tolist() == pytest.approx([0.81] * 4)
    digits = data.load("digits")
    system = systems.mvae(digits.modalities, 2).double()
    with pytest.raises(TypeError, match="'label': classes and symbols have no variance"):
        variance_collapse(system, digits.test[:5].to(torch.float64), "label", "top")


def test_a_shift_of_a_mixture_of_equals_diverges_by_half_its_square():
    """log q - log p is linear there, and the points lie symmetrically: no error is left."""
    shift = torch.tensor([[0.0, 0.7, -2.5]])
    both = Normal(shift[..., None].expand(1, 3, 2), 1.0)
    mixing = Categorical(torch.tensor([0.3, 0.7]).expand(1, 3, 2))
    mixture = MixtureSameFamily(mixing, both)
    standard = Normal(torch.zeros(1, 3), 1.0)
    for q, p in ((standard, mixture), (mixture, standard)):
        torch.testing.assert_close(divergence(q, p), shift**2 / 2, atol=1e-10, rtol=0)
