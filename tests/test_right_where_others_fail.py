"""What multimodal VAE libraries commonly get wrong, each as a test of every system here."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from every_system import (
    KINDS,
    SYSTEMS,
    SameNoise,
    build,
    complete,
    kinds_of,
    likelihood,
    loss_and_gradients,
    mixed,
    modality,
    summed,
    targets,
)
from torch import Tensor, nn

from ppl_mm import (
    Modality,
    Observations,
    System,
    fit,
    generate,
    likelihoods,
    log_likelihood,
    networks,
)
from ppl_mm.evaluation import elbo, predict
from ppl_mm.programs.answerable import answerable, conditioned_on

every_system = pytest.mark.parametrize("name", SYSTEMS)
several = pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "vae"])
close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)


def train(system: System, obs: Observations, **options: Any) -> Any:
    return fit(system, obs, **{"epochs": 1, "batch_size": 4, "progress": False, **options})


def flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients.values()])


# ------------------------------------------------------------------ losses of batches


@every_system
def test_batches_of_any_size_sum_to_the_whole(name: str) -> None:
    """Averages over the rows that hold a modality, batch by batch, weigh rows unequally.

    With the same noise in every row the loss is a sum over rows, so over any partition; its
    mean over random batches, times N / B, is then the whole, without bias.
    """
    system, obs = summed(build(name)), mixed(*kinds_of(name), rows_per_pattern=2)
    order = torch.randperm(len(obs))
    with SameNoise():
        loss, gradients = loss_and_gradients(system, obs)
        for size in (1, 3):
            parts = [loss_and_gradients(system, obs[rows]) for rows in order.split(size)]
            close(sum(p[0] for p in parts), loss)
            close(sum(flat(p[1]) for p in parts), flat(gradients))


@every_system
def test_a_mixed_batch_is_the_sum_of_its_patterns(name: str) -> None:
    """Batches must be grouped by pattern, or the first row's pattern is taken for all."""
    kinds = kinds_of(name)
    system, obs = summed(build(name)), mixed(*kinds, rows_per_pattern=3)
    pattern = torch.stack(list(obs.present.values()), 1).unique(dim=0, return_inverse=True)[1]
    with SameNoise():
        loss, gradients = loss_and_gradients(system, obs)
        parts = []
        for p in pattern.unique():
            rows = obs[pattern == p]
            held = [n for n in kinds if rows.present[n].any()]
            values = {n: rows[n] for n in held}
            alone = Observations(values) if held else Observations.blank(len(rows))
            parts.append(loss_and_gradients(system, alone))
    assert len(parts) == 2 ** len(kinds)
    close(sum(p[0] for p in parts), loss)
    close(sum(flat(p[1]) for p in parts), flat(gradients))


@every_system
def test_every_parameter_learns_from_a_mixed_batch(name: str) -> None:
    """A modality that is missing somewhere is left out of the loss everywhere."""
    system = build(name)
    _, gradients = loss_and_gradients(system, mixed(*kinds_of(name)))
    for parameter, gradient in gradients.items():
        assert torch.isfinite(gradient).all(), parameter
        assert gradient.any(), parameter


# ------------------------------------------------------------------ what belongs to the caller


def functions(system: System, obs: Observations, path: Path) -> dict[str, Callable[[], Any]]:
    target, rows = targets(system)[0], answerable(system.model, obs)
    return {
        "fit": lambda: train(system, obs, epochs=2, validation=obs, annealing_epochs=2),
        "log_likelihood": lambda: likelihood(system, obs, num_samples=3),
        "generate": lambda: generate(system, rows, target, 2),
        "predict": lambda: predict(system, rows, target),
        "elbo": lambda: elbo(system, obs),
        "save": lambda: system.save(path),
        "loss": lambda: system(obs),
        "check": lambda: system.check(obs),
    }


