"""Priors of the latents: independent Normal or Laplace, their scale fixed or learned."""

from typing import Any, Literal, TypeAlias, cast

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.programs.contracts import Family, NamesFamily

__all__ = [
    "FAMILIES",
    "DiagonalPrior",
    "LearnedScale",
    "PriorLike",
    "PriorScale",
    "as_prior",
    "diagonal",
    "family_named",
    "normal_prior",
]

PriorLike: TypeAlias = Family | dist.Distribution | nn.Module | None
"""What :func:`as_prior` turns into a prior."""

PriorScale = Literal["softmax", "softplus", "exp"]
"""The maps of :class:`LearnedScale` from a parameter to a scale."""

FAMILIES: dict[Family, Any] = {"normal": dist.Normal, "laplace": dist.Laplace}
"""The families that priors and experts are made of, by name."""


def diagonal(
    family: Family, loc: Float[Tensor, "*B Z"], scale: Float[Tensor, "*B Z"]
) -> dist.Independent:
    """Independent coordinates of a family, event dimension 1; its own scale is above 0."""
    return FAMILIES[family](loc, scale).to_event(1)


@typed
class DiagonalPrior(nn.Module):
    """p(z) with independent coordinates of one family; a prior and a prior expert.

    Args:
        loc: Locations, (Z,).
        scale: Scales, (Z,), > 0: standard deviations of a Normal; a Laplace's standard deviation
            is sqrt(2) times its scale.
        family: ``"normal"`` or ``"laplace"``.

    Example:
        >>> prior = DiagonalPrior(torch.zeros(3), torch.ones(3))
        >>> prior().event_shape
        torch.Size([3])
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self, loc: Float[Tensor, " Z"], scale: Float[Tensor, " Z"], family: Family = "normal"
    ) -> None:
        super().__init__()
        if loc.dim() != 1 or loc.shape != scale.shape or not bool((scale > 0).all()):
            raise ValueError(
                "prior: expected loc and scale of shape (Z,), scale > 0, got "
                f"{tuple(loc.shape)} and {tuple(scale.shape)}."
            )
        self.family = family
        self.register_buffer("loc", loc.detach().clone(), persistent=False)
        self.register_buffer("scale", scale.detach().clone(), persistent=False)

    def forward(self) -> dist.Independent:
        """The distribution, event shape (Z,)."""
        return diagonal(self.family, self.loc, self.scale)


@typed
class LearnedScale(nn.Module):
    """p(z) at a fixed location, with one learned scale for each coordinate.

        softmax   scale_d = exp(s_d) / sum_e exp(s_e) * Z     (the scales average to 1)
        softplus  scale_d = log(1 + exp(s_d))
        exp       scale_d = exp(s_d)

    Args:
        latent_dim: Z, the size of the latent.
        family: ``"normal"`` or ``"laplace"``.
        scale_map: One of the three; by default softmax for Laplace, softplus for Normal.
        initial_scale: The scale at the start, one number or (Z,); under softmax the sum must be Z.
        loc: The location, (Z,); 0 by default.

    Source: Shi et al. 2019, arXiv:1911.03393 (the prior); Palumbo et al. 2023, MMVAE+ (the
    auxiliary priors). Differs: their release starts softplus at s = 0, a scale of log 2, which
    is ``initial_scale=math.log(2)``.

    Example:
        >>> LearnedScale(3, "laplace").scale
        tensor([1., 1., 1.], grad_fn=<MulBackward0>)
    """

    loc: Tensor

    def __init__(
        self,
        latent_dim: int,
        family: Family = "normal",
        scale_map: PriorScale | None = None,
        initial_scale: float | Float[Tensor, "#Z"] = 1.0,
        loc: Float[Tensor, " Z"] | None = None,
    ) -> None:
        super().__init__()
        self.family = family
        self.scale_map: PriorScale = scale_map or ("softmax" if family == "laplace" else "softplus")
        initial = torch.as_tensor(initial_scale, dtype=torch.get_default_dtype())
        initial = initial.detach().cpu().expand(latent_dim)
        starts = {
            "softmax": torch.log,
            "softplus": lambda scale: scale.expm1().log(),
            "exp": torch.log,
        }
        budget = abs(initial.mean().item() - 1.0) < 1e-6 or self.scale_map != "softmax"
        if not bool((initial > 0).all()) or not budget:
            raise ValueError(
                "initial_scale: expected numbers above 0, of mean 1 under softmax, got "
                f"{initial_scale} under {self.scale_map}."
            )
        self.register_buffer(
            "loc",
            torch.zeros(latent_dim) if loc is None else loc.detach().clone(),
            persistent=False,
        )
        self.raw = nn.Parameter(starts[self.scale_map](initial))

    @property
    def scale(self) -> Float[Tensor, " Z"]:
        """The scales, (Z,)."""
        if self.scale_map == "softmax":
            return self.raw.softmax(-1) * len(self.raw)
        return nn.functional.softplus(self.raw) if self.scale_map == "softplus" else self.raw.exp()

    def forward(self) -> dist.Independent:
        """The distribution, event shape (Z,)."""
        return diagonal(self.family, self.loc, self.scale)


def as_prior(prior: PriorLike, latent_dim: int) -> nn.Module:
    """A module that returns the prior: standard Normal for None, a fixed one wrapped.

    Args:
        prior: None, "normal" or "laplace" (standard ones), a fixed Normal or Laplace, or a module
            whose call returns a distribution with event shape (Z,).
        latent_dim: Z, the size of the latent.

    Raises:
        ValueError: For a fixed distribution of another latent size.
        TypeError: For anything else that is no module.
    """
    if prior is None or isinstance(prior, str):
        family = cast(Family, prior or "normal")
        return DiagonalPrior(torch.zeros(latent_dim), torch.ones(latent_dim), family)
    if isinstance(prior, nn.Module):
        return prior
    base = prior.base_dist if isinstance(prior, torch.distributions.Independent) else prior
    families: list[Family] = [
        name
        for name, kind in FAMILIES.items()
        if isinstance(base, getattr(torch.distributions, kind.__name__))
    ]
    if not families:
        raise TypeError(
            "prior: expected None, 'normal', 'laplace', a Normal or Laplace, or a module whose "
            f"call returns a distribution with event shape (Z,), got {type(prior).__name__}."
        )
    if base.batch_shape not in ((), (latent_dim,)):
        raise ValueError(
            f"prior: expected shape ({latent_dim},) = (latent_dim,), got {tuple(base.batch_shape)}."
        )
    return DiagonalPrior(base.loc.expand(latent_dim), base.scale.expand(latent_dim), families[0])


def family_named(prior: nn.Module) -> str | None:
    """The family that a prior says its coordinates have; None for one that says nothing."""
    return prior.family if isinstance(prior, NamesFamily) else None


def normal_prior(owner: str, prior: PriorLike, latent_dim: int) -> DiagonalPrior:
    """:func:`as_prior` for the guides that need a fixed Normal; ``owner`` is named in the error.

    Raises:
        TypeError: For any other prior.
    """
    found = as_prior(prior, latent_dim)
    if not isinstance(found, DiagonalPrior) or found.family != "normal":
        raise TypeError(f"{owner}: the prior must be a fixed Normal; None for Normal(0, I).")
    return found
