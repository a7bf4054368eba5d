"""What rows lack and where they lie, against the linear-Gaussian model's own answers."""

import math

import pytest
import torch
from elements import Exact, ExactOfElements, OwnModel, holed
from every_system import SYSTEMS, build, complete, kinds_of, modality
from linear_gaussian import LinearGaussian
from torch import Tensor

from ppl_mm import Modality, Observations, System, embed, guides, impute, likelihoods, objectives
from ppl_mm.networks import CountsDecoder, CountsEncoder
from ppl_mm.programs.answerable import answerable, conditioned_on

K = 3000


def toy() -> LinearGaussian:
    return LinearGaussian()


def system_of(kind: str) -> System:
    """The model under its exact posterior, or under encoders that take zeros for data."""
    found = toy()
    if kind == "amortised":
        return found.system(guides.ProductOfExperts(found.modalities, found.latent_dim))
    if kind == "mixture":
        return found.system(guides.MixtureOfExperts(found.modalities, found.latent_dim))
    model = OwnModel(found) if kind == "own" else found.model()
    return System(model, ExactOfElements(found), objectives.IWAE())


def side_by_side(values: dict[str, Tensor], dim: int = -1) -> Tensor:
    return torch.cat([values[n] for n in ("a", "b", "c")], dim).double()


@pytest.mark.parametrize(
    ("kind", "refine"),
    [("exact", "none"), ("own", "none"), ("amortised", "auto"), ("mixture", "auto")],
)
def test_what_is_missing_has_its_conditional_given_the_rest(kind: str, refine: str) -> None:
    obs = holed(toy().sample(12))
    exact = Exact(toy(), obs)
    found = impute(system_of(kind), obs, num_draws=K, refine=refine, level=0.9)
    draws, mean = side_by_side(found.draws), side_by_side(found.mean)
    low, high = side_by_side(found.low), side_by_side(found.high)
    independent = K if refine == "none" else K / 2  # draws chosen among ten times as many
    for row in range(len(obs)):
        loc, covariance, missing = exact.conditional(row)
        size = int(missing.sum())
        if not size:
            continue
        own = draws[:, row, missing]
        scale = covariance.diagonal().sqrt()
        error = scale / math.sqrt(independent)
        assert ((mean[row, missing] - loc).abs() < 4.5 * error).all()
        assert ((own.mean(0) - loc).abs() < 4.5 * error).all()
        spread = (scale[:, None] * scale) * math.sqrt(2 / independent)
        assert ((torch.cov(own.T).reshape(size, size) - covariance).abs() < 5 * spread).all()
        for end, sign in ((low, -1), (high, 1)):  # 1.645 deviations, whose density there is .103
            quantile = math.sqrt(0.05 * 0.95 / independent) / 0.103 * scale
            away = end[row, missing] - (loc + sign * 1.6449 * scale)
            assert (away.abs() < 4.5 * quantile).all()


def test_what_is_observed_is_unchanged() -> None:
    obs = holed(toy().sample(9))
    found = impute(system_of("exact"), obs, num_draws=5, refine="none")
    for name in obs.names:
        held = found.observed[name]
        rows = obs.present[name][:, None]
        assert torch.equal(held, rows & obs.elements.get(name, torch.ones_like(held)))
        for values in (found.mean, found.low, found.high, *([d] for d in ())):
            assert torch.equal(values[name][held], obs[name][held])
        assert (found.draws[name][:, held] == obs[name][held]).all()
        assert (found.draws[name][:, ~held].std(0) > 0).all()


def test_a_frame_has_the_names_of_columns_and_rows() -> None:
    obs = holed(toy().sample(4))
    found = impute(system_of("exact"), obs, num_draws=5, refine="none", keep_draws=False)
    assert found.draws == {}
    frame = found.to_frame()
    assert list(frame.columns[:3]) == ["a[0]", "a[1]", "a[2]"]
    assert frame.columns[-1] == "c"
    named = found.to_frame("low", {"a": ["x", "y", "z"]}, index=["i", "j", "k", "l"])
    assert list(named.columns[:4]) == ["x", "y", "z", "b[0]"]
    assert named.loc["j", "y"] == found.low["a"][1, 1].item()
    with pytest.raises(ValueError, match=r"'a': expected 3 names of columns, .* got 2"):
        found.to_frame(columns={"a": ["x", "y"]})


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_fills_in_and_embeds(name: str) -> None:
    system = build(name)
    rows = complete(6, *kinds_of(name))
    fixed = conditioned_on(system.model)
    masks = {n: torch.rand(x.shape) < 0.6 for n, x in rows.values.items() if x.dim() > 1}
    for n in masks:
        masks[n].view(6, -1)[:, 0] = True
    present = {n: torch.arange(6) != 2 for n in rows.names if n not in fixed}
    obs = answerable(system.model, Observations(rows.values, present, masks))
    found = impute(system, obs, num_draws=20, seed=3)
    assert set(found.names) == set(rows.names) - set(fixed)
    for n, x in found.mean.items():
        assert x.shape == obs[n].shape
        assert x.isfinite().all()
        held = found.observed[n]
        assert torch.equal(x[held], obs[n].to(x.dtype)[held])
    again = impute(system, obs, num_draws=20, seed=3)
    assert all(torch.equal(again.mean[n], x) for n, x in found.mean.items())
    where = embed(system, obs)
    for site, scale in where.scale.items():
        assert (scale > 0).all()
        assert where.mean[site].shape == scale.shape == (6, scale.shape[1])