@every_system
def test_nothing_of_the_callers_is_changed(name: str, tmp_path: Path) -> None:
    """Evaluation leaves a system in eval mode, fit writes into the data or reseeds torch."""
    kinds = kinds_of(name)
    system, obs = build(name), mixed(*kinds)
    system.guide.eval()
    system.model.decoders[kinds[0]].hidden.eval()
    modes = {n: m.training for n, m in system.named_modules()}
    values = {n: x.clone() for n, x in obs.values.items()}
    masks = {n: m.clone() for n, m in obs.present.items()}
    for what, function in functions(system, obs, tmp_path / "saved").items():
        parameters = {n: p.clone() for n, p in system.state_dict().items()}
        torch.manual_seed(7)
        random = torch.get_rng_state()
        function()
        if what != "loss":
            assert torch.equal(torch.get_rng_state(), random), what
        assert {n: m.training for n, m in system.named_modules()} == modes, what
        for n in kinds:
            assert torch.equal(obs[n], values[n]), what
            assert obs.evidence[n] is obs.scored[n] is obs.source[n] is obs.present[n]
            assert torch.equal(obs.present[n], masks[n]), what
        assert torch.is_grad_enabled()
        if what != "fit":
            for n, p in system.state_dict().items():
                assert torch.equal(p, parameters[n]), (what, n)
    assert system.objective.annealing == 1.0


@every_system
def test_a_row_with_nothing_is_harmless_everywhere(name: str, tmp_path: Path) -> None:
    """An empty product divides by zero; an empty mean is NaN."""
    kinds = kinds_of(name)
    system = build(name)
    obs = mixed(*kinds, rows_per_pattern=2)
    nothing = ~torch.stack(list(obs.present.values())).any(0)
    assert nothing.any()
    result = train(system, obs, epochs=2, batch_size=2, validation=obs)
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in result.history)
    assert all(torch.isfinite(p).all() for p in system.parameters())
    for part in (obs, obs[nothing], Observations.blank(2)):
        empty = nothing if part is obs else torch.ones(len(part), dtype=torch.bool)
        assert not elbo(system, part)[empty].any()
        assert torch.isfinite(elbo(system, part)).all()
        q = system.posterior(part)
        prior = system.guide.prior().expand((int(empty.sum()),))
        close(q.mean[empty], prior.mean)
        close(q.stddev[empty], prior.stddev)
        if conditioned_on(system.model):
            with pytest.raises(ValueError, match="the model conditions on"):
                generate(system, part, targets(system), 2)
            continue
        for kind in kinds:
            draws = generate(system, part, kind, 2)[kind]
            assert draws.shape == (2, len(part), *complete(1, *kinds)[kind].shape[1:])
            assert torch.isfinite(draws).all()
            assert torch.isfinite(predict(system, part, kind)).all()
    assert torch.isfinite(likelihood(system, obs, num_samples=3).value).all()
    if not conditioned_on(system.model):
        assert not log_likelihood(system, obs, num_samples=3).value[nothing].any()


# ------------------------------------------------------------------ batch normalisation


def normalised(dims: int) -> Modality:
    """Grey pictures or numbers whose networks have batch normalisation."""
    if dims == 1:
        options = {"event_shape": (3,), "hidden": (6,), "batch_norm": True}
        encoder, decoder = (
            partial(network, **options) for network in (networks.MLPEncoder, networks.MLPDecoder)
        )
    else:
        layers = ((4, 3, 1, 1), (4, 3, 1, 1))
        encoder = partial(
            networks.ConvEncoder, event_shape=(1, 4, 4), layers=layers, hidden=(), batch_norm=True
        )
        decoder = partial(
            networks.ConvDecoder, start=(4, 4, 4), layers=((4, 3, 1, 1), (1, 3, 1, 1)),
            batch_norm=True,
        )  # fmt: skip
    return Modality("x", likelihoods.Normal(scale=0.5), encoder, decoder)


def statistics(module: nn.Module) -> dict[str, Tensor]:
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    return {n: b.clone() for n, b in module.named_buffers() if n.endswith(kinds)}


