"""CMMD's objective: its parts, who learns from which, and rows that lack a label or a modality."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import (
    KINDS,
    build,
    complete,
    kinds_of,
    loss_and_gradients,
    mixed,
    modalities,
    modality,
)
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from pyro.poutine.messenger import Messenger

from ppl_mm import Observations, System, systems
from ppl_mm.distributions import kl
from ppl_mm.objectives import ConditionalMMD, squared_mmd, squared_mmd_of_normals

CHOICES = ("mean", "draw", "posterior")
PARTS = ("reconstruction", "kl", "mmd", "label")


def close(found, expected, **options):
    torch.testing.assert_close(found, expected, **{"atol": 1e-12, "rtol": 1e-12, **options})


class FixedNoise(Messenger):
    """One noise, (B, Z), for z or for the noise that it is made of."""

    def __init__(self, noise):
        super().__init__()
        self.noise = noise

    def _pyro_sample(self, msg):
        if msg["name"] in ("z", "noise") and msg["value"] is None:
            base = msg["fn"].base_dist
            msg["value"], msg["done"] = base.loc + base.scale * self.noise, True


def fixed(obs, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return FixedNoise(torch.randn(len(obs), 2, generator=generator, dtype=torch.float64))


def cmmd(omega=0.3, **options):
    """An image and a label from numbers."""
    torch.manual_seed(5)
    return build("cmmd", omega=omega, hidden=(8,), prior_hidden=(8,), **options)


def parts_of(system, obs, seed=3):
    with fixed(obs, seed):
        return system.objective.parts(system.model, system.guide, obs)


def mean_loss(system, obs):
    with fixed(obs):
        return system(obs) / len(obs)


def groups(system):
    """Parameters by what they belong to."""
    model, guide = system.model, system.guide
    return {
        "encoder": list(guide.network.parameters()),
        "prior": list(model.prior.parameters()),
        "decoder": list(model.decoders["bernoulli"].parameters()),
        "classifier": list(model.decoders["categorical"].parameters()),
    }


def gradients(system, value):
    """Group -> its gradients side by side."""
    out = {}
    for name, parameters in groups(system).items():
        found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        out[name] = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten()
                for g, p in zip(found, parameters, strict=True)
            ]
        )
    return out


# ---------------------------------------------------------------- the ELBO


def test_with_the_label_at_the_posterior_it_is_the_elbo():
    system, obs = cmmd(omega=1.0, alpha=1.0, classify="posterior"), complete(9)
    model, guide, objective = system.model, system.guide, system.objective
    with fixed(obs):
        stock = TraceMeanField_ELBO().loss(model, guide, obs)
        assert objective.loss(model, guide, obs) == pytest.approx(stock, abs=1e-9)
    assert objective.is_bound
    ours = torch.tensor([objective.loss(model, guide, obs) for _ in range(300)])
    theirs = torch.tensor([Trace_ELBO().loss(model, guide, obs) for _ in range(300)])
    error = (ours.var() / 300 + theirs.var() / 300).sqrt()
    assert abs(ours.mean() - theirs.mean()) < 4 * error


@pytest.mark.parametrize("classify", CHOICES)
def test_the_parts_written_out(classify):
    system, obs = cmmd(classify=classify), complete(7)
    q, p = (part(obs).base_dist for part in (system.guide.posterior, system.model.prior))
    noise = fixed(obs).noise
    zq, zp = q.loc + q.scale * noise, p.loc + p.scale * noise
    decoders = system.model.decoders
    logits = decoders["bernoulli"](torch.cat([zq, obs["normal"]], 1))
    image = dist.Bernoulli(logits=logits).log_prob(obs["bernoulli"]).sum((1, 2, 3))
    z = {"mean": p.loc, "draw": zp, "posterior": zq}[classify]
    label = dist.Categorical(logits=decoders["categorical"](z)).log_prob(obs["categorical"])
    parts = parts_of(system, obs)
    close(parts.reconstruction, -image)
    close(parts.label, -label)
    close(parts.kl, torch.distributions.kl_divergence(q, p).sum(-1))
    close(parts.mmd, squared_mmd(zq, zp, 4.0))
    total = parts.reconstruction + 0.3 * parts.kl + 700.0 * parts.mmd + 10.0 * parts.label
    close(mean_loss(system, obs), total.mean())


def test_the_other_estimators_are_those_of_the_same_rows():
    obs = complete(7)
    plain = cmmd()
    q, p = (part(obs).base_dist for part in (plain.guide.posterior, plain.model.prior))
    noise = fixed(obs).noise
    zq, zp = q.loc + q.scale * noise, p.loc + p.scale * noise
    unbiased = parts_of(cmmd(estimator="unbiased", kernel="dim"), obs).mmd
    close(unbiased, squared_mmd(zq, zp, 2.0, unbiased=True, matched=True))
    analytic = parts_of(cmmd(estimator="analytic", kernel=3.0), obs).mmd
    close(analytic, squared_mmd_of_normals((q.loc, q.scale), (p.loc, p.scale), 3.0))


def test_several_draws_are_averaged():
    """S pools, each with an MMD of its own; the KL is the same for all."""
    obs = complete(4)
    one, many = cmmd(), cmmd(num_particles=3)
    noise = torch.randn(3, 1, 4, 2)
    with FixedNoise(noise):
        found = many.objective.parts(many.model, many.guide, obs)
    each = []
    for s in range(3):
        with FixedNoise(noise[s, 0]):
            each.append(one.objective.parts(one.model, one.guide, obs))
    for name in PARTS:
        close(getattr(found, name), torch.stack([getattr(e, name) for e in each]).mean(0))


# ---------------------------------------------------------------- omega, lambda, alpha


def test_the_loss_is_affine_in_each_factor():
    obs = complete(6)

    def loss(**options):
        return mean_loss(cmmd(**options), obs)

    close(loss(omega=0.3), 0.7 * loss(omega=0.0) + 0.3 * loss(omega=1.0), rtol=1e-10)
    for name in ("alpha", "mmd_weight", "beta"):
        ends = [loss(**{name: value}) for value in (0.0, 20.0)]
        close(loss(**{name: 6.0}), 0.7 * ends[0] + 0.3 * ends[1], rtol=1e-10)


def test_annealing_is_a_factor_of_the_kl_once():
    obs, annealed = complete(6), cmmd(beta=0.8)
    annealed.objective.annealing = 0.5
    assert torch.equal(mean_loss(annealed, obs), mean_loss(cmmd(beta=0.4), obs))


def test_at_the_ends_of_omega_a_part_is_left_out():
    obs = complete(6)
    kernels = [{}, {"mmd_weight": 3.0}, {"kernel": "dim"}]
    whole = {mean_loss(cmmd(omega=1.0, **options), obs).item() for options in kernels}
    assert len(whole) == 1
    nothing = {mean_loss(cmmd(omega=0.0, beta=beta), obs).item() for beta in (1.0, 0.2)}
    assert len(nothing) == 1
    assert mean_loss(cmmd(omega=0.5, beta=0.2), obs) < mean_loss(cmmd(omega=0.5), obs)


def test_omega_zero_trains():
    system, obs = cmmd(omega=0.0), complete(6)
    system(obs).backward()
    for parameters in groups(system).values():
        assert all(torch.isfinite(p.grad).all() for p in parameters)
        assert any(p.grad.any() for p in parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"omega": -0.1}, r"omega: .*from 0 to 1, got -0.1"),
        ({"omega": 1.1}, r"omega: .*from 0 to 1, got 1.1"),
        ({"omega": math.nan}, r"omega: .*from 0 to 1, got nan"),
        ({"omega": 0.5, "alpha": -1.0}, "alpha: .*at least 0"),
        ({"omega": 0.5, "mmd_weight": math.inf}, "mmd_weight: .*at least 0"),
        ({"omega": 0.5, "classify": "means"}, "Did you mean 'mean'"),
        ({"omega": 0.5, "label_reduction": "summ"}, "Did you mean 'sum'"),
        ({"omega": 0.5, "kernel": "dim3"}, "kernel: expected .* got 'dim3'. Did you mean 'dim'"),
    ],
)
def test_factors_and_choices_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConditionalMMD(**options)


def test_a_model_that_conditions_on_nothing_is_refused():
    mvae = build("mvae")
    system = System(mvae.model, mvae.guide, ConditionalMMD(0.5))
    with pytest.raises(ValueError, match=r"conditions on some modalities.*WithMMD"):
        system(complete(3))


class UsersModel(torch.nn.Module):
    """A model without a base class of ours, which says what it conditions on and its label."""

    def __init__(self, inner, **attributes):
        super().__init__()
        self.inner = inner
        self.__dict__.update(attributes)

    def forward(self, obs):
        self.inner(obs)


def test_a_users_model_that_says_what_it_conditions_on():
    system, obs = cmmd(), mixed(*kinds_of("cmmd"))
    own = system.model
    plain = UsersModel(own, conditions_on=own.conditions_on, label=own.label)
    for found, expected in zip(
        parts_of(System(plain, system.guide, system.objective), obs),
        parts_of(system, obs),
        strict=True,
    ):
        close(found, expected)


class TwoLatents(UsersModel):
    def forward(self, obs):
        with obs.plates():
            pyro.sample("mu", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        self.inner(obs)


def test_a_guide_of_more_than_z_is_refused_by_the_sites_name():
    system = cmmd()
    own = system.model
    model = TwoLatents(own, conditions_on=own.conditions_on, label=own.label)
    guide = TwoLatents(system.guide, latent_dim=2)
    with pytest.raises(ValueError, match="knows the latent z alone; the guide draws 'mu' too"):
        ConditionalMMD(0.5).loss(model, guide, complete(3))


def test_a_model_without_a_size_of_z_is_told_to_have_one():
    system = cmmd()
    model = UsersModel(system.model, conditions_on=system.model.conditions_on)
    with pytest.raises(ValueError, match="an attribute latent_dim"):
        ConditionalMMD(0.5).loss(model, UsersModel(system.guide), complete(3))


def test_a_guide_of_mixtures_is_refused():
    system = System(build("cmmd").model, build("mmvae").guide, ConditionalMMD(0.5))
    with pytest.raises(ValueError, match="needs a guide of diagonal Normals"):
        system(complete(3))


def test_cvae_trains_under_it_too():
    cvae, obs = build("cvae"), complete(5)
    system = System(cvae.model, cvae.guide, ConditionalMMD(1.0))
    with fixed(obs):
        elbo = -cvae.objective.bound(cvae.model, cvae.guide, obs)
        parts = system.objective.parts(cvae.model, cvae.guide, obs)
    close(parts.reconstruction + parts.kl, elbo)
    assert not parts.label.any()


def test_what_is_a_bound():
    assert ConditionalMMD(1.0, alpha=1.0, classify="draw").is_bound
    for options in (
        {"classify": "mean"},
        {"classify": "draw", "beta": 0.5},
        {"classify": "draw", "alpha": 2.0},
        {"classify": "draw", "label_reduction": "sum"},
    ):
        assert not ConditionalMMD(1.0, **{"alpha": 1.0, **options}).is_bound
    assert not ConditionalMMD(0.9, alpha=1.0, classify="draw").is_bound


# ---------------------------------------------------------------- divergences


def test_posteriors_at_the_prior_cost_exactly_nothing():
    for options in ({}, {"kernel": "dim"}, {"kernel": "median"}, {"estimator": "analytic"}):
        system, obs = cmmd(**options), complete(6).only("normal")
        parts = parts_of(system, obs)
        assert parts.mmd == 0.0
        assert not parts.kl.any()
        assert not parts.reconstruction.any()
        assert not parts.label.any()


def test_the_kl_and_the_released_variant():
    """The release weighs var_q / var_p twice: the KL of a posterior twice as wide, up to a sum."""
    system, obs = cmmd(), complete(5)
    q, p = (part(obs).base_dist for part in (system.guide.posterior, system.model.prior))
    ratio = (q.scale / p.scale).square()
    shift = ((q.loc - p.loc) / p.scale).square()
    written = 0.5 * (-ratio.log() - 1.0 + ratio + shift).sum(-1)
    found = parts_of(system, obs).kl
    close(found, written)
    wide = dist.Normal(q.loc, math.sqrt(2.0) * q.scale)
    released = torch.distributions.kl_divergence(wide, p).sum(-1) + math.log(2.0)  # (Z / 2) log 2
    close(found + 0.5 * ratio.sum(-1), released)


def test_mutual_information_is_what_omega_takes_from_the_kl():
    """Four rows with one x_O and a latent of one dimension, the integrals by quadrature."""
    torch.manual_seed(4)
    system = build("cmmd", latent_dim=1, omega=1.0, alpha=1.0, classify="posterior")
    with torch.no_grad():
        system.guide.network.head.weight[:1].mul_(100.0)  # posteriors that differ
    obs = complete(4)
    obs = obs.replace("normal", obs["normal"][:1].expand(4, -1).clone())
    q, p = system.guide.posterior(obs), system.model.prior(obs[:1])
    grid = torch.linspace(-80.0, 80.0, 80_001)[:, None, None]
    step = 160.0 / 80_000
    log_q, log_p = q.log_prob(grid), p.log_prob(grid)  # (G, 4), (G, 1)
    log_mean = log_q.logsumexp(1, keepdim=True) - math.log(4)
    each = kl(q, p.expand((4,)))
    marginal = (log_mean.exp() * (log_mean - log_p)).sum() * step
    information = ((log_q.exp() * (log_q - log_mean)).sum(0) * step).mean()
    close(each.mean() - marginal, information, atol=1e-8)
    assert 0.1 < information < math.log(4)
    assert information < each.mean()
    parts = parts_of_one(system, obs)
    close(parts.kl, each, atol=1e-10)
    elbo = -(parts.reconstruction + parts.label + parts.kl).mean()
    for omega in (0.0, 0.3, 1.0):
        objective = ConditionalMMD(omega, alpha=1.0, mmd_weight=0.0, classify="posterior")
        with FixedNoise(torch.ones(4, 1)):
            value = objective.bound(system.model, system.guide, obs).mean()
        left = value - (1.0 - omega) * marginal
        close(left, elbo + (1.0 - omega) * information, atol=1e-8)


def parts_of_one(system, obs):
    with FixedNoise(torch.ones(len(obs), 1)):
        return system.objective.parts(system.model, system.guide, obs)


# ---------------------------------------------------------------- who learns from what


@pytest.mark.parametrize(
    ("part", "learners"),
    [
        ("reconstruction", {"encoder", "decoder"}),
        ("kl", {"encoder", "prior"}),
        ("mmd", {"encoder", "prior"}),
        ("label", {"prior", "classifier"}),
    ],
)
@pytest.mark.parametrize("classify", ["mean", "draw"])
def test_each_part_teaches_its_own(part, learners, classify):
    system, obs = cmmd(classify=classify), complete(6)
    value = getattr(parts_of(system, obs), part).sum()
    for name, gradient in gradients(system, value).items():
        assert bool(gradient.any()) == (name in learners), name


def test_a_label_at_the_posterior_teaches_the_encoder():
    system, obs = cmmd(classify="posterior"), complete(6)
    found = gradients(system, parts_of(system, obs).label.sum())
    assert {name for name, g in found.items() if g.any()} == {"encoder", "classifier"}


def test_the_decoder_learns_the_same_whatever_the_factors():
    obs, expected = complete(6), None
    for options in ({}, {"omega": 0.9}, {"alpha": 3.0}, {"mmd_weight": 2.0}):
        system = cmmd(**options)
        found = gradients(system, mean_loss(system, obs))["decoder"]
        expected = found if expected is None else expected
        close(found, expected)


# ---------------------------------------------------------------- what a row lacks


def test_without_any_label_it_is_the_first_stage():
    torch.manual_seed(1)
    labelled, obs = cmmd(), complete(6)
    rest = modalities("bernoulli", "normal")
    first = systems.cmmd(rest, 2, observed=("normal",), omega=0.3, hidden=(8,), prior_hidden=(8,))
    labelled.start_from(first)
    none = Observations(obs.values, {"categorical": torch.zeros(6, dtype=torch.bool)})
    assert torch.equal(mean_loss(labelled, none), mean_loss(first, obs.drop("categorical")))
    assert torch.equal(mean_loss(labelled, none), mean_loss(labelled, obs.drop("categorical")))


def test_a_missing_label_takes_its_own_row_out_of_c():
    system, obs = cmmd(), complete(6)
    some = Observations(obs.values, {"categorical": torch.arange(6) != 2})
    whole, found = parts_of(system, obs), parts_of(system, some)
    assert found.label[2] == 0.0
    kept = torch.arange(6) != 2
    # to rounding: the decoder's matrix products round by their number of rows
    close(found.label[kept], whole.label[kept], rtol=1e-14, atol=1e-14)
    changed = obs.replace("categorical", (obs["categorical"] + (torch.arange(6) == 2)) % 3)
    junk = Observations(changed.values, some.present)
    junk.values["categorical"] = changed["categorical"]
    losses = [mean_loss(system, o) for o in (some, junk)]
    assert torch.equal(*losses)
    for one, other in zip(*(gradients(system, v).values() for v in losses), strict=True):
        assert torch.equal(one, other)


def test_a_masked_modality_teaches_no_decoder_and_moves_the_encoder():
    system, obs = cmmd(), complete(6)
    some = Observations(obs.values, {"bernoulli": torch.zeros(6, dtype=torch.bool)})
    parts = parts_of(system, some)
    assert not parts.reconstruction.any()
    found = gradients(system, mean_loss(system, some))
    assert not found["decoder"].any()
    assert found["encoder"].any()  # by the label
    assert found["classifier"].any()


def test_rows_that_lack_what_is_observed_count_nowhere():
    system, obs = cmmd(label_reduction="sum"), mixed(rows_per_pattern=2)
    rows = obs.present["normal"]
    noise = torch.randn(len(obs), 2)
    with FixedNoise(noise):
        bound = system.objective.bound(system.model, system.guide, obs)
    with FixedNoise(noise[rows]):
        own = system.objective.bound(system.model, system.guide, obs[rows])
    close(bound[rows], own)
    assert not bound[~rows].any()


@pytest.mark.parametrize("estimator", ["biased", "unbiased", "analytic"])
def test_a_batch_that_lacks_what_is_observed_has_parts_of_zero(estimator):
    obs = mixed()
    for options in ({}, {"kernel": "median", "label_reduction": "sum"}):
        system = cmmd(estimator=estimator, **options)
        for rows in (obs[~obs.present["normal"]], obs.drop("normal")):
            assert not any(part.any() for part in parts_of(system, rows))
            loss, found = loss_and_gradients(system, rows)
            assert loss == 0.0
            assert not any(g.any() for g in found.values())


def test_nothing_else_and_two_others():
    """M empty, and M of two modalities: R is their sum."""
    image, label, numbers = modalities()
    obs = complete(5)
    alone = systems.cmmd([label, numbers], 2, observed=("normal",), label="categorical")
    parts = parts_of(alone, obs.drop("bernoulli"))
    assert not parts.reconstruction.any()
    assert (parts.kl > 0).all()
    assert (parts.label > 0).all()
    two = systems.cmmd([image, modality("laplace"), label, numbers], 2, observed=("normal",),
                       label="categorical")  # fmt: skip
    obs = Observations({**obs.values, "laplace": torch.randn(5, 3)})

    def scored(*names):
        return parts_of(two, obs.scoring(*names)).reconstruction

    both, image_alone, laplace_alone = (
        scored(*names) for names in (("bernoulli", "laplace"), ("bernoulli",), ("laplace",))
    )
    close(both, image_alone + laplace_alone)
    close(parts_of(two, obs).reconstruction, both)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("kind", "shape", "values", "expected"),
    [
        ("categorical", (7,), lambda: torch.randint(7, (4,)), math.log(7)),
        ("bernoulli", (), lambda: torch.tensor([0.0, 1.0, 1.0, 0.0]), math.log(2)),
        ("multi_label", (5,), lambda: (torch.rand(4, 5) < 0.5) * 1.0, 5 * math.log(2)),
    ],
)
def test_uniform_predictions(kind, shape, values, expected):
    """C is log of the number of classes; log 2 of a binary label, and of each of several."""

    class Zeros(torch.nn.Module):
        def __init__(self, in_features):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(shape))

        def forward(self, z):
            return self.bias.expand(*z.shape[:-1], *shape)

    label = modality(kind, name="label", decoder=Zeros, likelihood=KINDS[kind].likelihood)
    obs = Observations({"label": values(), "normal": torch.randn(4, 3)})
    for classify in CHOICES:
        system = systems.cmmd(
            [label, modality("normal")], 2, observed=("normal",), label="label", classify=classify
        )
        close(parts_of(system, obs).label, torch.full((4,), expected))


def test_the_sum_is_b_times_the_mean():
    obs = complete(6)

    def label_part(reduction):
        system = cmmd(omega=1.0, label_reduction=reduction)
        with_label = mean_loss(system, obs)
        system.objective.alpha = 0.0
        return with_label - mean_loss(system, obs)

    close(label_part("sum"), 6 * label_part("mean"), rtol=1e-10)
