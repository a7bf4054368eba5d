"""Networks of counts: totals, dispersions, what each likelihood is given, and draws."""

from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch

from ppl_mm import Modality, Observations, fit, generate, likelihoods, log_likelihood, systems
from ppl_mm.networks import CountsDecoder, CountsEncoder, CountsFeatures
from ppl_mm.networks.recipe import describe

close = torch.testing.assert_close
G = 5


def counts(n: int) -> torch.Tensor:
    return torch.poisson(torch.rand(n, G) * torch.tensor([[3.0], [40.0]]).repeat(n, 1)[:n])


def test_features_do_not_change_when_a_row_is_counted_twice_but_for_its_total() -> None:
    features = CountsFeatures(event_shape=(G,), hidden=())
    x = counts(6) + 1.0
    once, twice = features(x), features(2 * x)
    close(once[:, :G], twice[:, :G])
    close(once[:, G], torch.log1p(x.sum(-1)))
    close(once[:, :G].expm1().sum(-1), torch.full((6,), 1e4))
    assert torch.isfinite(features(torch.zeros(2, G))).all()
    close(features(x.long()), once)


@pytest.mark.parametrize("own_total", [True, False])
@pytest.mark.parametrize("dispersion", ["element", "row"])
@pytest.mark.parametrize(
    ("likelihood", "used"),
    [
        ("poisson", likelihoods.Poisson()),
        ("negative_binomial", likelihoods.NegativeBinomial()),
        ("zero_inflated", likelihoods.ZeroInflatedNegativeBinomial()),
    ],
)
def test_means_add_up_to_the_total_of_the_row(likelihood, used, dispersion, own_total) -> None:
    decoder = CountsDecoder(
        3, event_shape=(G,), likelihood=likelihood, dispersion=dispersion, own_total=own_total
    )
    z, x = torch.randn(4, 3), counts(4)
    output = decoder(z, x) if own_total else decoder(z)
    p = used(tuple(t.expand(4, G) for t in output) if isinstance(output, tuple) else output)
    mean = p.mean
    if likelihood == "zero_inflated":
        mean = mean / torch.sigmoid(-output[2])
    total = x.sum(-1).clamp(min=1.0) if own_total else torch.full((4,), 1e4)
    close(mean.sum(-1), total)
    close(p.variance >= p.mean * (1 - 1e-12), torch.ones(4, G, dtype=torch.bool))


def test_the_log_likelihood_is_scipys() -> None:
    decoder = CountsDecoder(2, event_shape=(G,), hidden=(4,))
    torch.nn.init.normal_(decoder.dispersion)
    z, x = torch.randn(3, 2), counts(3)
    r, logits = (t.detach().numpy() for t in decoder(z, x))
    raw = decoder.output(decoder.hidden(z)).softmax(-1).detach().numpy()
    mean = raw * x.sum(-1, keepdim=True).numpy()
    exact = scipy.stats.nbinom.logpmf(x.numpy(), r, r / (r + mean)).sum(-1)
    found = likelihoods.NegativeBinomial()(decoder(z, x)).log_prob(x)
    np.testing.assert_allclose(found.detach().numpy(), exact, rtol=1e-5)
    np.testing.assert_allclose(r * np.exp(logits), mean, rtol=1e-5)


def test_an_impossible_total_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a total above 0, got 0"):
        CountsDecoder(2, event_shape=(G,), total=0.0)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "zero_inflated"])
def test_draws_have_the_typical_total(likelihood) -> None:
    decoder = CountsDecoder(2, event_shape=(G,), likelihood=likelihood, total=50.0)
    draws = decoder.sample(torch.zeros(4000, 2))
    assert draws.shape == (4000, G)
    assert torch.equal(draws, draws.floor())
    output = decoder(torch.zeros(2))
    gate = torch.sigmoid(-output[2]) if likelihood == "zero_inflated" else torch.ones(())
    total = draws.sum(-1)
    error = total.std() / 4000**0.5
    expected = decoder(torch.zeros(2)) if likelihood == "poisson" else output[0].log() + output[1]
    assert abs(total.mean() - (expected.exp() * gate).sum()) < 4 * error


