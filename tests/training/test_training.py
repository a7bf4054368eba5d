"""``fit``: it trains, stops, resumes, and loses nothing when training diverges."""

import math
from functools import partial

import pytest
import torch
from every_system import build, complete, kinds_of, targets
from linear_gaussian import LinearGaussian
from pyro.poutine.messenger import Messenger

from ppl_mm import Observations, fit, guides, log_likelihood, objectives, systems
from ppl_mm.evaluation import elbo
from ppl_mm.objectives import linear_annealing, subset_terms
from ppl_mm.training import Callback, DivergedError

QUIET = {"device": "cpu", "precision": "64-true", "progress": False}


def toy_system(spread=2.0, seed=0, objective=None):
    toy = LinearGaussian(spread=spread, seed=seed)
    guide = guides.ProductOfExperts(toy.modalities, toy.latent_dim)
    return toy, toy.system(guide, objective or objectives.ELBOTerms(subset_terms()))


def parameters(system):
    return {name: p.detach().clone() for name, p in system.named_parameters()}


def test_training_raises_the_elbo_of_new_rows():
    toy, system = toy_system()
    with torch.no_grad():
        for p in system.model.parameters():
            p.mul_(0.5)
    new = toy.sample(200, seed=9)
    before = elbo(system, new).mean()
    fit(system, toy.sample(500), epochs=30, batch_size=50, **QUIET)
    assert elbo(system, new).mean() > before + 0.5


def test_history_has_a_row_an_epoch_and_prints_as_a_table():
    toy, system = toy_system()
    result = fit(system, toy.mixed(8), epochs=3, validation=toy.sample(20), **QUIET)
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert set(result.history[0]) == {"epoch", "loss", "bound", "seconds", "validation_elbo"}
    assert all(row["bound"] == -row["loss"] for row in result.history)
    assert result.table().row_count == 3


def test_before_fit_comes_once_after_all_checks_and_before_the_first_step(tmp_path):
    toy, system = toy_system()
    begun, start, file = [], parameters(system), tmp_path / "checkpoint"
    old = Observations({name: values[:, :1] for name, values in toy.sample(4).values.items()})

    class Begin(Callback):
        def before_fit(self, training):
            begun.append(file.exists())
            for name, value in training.system.named_parameters():
                assert torch.equal(value, start[name])

    options = {"epochs": 2, "checkpoint": file, "callbacks": [Begin()]}
    for data, wrong in (
        (old, {}),
        (toy.sample(4), {"clip_norm": 0}),
        (toy.sample(4), {"patience": 0}),
    ):
        with pytest.raises(ValueError, match=r"expected|event shape"):
            fit(system, data, **options, **wrong, **QUIET)
    assert begun == []
    fit(system, toy.sample(4), **options, **QUIET)
    assert begun == [False]


def test_the_loss_in_the_history_is_per_row():
    toy, system = toy_system()
    data = toy.sample(40)
    frozen = partial(torch.optim.SGD, lr=0.0)
    result = fit(system, data, epochs=1, batch_size=7, optimizer=frozen, **QUIET)
    draws = [system.objective.loss(system.model, system.guide, data) / 40 for _ in range(400)]
    draws = torch.tensor(draws)
    assert abs(result.history[0]["loss"] - draws.mean()) < 5 * draws.std()  # one draw of the mean


def test_ends_with_the_best_validated_state_and_stops_after_patience():
    toy, system = toy_system()
    validation = toy.sample(50, seed=5)
    # Steps so large that the ELBO gets worse after a while, but stays finite.
    optimizer = partial(torch.optim.SGD, lr=0.05)
    result = fit(
        system,
        toy.sample(60),
        epochs=60,
        batch_size=10,
        optimizer=optimizer,
        clip_norm=3.0,
        validation=validation,
        patience=3,
        **QUIET,
    )
    values = [row["validation_elbo"] for row in result.history]
    assert result.best_epoch == 1 + values.index(max(values))
    assert len(values) == min(60, result.best_epoch + 3)
    found = elbo(system, validation, seed=0).mean().item()
    assert found == pytest.approx(max(values), abs=1e-12)
    for name, value in system.state_dict().items():
        assert torch.equal(value, result.best_state[name])


