"""What rows become: of the system's dtype at every door, not rounded, and never out of range."""

from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import build, complete
from own_networks import QUIET, Encoder, assert_untouched, dtypes, own, rows, state_of
from torch import Tensor, nn

from ppl_mm import Modality, Observations, System, fit, likelihoods, log_likelihood, systems
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.distributions import Decoded
from ppl_mm.evaluation import elbo
from ppl_mm.objectives import IWAE


@pytest.fixture(autouse=True)
def _as_users_have_it(_same_start: None) -> None:
    torch.set_default_dtype(torch.float32)


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


class Story(nn.Module):
    """A plain Pyro program, which decodes by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(2, 3)
        self.register_buffer("zero", torch.zeros(2))

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            z = pyro.sample("z", dist.Normal(self.zero, torch.ones(2)).to_event(1))
            x, scored = obs.filled("x")
            fn = dist.Normal(self.decoder(z), 0.5).to_event(1)
            pyro.sample("x", fn.mask(scored), obs=x)


class Sight(Encoder):
    """A guide that looks at the values by itself."""

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("z", dist.Normal(*super().forward(obs["x"])).to_event(1))


def test_programs_of_ones_own_get_rows_of_the_systems_dtype():
    obs = rows().drop("y")
    system = System(Story(), Sight(2), IWAE(2))
    fit(system, obs, epochs=1, precision="64-true", validation=obs, **QUIET)
    assert elbo(system, obs).dtype == torch.float64
    for given in (obs, obs.to(torch.float64)):
        assert log_likelihood(system, given, num_samples=3).value.isfinite().all()
        assert system(given).dtype == torch.float64
    fit(system.float(), obs.to(torch.float64), epochs=1, **QUIET)


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
        with pytest.raises(ValueError, match=f"precision='64-true', resumed with {precision!r}"):
            fit(system, obs, epochs=4, precision=precision, checkpoint=path, resume=True, **QUIET)
        assert_untouched(system, before, generator)


def test_a_resumed_run_needs_its_dtype(tmp_path):
    path = tmp_path / "run.ckpt"
    fit(own().double(), rows(), epochs=1, checkpoint=path, **QUIET)
    with pytest.raises(
        ValueError, match=r"was saved as torch\.float64, the system has torch\.float32"
    ):
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
