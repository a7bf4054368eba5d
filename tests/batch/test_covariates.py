"""Networks read covariates of the rows that they see, and no model scores them."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from pyro import poutine
from torch import nn

from ppl_mm import (
    Modality,
    Observations,
    System,
    evaluation,
    fit,
    generate,
    likelihoods,
    log_likelihood,
    networks,
    objectives,
    plotting,
    systems,
)
from ppl_mm.data import MemoryMapped, weakly_supervised
from ppl_mm.distributions import Decoded

N, D, BATCHES = 12, 3, 3
BATCH = torch.arange(N) % BATCHES


class ShiftDecoder(nn.Module):
    """z -> the first D of z, plus 100 times the row's batch; it draws nothing by itself."""

    reads_covariates = ("batch",)

    def forward(self, z, covariates):
        return z[:, :D] + 100.0 * covariates["batch"][:, None], 1.0


class ShiftEncoder(nn.Module):
    """The exact encoder of it: the values without their shift."""

    reads_covariates = ("batch",)

    def __init__(self, latent_dim):
        super().__init__()

    def forward(self, x, covariates):
        loc = (x - 100.0 * covariates["batch"][:, None]) / 2
        return loc, torch.full_like(loc, 0.5**0.5)


def shifted(name):
    return Modality(name, likelihoods.Normal(), ShiftEncoder, lambda _: ShiftDecoder())


def shifted_rows(seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(N, D, generator=generator)
    x = z + 100.0 * BATCH[:, None] + torch.randn(N, D, generator=generator)
    y = z + 100.0 * BATCH[:, None] + torch.randn(N, D, generator=generator)
    held = {"x": torch.arange(N) % 4 != 0, "y": torch.arange(N) % 3 != 1}
    return Observations({"x": x, "y": y}, held, covariates={"batch": BATCH})


WHERES = {
    "every row": torch.ones(N, dtype=torch.bool),
    "some rows": torch.arange(N) % 4 != 0,
    "some rows of strata": (torch.arange(2 * N).reshape(2, N) % 5) < 3,
    "whole strata": torch.tensor([[True], [False]]).expand(2, N),
}


@pytest.mark.parametrize("where", WHERES.values(), ids=WHERES)
@pytest.mark.parametrize("particles", [(), (4,)])
def test_a_decoder_sees_its_own_rows_covariate(where, particles):
    z, x = torch.randn(*particles, *where.shape, D), torch.randn(N, D)
    p = Decoded(
        likelihoods.Normal(), ShiftDecoder(), z, where, x.shape[1:], covariates={"batch": BATCH}
    )
    exact = torch.distributions.Normal(z + 100.0 * BATCH[:, None], 1.0).log_prob(x).sum(-1)
    torch.testing.assert_close(p.log_prob(x), torch.where(where, exact, 0.0))
    again = copy.deepcopy(p).expand((2, *p.batch_shape))
    torch.testing.assert_close(again.log_prob(x)[1], p.log_prob(x))
    assert ((p.sample() / 100).round().mean(-1) - BATCH).abs().max() < 0.5


def normal(x, mean, variance):
    return torch.distributions.Normal(mean, variance**0.5).log_prob(x).sum(-1)


def test_log_likelihood_is_exact_with_rows_in_any_order():
    obs = shifted_rows()
    system = systems.mvae([shifted("x"), shifted("y")], D)
    shift = 100.0 * BATCH[:, None]
    x, y = obs["x"] - shift, obs["y"] - shift
    one = torch.where(obs.present["x"][:, None], x, y)
    both = normal(x, 0.0, 2.0) + normal(y, x / 2, 1.5)
    exact = torch.where(obs.present["x"] & obs.present["y"], both, normal(one, 0.0, 2.0))
    exact = torch.where(obs.present["x"] | obs.present["y"], exact, 0.0)
    found = log_likelihood(system, obs, num_samples=400)
    torch.testing.assert_close(found.value.double(), exact.double(), atol=0.2, rtol=0)
    order = torch.randperm(N)
    again = log_likelihood(system, obs[order], num_samples=400).value
    torch.testing.assert_close(again, found.value[order], atol=1e-4, rtol=0)


def test_draws_with_another_batch_are_the_same_rows_there():
    obs = shifted_rows()
    system = systems.mvae([shifted("x"), shifted("y")], D)
    everywhere = torch.full_like(BATCH, 2)
    latents = system.posterior(obs).mean.detach()
    there = obs.drop("x", "y").with_covariates({"batch": everywhere})
    model = poutine.condition(system.model, data={"z": latents})
    drawn = poutine.trace(model).get_trace(there).nodes["x"]["value"]
    assert ((drawn - latents - 200.0).abs() < 6).all()
    blank = Observations.blank(2).with_covariates({"batch": torch.tensor([0, 1])})
    prior = generate(system, blank, "x", num_samples=50, seed=1)["x"]
    assert ((prior.mean((0, 2)) - torch.tensor([0.0, 100.0])).abs() < 1).all()


NETWORKS = {
    "counts": (networks.CountsEncoder, networks.CountsDecoder, likelihoods.NegativeBinomial),
    "mlp": (networks.MLPEncoder, networks.MLPDecoder, partial(likelihoods.Normal, 1.0)),
}


def declared(kind, **more):
    encoder, decoder, likelihood = NETWORKS[kind]
    options = {"event_shape": (D,), "hidden": (4,), "covariates": {"batch": BATCHES, "age": 1}}
    return [
        Modality(
            name,
            likelihood(),
            encoder=partial(encoder, **options),
            decoder=partial(decoder, **options),
            **more,
        )
        for name in ("rna", "protein")
    ]


def cells():
    torch.manual_seed(0)
    values = {n: torch.poisson(5 * torch.ones(N, D)) for n in ("rna", "protein")}
    held = {"protein": torch.arange(N) % 3 != 0}
    return Observations(values, held, covariates={"batch": BATCH, "age": torch.randn(N, 1)})


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    "make", [systems.mvae, systems.mopoe, systems.jmvae], ids=lambda make: make.__name__
)
def test_trains_and_answers_and_comes_back_from_a_file(kind, make, tmp_path):
    obs, system = cells(), make(declared(kind), 2)
    fit(system, obs, epochs=2, batch_size=5, progress=False)
    value = log_likelihood(system, obs, num_samples=20).value
    assert value.isfinite().all()
    other = obs.with_covariates({"batch": (BATCH + 1) % BATCHES})
    assert not torch.equal(log_likelihood(system, other, num_samples=20).value, value)
    drawn = generate(system, obs.only("rna"), ["protein"], num_samples=3)["protein"]
    assert drawn.shape == (3, N, D)
    filled = evaluation.impute(system, obs, num_draws=5)
    assert filled.mean["protein"].isfinite().all()
    system.save(tmp_path / "system.safetensors")
    again = System.load(tmp_path / "system.safetensors")
    assert torch.equal(log_likelihood(again, obs, num_samples=20).value, value)


