"""TELBO: its equation row by row, who learns from which term, and its two stages."""

import copy
import itertools
from functools import partial

import pyro
import pyro.distributions as dist
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
from linear_gaussian import NAMES, LinearGaussian
from pyro.infer import SVI

from ppl_mm import Modality, System, fit, likelihoods, models, networks, systems
from ppl_mm.distributions import kl
from ppl_mm.objectives import ELBOTerms, Stages, Term, log_weights

THREE = ("bernoulli", "categorical", "normal")
QUIET = {"device": "cpu", "precision": "64-true", "progress": False}


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def telbo(**options):
    return systems.telbo(modalities(), 2, **{"hidden": 8, **options})


def under(system, *terms):
    """The same model and guide under some terms alone, for comparison."""
    return System(system.model, system.guide, ELBOTerms(list(terms), rows="require"))


JOINT = Term(THREE, THREE)
SINGLE = [Term((n,), (n,)) for n in THREE]


# ---------------------------------------------------------------- the equation


def by_hand(system, obs, lambdas, gammas, beta):
    """The joint term and those of single modalities, (4, B), with the noise of SameNoise."""
    noise = torch.randn(1, 1, 2, generator=torch.Generator().manual_seed(ord("z")))[0]
    prior = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)

    def term(source, weights):
        q = system.posterior(obs.given(*source))
        z = q.mean + q.stddev * noise
        total = -beta * kl(q, prior)
        for name in source:
            likelihood, decoder = system.model.likelihoods[name], system.model.decoders[name]
            p = likelihood(decoder(z), 1, obs[name].shape[1:])
            total = total + weights.get(name, 1.0) * p.log_prob(obs[name])
        held = torch.stack([obs.present[name] for name in source]).all(0)
        return torch.where(held, total, 0.0)

    return torch.stack([term(THREE, lambdas), *(term((n,), gammas) for n in THREE)])


@pytest.mark.parametrize("decoders", ["joint", "all"])
@pytest.mark.parametrize("gammas", [1.0, 3.0, {"normal": 0.5, "categorical": 0.0}])
def test_telbo_is_its_equation(decoders, gammas):
    declared = [modality("bernoulli"), modality("categorical", weight=50.0), modality("normal")]
    system = systems.telbo(declared, 2, gammas=gammas, decoders=decoders, hidden=8, beta=0.5)
    obs = mixed(rows_per_pattern=2)
    by_name = gammas if isinstance(gammas, dict) else dict.fromkeys(THREE, gammas)
    expected = by_hand(system, obs, {"categorical": 50.0}, by_name, 0.5)
    with SameNoise():
        found = system.objective.term_bounds(system.model, system.guide, obs)
    close(found, expected)
    assert not system.objective.is_bound


def test_rows_may_average_the_terms_that_they_have():
    system, averaged = telbo(), telbo(mean="terms")
    averaged.load_state_dict(system.state_dict())
    obs = mixed(rows_per_pattern=2)
    held = torch.stack(list(obs.present.values())).sum(0)
    with SameNoise():
        total, mean = (s.objective.bound(s.model, s.guide, obs) for s in (system, averaged))
    close(mean, total / torch.where(held == 3, 4, held.clamp(min=1)))


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("num_particles", [1, 3])
def test_with_exact_posteriors_it_is_the_sum_of_log_evidences(fixed, num_particles):
    toy = LinearGaussian()
    obs = toy.mixed(2)
    terms = [Term(NAMES, NAMES), *(Term((n,), (n,), fixed_model=fixed) for n in NAMES)]
    objective = ELBOTerms(terms, rows="require", num_particles=num_particles)
    held = torch.stack([obs.present[n] for n in NAMES])
    joint = torch.where(held.all(0), toy.log_p(obs, NAMES), 0.0)
    expected = torch.stack([joint, *(toy.log_p(obs, [n]) for n in NAMES)])
    found = objective.term_bounds(toy.model(), toy.exact_guide(), obs)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


# ---------------------------------------------------------------- who learns from which term


