"""The importance-weighted bound.

Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519.
"""

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.weights import log_weights
from ppl_mm.observations import Observations

__all__ = ["IWAE", "iwae_bound"]


def iwae_bound(log_w: Float[Tensor, "K *batch"]) -> Float[Tensor, "*batch"]:
    """log (1/K) sum_k w_k, a lower bound on log p(x) in expectation, in nats.

    Example:
        >>> import torch
        >>> round(iwae_bound(torch.tensor([0.0, math.log(3.0)])).item(), 6)
        0.693147
    """
    return log_w.logsumexp(0) - math.log(len(log_w))


class IWAE(Objective):
    """E [ log (1/K) sum_k p(x, z_k) / q(z_k | x) ],  z_k ~ q(z | x), independent.

    It equals the ELBO for K = 1, grows with K, and tends to log p(x_scored). The draws come from
    the guide's posterior of everything that each row has.

    Args:
        num_particles: K.
        weights: lambda_m by name, inside the weights w_k.
        beta: The factor of log p(z) - log q(z), inside the weights w_k.
    """

    def bound(self, model: Any, guide: Any, obs: Observations) -> Tensor:
        """The bound of every row, (B,)."""
        with self.scaling(model, obs):
            return iwae_bound(log_weights(model, guide, obs, num_particles=self.num_particles))
