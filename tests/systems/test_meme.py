"""The system meme: what its parts share, its options, files, training and draws."""

import copy
import math

import pytest
import torch
from every_system import (
    SameNoise,
    build,
    complete,
    loss_and_gradients,
    mixed,
    modalities,
    modality,
)
from pyro.infer import Predictive

from ppl_mm import Observations, System, fit, generate, guides, models, systems
from ppl_mm.objectives import MutualSupervisionELBO

SETTINGS = {
    "bound": {},
    "paper": {"preset": "paper"},
    "code": {"preset": "code"},
    "product": {"conditional_prior": "product"},
    "product, code": {"conditional_prior": "product", "preset": "code"},
    "one draw": {"num_particles": 1},
    "reweighted": {"beta": 0.5, "alpha": 2.0, "combine": "sum"},
}
every_setting = pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)


# ---------------------------------------------------------------- what its parts share


def test_encoders_are_registered_once_and_are_each_others_priors():
    declared = modalities("normal", "bernoulli")
    system = systems.meme(declared, 2, num_pseudo_inputs=5)
    parts = [
        *(system.guide.encoders[m.name] for m in declared),
        *(system.model.decoders[m.name] for m in declared),
    ]
    own = {id(p) for part in parts for p in part.parameters()}
    pseudo = {id(system.model.prior.pseudo_inputs(m.name)) for m in declared}
    assert {id(p) for p in system.parameters()} == own | pseudo
    assert len(own | pseudo) == sum(len(list(p.parameters())) for p in parts) + 2
    assert system.model.prior is system.guide.prior
    assert system.model.prior.encoders is system.guide.encoders


def test_a_change_of_an_encoder_moves_a_prior_and_a_posterior():
    obs = complete(3, "normal", "bernoulli")
    system = systems.meme(modalities("normal", "bernoulli"), 2, num_pseudo_inputs=5)
    objective = system.objective

    def values(held):
        with torch.no_grad(), SameNoise():
            return objective.bound(system.model, system.guide, obs.only(*held))

    def posterior():
        return system.posterior(obs.only("normal")).mean.detach()

    before = [values(("normal",)), values(("bernoulli",)), values(("normal", "bernoulli"))]
    mean = posterior()
    with torch.no_grad():
        next(system.guide.encoders["normal"].parameters()).mul_(1.5)
    after = [values(("normal",)), values(("bernoulli",)), values(("normal", "bernoulli"))]
    assert all(not torch.isclose(a, b).any() for a, b in zip(before, after, strict=True))
    assert not torch.isclose(mean, posterior()).any()


# ---------------------------------------------------------------- gradients and training


@every_setting
def test_every_parameter_gets_a_finite_gradient(options):
    system = build("meme", num_pseudo_inputs=4, **options)
    loss, gradients = loss_and_gradients(system, mixed(rows_per_pattern=4))
    assert loss.isfinite()
    for parameter, gradient in gradients.items():
        assert gradient.isfinite().all(), parameter
        assert gradient.any(), parameter


@every_setting
def test_training_at_a_high_rate_stays_finite(options):
    g = torch.Generator().manual_seed(5)
    t = torch.randn(120, 1, generator=g)
    noise = [0.1 * torch.randn(120, 3, generator=g) for _ in range(2)]
    present = {n: torch.rand(120, generator=g) > 0.33 for n in "xy"}
    obs = Observations({"x": 3 * t + noise[0], "y": -2 * t + noise[1]}, present)
    declared = [modality("laplace", name=n) for n in "xy"]
    system = systems.meme(declared, 2, num_pseudo_inputs=20, pseudo_inputs=obs, **options)
    result = fit(
        system,
        obs,
        epochs=6,
        batch_size=30,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.03),
        progress=False,
    )
    losses = [row["loss"] for row in result.history]
    assert all(math.isfinite(loss) for loss in losses)
    assert all(p.isfinite().all() for p in system.parameters())
    assert min(losses) < losses[0]
    kind = "bound" if system.objective.is_bound else "surrogate"
    assert result.history[0][kind] == -losses[0]