@pytest.mark.parametrize("decoders", ["joint", "all"])
def test_decoders_learn_from_the_joint_term_and_encoders_from_their_own(decoders):
    system, obs = telbo(decoders=decoders), mixed(rows_per_pattern=2)
    with SameNoise():
        _, found = loss_and_gradients(system, obs)
        _, joint = loss_and_gradients(under(system, JOINT), obs)
        single = [loss_and_gradients(under(system, term), obs)[1] for term in SINGLE]
    for name, gradient in found.items():
        if name.startswith("model") and decoders == "all":
            close(gradient, joint[name] + sum(g[name] for g in single))
        elif name.startswith("model"):
            close(gradient, joint[name])
        elif name.startswith("guide.joint"):
            close(gradient, joint[name])
            assert not any(g[name].any() for g in single)
        else:
            own = single[THREE.index(name.split(".")[2])]
            close(gradient, own[name])
            assert not joint[name].any()
        assert gradient.any(), name


def test_without_complete_rows_decoders_get_no_gradient_at_all():
    system, obs = telbo(), complete(4).only("normal")
    system(obs).backward()
    for name, parameter in system.named_parameters():
        learns = name.startswith("guide.encoders.normal")
        assert (parameter.grad is not None) == learns, name


def test_encoders_run_once_a_step():
    system, calls = telbo(), []
    networks_ = [*system.guide.encoders.values(), *system.guide.joint_networks.values()]
    for network in networks_:
        network.register_forward_hook(lambda *_: calls.append(1))
    system(complete(3))
    assert len(calls) == len(networks_) == 4


def test_a_fixed_model_is_left_as_it_was_even_after_an_error():
    system, obs = telbo(), complete(3)
    system.model.decoders["normal"].requires_grad_(False)
    before = [p.requires_grad for p in system.parameters()]
    system(obs)
    assert [p.requires_grad for p in system.parameters()] == before

    def broken(*_):
        if not system.model.decoders["bernoulli"].output.weight.requires_grad:
            raise RuntimeError("in the fixed model")

    system.model.decoders["bernoulli"].register_forward_hook(broken)
    with pytest.raises(RuntimeError, match="in the fixed model"):
        system(obs)
    assert [p.requires_grad for p in system.parameters()] == before
    assert all(m.training for m in system.modules())


def test_a_fixed_models_batch_statistics_are_those_of_the_joint_term():
    shape = {"event_shape": (3,), "hidden": (6,), "batch_norm": True}
    image = Modality(
        "x",
        likelihoods.Normal(scale=0.5),
        partial(networks.MLPEncoder, **shape),
        partial(networks.MLPDecoder, **shape),
    )
    system = systems.telbo([image, modality("normal")], 2, hidden=8).train()
    alone = copy.deepcopy(system)
    alone.objective = ELBOTerms([Term(("x", "normal"), ("x", "normal"))], rows="require")
    obs = complete(5, "normal")
    obs.values["x"] = torch.randn(5, 3)
    obs.present["x"] = obs.present["normal"]
    for s in (system, alone):
        with SameNoise():
            s(obs)
    for name, buffer in system.model.named_buffers():
        close(buffer.double(), dict(alone.model.named_buffers())[name].double())


def test_a_model_that_is_no_module_cannot_be_fixed():
    system, obs = telbo(), complete(3)
    with pytest.raises(TypeError, match=r"fixed_model=True needs .* a module; got function"):
        system.objective.bound(lambda obs: system.model(obs), system.guide, obs)