def test_joint_networks_give_their_trunks_what_they_read():
    modalities = declared("mlp")
    features = partial(networks.MLPFeatures, event_shape=(D,), hidden=(4,))
    reads = partial(features, covariates={"batch": BATCHES})
    with_features = [
        Modality(m.name, m.likelihood, m.encoder, m.decoder, features=f)
        for m, f in zip(modalities, (reads, features), strict=True)
    ]
    system, obs = systems.jmvae(with_features, 2), cells()
    fit(system, obs, epochs=1, batch_size=6, progress=False)
    other = obs.with_covariates({"batch": (BATCH + 1) % BATCHES})
    whole = obs.present["protein"]
    moved = (system.posterior(obs).mean - system.posterior(other).mean).abs().sum(-1)
    assert (moved[whole] > 0).all()


def test_rows_carry_their_covariates():
    obs = shifted_rows()
    for rows in (
        obs.only("x"),
        obs.without("x"),
        obs.given("y"),
        obs.drop("x", "y"),
        obs.scoring(),
    ):
        assert torch.equal(rows.covariates["batch"], BATCH)
    order = torch.randperm(N)
    assert torch.equal(obs[order].covariates["batch"], BATCH[order])
    joined = Observations.collate([obs[:2], obs[5:]])
    assert torch.equal(joined.covariates["batch"], torch.cat([BATCH[:2], BATCH[5:]]))
    apart = weakly_supervised(obs, 0.0)
    shift = (apart["x"][apart.present["x"]].mean(-1) / 100).round()
    assert torch.equal(shift, apart.covariates["batch"][apart.present["x"]].to(shift))
    stored = MemoryMapped({"x": obs["x"].numpy()}).with_covariates(obs.covariates)
    assert torch.equal(stored[order].in_memory().covariates["batch"], BATCH[order])
    terms = obs.terms([objectives.Term(("x",), ("y",))])
    assert torch.equal(terms.covariates["batch"], BATCH)


def test_a_missing_or_wrong_covariate_is_refused_by_name():
    obs = cells()
    system = systems.mvae(declared("counts"), 2)
    bare = Observations(obs.values, obs.present)
    for ask in (system.check, partial(fit, system, epochs=1), partial(log_likelihood, system)):
        with pytest.raises(ValueError, match=r"covariate 'batch': Counts.* none is given"):
            ask(bare)
    with pytest.raises(ValueError, match="classes 0 to 2, got 3"):
        system.check(obs.with_covariates({"batch": torch.full((N,), 3)}))
    with pytest.raises(TypeError, match="expected integers from 0 to 2"):
        system.check(obs.with_covariates({"batch": BATCH.float()}))
    with pytest.raises(ValueError, match="reads 1 columns, got 2"):
        system.check(obs.with_covariates({"age": torch.zeros(N, 2)}))
    with pytest.raises(ValueError, match=r"'age': row 1 holds NaN"):
        obs.with_covariates({"age": torch.tensor([0.0, float("nan")] * (N // 2))})
    with pytest.raises(ValueError, match="a modality has this name"):
        obs.with_covariates({"rna": BATCH})
    with pytest.raises(ValueError, match=r"\(N, C\) with N = 12, got \(3,\)"):
        obs.with_covariates({"batch": BATCH[:3]})
    with pytest.raises(ValueError, match="'batch': some of the batches to join lack it"):
        Observations.collate([obs, bare])
    with pytest.raises(ValueError, match=r"'batch': .* none is given"):
        generate(system, Observations.blank(2), "rna", num_samples=1)


def test_draws_without_rows_have_zeros_for_covariates_whose_sizes_are_named():
    system = systems.meme(declared("mlp"), 2, num_pseudo_inputs=4)
    kept = system.model.prior.inputs["rna"].covariates["batch"]
    torch.testing.assert_close(kept, torch.zeros(4, BATCHES))
    fit(system, cells(), epochs=1, progress=False)
    first, second = declared("mlp")
    own = replace(first, decoder=lambda in_features: ShiftDecoder())
    wrong = r"'batch': ShiftDecoder reads it, and those given are 'age'"
    with pytest.raises(ValueError, match=wrong):
        systems.meme([own, second], 2)


def test_pictures_of_the_prior_take_the_covariates_of_rows():
    system = systems.mvae(declared("counts"), 2)
    figure = plotting.prior_samples(system, like=cells(), num_samples=4, columns=2)
    assert figure.axes
    with pytest.raises(ValueError, match=r"'batch': .* none is given"):
        plotting.prior_samples(system, num_samples=4)
