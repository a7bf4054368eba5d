"""Operations with gradients of their own can be differentiated twice, as torch's own can."""

import pyro.distributions as dist
import torch

from ppl_mm.distributions import product_of_experts
from ppl_mm.distributions.kl import kl


def test_of_the_divergence():
    def divergence(mu, a, nu, b):
        return kl(dist.Normal(mu, a.exp()).to_event(1), dist.Normal(nu, b.exp()).to_event(1)).sum()

    arguments = tuple(torch.randn(3, 2, requires_grad=True) for _ in range(4))
    assert torch.autograd.gradcheck(divergence, arguments)
    assert torch.autograd.gradgradcheck(divergence, arguments)


def test_of_the_product():
    source = torch.tensor([[True, True, False], [True, False, False]])

    def product(loc, log_scale, prior_loc, prior_log_scale):
        prior = prior_loc, prior_log_scale.exp()
        q = product_of_experts(loc, log_scale.exp(), source, prior)
        return q.mean, q.stddev

    experts = (torch.randn(2, 3, 2, requires_grad=True) for _ in range(2))
    prior = (torch.randn(2, requires_grad=True) for _ in range(2))
    arguments = (*experts, *prior)
    assert torch.autograd.gradcheck(product, arguments)
    assert torch.autograd.gradgradcheck(product, arguments)
