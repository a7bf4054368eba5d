"""SVAE, VAEVAE and their variants: p(x_i | z) = N(z, 1), where every answer is known; real ones."""

import math
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import SameNoise, complete, loss_and_gradients, modalities
from pyro.infer import TraceMeanField_ELBO
from torch import nn

from ppl_mm import Modality, Observations, guides, likelihoods, models, networks, systems
from ppl_mm.distributions import RandomMixture, normal_quotient
from ppl_mm.evaluation import elbo
from ppl_mm.objectives import ELBOTerms, paired_terms
from ppl_mm.objectives.weights import divergence
from ppl_mm.systems import System

PAIR = ("bernoulli", "normal")
NAMES = ("svae", "svae_star", "vaevae", "vaevae_star", "vaevae_a")
DIGITS = 2e-7  # of the reference numbers


class Expert(nn.Module):
    """Normal(slope x, variance)."""

    def __init__(self, slope: float, variance: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.log_scale = nn.Parameter(torch.tensor(0.5 * math.log(variance)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.slope * x, self.log_scale.exp().expand_as(x)


class Identity(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z


def toy(experts: list[Expert]) -> list[Modality]:
    """Two modalities; each call of an encoder factory takes the next expert."""
    factory = iter(experts)
    return [
        Modality(n, likelihoods.Normal(scale=1.0), lambda _: next(factory), lambda _: Identity())
        for n in "ab"
    ]


def rows(a: float, b: float) -> Observations:
    return Observations({"a": torch.tensor([[a]]), "b": torch.tensor([[b]])})


def moments(q: torch.distributions.Distribution) -> tuple[float, float]:
    return q.mean.item(), q.variance.item()


def test_stand_ins_beside_a_prior_expert_are_flat_where_posteriors_are_exact() -> None:
    declared = toy([Expert(1.0, 1.0), Expert(1.0, 1.0), Expert(0.0, 1e8), Expert(0.0, 1e8)])
    guide = guides.ReplacementExperts(declared, 1, prior_expert=True)
    obs = rows(1.0, -0.5)
    assert moments(guide.posterior(obs)) == pytest.approx((0.5 / 3, 1 / 3), abs=1e-6)
    assert moments(guide.posterior(obs.only("a"))) == pytest.approx((0.5, 0.5), abs=1e-6)
    assert moments(guide.posterior(obs.only("b"))) == pytest.approx((-0.25, 0.5), abs=1e-6)


def test_a_product_of_exact_single_posteriors_is_too_narrow_and_their_quotient_is_not() -> None:
    def exact() -> list[Modality]:
        return toy([Expert(0.5, 0.5), Expert(0.5, 0.5)])

    obs = rows(1.0, -0.5)
    product = systems.vaevae_a(exact(), 1).guide
    assert moments(product.posterior(obs)) == pytest.approx((0.5 / 4, 1 / 4))
    found = product.posterior(obs)
    loc, scale = normal_quotient(found.mean, found.stddev, torch.zeros(1, 1), torch.ones(1, 1))
    assert (loc.item(), scale.item() ** 2) == pytest.approx((0.5 / 3, 1 / 3))


def test_a_conditional_term_is_tight_at_the_product_of_likelihood_and_reference() -> None:
    # r = N(0.6, 0.4), p(x | z) = N(z, 1): log N(1; 0.6, 1.4), and less for any other q.
    tight = -1.1443175
    precision = 1 / 0.4 + 1.0
    best = torch.distributions.Normal((0.6 / 0.4 + 1.0) / precision, precision**-0.5)
    reference = torch.distributions.Normal(0.6, 0.4**0.5)

    def term(q: torch.distributions.Normal) -> float:
        expected = -0.5 * (math.log(2 * math.pi) + (1.0 - q.mean) ** 2 + q.variance)
        return (expected - torch.distributions.kl_divergence(q, reference)).item()

    assert term(best) == pytest.approx(tight, abs=DIGITS)
    for shift, factor in ((0.1, 1.0), (0.0, 1.3), (-0.2, 0.8)):
        assert term(torch.distributions.Normal(best.mean + shift, best.stddev * factor)) < tight
    # The objective's own term: source (a, b) with this q, reference b with this r.
    declared = toy([Expert(0.0, 1.0), Expert(0.0, 1.0), Expert(0.0, 1.0), Expert(0.0, 1.0)])
    guide = guides.ReplacementExperts(declared, 1)
    with torch.no_grad():
        guide.encoders["a"].slope.fill_(1.0)  # likelihood of a = 1: N(1, 1)
        guide.encoders["b"].slope.fill_(0.6)
        guide.encoders["b"].log_scale.fill_(0.5 * math.log(0.4))
        guide.stand_ins["b"]["a"].log_scale.fill_(20.0)  # flat: q_b is N(0.6, 0.4) at b = 1
    objective = ELBOTerms(
        paired_terms(("a", "b"), unimodal_on_complete_rows=False)[:1], rows="require"
    )
    obs = rows(1.0, 1.0)[[0] * 20_000]
    torch.manual_seed(0)
    found = objective.bound(models.SharedLatent(declared, 1), guide, obs).detach()
    assert abs(found.mean().item() - tight) < 4 * found.std().item() / len(found) ** 0.5 + 1e-6


def test_the_loss_is_four_ordinary_elbos_of_stock_pyro() -> None:
    """M_1, M_2 and, with the other's posterior as the prior of z, M_{1|2} and M_{2|1}."""
    system = systems.svae(modalities(*PAIR), 2, unpaired="disjoint")
    obs = complete(4, *PAIR)
    q = {held: system.posterior(obs.only(*held)) for held in [PAIR, PAIR[:1], PAIR[1:]]}
    prior = dist.Normal(torch.zeros(2), 1.0).to_event(1)

    def elbo(scored: str, source: tuple[str, ...], reference: Any) -> float:
        def model() -> None:
            with pyro.plate("data", 4):
                z = pyro.sample("z", reference)
                p = system.model.likelihoods[scored](
                    system.model.decoders[scored](z),
                    batch_dims=1,
                    event_shape=obs[scored].shape[1:],
                )
                pyro.sample(scored, p, obs=obs[scored])

        def guide() -> None:
            with pyro.plate("data", 4):
                pyro.sample("z", q[source])

        return -TraceMeanField_ELBO().loss(model, guide)

    a, b = PAIR
    with SameNoise():
        total = sum(
            [
                elbo(a, PAIR, q[(b,)]),
                elbo(b, PAIR, q[(a,)]),
                elbo(a, (a,), prior),
                elbo(b, (b,), prior),
            ]
        )
        loss = system(obs).item()
    assert loss == pytest.approx(-total)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_rises_with_every_divergence_and_falls_with_every_log_likelihood(
    name: str,
) -> None:
    options = {"hidden": None} if name in ("vaevae", "vaevae_star") else {}
    declared = toy([Expert(0.4, 0.5) for _ in range(8)])
    system = systems.build(name, declared, 1, **options)

    def loss(beta: float = 1.0, weight: float = 1.0) -> float:
        system.objective.beta, system.objective.weights = beta, {"b": weight}
        with SameNoise():
            return system(rows(1.0, -0.5)).item()

    assert loss(beta=1.1) > loss()
    assert loss(weight=1.1) > loss()  # log p(b | z) is negative: more of it is less


def reached(system: System, obs: Observations) -> set[str]:
    """Parts of the system that get a gradient: the first three words of a parameter's name."""
    _, gradients = loss_and_gradients(system, obs)
    return {".".join(n.split(".")[:3]) for n, g in gradients.items() if g.any()}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_one_modality_teaches_what_reads_and_writes_it_alone(name: str) -> None:
    system = systems.build(name, modalities(*PAIR), 2)
    expected = {"model.decoders.normal", "guide.encoders.normal"}
    if name.startswith("svae"):
        expected |= {"guide.stand_ins.normal"}
    assert reached(system, complete(3, *PAIR).only("normal")) == expected


@pytest.mark.parametrize("name", ["vaevae", "vaevae_star"])
def test_complete_rows_reach_single_encoders_by_the_kl_alone_unless_their_bounds_count(
    name: str,
) -> None:
    class Joint(nn.Module):
        def forward(self, a, b):
            return torch.full_like(a, 0.3), torch.full_like(a, 0.5**0.5)

    declared = toy([Expert(0.3, 0.5) for _ in range(8)])
    system = systems.build(name, declared, 1, unpaired="disjoint")
    system.guide.joint_networks["a+b"] = Joint()
    obs = rows(1.0, 1.0)  # q_a = q_b = the joint posterior: the KL's least
    _, gradients = loss_and_gradients(system, obs)
    single = [g for n, g in gradients.items() if "encoders" in n]
    assert len(single) == 4
    if name == "vaevae":
        assert all(abs(g.item()) < 1e-12 for g in single)
    else:
        assert all(abs(g.item()) > 1e-3 for g in single)


@pytest.mark.parametrize("unimodal", [True, False])
def test_translations_of_the_latent_space_are_free_only_without_the_single_bounds(
    unimodal: bool,
) -> None:
    """On paired rows alone, Wu and Goodman's loss holds no prior."""

    class Shift(nn.Module):
        def __init__(self, network: nn.Module, by: float) -> None:
            super().__init__()
            self.network, self.by = network, by

    class Encoder(Shift):
        def forward(self, *x):
            loc, scale = self.network(*x)
            return loc + self.by, scale

    class Decoder(Shift):
        def forward(self, z):
            return self.network(z - self.by)

    declared = modalities("soft_bernoulli", "normal")
    name = "vaevae_star" if unimodal else "vaevae"
    system = systems.build(name, declared, 2, unpaired="disjoint")
    obs = complete(5, "soft_bernoulli", "normal")
    with SameNoise():
        before = system(obs).item()
        for part in (system.guide.encoders, system.guide.joint_networks):
            for key in part:
                part[key] = Encoder(part[key], 3.0)
        for key in system.model.decoders:
            system.model.decoders[key] = Decoder(system.model.decoders[key], 3.0)
        after = system(obs).item()
    assert (abs(after - before) < 1e-9 * abs(before)) == (not unimodal)


@pytest.mark.parametrize(("often", "once"), [("svae", "svae_star"), ("vaevae_star", "vaevae")])
def test_the_two_losses_differ_by_the_single_bounds_of_complete_rows(often: str, once: str) -> None:
    one, other = (systems.build(n, modalities(*PAIR), 2) for n in (often, once))
    other.load_state_dict(one.state_dict())
    obs = complete(4, *PAIR)
    held = Observations(obs.values, {"normal": torch.tensor([True, False, True, False])})
    with SameNoise():
        difference = (one(held) - other(held)).detach()
        # Two complete rows of four: their single bounds, each a mean over two, for four rows.
        single = systems.build(once, modalities(*PAIR), 2)
        single.load_state_dict(one.state_dict())
        bounds = single.objective.term_bounds(single.model, single.guide, obs[[0, 2]])
    expected = -(4 / 2) * bounds[2:].sum()
    torch.testing.assert_close(difference, expected.detach())


@pytest.mark.parametrize("name", NAMES)
def test_terms_of_a_mixed_batch_are_those_of_its_parts(name: str) -> None:
    system = systems.build(name, modalities(*PAIR), 2)
    obs = complete(7, *PAIR)
    first, second = torch.tensor([1, 1, 1, 0, 0, 1, 0]), torch.tensor([1, 1, 0, 1, 1, 0, 0])
    mixed = Observations(obs.values, {"bernoulli": first.bool(), "normal": second.bool()})
    mean = system.objective.term_bounds
    with SameNoise():
        whole = mean(system.model, system.guide, mixed)
        paired = mean(system.model, system.guide, mixed[[0, 1]])
        assert not whole[:, 6].any()
        # Six rows hold something, two are complete.
        torch.testing.assert_close(whole[:2, :2], paired[:2] * 6 / 2)
        for term, held in ((2, first), (3, second)):
            part = mean(system.model, system.guide, mixed[held.bool()])
            expected = part[term] * 6 / held.sum()
            torch.testing.assert_close(whole[term, held.bool()], expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [3, 4])
def test_more_modalities_and_rows_that_hold_some_of_them(name: str, number: int) -> None:
    kinds = ("bernoulli", "normal", "categorical", "laplace")[:number]
    system = systems.build(name, modalities(*kinds), 2)
    obs = complete(3, *kinds)
    _, gradients = loss_and_gradients(system, obs)
    unused = [n for n, g in gradients.items() if not g.any()]
    assert unused == []
    pair = obs.only(*kinds[:2])
    bounds = system.objective.term_bounds(system.model, system.guide, pair)
    active = [t for t, b in zip(system.objective.terms, bounds, strict=True) if b.any()]
    assert {t.source for t in active} == {kinds[:2], kinds[:1], kinds[1:2]}


def test_joint_terms_of_four_modalities_weigh_every_order_alike() -> None:
    terms = paired_terms(tuple("abcd"), unimodal_on_complete_rows=False, suppliers=True)
    weights: dict[tuple[object, ...], float] = {}
    for t in terms:
        key = (t.source, t.scored, t.reference)
        weights[key] = weights.get(key, 0.0) + t.weight
        if len(t.source) in (2, 3):
            assert t.via in (t.reference if len(t.reference) > 1 else t.source)
    for (source, _, _), weight in weights.items():
        assert weight == pytest.approx(1 / math.comb(3, len(source) - 1))
    plain = paired_terms(tuple("abcd"), unimodal_on_complete_rows=False)
    assert {(t.source, t.scored, t.reference) for t in plain} == weights.keys()


@pytest.mark.parametrize("name", NAMES)
def test_one_modality_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"two modalities or more"):
        systems.build(name, modalities("normal"), 2)


def test_the_released_svae_has_variances_at_its_heads_and_a_prior_expert() -> None:
    shape = {"event_shape": (3,), "hidden": (4,), "scale": "softplus_variance"}
    declared = [
        Modality(
            n,
            likelihoods.Normal(scale=1.0),
            partial(networks.MLPEncoder, **shape),
            partial(networks.MLPDecoder, event_shape=(3,), hidden=(4,)),
        )
        for n in "ab"
    ]
    system = systems.svae(declared, 2, prior_expert=True)
    x = torch.randn(4, 3)
    q = system.posterior(Observations({"a": x}))
    (loc, scale), (mean, other) = (
        network(x) for network in (system.guide.encoders["a"], system.guide.stand_ins["a"]["b"])
    )
    precision = 1 + scale**-2 + other**-2
    torch.testing.assert_close(q.variance, 1 / precision)
    torch.testing.assert_close(q.mean, (loc / scale**2 + mean / other**2) / precision)


def test_a_rows_divergence_is_closed_where_one_posterior_has_all_the_weight() -> None:
    """In a batch with rows of several suppliers too, whose mixture has no closed form."""
    kinds = ("bernoulli", "normal", "laplace")
    system = systems.svae(modalities(*kinds), 2)
    whole = complete(2, *kinds)
    present = {"bernoulli": [True, True], "normal": [True, True], "laplace": [True, False]}
    obs = Observations(whole.values, {n: torch.tensor(m) for n, m in present.items()})
    with SameNoise():
        torch.testing.assert_close(elbo(system, obs)[:1], elbo(system, obs[[0]]))
    parts = guides.ReplacementExperts(modalities(*kinds), 2).posterior(obs)
    assert isinstance(parts, RandomMixture)  # of which a mixture as reference has no closed form
    site = {"fn": parts, "scale": 1.0, "mask": None, "value": torch.zeros(2, 2)}
    assert divergence(site, site).tolist() == [0.0, 0.0]