def half_present(name: str, dims: int, present: list[bool]) -> Observations:
    n = len(present)
    values = {"x": torch.randn(n, 3) if dims == 1 else torch.randn(n, 1, 4, 4)}
    if name != "vae":
        values["normal"] = torch.randn(n, 3)
    return Observations(values, {"x": torch.tensor(present)})


def with_normalised(name: str, dims: int) -> System:
    others = [] if name == "vae" else [modality("normal")]
    x = normalised(dims)
    if name in ("cvae", "cmmd"):  # their guides have no encoder, but a trunk where one is declared
        trunk = {1: networks.MLPFeatures, 2: networks.ConvFeatures}[dims]
        x = replace(x, features=partial(trunk, **x.encoder.keywords))
    return build(name, [x, *others])


@pytest.mark.parametrize("dims", [1, 2])
@every_system
def test_absent_rows_do_not_enter_running_statistics(name: str, dims: int) -> None:
    """Zeros that stand for missing pictures are counted in the batch's mean and variance."""
    system = with_normalised(name, dims).train()
    alone = copy.deepcopy(system)
    obs = half_present(name, dims, [True, False, True, True, False, False])
    before = statistics(system)
    with SameNoise():
        system(obs)
        alone(obs[obs.present["x"]])
    after, expected = statistics(system), statistics(alone)
    assert statistics(system.guide)
    assert statistics(system.model.decoders)
    for buffer, value in after.items():
        close(value, expected[buffer])
        assert not torch.equal(value, before[buffer]), buffer


@pytest.mark.filterwarnings("ignore:fit. no training row holds modality 'normal'")
@pytest.mark.parametrize("dims", [1, 2])
@every_system
def test_one_present_row_trains_under_batch_normalisation(name: str, dims: int) -> None:
    """One row has no batch statistics: torch raises, or the output is a constant."""
    system = with_normalised(name, dims).train()
    obs = half_present(name, dims, [False, True, False])
    obs = obs.only("x", *conditioned_on(system.model))
    loss, gradients = loss_and_gradients(system, obs)
    assert torch.isfinite(loss)
    assert torch.isfinite(flat(gradients)).all()
    assert all(m.training for m in system.modules())
    train(system, obs, epochs=2, batch_size=1)
    assert all(m.training for m in system.modules())


@pytest.mark.parametrize("dims", [1, 2])
@every_system
def test_evaluation_leaves_running_statistics_alone(name: str, dims: int, tmp_path: Path) -> None:
    """A pass through a system in training mode counts test rows as training rows."""
    system = with_normalised(name, dims).train()
    obs = half_present(name, dims, [True, False, True, True])
    before = statistics(system)
    for what, function in functions(system, obs, tmp_path / "saved").items():
        if what not in ("fit", "loss"):
            function()
            for buffer, value in statistics(system).items():
                assert torch.equal(value, before[buffer]), (what, buffer)


# ------------------------------------------------------------------ any given modalities


@several
def test_only_what_is_given_is_needed(name: str) -> None:
    """Generation wants a complete batch, with made-up values for what is to be generated."""
    system, obs = build(name), complete(3)
    needed = set(conditioned_on(system.model))
    for given in (("bernoulli",), ("categorical",), ("categorical", "normal"), ()):
        held = Observations({n: obs[n] for n in given}) if given else Observations.blank(3)
        one = system.posterior(held)
        other = system.posterior(obs.given(*given))
        close(one.mean, other.mean.expand_as(one.mean))
        close(one.stddev, other.stddev.expand_as(one.stddev))
        if not needed <= set(given):
            with pytest.raises(ValueError, match="the model conditions on"):
                generate(system, held, targets(system))
            continue
        with SameNoise():
            for target in targets(system):
                drawn = generate(system, held, target, 2, mean=True)[target]
                close(drawn, generate(system, obs, target, 2, given, mean=True)[target])
                close(predict(system, held, target, given), predict(system, obs, target, given))


