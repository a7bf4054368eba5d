"""What a system computes in: precisions of training, data of any dtype, and the way back."""

import copy

import pytest
import torch
from every_system import SYSTEMS, build, kinds_of, likelihood, mixed, targets
from own_networks import QUIET, assert_untouched, dtypes, own, rows, state_of

from ppl_mm import (
    Observations,
    fit,
    generate,
    log_likelihood,
)
from ppl_mm.batch.rows import default_dtype
from ppl_mm.evaluation import accuracy, calibration, elbo, predict, rmse
from ppl_mm.programs.answerable import answerable
from ppl_mm.training import DivergedError

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@pytest.fixture(autouse=True)
def _as_users_have_it(_same_start: None) -> None:
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", FLOATS)
@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_networks_of_ones_own_train_on_any_floats(precision, data, dtype):
    system, obs = own().to(dtype), rows(data)
    if dtype in (torch.float16, torch.bfloat16) and precision != "64-true":
        with pytest.raises(ValueError, match="has 16 bits"):
            fit(system, obs, epochs=1, precision=precision, **QUIET)
        assert dtypes(system) == {dtype}
        return
    result = fit(system, obs, epochs=2, batch_size=5, precision=precision, validation=obs, **QUIET)
    assert dtypes(system) == {torch.float64 if precision == "64-true" else dtype}
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in result.history)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("name", SYSTEMS)
def test_64_true_is_training_a_system_of_float64(name):
    obs = mixed(*kinds_of(name))
    one = build(name)
    other = copy.deepcopy(one).double()
    found = fit(one, obs, epochs=2, batch_size=5, precision="64-true", **QUIET)
    with default_dtype(torch.float64):
        expected = fit(other, obs.to(torch.float64), epochs=2, batch_size=5, **QUIET)
    for a, b in zip(found.history, expected.history, strict=True):
        assert a["loss"] == b["loss"]
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_number_has_torchs_default_dtype_in_place_of_the_systems(name):
    system, kinds = build(name).double(), kinds_of(name)
    obs = mixed(*kinds).to(torch.float64)
    losses = []
    for default in (torch.float32, torch.float64):
        with default_dtype(default):
            torch.manual_seed(4)
            losses.append(system(obs))
    assert losses[0].dtype == losses[1].dtype == torch.float64
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-13, atol=0)


FEW = ("cmmd", "jmvae_zero", "meme", "mmvae_plus", "mvae", "vaevae")  # of each kind of network


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_measures_take_rows_of_another_dtype(name, dtype):
    system, obs = build(name), mixed(*kinds_of(name))[::2]
    system.to(dtype)
    held = answerable(system.model, obs)
    wide = torch.promote_types(dtype, torch.float32)
    for given in (obs, obs.to(torch.float64)):
        value = elbo(system, given)
        assert value.dtype == wide
        assert value.isfinite().all()
        assert torch.equal(value, elbo(system, obs.to(wide)))
    assert system(obs).dtype == wide
    assert system.posterior(obs).mean.dtype == wide
    assert likelihood(system, obs, num_samples=3).value.isfinite().all()
    drawn = generate(system, held, targets(system), 2)
    assert {x.dtype for x in drawn.values() if x.is_floating_point()} <= {wide}


def test_every_door_after_64_true():
    system, obs = own(), rows()
    fit(system, obs, epochs=1, precision="64-true", **QUIET)
    exact = obs.to(torch.float64)
    asked = (
        lambda o: elbo(system, o),
        lambda o: log_likelihood(system, o, "x", "y", num_samples=5).value,
        lambda o: log_likelihood(system, o, num_samples=5, proposal="prior").value,
        lambda o: generate(system, o, ["x"], 2)["x"],
        lambda o: predict(system, o, "y", "x"),
        lambda o: torch.tensor(accuracy(system, o, "y")),
        lambda o: torch.tensor(calibration(system, o, "y", num_samples=3).nll().value),
        lambda o: torch.tensor(rmse(system, o, "x").value),
        lambda o: system.posterior(o).mean,
        lambda o: system(o.only("y")),
    )
    for ask in asked:
        torch.manual_seed(0)
        found = ask(obs)
        torch.manual_seed(0)
        torch.testing.assert_close(found, ask(exact), rtol=1e-12, atol=0)


