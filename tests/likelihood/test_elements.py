"""log p of the elements that rows have, against the linear-Gaussian model's own."""

import pytest
import torch
from elements import Exact, ExactOfElements, OwnModel, holed
from linear_gaussian import NAMES, LinearGaussian

from ppl_mm import Observations, System, guides, log_likelihood, objectives


def toy(latent_dim: int = 2) -> LinearGaussian:
    """The model, in the dtype of the test."""
    return LinearGaussian(latent_dim=latent_dim)


def exact_system(own: bool = False) -> System:
    found = toy()
    model = OwnModel(found) if own else found.model()
    return System(model, ExactOfElements(found), objectives.IWAE())


def amortised() -> System:
    """A product of experts, whose encoders take the zeros of missing elements for data."""
    found = toy()
    return found.system(guides.ProductOfExperts(found.modalities, found.latent_dim))


@pytest.mark.parametrize("own", [False, True], ids=["our model", "a user's"])
def test_the_exact_posterior_gives_log_p_of_the_observed_elements(own: bool) -> None:
    obs = holed(toy().sample(24))
    assert not obs.present["c"].all()
    assert (~obs.elements["a"]).any()
    exact = Exact(toy(), obs)
    found = log_likelihood(exact_system(own), obs, num_samples=3)
    torch.testing.assert_close(found.value.double(), exact.log_p(NAMES), atol=2e-5, rtol=0)
    assert float(found.standard_error.max()) < 1e-5
    given = log_likelihood(exact_system(own), obs, "a", ("b", "c"), num_samples=3)
    expected = exact.log_p(NAMES) - exact.log_p(("b", "c"))
    torch.testing.assert_close(given.value.double(), expected, atol=3e-5, rtol=0)


@pytest.mark.parametrize("denominator", ["posterior", "prior"])
def test_importance_weights_agree_within_their_errors(denominator: str) -> None:
    one = toy(latent_dim=1)
    obs = holed(one.sample(10))
    exact = Exact(one, obs)
    expected = exact.log_p(NAMES) - exact.log_p(("b",))
    system = System(one.model(), ExactOfElements(one, spread=1.5), objectives.IWAE())
    found = log_likelihood(system, obs, ("a", "c"), "b", 4000, denominator=denominator)
    score = (found.value.double() - expected) / found.standard_error.clamp(min=1e-6).double()
    assert float(score.abs().max()) < 4.5, score


@pytest.mark.parametrize("refine", ["auto", "laplace", "adaptive"])
def test_refined_proposals_are_those_of_the_observed_elements(refine: str) -> None:
    obs = holed(toy().sample(12))
    expected = Exact(toy(), obs).log_p(NAMES)
    found = log_likelihood(amortised(), obs, num_samples=2000, refine=refine)
    score = (found.value.double() - expected).abs() / found.standard_error.clamp(min=1e-4).double()
    assert float(score.max()) < 4.5, score


def test_a_row_is_scored_alike_whatever_stands_beside_it() -> None:
    obs = holed(toy().sample(8))
    both = Observations.collate([toy().sample(3, seed=9), obs])
    alone, beside = (
        log_likelihood(amortised(), x, num_samples=200, refine="auto").value for x in (obs, both)
    )
    torch.testing.assert_close(alone, beside[3:], atol=1e-4, rtol=0)


def test_ids_of_rows_tell_a_hole_from_a_zero() -> None:
    x = {n: torch.zeros(1, size) for n, size in toy().sizes.items()}
    whole = Observations(x)
    held = torch.tensor([[True, False, True]])
    part = Observations(x, elements={"a": held})
    ids = [log_likelihood(amortised(), obs, num_samples=2).row_ids for obs in (whole, part)]
    assert ids[0] != ids[1]
