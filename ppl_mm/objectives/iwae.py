"""The importance-weighted bound, over the strata of a mixture where the guide is one.

Sources: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519; Shi et al. 2019, arXiv:1911.03393.
"""

import math

from jaxtyping import Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives.importance_weighted import ImportanceWeighted
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["IWAE", "iwae_bound"]


@typed
def iwae_bound(log_w: Float[Tensor, "K *batch"]) -> Float[Tensor, "*batch"]:
    """log (1/K) sum_k w_k, a lower bound on log p(x) in expectation, in nats.

    Example:
        >>> import torch
        >>> round(iwae_bound(torch.tensor([0.0, math.log(3.0)])).item(), 6)
        0.693147
    """
    return log_w.logsumexp(0) - math.log(len(log_w))


@typed
class IWAE(ImportanceWeighted):
    """E [ log (1/K) sum_k p(x, z_k) / q(z_k | x) ],  z_k ~ q(z | x), independent.

    It equals the ELBO for K = 1, grows with K, and tends to log p(x_scored). Under a mixture
    guide every component is a stratum with K draws of its own and probability pi_s, and q is the
    density of the whole mixture:

        looser    sum_s pi_s log (1/K) sum_k w[k, s]      (what MMVAE and MMVAE+ train with)
        tighter   log sum_s pi_s (1/K) sum_k w[k, s]

    The tighter form is the greater for every draw, and the one that tends to log p(x); the looser
    tends to sum_s pi_s log E_{q_s}[p(x, z) / q(z)], which lies below unless all strata agree.
    Both are lower bounds in expectation, for lambda = beta = 1 and private latents from the
    posterior or the prior. With learned auxiliary priors the value is a surrogate: it can exceed
    log p(x).

    Args: see :class:`~ppl_mm.objectives.importance_weighted.ImportanceWeighted`: ``num_particles``
        K, ``form``, ``private``, ``strata``, ``weights``, ``beta``.

    Example:
        >>> IWAE(10, form="tighter").is_bound, IWAE(10, private="auxiliary").is_bound
        (True, False)
    """

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The value of every row, (B,)."""
        return self.value(model, guide, obs)