def test_weights_make_a_surrogate():
    declared = [modality(k, weight=2.0) for k in ("bernoulli", "normal")]
    assert not build("meme", declared).objective.is_bound
    assert build("meme").objective.is_bound


# ---------------------------------------------------------------- pseudo-inputs


def test_pseudo_inputs_begin_as_rows():
    obs = complete(30)
    system = build("meme", num_pseudo_inputs=7, pseudo_inputs=obs)
    for name in obs.names:
        u = system.model.prior.pseudo_inputs(name)
        assert len(u) == 7
        assert all(any(torch.equal(row, x) for x in obs[name]) for row in u.detach())


def test_without_rows_they_are_draws_of_the_decoders():
    kinds = ("bernoulli", "categorical", "tokens", "poisson")
    system = build("meme", modalities(*kinds))
    for kind in kinds:
        u = system.model.prior.pseudo_inputs(kind).detach()
        assert u.shape == (128, *complete(1, kind)[kind].shape[1:])
        modality(kind).likelihood.check(kind, u)


def test_too_few_rows_or_modalities_are_refused():
    with pytest.raises(ValueError, match="at least 128 rows that hold it whole, got 9"):
        build("meme", pseudo_inputs=complete(9))
    with pytest.raises(ValueError, match="meme needs at least two modalities, got 1"):
        build("meme", modalities("normal"))
    with pytest.raises(ValueError, match=r"preset: expected .* got 'papers'. Did you mean 'paper'"):
        build("meme", preset="papers")


KINDS = ("one_hot", "categorical", "normal", "tokens")


@every_setting
def test_a_saved_system_comes_back_with_its_pseudo_inputs(options, tmp_path):
    obs = complete(20, *KINDS)
    system = build("meme", modalities(*KINDS), num_pseudo_inputs=6, pseudo_inputs=obs, **options)
    fit(system, obs, epochs=1, batch_size=10, progress=False)
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.recipe == system.recipe
    one, other = ({**vars(s.objective), "epoch": 0} for s in (system, again))
    assert one == other
    assert again.model.prior is again.guide.prior
    for kind in KINDS:
        one, other = (s.model.prior.pseudo_inputs(kind) for s in (system, again))
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
        assert one.requires_grad == other.requires_grad == (kind in ("one_hot", "normal"))
    with SameNoise():
        assert torch.equal(system(obs), again(obs))


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    obs = mixed(rows_per_pattern=4)

    def start():
        torch.manual_seed(4)
        return build("meme", num_pseudo_inputs=5, pseudo_inputs=obs)

    options = {"batch_size": 7, "progress": False}
    whole, resumed = start(), start()
    fit(whole, obs, epochs=4, **options)
    path = tmp_path / "run.pt"
    fit(copy.deepcopy(resumed), obs, epochs=2, checkpoint=path, **options)
    fit(resumed, obs, epochs=4, checkpoint=path, resume=True, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


# ---------------------------------------------------------------- draws


def test_rows_with_nothing_are_drawn_from_the_prior():
    system = build("meme", num_pseudo_inputs=5)
    prior = system.model.prior()
    torch.manual_seed(0)
    z = Predictive(system.model, num_samples=500)(Observations.blank(1))["z"].reshape(-1, 2)
    error = prior.stddev / math.sqrt(500)
    assert ((z.mean(0) - prior.mean).abs() < 5 * error).all()
    q = system.posterior(Observations.blank(3))
    torch.testing.assert_close(q.log_prob(z[:3]), prior.log_prob(z[:3]))
    drawn = generate(system, Observations.blank(4), "normal", 3)["normal"]
    assert drawn.shape == (3, 4, 3)


def test_put_together_by_hand():
    declared = modalities("normal", "bernoulli")
    made = systems.meme(declared, 2, num_pseudo_inputs=5)
    prior = made.model.prior
    mine = System(
        models.SharedLatent(declared, 2, prior=prior),
        guides.MixtureOfExperts(declared, 2, prior=prior),
        MutualSupervisionELBO(3, stop_gradient=False),
    )
    assert mine.alternatives(("normal",), ())
    result = fit(mine, mixed("normal", "bernoulli"), epochs=1, progress=False)
    assert "bound" in result.history[0]
