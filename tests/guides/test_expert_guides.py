"""The joint encoders against the exact posterior of every subset, and what must not matter."""

from dataclasses import replace

import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from torch import nn

from ppl_mm import Observations, guides, networks
from ppl_mm.objectives import subset_terms

ROUNDING = {"atol": 1e-11, "rtol": 1e-11}
FAMILY = [t.source for t in subset_terms(None)(NAMES)]


class LikelihoodExpert(nn.Module):
    """The Normal proportional to p(x_m | z) in z; diagonal for orthogonal decoder columns."""

    def __init__(self, weight, bias, noise):
        super().__init__()
        precision = (weight**2).sum(0) / noise**2
        self.map = nn.Parameter(weight.T / noise**2 / precision[:, None])
        self.bias, self.scale = nn.Parameter(bias.clone()), nn.Parameter(precision**-0.5)

    def forward(self, x):
        loc = (x - self.bias) @ self.map.T
        return loc, self.scale.expand_as(loc)


class RegularisedExpert(LikelihoodExpert):
    """p(z | x_m) itself, its scale before the squeeze V -> N / (N - 1) V / (1 + V)."""

    def forward(self, x):
        loc, scale = super().forward(x)
        variance = 1 / (1 + scale**-2)
        share = variance * (len(NAMES) - 1) / len(NAMES)
        return variance * scale**-2 * loc, (share / (1 - share)).sqrt()


def orthogonal_toy(latent_dim):
    """A toy whose decoders have orthogonal columns: its posteriors are diagonal."""
    toy = LinearGaussian({"a": 3, "b": 4, "c": 2}, latent_dim=latent_dim)
    for name, weight in toy.weight.items():
        columns = torch.linalg.qr(weight).Q[:, :latent_dim]
        toy.weight[name] = columns * torch.linspace(0.5, 2.0, latent_dim)
    toy.modalities = [toy._modality(n, 1.0) for n in NAMES]
    return toy


def exact(toy, expert):
    """The toy's modalities with experts of that kind."""
    return [
        replace(
            m,
            encoder=lambda _, n=m.name: expert(toy.weight[n], toy.bias[n], toy.noise[n]),
        )
        for m in toy.modalities
    ]


def make(kind, modalities, latent_dim=2):
    if kind == "quotient":
        return guides.QuotientOfExperts(modalities, latent_dim)
    return guides.ProductOfExperts(modalities, latent_dim, prior_expert=kind == "product")


every_kind = pytest.mark.parametrize("kind", ["product", "bare product", "quotient"])


def mlp_modalities():
    toy = LinearGaussian()
    return toy, [
        replace(
            m,
            encoder=lambda z, n=m.name: networks.MLPEncoder(
                z, event_shape=(toy.sizes[n],), hidden=(6,)
            ),
        )
        for m in toy.modalities
    ]


# ---------------------------------------------------------------- exact posteriors


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize(
    ("kind", "expert"), [("product", LikelihoodExpert), ("quotient", RegularisedExpert)]
)
def test_exact_experts_give_the_exact_posterior_of_every_subset(latent_dim, kind, expert):
    toy = orthogonal_toy(latent_dim)
    guide = make(kind, exact(toy, expert), latent_dim)
    obs = toy.mixed()
    for subset in [(), *FAMILY]:
        found = guide.posterior(obs.given(*subset))
        expected = toy.exact_guide().posterior(obs.given(*subset))
        torch.testing.assert_close(found.mean, expected.mean, **ROUNDING)
        covariance = torch.diag_embed(found.variance)
        torch.testing.assert_close(covariance, expected.covariance_matrix, **ROUNDING)


@pytest.mark.parametrize(
    ("kind", "expert"), [("product", LikelihoodExpert), ("quotient", RegularisedExpert)]
)
def test_exact_posteriors_under_terms_and_strata(kind, expert):
    toy = orthogonal_toy(2)
    guide, obs = make(kind, exact(toy, expert)), toy.mixed()
    plates = (obs.terms(subset_terms(None)(NAMES)), obs.strata([(), *FAMILY]))
    for plated in plates:
        found = guide.posterior(plated)
        expected = toy.exact_guide().posterior(plated)
        assert found.batch_shape == plated.shape
        torch.testing.assert_close(found.mean, expected.mean, **ROUNDING)
        torch.testing.assert_close(
            torch.diag_embed(found.variance), expected.covariance_matrix, **ROUNDING
        )