@pytest.mark.filterwarnings("ignore::ppl_mm.results.unreliable.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("name", ["mvae", "mopoe", "mmvae_plus", "jmvae", "cmmd"])
def test_systems_train_score_and_generate_cells_with_their_own_totals(name, tmp_path) -> None:
    def modality(which: str, size: int, likelihood, kind: str) -> Modality:
        networks_of = {"event_shape": (size,), "hidden": (8,)}
        return Modality(
            which,
            likelihood,
            encoder=partial(CountsEncoder, **networks_of),
            decoder=partial(CountsDecoder, **networks_of, likelihood=kind, total=30.0),
        )

    rna = modality("rna", 6, likelihoods.ZeroInflatedNegativeBinomial(), "zero_inflated")
    protein = modality("protein", 3, likelihoods.NegativeBinomial(), "negative_binomial")
    options = {"observed": ("protein",), "label": None} if name == "cmmd" else {}
    system = systems.build(name, [rna, protein], 2, **options)
    values = {"rna": torch.poisson(torch.ones(12, 6)), "protein": torch.poisson(torch.ones(12, 3))}
    present = {"rna": torch.arange(12) % 3 != 0}
    obs = Observations(values, present)
    fit(system, obs, epochs=1, batch_size=6, progress=False)
    result = log_likelihood(system, obs, "rna", ["protein"], num_samples=30, refine="laplace")
    assert torch.isfinite(result.value).all()
    drawn = generate(system, obs, ["rna"], given=["protein"], num_samples=2)["rna"]
    assert drawn.shape == (2, 12, 6)
    assert (drawn >= 0).all()
    system.save(tmp_path / "cells")
    again = type(system).load(tmp_path / "cells")
    same = log_likelihood(again, obs, "rna", ["protein"], num_samples=30, refine="laplace")
    assert torch.equal(same.value, result.value)


def test_networks_of_counts_have_recipes() -> None:
    made = partial(CountsDecoder, event_shape=(G,), likelihood="poisson", total=3.0)
    assert describe(made)["network"] == "CountsDecoder"


def test_totals_are_of_the_elements_that_are_observed() -> None:
    decoder = CountsDecoder(2, event_shape=(5,), hidden=(4,), likelihood="poisson")
    z, counts = torch.randn(3, 2), torch.poisson(torch.full((3, 5), 4.0))
    held = torch.tensor([[True, True, False, True, False], [True] * 5, [False, True] * 2 + [True]])
    counts = counts.masked_fill(~held, 0.0)
    mean = decoder(z, counts, held).exp()
    torch.testing.assert_close((mean * held).sum(1), counts.sum(1))
    whole = decoder(z, counts)
    assert torch.equal(decoder(z, counts, held)[1], whole[1]), "a whole row is as ever, bit by bit"
    ratio = mean / whole.exp()  # proportions among the observed are those of all
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))


def test_rows_that_miss_elements_train_a_decoder_of_own_totals() -> None:
    counts = torch.poisson(torch.full((12, 5), 4.0))
    held = torch.rand(12, 5) < 0.7
    held[:, 0] = True
    modality = Modality(
        "rna",
        likelihoods.Poisson(),
        lambda size: CountsEncoder(size, event_shape=(5,), hidden=(4,)),
        lambda size: CountsDecoder(size, event_shape=(5,), hidden=(4,), likelihood="poisson"),
    )
    system = systems.vae([modality], 2)
    losses = []
    for junk in (0.0, torch.nan):
        obs = Observations({"rna": counts.masked_fill(~held, junk)}, elements={"rna": held})
        system.check(obs)
        torch.manual_seed(0)
        losses.append(system(obs))
    assert torch.isfinite(losses[0])
    assert torch.equal(*losses)
