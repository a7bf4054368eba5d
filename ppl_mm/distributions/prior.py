"""Priors of the shared latent."""

import pyro.distributions as dist
import torch
from torch import Tensor, nn

__all__ = ["DiagonalNormal", "as_prior"]


class DiagonalNormal(nn.Module):
    """p(z) = Normal(loc, scale), independent coordinates; a prior and a prior expert.

    Args:
        loc: Means, (Z,).
        scale: Standard deviations, (Z,), > 0.

    Example:
        >>> prior = DiagonalNormal(torch.zeros(3), torch.ones(3))
        >>> prior().event_shape
        torch.Size([3])
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__()
        if loc.dim() != 1 or loc.shape != scale.shape or not bool((scale > 0).all()):
            raise ValueError(
                "prior: expected loc and scale of shape (Z,), scale > 0, got "
                f"{tuple(loc.shape)} and {tuple(scale.shape)}."
            )
        self.register_buffer("loc", loc.detach().clone(), persistent=False)
        self.register_buffer("scale", scale.detach().clone(), persistent=False)

    def forward(self) -> dist.Distribution:
        """The distribution, event shape (Z,)."""
        return dist.Normal(self.loc, self.scale).to_event(1)


def as_prior(prior: dist.Distribution | nn.Module | None, latent_dim: int) -> nn.Module:
    """A module that returns the prior: standard Normal for None, a fixed Normal wrapped.

    Raises:
        ValueError: For a Normal of another latent size.
        TypeError: For anything else that is no module.
    """
    if prior is None:
        return DiagonalNormal(torch.zeros(latent_dim), torch.ones(latent_dim))
    if isinstance(prior, nn.Module):
        return prior
    base = getattr(prior, "base_dist", prior)
    if not isinstance(base, torch.distributions.Normal):
        raise TypeError(
            "prior: expected None, a Normal, or a module whose call returns a distribution with "
            f"event shape (Z,), got {type(prior).__name__}."
        )
    if base.batch_shape not in ((), (latent_dim,)):
        raise ValueError(
            f"prior: expected shape ({latent_dim},) = (latent_dim,), got {tuple(base.batch_shape)}."
        )
    return DiagonalNormal(base.loc.expand(latent_dim), base.scale.expand(latent_dim))