@every_kind
@pytest.mark.parametrize("how", ["without", "given nothing", "dropped", "blank"])
def test_nothing_to_look_at_gives_exactly_the_prior(kind, how):
    toy, modalities = mlp_modalities()
    guide, obs = make(kind, modalities), toy.sample(3)
    obs = {
        "without": lambda: obs.without(*NAMES),
        "given nothing": lambda: obs.given(),
        "dropped": lambda: obs.drop(*NAMES),
        "blank": lambda: Observations.blank(3),
    }[how]()
    q = guide.posterior(obs)
    assert torch.equal(q.mean, torch.zeros(3, 2))
    assert torch.equal(q.stddev, torch.ones(3, 2))


@every_kind
def test_prior_of_ones_own_is_the_posterior_of_nothing(kind):
    toy, modalities = mlp_modalities()
    prior = dist.Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])).to_event(1)
    options = {} if kind == "quotient" else {"prior_expert": kind == "product"}
    family = guides.QuotientOfExperts if kind == "quotient" else guides.ProductOfExperts
    q = family(modalities, 2, prior=prior, **options).posterior(toy.sample(3).given())
    torch.testing.assert_close(q.mean, prior.mean.expand(3, 2), **ROUNDING)
    torch.testing.assert_close(q.stddev, prior.stddev.expand(3, 2), **ROUNDING)


def test_bare_product_of_one_is_the_expert_itself():
    toy, modalities = mlp_modalities()
    guide, obs = make("bare product", modalities), toy.sample(4)
    for name in NAMES:
        q = guide.posterior(obs.given(name))
        loc, scale = guide.encoders[name](obs[name])
        torch.testing.assert_close(q.mean, loc, **ROUNDING)
        torch.testing.assert_close(q.stddev, scale, **ROUNDING)


def test_quotient_of_one_is_the_squeezed_expert():
    toy, modalities = mlp_modalities()
    guide, obs = make("quotient", modalities), toy.sample(4)
    for name in NAMES:
        q = guide.posterior(obs.given(name))
        loc, scale = guide.encoders[name](obs[name])
        torch.testing.assert_close(q.mean, loc, **ROUNDING)
        torch.testing.assert_close(q.variance, 1.5 * scale**2 / (1 + scale**2), **ROUNDING)


# ---------------------------------------------------------------- what must not matter


@every_kind
@pytest.mark.parametrize("subset", FAMILY)
def test_masked_equals_absent(kind, subset):
    # A batch that never held the others; a product also equals a guide without their encoders.
    toy, modalities = mlp_modalities()
    guide, obs = make(kind, modalities), toy.sample(4)
    absent = guide.posterior(obs.drop(*(n for n in NAMES if n not in subset)))
    found = [guide.posterior(obs.only(*subset)), guide.posterior(obs.given(*subset))]
    if kind != "quotient":  # a quotient knows how many modalities there could be
        small = make(kind, [m for m in modalities if m.name in subset])
        small.load_state_dict(guide.state_dict(), strict=False)
        found.append(small.posterior(obs.drop(*(n for n in NAMES if n not in subset))))
    for q in found:
        if kind == "quotient":  # its log-sum-exp may add in another order: the last bit
            torch.testing.assert_close(q.mean, absent.mean, atol=1e-14, rtol=1e-14)
            torch.testing.assert_close(q.stddev, absent.stddev, atol=1e-14, rtol=1e-14)
        else:
            assert torch.equal(q.mean, absent.mean)
            assert torch.equal(q.stddev, absent.stddev)


@every_kind
def test_order_of_modalities_does_not_matter(kind):
    toy, modalities = mlp_modalities()
    guide, obs = make(kind, modalities), toy.mixed()
    other = make(kind, modalities[::-1])
    other.load_state_dict(guide.state_dict())
    order = ["b", "c", "a"]
    shuffled = Observations({n: obs[n] for n in order}, {n: obs.present[n] for n in order})
    expected = guide.posterior(obs)
    for q in (other.posterior(obs), guide.posterior(shuffled)):
        torch.testing.assert_close(q.mean, expected.mean, **ROUNDING)
        torch.testing.assert_close(q.stddev, expected.stddev, **ROUNDING)


@every_kind
def test_mixed_batch_equals_row_by_row(kind):
    toy, modalities = mlp_modalities()
    guide, obs = make(kind, modalities), toy.mixed()
    together = guide.posterior(obs)
    for row in range(len(obs)):
        alone = guide.posterior(obs[[row]])
        torch.testing.assert_close(together.mean[[row]], alone.mean, **ROUNDING)
        torch.testing.assert_close(together.stddev[[row]], alone.stddev, **ROUNDING)


