"""What a system computes in: precisions of training, data of any dtype, and the way back."""

import copy
from pathlib import Path

import pyro
import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of, likelihood, mixed, targets
from torch import Tensor, nn

from ppl_mm import (
    Modality,
    Observations,
    System,
    fit,
    generate,
    likelihoods,
    log_likelihood,
    systems,
)
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.batch.rows import default_dtype
from ppl_mm.distributions import Decoded
from ppl_mm.evaluation import accuracy, calibration, elbo, predict, rmse
from ppl_mm.programs.conditioned import answerable
from ppl_mm.training import DivergedError

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
QUIET = {"progress": False, "device": "cpu"}


@pytest.fixture(autouse=True)
def _as_users_have_it(_same_start: None) -> None:
    torch.set_default_dtype(torch.float32)


class Encoder(nn.Module):
    """The user's own: it converts nothing, and makes tensors of torch's default dtype."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2 * latent_dim)
        self.norm = nn.BatchNorm1d(2 * latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, raw = self.norm(self.linear(x)).chunk(2, -1)
        return loc @ torch.eye(2), raw.exp()


class Classifier(nn.Embedding):
    def __init__(self, latent_dim: int) -> None:
        super().__init__(3, 2 * latent_dim)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        loc, raw = super().forward(y).chunk(2, -1)
        return loc, raw.exp()


def own(**options: object) -> System:
    """Numbers and a class, with networks of the user's own."""
    torch.manual_seed(1)
    return systems.mvae(
        [
            Modality("x", likelihoods.Normal(0.5), Encoder, lambda size: nn.Linear(size, 3)),
            Modality("y", likelihoods.Categorical(), Classifier, lambda size: nn.Linear(size, 3)),
        ],
        2,
        **options,
    )


def rows(dtype: torch.dtype = torch.float32) -> Observations:
    torch.manual_seed(2)
    present = {"x": torch.arange(12) % 4 > 0, "y": torch.arange(12) % 3 > 0}
    return Observations({"x": torch.randn(12, 3).to(dtype), "y": torch.randint(3, (12,))}, present)


def dtypes(system: nn.Module) -> set[torch.dtype]:
    tensors = (*system.parameters(), *system.buffers())
    return {x.dtype for x in tensors if x.is_floating_point()}


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
    system, obs = build(name), mixed(*kinds_of(name))
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


def state_of(system: System) -> dict[str, Tensor]:
    return {name: x.detach().clone() for name, x in system.state_dict().items()}


def assert_untouched(system: System, before: dict[str, Tensor], generator: Tensor) -> None:
    after = system.state_dict()
    assert after.keys() == before.keys()
    for name, x in before.items():
        assert after[name].dtype == x.dtype
        assert torch.equal(after[name], x), name
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_default_dtype() == torch.float32
    assert not pyro.get_param_store().keys()
    assert system.training


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
        (64, "unknown precision 64"),
        (None, "unknown precision None"),
    ],
)
def test_other_precisions_are_refused_before_anything_changes(precision, match):
    system, obs = own(), rows()
    before, generator = state_of(system), torch.get_rng_state()
    with pytest.raises(ValueError, match=match):
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


# ------------------------------------------------------------------ what data become


def test_rows_that_are_there_are_not_copied():
    system, obs = own(), rows()
    assert obs.to(system)["x"] is obs["x"]
    assert obs.to(system)["y"] is obs["y"]
    assert obs.to(system.double())["x"].dtype == torch.float64
    assert obs.to(system)["y"] is obs["y"]
    assert obs.to(system.to(torch.bfloat16))["x"].dtype == torch.float32  # data are not rounded
    assert obs.to(nn.Identity())["x"] is obs["x"]