@every_system
def test_each_row_uses_whatever_it_has(name: str) -> None:
    """Every row of a batch is taken to have the same modalities."""
    system, obs = build(name), mixed(*kinds_of(name))
    q, usable = system.posterior(obs), answerable(system.model, obs)
    for i in range(len(obs)):
        for row in (obs[i], held_by(obs[i])):
            close(system.posterior(row).mean[0], q.mean[i])
            close(system.posterior(row).stddev[0], q.stddev[i])
    with SameNoise():
        drawn = generate(system, usable, targets(system), 2, mean=True)
        for i in range(len(usable)):
            for row in (usable[i], held_by(usable[i])):
                for target, value in generate(system, row, targets(system), 2, mean=True).items():
                    close(value[:, 0], drawn[target][:, i])


def held_by(row: Observations) -> Observations:
    """A row without the modalities that it lacks."""
    values = {n: x for n, x in row.values.items() if row.present[n].item()}
    return Observations(values) if values else Observations.blank(1)


@every_system
def test_one_draw_keeps_its_dimension(name: str) -> None:
    """A single sample comes back without the dimension that two would have."""
    system, kinds = build(name), kinds_of(name)
    for rows in (1, 3):
        obs = complete(rows, *kinds)
        for num_samples in (1, 2):
            drawn = generate(system, obs, targets(system), num_samples)
            for kind in targets(system):
                assert drawn[kind].shape == (num_samples, *obs[kind].shape)
        assert likelihood(system, obs, num_samples=1).value.shape == (rows,)
        assert elbo(system, obs).shape == (rows,)


@pytest.mark.parametrize("latent_dim", [1, 3])
@every_system
def test_any_latent_size_and_batches_of_one(name: str, latent_dim: int) -> None:
    """A squeeze too many takes away a latent of size 1 or a batch of one row."""
    kinds = kinds_of(name)
    system = build(name, latent_dim=latent_dim)
    result = train(system, mixed(*kinds)[:3], batch_size=1)
    assert len(result.history) == 1
    obs = complete(1, *kinds)
    assert system.posterior(obs).mean.shape == (1, latent_dim)
    assert predict(system, obs, kinds[0]).shape == obs[kinds[0]].shape
    assert likelihood(system, obs, num_samples=2).value.shape == (1,)
    with SameNoise():
        close(system(obs), system(Observations.collate([obs, obs.only()])))


# ------------------------------------------------------------------ likelihoods


@every_system
def test_likelihoods_do_not_depend_on_the_chunk(name: str) -> None:
    """log of a mean is taken chunk by chunk and averaged, which is another, lower bound."""
    system, obs = build(name), mixed(*kinds_of(name))
    plain = [{"refine": "none", "proposal": p} for p in ("joint", "prior", "defensive")]
    for options in ({}, *plain):
        whole = likelihood(system, obs, num_samples=8, **options)
        for chunk in (2, 7):
            parts = likelihood(system, obs, num_samples=8, chunk=chunk, **options)
            close(parts.value, whole.value)
            close(parts.standard_error, whole.standard_error)
    with SameNoise():
        close(elbo(system, obs, batch_size=2), elbo(system, obs))
        obs = answerable(system.model, obs)
        close(predict(system, obs, obs.names[0], batch_size=3), predict(system, obs, obs.names[0]))


@every_system
def test_likelihoods_ignore_training_weights(name: str) -> None:
    """lambda and beta enter the reported likelihood, which is then none."""
    kinds = kinds_of(name)
    plain = build(name)
    declared = [modality(kind, weight=7.0) for kind in kinds]
    weighted = build(name, declared, beta=0.25)
    weighted.load_state_dict(plain.state_dict())
    obs = mixed(*kinds)
    with SameNoise():
        assert not torch.isclose(weighted(obs), plain(obs), rtol=0.1)
    for measure in (elbo, lambda s, o: likelihood(s, o, num_samples=5).value):
        assert torch.equal(measure(weighted, obs), measure(plain, obs))
    options = {"optimizer": partial(torch.optim.SGD, lr=0.0), "validation": obs}
    history = [train(s, obs, **options).history[0] for s in (weighted, plain)]
    assert history[0]["validation_elbo"] == history[1]["validation_elbo"]
    assert history[0]["loss"] != history[1]["loss"]