@every_kind
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e30])
def test_junk_in_missing_rows_changes_nothing(kind, junk):
    toy, modalities = mlp_modalities()
    guide, complete = make(kind, modalities), toy.sample(3)
    present = {"b": torch.tensor([True, False, True])}
    dirty = torch.where(present["b"][:, None], complete["b"], junk)
    results = []
    for b in (complete["b"], dirty):
        guide.zero_grad()
        q = guide.posterior(Observations({**complete.values, "b": b}, present))
        (q.mean.sum() + q.stddev.sum()).backward()
        results.append([q.mean, q.stddev, *(p.grad.clone() for p in guide.parameters())])
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))


@every_kind
def test_gradients_of_rows_without_evidence_are_finite_and_zero(kind):
    toy, modalities = mlp_modalities()
    guide = make(kind, modalities)
    present = dict.fromkeys(NAMES, torch.tensor([True, False]))
    q = guide.posterior(Observations(toy.sample(2).values, present))
    (q.mean[1].sum() + q.stddev[1].sum()).backward()
    assert all((p.grad == 0).all() for p in guide.parameters())


# ---------------------------------------------------------------- work done once


@every_kind
def test_encoders_see_evidence_rows_alone_and_once_under_a_plate(kind):
    toy, modalities = mlp_modalities()
    guide, seen = make(kind, modalities), {n: [] for n in NAMES}
    for name, encoder in guide.encoders.items():
        encoder.register_forward_hook(lambda _, args, __, n=name: seen[n].append(len(args[0])))
    obs = toy.mixed().given("a", "b")
    terms = obs.terms(subset_terms(None)(NAMES))
    for batch in (terms, terms.at_reference(), terms):
        guide.posterior(batch)
    held = {n: int(obs.present[n].sum()) for n in NAMES}
    assert seen == {"a": [held["a"]], "b": [held["b"]], "c": []}
    guide.posterior(obs.strata([("a",), ("b",), ()]))
    guide.posterior(obs)  # without a plate nothing is remembered on the user's batch
    guide.posterior(obs)
    assert seen == {"a": [held["a"]] * 4, "b": [held["b"]] * 4, "c": []}


def test_remembered_encodings_do_not_outlive_a_step():
    toy, modalities = mlp_modalities()
    guide, obs = make("product", modalities), toy.sample(2)
    before = guide.posterior(obs.terms(subset_terms()(NAMES))).mean.detach()
    with torch.no_grad():
        guide.encoders["a"].head.bias += 1.0
    assert not torch.equal(before, guide.posterior(obs.terms(subset_terms()(NAMES))).mean)


def test_batch_norm_encoders_see_no_missing_row():
    toy = LinearGaussian({"a": 3})
    modality = replace(
        toy.modalities[0],
        encoder=lambda z: networks.MLPEncoder(z, event_shape=(3,), hidden=(5,), batch_norm=True),
    )
    guide = guides.ProductOfExperts([modality], 2)
    complete = toy.sample(4)
    present = {"a": torch.tensor([True, True, False, True])}
    q = guide.posterior(Observations(complete.values, present))
    expected = guide.posterior(complete[[0, 1, 3]])
    torch.testing.assert_close(q.mean[[0, 1, 3]], expected.mean, **ROUNDING)
    alone = Observations(complete.values, {"a": torch.tensor([False, True, False, False])})
    assert guide.posterior(alone).mean.isfinite().all()  # one row: running statistics


# ---------------------------------------------------------------- clear errors


def test_batch_with_an_undeclared_modality_is_an_error():
    toy, modalities = mlp_modalities()
    guide = make("product", modalities[:2])
    with pytest.raises(ValueError, match="modality in the batch 'c'"):
        guide.posterior(toy.sample(2))


def test_dict_in_place_of_observations_is_an_error():
    toy, modalities = mlp_modalities()
    with pytest.raises(TypeError, match="wrap a dict of tensors"):
        make("product", modalities).posterior(toy.sample(2).values)


def test_prior_expert_must_be_a_normal():
    _, modalities = mlp_modalities()
    with pytest.raises(TypeError, match="prior"):
        guides.ProductOfExperts(modalities, 2, prior=dist.Laplace(0.0, 1.0))


def test_encoder_of_another_latent_size_is_an_error():
    toy = LinearGaussian({"a": 3})
    wrong = replace(
        toy.modalities[0], encoder=lambda _: networks.MLPEncoder(5, event_shape=(3,), hidden=(4,))
    )
    with pytest.raises(ValueError, match="'a': expected the encoder's loc of shape"):
        guides.ProductOfExperts([wrong], 2).posterior(toy.sample(2))