@pytest.mark.parametrize("mapped", [False, True])
def test_values_beyond_the_systems_range_are_refused(mapped):
    values = torch.full((4, 3), 1e39, dtype=torch.float64)
    obs = Observations({"x": values})
    if mapped:
        obs = MemoryMapped({"x": values.numpy()}, convert={"x": lambda x: x})
    system = own()
    for ask in (
        lambda: elbo(system, obs),
        lambda: system(obs.to(system)[:]),
        lambda: fit(system, obs.only("x"), epochs=1, **QUIET),
    ):
        with pytest.raises(ValueError, match=r"'x': values of up to 1e\+39 .* torch\.float32"):
            ask()
    assert elbo(system.double(), obs).isfinite().all()


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_mapped_rows_follow_the_systems_dtype(precision):
    system = own()
    obs = MemoryMapped({n: x.numpy() for n, x in rows().values.items()}, rows().present)
    fit(system, obs, epochs=2, batch_size=5, precision=precision, **QUIET)
    assert elbo(system, obs).dtype == system.dtype


def test_counts_are_not_rounded_under_mixed_precision(monkeypatch):
    class Centred(Encoder):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward((x - 275.0) / 20.0)

    system = systems.vae(
        [Modality("x", likelihoods.Poisson(), Centred, lambda size: nn.Linear(size, 3))], 2
    )
    counts = torch.arange(257.0, 293.0).reshape(12, 3)  # bfloat16 has every other of them
    seen = []
    scored = Decoded.log_prob
    monkeypatch.setattr(Decoded, "log_prob", lambda p, x: seen.append(x) or scored(p, x))
    fit(
        system, Observations({"x": counts}), epochs=1, batch_size=12,
        precision="bf16-mixed", transform=lambda obs: obs, **QUIET,
    )  # fmt: skip
    assert seen
    for x in seen:
        assert x.dtype == torch.float32
        assert set(x.flatten().tolist()) <= set(counts.flatten().tolist())


def test_transformed_rows_follow_the_systems_dtype():
    system = own()

    def transform(obs: Observations) -> Observations:
        return obs.replace("x", obs["x"].to(torch.float64) / 3)

    result = fit(system, rows(), epochs=1, transform=transform, **QUIET)
    assert dtypes(system) == {torch.float32}
    assert result.best_state["model.decoders.x.weight"].dtype == torch.float32


# ------------------------------------------------------------------ files


@pytest.fixture
def started(tmp_path) -> tuple[System, Path]:
    system, path = own(), tmp_path / "run.ckpt"
    fit(system, rows(), epochs=2, precision="64-true", checkpoint=path, **QUIET)
    return system, path


def test_a_resumed_run_of_64_bits_is_one_that_was_never_stopped(started):
    _, path = started
    one, whole = own(), own()
    found = fit(one, rows(), epochs=4, precision="64-true", checkpoint=path, resume=True, **QUIET)
    expected = fit(whole, rows(), epochs=4, precision="64-true", **QUIET)
    assert [r["loss"] for r in found.history] == [r["loss"] for r in expected.history]
    for name, x in whole.state_dict().items():
        assert torch.equal(one.state_dict()[name], x)


def test_a_resumed_run_needs_its_precision(started):
    _, path = started
    system, obs = own(), rows()
    before, generator = state_of(system), torch.get_rng_state()
    for precision in ("32-true", "bf16-mixed"):
        with pytest.raises(ValueError, match=f"precision=64-true, resumed with {precision}"):
            fit(system, obs, epochs=4, precision=precision, checkpoint=path, resume=True, **QUIET)
        assert_untouched(system, before, generator)


def test_a_resumed_run_needs_its_dtype(tmp_path):
    path = tmp_path / "run.ckpt"
    fit(own().double(), rows(), epochs=1, checkpoint=path, **QUIET)
    content = torch.load(path)
    del content["setting"]["precision"], content["loss_scale"]  # as files were before
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"saved as torch\.float64, the system has torch\.float32"):
        fit(own(), rows(), epochs=2, checkpoint=path, resume=True, **QUIET)
    fit(own().double(), rows(), epochs=2, checkpoint=path, resume=True, **QUIET)


def test_a_saved_system_of_float64_is_loaded_as_one(tmp_path):
    obs = complete(6)
    system = build("mvae")
    fit(system, obs, epochs=1, precision="64-true", **QUIET)
    system.save(tmp_path / "system.safetensors")
    again = System.load(tmp_path / "system.safetensors")
    assert dtypes(again) == {torch.float64}
    assert torch.equal(elbo(again, obs), elbo(system, obs))