class Constant(nn.Module):
    """A decoder that ignores z: its modality's log-probability is exact for any draw."""

    def __init__(self, in_features: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.logits.expand(*z.shape[:-1], *self.logits.shape)


@every_system
def test_grey_pixels_are_refused_or_scored_as_documented(name: str) -> None:
    """Grey pixels pass as a Bernoulli's, and the score is reported as a likelihood."""
    shape = (1, 2, 2)
    decoder = partial(Constant, shape=shape)
    others = [] if name == "vae" else [modality("normal")]
    grey = Observations({"image": torch.rand(5, *shape)})
    fields = {"name": "image", "decoder": decoder, "encoder": KINDS["soft_bernoulli"].encoder}
    hard = build(name, [modality("bernoulli", **fields), *others])
    for function in (train, elbo, log_likelihood):
        with pytest.raises(ValueError, match=r"'image'.*0 or 1.*SoftBernoulli"):
            function(hard, grey)
    soft = build(name, [modality("soft_bernoulli", **fields), *others])
    given = conditioned_on(soft.model)
    obs = Observations({**grey.values, **{n: KINDS[n].draw(5) for n in given}})
    result = likelihood(soft, obs, num_samples=4, proposal="prior")
    logits = soft.model.decoders["image"].logits
    score = grey["image"] * logits - torch.log1p(logits.exp())
    close(result.value, score.sum((1, 2, 3)).detach())
    assert not result.normalised
    assert result.quantity == ("score(image | normal)" if given else "score(image)")
    assert "not a density" in str(result)


# ------------------------------------------------------------------ the user's own networks


class OwnEncoder(nn.Module):
    """One scale for all rows, as an expanded view."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, latent_dim)
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc = self.linear(x)
        return loc, self.log_scale.exp().expand_as(loc)


class OwnDecoder(nn.Linear):
    """A class that only the user's code knows."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, 3)


def own() -> Modality:
    return modality("normal", encoder=OwnEncoder, decoder=OwnDecoder)


def with_own(name: str) -> System:
    return build(name, [own()] if name == "vae" else [own(), modality("categorical")])


def own_data(name: str) -> Observations:
    return mixed(*(("normal",) if name == "vae" else ("normal", "categorical")), rows_per_pattern=2)


@pytest.mark.parametrize("name", [n for n in SYSTEMS if n not in ("cvae", "cmmd")])  # no encoders
def test_an_encoders_scale_may_be_an_expanded_view(name: str) -> None:
    """Writing zeros into the missing rows of an expanded view fails, or changes all rows."""
    system, obs = with_own(name), own_data(name)
    encoder = next(m for m in system.guide.modules() if isinstance(m, OwnEncoder))
    before = encoder.log_scale.clone()
    train(system, obs, epochs=2)
    assert torch.isfinite(encoder.log_scale).all()
    assert not torch.equal(encoder.log_scale, before)


def assert_same_system(one: System, other: System, obs: Observations) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert torch.equal(elbo(one, obs), elbo(other, obs))
    with SameNoise():
        assert torch.equal(one(obs), other(obs))


@every_system
def test_own_networks_are_saved_and_loaded(name: str, tmp_path: Path) -> None:
    """Loading wants a registry of networks, or a pickle of their code."""
    system, obs, path = with_own(name), own_data(name), tmp_path / "own.safetensors"
    train(system, obs)
    system.save(path)
    assert_same_system(System.load(path, modalities=system.modalities), system, obs)
    again = with_own(name)
    assert System.load(path, system=again) is again
    assert_same_system(again, system, obs)


@every_system
def test_the_librarys_networks_need_nothing_but_the_file(name: str, tmp_path: Path) -> None:
    """The file holds numbers alone, and the user must remember every size and option."""
    path = tmp_path / "deep" / "system.safetensors"
    kinds = kinds_of(name)
    system, obs = build(name, [modality(k, weight=2.0) for k in kinds], beta=0.5), mixed(*kinds)
    train(system, obs)
    system.save(path)
    loaded = System.load(path)
    assert_same_system(loaded, system, obs)
    assert loaded.recipe == system.recipe
    assert [m.weight for m in loaded.modalities] == [2.0] * len(kinds)
    train(loaded, obs)


@every_system
def test_a_saved_file_holds_no_code(name: str, tmp_path: Path) -> None:
    """A pickle runs what its author likes when it is read."""
    path = tmp_path / "system"
    with_own(name).save(path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    tensors = {k: v for k, v in header.items() if k != "__metadata__"}
    assert max(v["data_offsets"][1] for v in tensors.values()) == len(content) - 8 - size
    assert set(header["__metadata__"]) == {"format", "recipe", "checksum"}
    json.loads(header["__metadata__"]["recipe"])
    assert b"OwnEncoder" not in content
    assert list(tmp_path.iterdir()) == [path]  # no temporary neighbour is left


@every_system
def test_a_damaged_file_is_refused_with_its_name(name: str, tmp_path: Path) -> None:
    """A half-written file loads as garbage, or fails somewhere deep in a reader."""
    path = tmp_path / "system"
    system = build(name)
    system.save(path)
    content = path.read_bytes()
    for damaged in (b"", content[:4], content[:100], content[:-1], b"\x80\x04" + content[2:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"system: truncated, damaged, or"):
            System.load(path)
    system.save(path)  # over the damaged one
    assert_same_system(System.load(path), system, complete(2, *kinds_of(name)))


# ------------------------------------------------------------------ stopping and going on


@pytest.mark.parametrize(
    ("name", "validate"),
    [
        # The quick suite validates in every other system.
        pytest.param(name, validate, marks=() if validate == bool(i % 2) else pytest.mark.slow)
        for i, name in enumerate(SYSTEMS)
        for validate in (False, True)
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    name: str, validate: bool, tmp_path: Path
) -> None:
    """Optimiser, order of rows, noise, schedule or best state start anew after a stop."""
    kinds = kinds_of(name)
    obs = mixed(*kinds, rows_per_pattern=2)
    start = build(name)
    options = {"annealing_epochs": 3, "batch_size": 6, "clip_norm": 5.0}
    options |= {"validation": obs} if validate else {}
    whole = copy.deepcopy(start)
    expected = train(whole, obs, epochs=4, **options)

    path = tmp_path / "run.pt"
    train(copy.deepcopy(start), obs, epochs=2, checkpoint=path, **options)
    torch.manual_seed(99)
    resumed = build(name)
    result = train(resumed, obs, epochs=4, checkpoint=path, resume=True, **options)
    for parameter, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[parameter], value), parameter
        assert torch.equal(result.best_state[parameter], expected.best_state[parameter])
    assert result.best_epoch == expected.best_epoch
    for one, other in zip(result.history, expected.history, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {
            k: v for k, v in other.items() if k != "seconds"
        }


@every_system
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    """Two runs differ by the state that torch's generator happens to be in."""
    obs = mixed(*kinds_of(name))
    one = build(name)
    other, third = copy.deepcopy(one), copy.deepcopy(one)
    losses = []
    for system, before, seed in ((one, 1, 0), (other, 2, 0), (third, 1, 1)):
        torch.manual_seed(before)
        losses.append([row["loss"] for row in train(system, obs, epochs=2, seed=seed).history])
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(elbo(one, obs, seed=3), elbo(other, obs, seed=3))


@every_system
def test_every_epoch_has_noise_and_an_order_of_its_own(name: str) -> None:
    """A generator that is seeded anew each epoch repeats the first one's noise for ever."""
    still = partial(torch.optim.SGD, lr=0.0)
    result = train(build(name), mixed(*kinds_of(name)), epochs=3, optimizer=still)
    assert len({row["loss"] for row in result.history}) == 3