def test_a_prior_in_the_model_is_a_constant_too():
    class Prior(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = torch.nn.Parameter(torch.zeros(2))

        def forward(self):
            return dist.Normal(self.loc, 1.0).to_event(1)

    model, guide = models.SharedLatent(modalities(), 2, prior=Prior()), telbo().guide
    for fixed in (False, True):
        term = Term(("normal",), ("normal",), fixed_model=fixed)
        _, gradients = loss_and_gradients(System(model, guide, ELBOTerms([term])), complete(3))
        assert bool(gradients["model.prior.loc"].any()) != fixed


# ---------------------------------------------------------------- two stages


def staged(first_stage=2, **options):
    torch.manual_seed(5)
    return telbo(first_stage=first_stage, **options)


def state(system):
    return {n: p.clone() for n, p in system.state_dict().items()}


def moved(before, after):
    """The parts of the system of which some parameter has changed."""
    names = [n for n in before if not torch.equal(before[n], after[n])]
    return {n.split(".")[1] if n.startswith("guide") else "model" for n in names}


OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, lr=1e-2, weight_decay=0.1),
    "momentum": partial(torch.optim.SGD, lr=1e-3, momentum=0.9, weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_each_stage_moves_only_what_it_trains(optimizer):
    obs, states = mixed(rows_per_pattern=3), []
    for epochs in (1, 2, 3, 5):
        system = staged()
        fit(system, obs, epochs=epochs, batch_size=7, optimizer=optimizer, **QUIET)
        states.append(state(system))
    parts = [moved(one, other) for one, other in itertools.pairwise(states)]
    assert parts == [{"model", "joint_networks"}, {"encoders"}, {"encoders"}]
    assert moved(state(staged()), states[0]) == {"model", "joint_networks"}


def test_stages_train_their_own_terms_on_their_own_rows():
    system, obs = staged(), mixed(rows_per_pattern=2)
    with SameNoise():
        joint = under(system, JOINT)(obs)
        close(system(obs), joint)
        system.objective.epoch = 2
        singles = under(system, *SINGLE)(obs)
        close(system(obs), singles)
    assert system.objective.is_bound
    system.objective.annealing = 0.5
    assert not system.objective.is_bound
    with SameNoise():
        assert not torch.isclose(system(obs), singles)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(stop, tmp_path):
    obs, path = mixed(rows_per_pattern=3), tmp_path / "run.pt"
    options = {"batch_size": 7, "optimizer": OPTIMIZERS["adam"], **QUIET}
    whole = staged()
    fit(whole, obs, epochs=4, **options)
    fit(staged(), obs, epochs=stop, checkpoint=path, **options)
    resumed = staged()
    fit(resumed, obs, epochs=4, checkpoint=path, resume=True, **options)
    assert not moved(state(whole), state(resumed))
    assert resumed.objective.epoch == 0


def test_stock_inference_leaves_the_first_stages_parameters_alone():
    system, obs = staged(), complete(6)
    optimizer = pyro.optim.Adam({"lr": 0.01, "weight_decay": 0.1})
    svi = SVI(system.model, system.guide, optimizer, loss=system.objective)
    svi.step(obs)
    before = state(system)
    system.objective.epoch = 2
    for _ in range(3):
        svi.step(obs)
    assert moved(before, state(system)) == {"encoders"}


def test_a_loop_that_zeroes_gradients_leaves_them_alone_too():
    system, obs = staged(), complete(6)
    optimizer = torch.optim.SGD(system.parameters(), lr=1e-3, momentum=0.9)
    loss = system.objective(system.model, system.guide)
    states = []
    for system.objective.epoch in (1, 2):
        optimizer.zero_grad(set_to_none=False)
        loss(obs).backward()
        optimizer.step()
        states.append(state(system))
    assert moved(*states) == {"encoders"}


def test_evaluation_and_saving_do_not_depend_on_the_stage(tmp_path):
    system, obs = staged(), complete(4)
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.objective.epochs == (2,)
    weights = [log_weights(s.model, s.guide, obs, num_particles=2).shape for s in (system, again)]
    assert weights == [(2, 4)] * 2


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: telbo(gammas={"norml": 1.0}), ValueError, "Did you mean 'normal'"),
        (lambda: telbo(gammas=-1.0), ValueError, "gammas: .*at least 0, got -1.0"),
        (
            lambda: telbo(decoders="none"),
            ValueError,
            "expected 'joint' or 'all', got 'none'",
        ),
        (lambda: telbo(decoders="all", first_stage=1), ValueError, "two stages the decoders"),
        (lambda: telbo(first_stage=0), ValueError, "first_stage: .*got 0"),
        (lambda: build("telbo", modalities("normal")), ValueError, "two modalities or more"),
        (lambda: Stages([ELBOTerms([JOINT])], [1]), ValueError, "each of 1 stages but the last"),
        (
            lambda: Stages([pyro.infer.Trace_ELBO()], []),
            TypeError,
            r"objectives\[0\]: expected an Objective, got a Trace_ELBO",
        ),
    ],
)
def test_wrong_options_are_errors(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
