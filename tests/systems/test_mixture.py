"""The papers' systems with mixtures and private latents: gradients, files, options, training."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from every_system import build, complete, loss_and_gradients, mixed, modality

from ppl_mm import Modality, Observations, System, fit, likelihoods, networks, systems
from ppl_mm.distributions import LearnedScale
from ppl_mm.objectives import IWAE, DReG, ELBOTerms, MixtureELBO

SETTINGS = {
    "mmvae, elbo": ("mmvae", {"objective": "elbo"}),
    "mmvae, iwae, normal": ("mmvae", {"objective": "iwae", "family": "normal"}),
    "mmvae, dreg": ("mmvae", {"num_particles": 4}),
    "mmvae, dreg, tighter": ("mmvae", {"num_particles": 4, "form": "tighter"}),
    "mmvae, fixed prior": ("mmvae", {"prior": "laplace", "num_particles": 2}),
    "mopoe": ("mopoe", {}),
    "mopoe, mixture": ("mopoe", {"divergence": "mixture", "prior_expert": "full"}),
    "mopoe, private": ("mopoe", {"private_dim": 1, "strata": 3}),
    "mopoe, some subsets": ("mopoe", {"subsets": [["normal"], ["bernoulli", "categorical"]]}),
    "mmvae_plus": ("mmvae_plus", {"num_particles": 3}),
    "mmvae_plus, normal": ("mmvae_plus", {"num_particles": 3, "family": "normal", "beta": 2.5}),
    "mmvae_plus, elbo": ("mmvae_plus", {"objective": "elbo", "scale_map": "exp"}),
    "mmvae_plus, iwae": ("mmvae_plus", {"objective": "iwae", "num_particles": 2}),
    "mmvae_plus, some strata": ("mmvae_plus", {"num_particles": 2, "strata": 1}),
    "mmjsd": ("mmjsd", {}),
    "mmjsd, private": ("mmjsd", {"private_dim": {"normal": 2, "bernoulli": 1, "categorical": 1}}),
    "dmvae": ("dmvae", {}),
    "dmvae, per target": ("dmvae", {"private_dim": 1, "shared_kl": "per_target"}),
    "mvtcae": ("mvtcae", {"alpha": 0.3, "beta": 1.0}),
}
every_setting = pytest.mark.parametrize(("name", "options"), SETTINGS.values(), ids=SETTINGS)


# ---------------------------------------------------------------- gradients and files


@every_setting
def test_every_parameter_gets_a_finite_gradient(name, options):
    system = build(name, **options)
    loss, gradients = loss_and_gradients(system, mixed(rows_per_pattern=4))
    assert loss.isfinite()
    for parameter, gradient in gradients.items():
        assert gradient.isfinite().all(), parameter
        assert gradient.any(), parameter


def plain_values(objective):
    kept = {k: v for k, v in vars(objective).items() if k != "terms"}
    return type(objective), {k: v for k, v in kept.items() if not k.startswith("_")}


@every_setting
def test_a_saved_system_comes_back_with_its_options(name, options, tmp_path):
    system, obs = build(name, **options), mixed()
    fit(system, obs, epochs=1, batch_size=8, progress=False)
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.recipe == system.recipe
    assert plain_values(again.objective) == plain_values(system.objective)
    losses = []
    for one in (system.double(), again.double()):
        torch.manual_seed(3)
        losses.append(one(obs).item())
    assert losses[0] == losses[1]


def test_a_learned_prior_is_one_parameter_of_model_and_guide(tmp_path):
    system = build("mmvae")
    assert system.model.prior is system.guide.prior
    assert isinstance(system.model.prior, LearnedScale)
    with torch.no_grad():
        system.model.prior.raw[0] = 1.0
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.model.prior is again.guide.prior
    assert torch.equal(again.model.prior.raw, system.model.prior.raw)
    q = again.posterior(complete(2).only())
    torch.testing.assert_close(q.stddev, again.model.prior().stddev.expand(2, 2))


# ---------------------------------------------------------------- bounds and history


@pytest.mark.parametrize(
    ("name", "options", "is_bound"),
    [
        ("mmvae", {}, True),
        ("mmvae", {"form": "tighter"}, True),
        ("mmvae", {"beta": 0.5}, False),
        ("mopoe", {}, True),
        ("mopoe", {"divergence": "mixture"}, True),
        ("mopoe", {"beta": 2.5}, False),
        ("mmvae_plus", {}, False),
        ("mmvae_plus", {"private": "prior"}, True),
        ("mmvae_plus", {"private": "posterior"}, True),
        ("mmjsd", {}, False),
        ("dmvae", {}, True),
        ("mvtcae", {}, False),
        ("mvtcae", {"alpha": 0.0, "beta": 1.0}, False),
    ],
)
def test_the_history_says_whether_values_are_bounds(name, options, is_bound):
    system = build(name, **options)
    assert system.objective.is_bound is is_bound
    result = fit(system, mixed(), epochs=1, progress=False)
    (row,) = result.history
    assert ("bound" in row, "surrogate" in row) == (is_bound, not is_bound)
    assert row["bound" if is_bound else "surrogate"] == -row["loss"]


def test_weights_make_surrogates():
    declared = [modality(k, weight=2.0) for k in ("bernoulli", "normal")]
    for name in ("mmvae", "mopoe", "dmvae"):
        assert not build(name, declared).objective.is_bound


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("name", ["mopoe", "jmvae"])
def test_forty_modalities_need_not_have_all_their_subsets(name):
    declared = [replace(modality("normal"), name=f"x{m}") for m in range(40)]
    names = [m.name for m in declared]
    subsets = [*([n] for n in names), names]
    options = {"subsets": subsets} if name == "mopoe" else {"hidden": 4}
    system = build(name, declared, **options)
    value = torch.randn(3, *complete(3)["normal"].shape[1:])
    loss, gradients = loss_and_gradients(system, Observations(dict.fromkeys(names, value)))
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    if name == "mopoe":
        assert system.guide.family == tuple(map(tuple, subsets))


def test_objectives_by_name():
    assert type(build("mmvae").objective) is DReG
    assert build("mmvae").objective.num_particles == 10
    assert type(build("mmvae", objective="iwae").objective) is IWAE
    elbo = build("mmvae_plus", objective="elbo").objective
    assert (type(elbo), elbo.num_particles) == (IWAE, 1)
    assert build("mmvae_plus").objective.private == "auxiliary"
    for name in ("mopoe", "mmjsd"):
        assert type(build(name).objective) is MixtureELBO
    for name in ("dmvae", "mvtcae"):
        assert type(build(name).objective) is ELBOTerms


def test_families_and_sizes():
    system = build("mmvae_plus", private_dim={"bernoulli": 1, "categorical": 3, "normal": 4})
    assert system.model.private_dim == system.guide.private_dim
    assert system.model.private_dim["normal"] == 4
    assert {p.scale_map for p in system.guide.auxiliary_priors.values()} == {"softmax"}
    normal = build("mmvae_plus", family="normal")
    assert {p.scale_map for p in normal.guide.auxiliary_priors.values()} == {"softplus"}
    assert normal.model.prior.family == "normal"
    assert {p.family for p in normal.model.private_priors.values()} == {"normal"}
    assert not build("dmvae").guide.auxiliary_priors


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mmvae", {"objective": "vae"}, "objective: expected 'dreg', 'iwae' or 'elbo', got 'vae'"),
        ("mmvae", {"objective": "elbo", "num_particles": 5}, "draws one particle"),
        ("mmvae", {"form": "loose"}, "form: expected .* got 'loose'. Did you mean 'looser'"),
        ("mmvae", {"family": "cauchy"}, "family: expected 'normal' or 'laplace'"),
        ("mmvae_plus", {"private": "prio"}, "got 'prio'. Did you mean 'prior'"),
        ("mmvae_plus", {"scale_map": "relu"}, "'softplus', 'exp' or None, got 'relu'"),
        ("mmvae_plus", {"private_dim": 0}, "private_dim: expected an integer of at least 1"),
        ("mmvae", {"num_particles": 0}, "num_particles: .*at least 1"),
        ("mopoe", {"divergence": "js"}, "divergence: expected .* got 'js'"),
        ("mopoe", {"prior_expert": "some"}, "expected True or False, 'several' or 'full'"),
        ("dmvae", {"shared_kl": "twice"}, "expected 'once' or 'per_target'"),
        ("mvtcae", {"alpha": 1.5}, r"expected alpha in \[0, 1\]"),
    ],
)
def test_wrong_options_are_errors(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, **options)


@pytest.mark.parametrize("name", ["mopoe", "mmjsd", "dmvae", "mvtcae"])
def test_laplace_priors_need_a_mixture_of_experts(name):
    def run():
        system = build(name, prior="laplace")
        system(mixed())

    with pytest.raises((TypeError, ValueError), match=r"normal|Normal"):
        run()


def test_auxiliary_private_latents_need_auxiliary_priors():
    system = build("mopoe", private_dim=1)
    for kind in ("dreg", "iwae"):
        objective = {"dreg": DReG, "iwae": IWAE}[kind](2, private="auxiliary")
        with pytest.raises(ValueError, match="needs a guide with auxiliary priors"):
            objective.bound(system.model, system.guide, complete(3))


# ---------------------------------------------------------------- training


def softmax_modalities():
    """Laplace experts whose scales have a fixed sum, as in the releases."""

    def one(name, size):
        return Modality(
            name,
            likelihoods.Laplace(0.75),
            encoder=partial(
                networks.MLPEncoder, event_shape=(size,), hidden=(16,), scale="softmax"
            ),
            decoder=partial(networks.MLPDecoder, event_shape=(size,), hidden=(16,)),
        )

    return [one("x", 4), one("y", 3)]


def correlated(num_rows=120):
    """Two views of one number, a third of each missing."""
    g = torch.Generator().manual_seed(5)
    t = torch.randn(num_rows, 1, generator=g)
    values = {
        n: 3.0 * t * torch.ones(size) + 0.1 * torch.randn(num_rows, size, generator=g)
        for n, size in (("x", 4), ("y", 3))
    }
    present = {n: torch.rand(num_rows, generator=g) > 0.33 for n in values}
    return Observations(values, present)


STABLE = {
    f"mmvae, {o}, {f}": ("mmvae", {"objective": o, "family": f})
    for o in ("elbo", "iwae", "dreg")
    for f in ("normal", "laplace")
}
STABLE |= {
    "mopoe": ("mopoe", {}),
    "mmvae_plus": ("mmvae_plus", {}),
    "mmvae_plus, normal": ("mmvae_plus", {"family": "normal"}),
    "mmjsd": ("mmjsd", {}),
    "mmjsd, private": ("mmjsd", {"private_dim": 2}),
    "dmvae": ("dmvae", {}),
    "mvtcae": ("mvtcae", {}),
}
every_trained = pytest.mark.parametrize(("name", "options"), STABLE.values(), ids=STABLE)


def train(name, options, seed, epochs):
    torch.manual_seed(seed)
    system = systems.build(name, softmax_modalities(), 3, **options)
    result = fit(
        system,
        correlated(),
        epochs=epochs,
        batch_size=30,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.03),
        seed=seed,
        progress=False,
    )
    losses = [row["loss"] for row in result.history]
    assert all(math.isfinite(loss) for loss in losses)
    assert all(p.isfinite().all() for p in system.parameters())
    # Not the last: at this rate DReG of narrow Normal experts may leave an optimum again.
    assert min(losses) < losses[0]


@every_trained
def test_training_at_a_high_rate_stays_finite(name, options):
    train(name, options, seed=0, epochs=6)


@pytest.mark.slow
@every_trained
@pytest.mark.parametrize("seed", range(1, 6))
def test_longer_training_stays_finite_for_every_seed(name, options, seed):
    train(name, options, seed, epochs=20)
