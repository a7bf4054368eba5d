"""The quotient of experts, MVAE-Q: experts are full posteriors, and extra priors are divided out.

    q(z | x_S)  proportional to  prod over m in S of q_m(z | x_m) / p(z)^(|S| - 1)

Source: Wu & Goodman 2018, arXiv:1802.05335, section 2.1 and appendix C, with the right variance
constraint V_m < M / (M - 1).
"""

import pyro.distributions as dist
from jaxtyping import Bool, Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.distributions import quotient_of_experts
from ppl_mm.guides.experts import Experts

__all__ = ["QuotientOfExperts"]


@typed
class QuotientOfExperts(Experts):
    """q(z | x_S) as a quotient; each encoder's variance is squeezed below M / (M - 1).

    The variance is M / (M - 1) * sigmoid(log-variance), in units of the prior's variance, where M
    is the number of declared modalities. This makes every quotient a proper Normal.
    """

    def combine(
        self,
        loc: Float[Tensor, "M B Z"],
        scale: Float[Tensor, "M B Z"],
        source: Bool[Tensor, "M *S B"],
    ) -> dist.TorchDistribution:
        """See :func:`ppl_mm.distributions.quotient_of_experts`."""
        prior = (self.prior.loc, self.prior.scale)
        return quotient_of_experts(loc, scale, source, prior, len(self.modalities))
