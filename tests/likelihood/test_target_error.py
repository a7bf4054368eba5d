"""More draws for the rows that need them, up to a maximum."""

import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from plain_likelihood import log_likelihood
from toy_meme import PAIR

from ppl_mm import guides
from ppl_mm.results.log_likelihood import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")


def parts(spread=1.3, num_rows=12):
    toy = LinearGaussian(spread=spread)
    system = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))
    return toy, system, toy.sample(num_rows)


def test_rows_that_need_more_draws_get_them_and_the_others_stay_as_they_were():
    toy, system, obs = parts()
    plain = log_likelihood(system, obs, num_samples=100)
    target = plain.standard_error.median().item()
    found = log_likelihood(system, obs, num_samples=100, target_standard_error=target)
    done = (plain.standard_error <= target) & ~(plain.pareto_k > 0.7)
    assert done.any()
    for field in COLUMNS:
        assert torch.equal(getattr(found, field)[done], getattr(plain, field)[done])
    assert (found.draws[done] == 100).all()
    more = found.draws[~done]
    assert (more >= 200).all()
    assert ((more & (more - 1)) != 0).all()  # 100 times a power of 2
    assert torch.equal((more / 100).log2(), (more / 100).log2().round())
    assert (found.standard_error <= target).all()
    assert (found.pareto_k <= 0.7).all()
    error = 5 * found.standard_error
    assert ((found.value - toy.log_p(obs, NAMES)).abs() < error).all()
    assert f"100 to {int(found.draws.max())} draws a row" in str(found)


def test_no_row_gets_more_than_the_maximum():
    _, system, obs = parts()
    options = {"target_standard_error": 1e-6, "max_samples": 900}
    found = log_likelihood(system, obs, num_samples=100, **options)
    assert (found.draws == 800).all()
    assert (found.standard_error > 1e-6).all()


def test_rows_without_the_target_and_exact_guides_need_no_more_draws():
    toy = LinearGaussian()
    obs = toy.mixed()
    exact = log_likelihood(
        toy.system(toy.exact_guide()), obs, num_samples=30, target_standard_error=0.01
    )
    assert (exact.draws == 30).all()
    _, system, _ = parts(spread=1.6)
    found = log_likelihood(
        system, obs, "a", num_samples=30, target_standard_error=1e-3, max_samples=240
    )
    assert (found.draws[~obs.present["a"]] == 30).all()
    assert (found.draws[obs.present["a"]] == 240).all()


@pytest.mark.parametrize("denominator", ["posterior", "prior"])
@pytest.mark.parametrize("proposal", ["joint", "defensive"])
def test_the_error_of_a_conditional_counts_both_its_parts(proposal, denominator):
    toy, system, obs = parts(num_rows=5)
    found = log_likelihood(
        system,
        obs,
        "a",
        "c",
        num_samples=100,
        proposal=proposal,
        denominator=denominator,
        target_standard_error=0.06,
    )
    assert (found.standard_error <= 0.06).all()
    exact = toy.log_p(obs, ("a", "c")) - toy.log_p(obs, ("c",))
    assert ((found.value - exact).abs() < 5 * found.standard_error).all()


def test_likelihoods_put_together_reach_the_error_too():
    system, obs = PAIR.system(), PAIR.rows(2)
    found = log_likelihood(system, obs, num_samples=50, target_standard_error=0.02)
    assert (found.draws > 50).all()
    assert (found.standard_error <= 0.02).all()


@pytest.mark.parametrize("chunk", [20, 64])
def test_chunks_do_not_matter_and_bound_what_is_decoded(chunk):
    _, system, obs = parts(num_rows=5)
    options = {"num_samples": 50, "target_standard_error": 0.05, "max_samples": 800}
    whole = log_likelihood(system, obs, "a", "b", **options)
    system.check(obs)
    sizes = []
    for decoder in system.model.decoders.values():
        decoder.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    cut = log_likelihood(system, obs, "a", "b", **options, chunk=chunk)
    assert max(sizes) <= chunk
    assert torch.equal(whole.draws, cut.draws)
    assert len(whole.draws.unique()) > 1
    torch.testing.assert_close(whole.value, cut.value, atol=1e-10, rtol=0)


def test_latents_and_weights_are_made_for_few_rows_at_a_time(monkeypatch):
    _, system, obs = parts(num_rows=9)
    monkeypatch.setattr("ppl_mm.likelihood.sampling._WEIGHTS_AT_ONCE", 4 * 800)
    seen = []
    system.guide.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    found = log_likelihood(
        system, obs, num_samples=100, target_standard_error=1e-6, max_samples=800
    )
    assert max(seen) == 4
    assert (found.draws == 800).all()


def test_a_seed_makes_it_reproducible():
    _, system, obs = parts()
    options = {"num_samples": 50, "target_standard_error": 0.05, "max_samples": 400}
    one, two, other = (log_likelihood(system, obs, seed=s, **options) for s in (3, 3, 4))
    assert torch.equal(one.value, two.value)
    assert not torch.equal(one.value, other.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_standard_error": 0.0}, "target_standard_error: expected a finite number above 0"),
        (
            {"target_standard_error": 0.1, "max_samples": 9},
            "max_samples: expected at least num_samples = 10, got 9",
        ),
        ({"target_standard_error": 0.1, "max_samples": 0}, "max_samples: expected an integer"),
    ],
)
def test_wrong_numbers_are_errors(options, message):
    _, system, obs = parts()
    with pytest.raises(ValueError, match=message):
        log_likelihood(system, obs, num_samples=10, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_cuda_agrees_with_cpu():
    toy, system, obs = parts()
    options = {"num_samples": 200, "target_standard_error": 0.05}
    found = log_likelihood(system.to("cuda"), obs, **options)
    assert found.value.device.type == "cuda"
    assert (found.standard_error <= 0.05).all()
    error = 5 * found.standard_error.cpu()
    assert ((found.value.cpu() - toy.log_p(obs, NAMES)).abs() < error).all()
