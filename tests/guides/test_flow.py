"""Flows on posteriors: exact densities, the prior for nothing, and every objective on top."""

import copy
import io

import pyro.distributions as dist
import pytest
import torch
from every_system import build, mixed, modalities
from linear_gaussian import ExactPosterior, LinearGaussian
from pyro.distributions.transforms import LowerCholeskyAffine, affine_autoregressive
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import nn

from ppl_mm import System, fit, guides, log_likelihood, models, objectives
from ppl_mm.distributions.flowed import Flowed
from ppl_mm.guides.flow import coupling_layers
from ppl_mm.objectives.weights import log_weights

EXACT = {"atol": 1e-10, "rtol": 1e-10}
close = torch.testing.assert_close


def stirred(module: nn.Module) -> nn.Module:
    """Parameters of no special value: flows start as the identity."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module


class Cholesky(LowerCholeskyAffine, nn.Module):
    """z = L e, as a module."""

    def __init__(self, tril):
        nn.Module.__init__(self)
        LowerCholeskyAffine.__init__(self, torch.zeros(len(tril)), tril)


class Whitened(ExactPosterior):
    """The exact posterior of complete rows in the coordinates L^{-1} z, where it is N(., I)."""

    prior = None

    def __init__(self, toy, tril):
        super().__init__(toy)
        self.tril = tril

    def posterior(self, obs):
        loc = super().posterior(obs).mean
        whitened = torch.linalg.solve_triangular(self.tril, loc.mT, upper=False).mT
        return dist.Normal(whitened, 1.0).to_event(1)


def test_with_the_right_map_every_weight_is_the_likelihood():
    toy = LinearGaussian()
    obs = toy.sample(5)
    tril = torch.linalg.cholesky(ExactPosterior(toy).posterior(obs).covariance_matrix[0])
    guide = guides.Flow(Whitened(toy, tril), [Cholesky(tril)])
    weights = log_weights(toy.model(), guide, obs, num_particles=7)
    close(weights, toy.log_p(obs, obs.names).expand(7, 5), **EXACT)
    bound = objectives.IWAE(3)
    close(bound.loss(toy.model(), guide, obs), -toy.log_p(obs, obs.names).sum().item(), **EXACT)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_the_density_is_the_change_of_variables(size):
    layers = stirred(nn.ModuleList(coupling_layers(size, 3)))
    base = dist.Normal(torch.randn(4, size), torch.rand(4, size) + 0.5).to_event(1)
    q = Flowed(base, list(layers))
    e = base.sample()
    z = q.push(e)
    jacobian = torch.stack([torch.autograd.functional.jacobian(q.push, row) for row in e])
    expected = base.log_prob(e) - torch.linalg.slogdet(jacobian)[1]
    close(q.log_prob(z), expected, atol=1e-6, rtol=1e-6)
    close(q.log_prob(z.clone()), expected, atol=1e-6, rtol=1e-6)  # from the inverse, not a cache


def test_it_starts_as_the_guide_it_is_made_of():
    toy = LinearGaussian()
    product = guides.ProductOfExperts(toy.modalities, 2)
    flow, obs = guides.Flow(product, 4), toy.mixed()
    z = torch.randn(len(obs), 2)
    close(flow.posterior(obs).log_prob(z), product.posterior(obs).log_prob(z), **EXACT)


def test_moments_are_those_of_many_draws():
    toy = LinearGaussian()
    flow = stirred(guides.Flow(guides.ProductOfExperts(toy.modalities, 2), 4))
    q = flow.posterior(toy.sample(3))
    draws = q.rsample((40_000,)).detach()
    error = draws.std(0) / 200
    assert ((draws.mean(0) - q.mean).abs() < 5 * error + 0.02 * draws.std(0)).all()
    close(q.stddev, draws.std(0), rtol=0.05, atol=0.0)


def test_a_row_without_a_source_has_the_prior():
    toy = LinearGaussian()
    flow = stirred(guides.Flow(guides.ProductOfExperts(toy.modalities, 2), 2))
    obs = toy.mixed()
    nothing = ~torch.stack(list(obs.present.values())).any(0)
    z = torch.randn(len(obs), 2)
    found = flow.posterior(obs).log_prob(z)[nothing]
    close(found, flow.prior().log_prob(z)[nothing], **EXACT)


@pytest.mark.filterwarnings("ignore::ppl_mm.results.unreliable.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("refine", ["none", "laplace", "adaptive"])
@pytest.mark.parametrize("kind", ["product", "mixture"])
def test_likelihoods_agree_with_the_closed_form(kind, refine):
    toy = LinearGaussian(spread=2.0)
    product = guides.Flow(guides.ProductOfExperts(toy.modalities, 2), 2)
    if kind == "mixture":
        guide = guides.Mixture(product, [("a",), ("b",), ("a", "b", "c")])
    else:
        guide = product
    with torch.no_grad():  # wider than the posterior, so that the weights are bounded
        for p in product.transforms.parameters():
            p.add_(0.05 * torch.randn_like(p))
    obs = toy.mixed()
    options = {"refine": refine, "proposal": "defensive" if refine == "none" else "joint"}
    system = toy.system(guide)
    result = log_likelihood(system, obs, ["a"], given=["b"], num_samples=1500, **options)
    exact = toy.log_p(obs, ["a", "b"]) - toy.log_p(obs, ["b"])
    held = obs.present["a"] & (result.pareto_k < 0.7)
    assert held.sum() >= obs.present["a"].sum() - 1
    error = (result.value - exact)[held] / result.standard_error[held].clamp(min=1e-12)
    assert error.abs().max() < 4.5
    assert not result.value[~obs.present["a"]].any()


@pytest.mark.parametrize(
    "objective",
    [
        objectives.ELBOTerms(objectives.subset_terms(1)),
        objectives.IWAE(3),
        Trace_ELBO(),
    ],
    ids=["terms", "iwae", "stock"],
)
def test_every_objective_trains_a_flow_on_rows_that_miss_something(objective):
    declared = modalities()
    guide = guides.Flow(guides.ProductOfExperts(declared, 2), 2)
    system = System(models.SharedLatent(declared, 2), guide, objective)
    before = copy.deepcopy(guide.transforms.state_dict())
    fit(system, mixed(rows_per_pattern=2), epochs=2, batch_size=8, progress=False)
    changed = [not torch.equal(before[n], p) for n, p in guide.transforms.state_dict().items()]
    assert any(changed)


def test_dreg_says_that_it_does_not_go_with_a_flow():
    toy = LinearGaussian()
    flow = guides.Flow(guides.ProductOfExperts(toy.modalities, 2), 2)
    with pytest.raises(TypeError, match=r"DReG: a guide's site is a Flowed.*Use IWAE instead"):
        objectives.DReG(2).loss(toy.model(), flow, toy.sample(3))


def test_a_mixture_and_private_latents_are_made_of_flows():
    declared = modalities()
    product = guides.ProductOfExperts(declared, 2)
    mixture = guides.Mixture(guides.Flow(product, 2), [("normal",), ("bernoulli",)])
    private = guides.SharedPrivate(guides.Flow(product, 2), 2)
    obs = mixed()
    for model, guide in (
        (models.SharedLatent(declared, 2), mixture),
        (models.SharedPrivate(declared, 2, 2), private),
    ):
        system = System(model, guide, objectives.IWAE(2))
        fit(system, obs, epochs=1, batch_size=8, progress=False)
        assert torch.isfinite(torch.tensor(objectives.IWAE(2).loss(model, guide, obs)))
    with pytest.raises(TypeError, match=r"guides.Mixture\(guides.Flow\(guide\), family\)"):
        guides.Flow(build("mopoe").guide).posterior(obs)


def test_pyros_own_transforms_and_svi():
    toy = LinearGaussian()
    inverse = affine_autoregressive(2, hidden_dims=[8])
    guide = guides.Flow(guides.ProductOfExperts(toy.modalities, 2), [inverse])
    svi = SVI(toy.model(), guide, Adam({"lr": 1e-2}), Trace_ELBO())
    before = [p.clone() for p in inverse.parameters()]
    svi.step(toy.sample(6))
    assert any(not torch.equal(a, b) for a, b in zip(before, inverse.parameters(), strict=True))


def test_a_flow_that_has_been_used_is_copied_and_stored():
    toy = LinearGaussian()
    flow = stirred(guides.Flow(guides.ProductOfExperts(toy.modalities, 2), 2))
    obs, z = toy.sample(3), torch.randn(3, 2)
    q = flow.posterior(obs)
    q.rsample()
    expected = q.log_prob(z)
    assert torch.equal(copy.deepcopy(flow).posterior(obs).log_prob(z), expected)
    file = io.BytesIO()
    torch.save(flow.state_dict(), file)
    file.seek(0)
    again = guides.Flow(guides.ProductOfExperts(toy.modalities, 2), 2)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.posterior(obs).log_prob(z), expected)
