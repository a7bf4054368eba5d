"""Refined estimates and their intervals against integrals on a grid, all rows counted.

Kinds of p(y | z), a Laplace prior, and two modes; conditionals and missing rows among them.
"""

import pytest
import torch
from grid_toys import KINDS, QUESTIONS, GridToy

from ppl_mm import log_likelihood

pytestmark = pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")


def asked(kind, seed, target, given, num_samples):
    """The estimates of nine rows, the truth, and the rows in which there is something to err in."""
    with torch.no_grad():
        toy = GridToy.random(kind, seed)
        obs = toy.sample(9, seed)
        truth = toy.log_p(obs, (*target, *given))
        truth = truth - toy.log_p(obs, given) if given else truth
    found = log_likelihood(toy.system, obs, target, given, num_samples=num_samples, seed=seed)
    held = torch.stack([obs.present[n] for n in target]).any(0)
    return found, truth, held & (found.standard_error > 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_agree_with_the_grid(kind):
    for target, given in ((("x", "y"), ()), (("x",), ("y",))):
        found, truth, varied = asked(kind, 3, target, given, num_samples=200)
        close = (found.value - truth).abs() <= 5 * found.standard_error + 1e-9
        trusted = found.pareto_k < 0.7
        assert close[varied & trusted].all()
        assert (found.low <= truth + 0.05)[varied].all()
        assert trusted.double().mean() > 0.6


@pytest.mark.slow  # two hundred problems of every kind and question
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_the_truth(kind):
    """Two hundred problems of six to nine rows: a standard error of at most 0.8 %."""
    for target, given in QUESTIONS:
        hits = []
        for seed in range(200):
            found, truth, varied = asked(kind, seed, target, given, num_samples=1000)
            hit = (found.low <= truth + 1e-9) & (truth <= found.high + 1e-9)
            hits.append(hit[varied])
        assert 0.92 <= torch.cat(hits).double().mean() <= 0.98