def test_clipping_bounds_the_step():
    toy, system = toy_system()
    start = parameters(system)
    optimizer = partial(torch.optim.SGD, lr=1.0)
    fit(system, toy.sample(8), epochs=1, batch_size=8, optimizer=optimizer, clip_norm=0.01, **QUIET)
    moved = sum(((parameters(system)[n] - p) ** 2).sum() for n, p in start.items()).sqrt()
    assert 0.005 < moved <= 0.01 + 1e-9


def test_annealing_reaches_every_step_and_ends_at_one():
    toy, system = toy_system()
    seen = []
    scaling = system.objective.scaling

    def record(model, obs):
        seen.append(system.objective.annealing)
        return scaling(model, obs)

    system.objective.scaling = record
    fit(system, toy.sample(20), epochs=4, batch_size=5, annealing_epochs=3, **QUIET)
    assert seen[0] == 1.0  # the check of the first rows, before any step
    assert seen[1:] == [linear_annealing(i, epochs=3, steps_per_epoch=4) for i in range(16)]
    assert system.objective.annealing == 1.0


@pytest.mark.parametrize(
    ("step", "value"),
    [(0, 1 / 120_000), (199 * 600 - 1, 0.995), (199 * 600, 1.0), (10**9, 1.0)],
)
def test_annealing_schedule_of_the_paper(step, value):
    assert linear_annealing(step, epochs=200, steps_per_epoch=600) == pytest.approx(
        value, abs=1e-15
    )


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    toy, whole = toy_system()
    data = toy.mixed(10)
    options = {"batch_size": 13, "validation": toy.sample(20), "annealing_epochs": 4, **QUIET}
    uninterrupted = fit(whole, data, epochs=6, **options)
    path = tmp_path / "checkpoint.pt"
    fit(toy_system()[1], data, epochs=3, checkpoint=path, **options)
    _, system = toy_system()
    torch.randn(7)  # the caller's random state plays no part
    resumed = fit(system, data, epochs=6, checkpoint=path, resume=True, **options)
    for a, b in zip(uninterrupted.history, resumed.history, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {
            k: v for k, v in b.items() if k != "seconds"
        }
    for name, value in whole.state_dict().items():
        assert torch.equal(value, system.state_dict()[name])


def test_a_run_that_diverges_stops_with_the_last_good_state():
    toy, system = toy_system()
    states = []

    class Explodes(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            if len(states) == 5:  # in the second epoch
                with torch.no_grad():
                    self.param_groups[0]["params"][0].fill_(math.inf)
            states.append(parameters(system))
            return None

    with pytest.raises(DivergedError, match="state after epoch 1") as caught:
        fit(
            system,
            toy.sample(20),
            epochs=4,
            batch_size=5,
            optimizer=partial(Explodes, lr=1e-3),
            **QUIET,
        )
    assert len(caught.value.result.history) == 1
    for name, value in parameters(system).items():
        assert torch.equal(value, states[3][name])


def test_a_parameter_that_is_not_finite_after_the_very_last_step_is_noticed():
    toy, system = toy_system()

    class LastStep(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(math.nan)
            return None

    start = parameters(system)
    with pytest.raises(DivergedError, match="a parameter is not finite"):
        fit(
            system,
            toy.sample(5),
            epochs=1,
            batch_size=5,
            optimizer=partial(LastStep, lr=0.1),
            **QUIET,
        )
    assert all(torch.equal(p, start[n]) for n, p in parameters(system).items())


def test_batches_in_which_nothing_is_present_take_no_step():
    toy, system = toy_system()
    first = torch.arange(6) == 0
    data = Observations(toy.sample(6).values, dict.fromkeys(toy.sizes, first))
    steps = []

    class Counted(torch.optim.SGD):
        def step(self, closure=None):
            steps.append(len(steps))
            super().step(closure)

    fit(system, data, epochs=2, batch_size=1, optimizer=partial(Counted, lr=0.01), **QUIET)
    assert len(steps) == 2  # one an epoch


def test_validation_rows_are_checked_once(monkeypatch):
    toy, system = toy_system()
    validation, checked = toy.sample(20), []
    monkeypatch.setattr(type(system), "check", lambda self, obs: checked.append(obs))
    fit(system, toy.sample(8), epochs=3, validation=validation, **QUIET)
    assert sum(obs is validation for obs in checked) == 1
    assert len(checked) == 2  # the training rows, and these


def test_transform_sees_every_training_batch_and_validation_does_not():
    toy, system = toy_system()
    sizes = []

    def shifted(obs):
        sizes.append(len(obs))
        return obs.replace("a", obs["a"] + 100.0)

    data = toy.sample(10)
    result = fit(
        system,
        data,
        epochs=1,
        batch_size=4,
        transform=shifted,
        validation=data,
        optimizer=partial(torch.optim.SGD, lr=0.0),
        **QUIET,
    )
    assert sizes == [10, 4, 4, 2]  # the check of all rows, then the batches
    assert result.history[0]["loss"] > 1000 > -result.history[0]["validation_elbo"]


def test_same_seed_same_run_and_the_callers_generator_is_left_alone():
    state = torch.get_rng_state()
    runs = []
    for seed in (3, 3, 4):
        toy, system = toy_system()
        fit(system, toy.sample(30), epochs=2, batch_size=8, seed=seed, **QUIET)
        runs.append(parameters(system))
    assert torch.equal(torch.get_rng_state(), state)
    name = next(iter(runs[0]))
    assert torch.equal(runs[0][name], runs[1][name])
    assert not torch.equal(runs[0][name], runs[2][name])


class Densities(Messenger):
    """Notes the types of draws, parameters and log-probabilities, site by site."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def _pyro_post_sample(self, msg):
        if type(msg["fn"]).__name__ == "_Subsample" or msg["value"] is None:
            return
        base = getattr(msg["fn"], "base_dist", msg["fn"])
        numbers = [v for v in vars(base).values() if isinstance(v, torch.Tensor)]
        for x in (msg["value"], msg["fn"].log_prob(msg["value"]), *numbers):
            if x.is_floating_point():
                self.found.add((msg["name"], x.dtype))


@pytest.mark.parametrize("name", sorted(systems.available()))
def test_bf16_keeps_densities_in_float32(name):
    torch.set_default_dtype(torch.float32)
    system, data = build(name), complete(16, *kinds_of(name))
    with Densities() as densities:
        result = fit(system, data, epochs=1, **{**QUIET, "precision": "bf16-mixed"})
    assert {dtype for _, dtype in densities.found} == {torch.float32}
    assert densities.found >= {(n, torch.float32) for n in targets(system)}
    assert math.isfinite(result.history[0]["loss"])
    assert all(p.dtype == torch.float32 for p in system.parameters())


def test_bf16_reaches_the_networks():
    torch.set_default_dtype(torch.float32)
    system, seen = build("mvae"), []
    layer = next(m for m in system.model.modules() if isinstance(m, torch.nn.Linear))
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    fit(system, complete(8), epochs=1, **{**QUIET, "precision": "bf16-mixed"})
    assert seen[-1] == torch.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_cuda_equals_cpu():
    toy, on_cpu = toy_system()
    _, on_cuda = toy_system()
    data = toy.mixed(6)
    frozen = partial(torch.optim.SGD, lr=0.0)
    options = {"epochs": 1, "optimizer": frozen, "precision": "64-true", "progress": False}
    fit(on_cpu, data, device="cpu", **options)
    fit(on_cuda, data, device="cuda", **options)
    assert on_cuda.device.type == "cuda"
    cpu = log_likelihood(on_cpu, data, num_samples=2000)
    cuda = log_likelihood(on_cuda, data, num_samples=2000)
    error = (cpu.standard_error**2 + cuda.standard_error.cpu() ** 2).sqrt()
    assert ((cpu.value - cuda.value.cpu()).abs() <= 4 * error + 1e-9).all()
