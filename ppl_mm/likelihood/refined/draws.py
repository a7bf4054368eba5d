"""Draws of p(z | x), by resampling those of a row's own proposal."""

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.likelihood.importance import log_weights_of
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.stages import Refined
from ppl_mm.likelihood.row_noise import RowNoise

__all__ = ["resampled"]

_FEWEST, _EACH = 1000, 10  # draws to choose from: so many, and so many for each that is chosen


def resampled(
    path: Path, refined: Refined, num_draws: int, seed: int
) -> Float[Tensor, "{num_draws} B D"]:
    """Positions (K, B, D) of draws of p(z | x), as good as the proposal's weights.

        z_k  =  z'_j  with probability  w_j / sum_j w_j,      z'_j ~ q(z), the row's own proposal

    They are chosen independently with replacement; a draw that is chosen twice counts twice.
    """
    rows = torch.arange(len(path.obs), device=path.obs.device)
    draws = refined.draw(rows, max(_FEWEST, _EACH * num_draws), "draws to resample")
    names = [n for n, scored in path.obs.scored.items() if bool(scored.any())]
    weights = log_weights_of(path.model, path.obs, draws, path.chunk)
    log_w = (weights.of(names) + weights.log_pi[:, None]).flatten(0, 1).double()
    below = (log_w - log_w.logsumexp(0)).exp().nan_to_num(0.0).cumsum(0)
    noise = RowNoise(refined.keys, seed, "resampling")
    u = noise.uniform(torch.Size((num_draws, len(rows))), below)
    chosen = torch.searchsorted(below.T.contiguous(), u.T.contiguous()).T.clamp(max=len(log_w) - 1)
    position = path.position(draws.latents)
    return position.gather(0, chosen[..., None].expand(-1, -1, position.shape[-1]))