def test_classes_are_the_most_probable_ones() -> None:
    for kind in ("categorical", "one_hot", "tokens"):
        system = build("mvae", [modality(kind), modality("normal")])
        rows = complete(5, kind, "normal")
        obs = Observations(rows.values, {kind: torch.arange(5) > 2})
        found = impute(system, obs, num_draws=30)
        assert found.mean[kind].dtype == torch.int64 or kind == "one_hot"
        assert found.mean[kind].shape == found.draws[kind].shape[1:] == rows[kind].shape
        assert kind not in found.low
        assert "normal" in found.low
        if kind == "one_hot":
            assert (found.mean[kind].sum(-1) == 1).all()


def test_counts_that_are_missing_belong_to_the_rows_own_total() -> None:
    genes = Modality(
        "rna",
        likelihoods.Poisson(),
        lambda size: CountsEncoder(size, event_shape=(4,), hidden=(4,)),
        lambda size: CountsDecoder(size, event_shape=(4,), hidden=(4,), likelihood="poisson"),
    )
    system = build("vae", [genes])
    counts = torch.tensor([[1000.0, 1000.0, 1000.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    obs = Observations({"rna": counts}, elements={"rna": torch.tensor([[True] * 3 + [False]] * 2)})
    mean = impute(system, obs, num_draws=50, refine="none").mean["rna"][:, 3]
    assert 300 < mean[0] < 3000
    assert mean[1] < 10


def test_questions_that_have_no_answer_are_refused() -> None:
    system, obs = system_of("exact"), holed(toy().sample(3))
    with pytest.raises(ValueError, match="unknown modality to fill in 'd'"):
        impute(system, obs, "d")
    with pytest.raises(ValueError, match="level: expected a share between 0 and 1, got 1"):
        impute(system, obs, level=1.0)
    given = build("cvae")
    with pytest.raises(ValueError, match="'categorical': the model conditions on it"):
        impute(given, complete(3), "categorical")


@pytest.mark.parametrize("given", [None, ["a"], ["b", "c"], []])
def test_embeddings_are_the_posteriors_moments(given: list[str] | None) -> None:
    obs = holed(toy().sample(8))
    exact = embed(system_of("exact"), obs, given)
    q = ExactOfElements(toy()).posterior(obs if given is None else obs.given(*given))
    torch.testing.assert_close(exact.mean["z"], q.mean)
    torch.testing.assert_close(exact.scale["z"], q.variance.sqrt())
    assert exact.given == (obs.names if given is None else tuple(given))
    if given == []:
        assert torch.equal(exact.mean["z"], torch.zeros(8, 2))
        return
    refined = embed(system_of("amortised"), obs, given, refine="auto", num_draws=K)
    error = q.variance.sqrt() / math.sqrt(K / 2)
    assert ((refined.mean["z"] - q.mean).abs() < 4.5 * error).all()
    assert ((refined.scale["z"] - q.variance.sqrt()).abs() < 4.5 * error).all()


def test_a_mixture_has_the_moments_of_all_its_components() -> None:
    found = toy()
    guide = guides.MixtureOfExperts(found.modalities, found.latent_dim)
    obs = found.sample(5)
    where = embed(found.system(guide), obs)
    means, scales = zip(*(e(obs[n]) for n, e in guide.encoders.items()), strict=True)
    means, variances = torch.stack(means), torch.stack(scales) ** 2
    expected = means.mean(0)
    variance = (variances + means**2).mean(0) - expected**2
    torch.testing.assert_close(where.mean["z"], expected)
    torch.testing.assert_close(where.scale["z"], variance.sqrt())
    frame = where.to_frame(index=list("vwxyz"))
    assert list(frame.columns) == ["z[0]", "z[1]", "z[0] scale", "z[1] scale"]
    assert frame.loc["w", "z[1]"] == where.mean["z"][1, 1].item()


def test_private_latents_have_places_of_their_own() -> None:
    system = build("mmvae_plus")
    rows = complete(4)
    where = embed(system, rows, ["normal"])
    assert set(where.mean) == {"u", "w_bernoulli", "w_categorical", "w_normal"}
    prior = torch.zeros_like(where.mean["w_bernoulli"])
    torch.testing.assert_close(where.mean["w_bernoulli"], prior)
    assert not torch.equal(where.mean["w_normal"], torch.zeros_like(where.mean["w_normal"]))