# ------------------------------------------------------------------ refused, and undone


@pytest.mark.parametrize(
    ("precision", "match"),
    [
        ("16-true", "'16-true'.*lose the small steps.*32-true, 64-true, bf16-mixed, 16-mixed"),
        ("bf16-true", "'bf16-true'.*lose the small steps.*'bf16-mixed'"),
        ("transformer-engine", "replaces linear layers"),
        ("transformer-engine-float16", "replaces linear layers"),
        ("16-mixed", "needs a CUDA device"),
        ("64_true", "unknown precision '64_true'; known: 32-true, .*Did you mean '64-true'"),
        ("double", "unknown precision 'double'; known: 32-true, 64-true, bf16-mixed, 16-mixed"),
        (64, "precision: expected a string, got 64"),
        (None, "precision: expected a string, got None"),
    ],
)
def test_other_precisions_are_refused_before_anything_changes(precision, match):
    system, obs = own(), rows()
    before, generator = state_of(system), torch.get_rng_state()
    error = ValueError if isinstance(precision, str) else TypeError
    with pytest.raises(error, match=match):
        fit(system, obs, epochs=1, precision=precision, **QUIET)
    assert_untouched(system, before, generator)


class Broken(Exception):
    pass


def failing(after: int, error: type[BaseException]):
    """A transform that gives up after so many calls."""
    left = iter(range(after))

    def transform(obs: Observations) -> Observations:
        if next(left, None) is None:
            raise error("enough")
        return obs

    return transform


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt])
def test_an_error_before_the_first_step_leaves_a_system_as_it_was(dtype, error):
    system, obs = own().to(dtype), rows()
    for p in system.parameters():
        p.grad = torch.ones_like(p)
    parameters = list(system.parameters())
    before, generator = state_of(system), torch.get_rng_state()
    for calls in (0, 1):  # in the check, and in the first step
        with pytest.raises(error):
            fit(
                system, obs, epochs=1, precision="64-true", transform=failing(calls, error),
                **QUIET,
            )  # fmt: skip
        assert_untouched(system, before, generator)
    assert all(p is q for p, q in zip(parameters, system.parameters(), strict=True))
    assert all(p.grad is None or p.grad.dtype == dtype for p in system.parameters())


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt, DivergedError])
def test_an_error_in_training_leaves_a_system_in_its_own_dtype(error):
    system, obs = own(), rows()
    before = state_of(system)
    options = {"transform": failing(4, error)}
    if error is DivergedError:
        options = {"optimizer": lambda p: torch.optim.SGD(p, lr=1e30)}
    with pytest.raises(error):
        fit(system, obs, epochs=9, batch_size=4, precision="64-true", **options, **QUIET)
    assert dtypes(system) == {torch.float32}
    if error is DivergedError:  # back after no epoch at all
        assert all(torch.equal(x, before[name]) for name, x in system.state_dict().items())
    else:  # trained so far
        assert any(not torch.equal(x, before[name]) for name, x in system.state_dict().items())
    assert elbo(system, obs).isfinite().all()
    system(obs).backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in system.parameters())
    fit(system, obs, epochs=1, **QUIET)


def test_a_frozen_network_of_16_bits_may_stay():
    system = own()
    system.guide.encoders["y"].to(torch.bfloat16).requires_grad_(False)
    fit(system, rows(), epochs=1, **QUIET)
    assert dtypes(system) == {torch.float32, torch.bfloat16}
    with pytest.raises(Broken):
        fit(system, rows(), epochs=1, precision="64-true", transform=failing(1, Broken), **QUIET)
    assert system.guide.encoders["y"].weight.dtype == torch.bfloat16
    assert elbo(system, rows()).isfinite().all()
