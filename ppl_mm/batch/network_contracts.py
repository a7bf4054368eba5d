"""Protocols of a modality's networks: what they must have, and what they may ask for.

    an encoder                    Encoder            (loc, scale) of values
    a decoder                     Decoder            the likelihood's parameters of latents
      that reads the value        ReadsValue         reads_value
      and draws values            DrawsValue         sample(z)
    a trunk of a joint network    Trunk              features of values, out_features
    any that reads values
      and what they lack          ReadsElements      reads_elements
    any that reads covariates     ReadsCovariates    reads_covariates

A network of your own needs these names and no base class of ours. The library asks a network for
them by the functions of this file and nowhere else. They look at one attribute, since every call of
a network asks, and ``isinstance`` with a Protocol takes ten times as long; it also misses, from
Python 3.12 on, the names that a network made by ``torch.compile`` passes on.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Float, Shaped
from torch import Tensor, nn

if TYPE_CHECKING:
    from ppl_mm.likelihoods.likelihood import Parameters

__all__ = [
    "Decoder",
    "DrawsValue",
    "Encoder",
    "ReadsCovariates",
    "ReadsElements",
    "ReadsValue",
    "Trunk",
    "covariate_sizes",
    "reads_covariates",
    "reads_elements",
    "reads_value",
    "width_of",
]


def reads_elements(network: object) -> bool:
    """Whether a network is called with the mask of observed elements beside the values."""
    return bool(getattr(network, "reads_elements", False))


def reads_value(decoder: object) -> bool:
    """Whether a decoder is called with the values beside the latents."""
    return bool(getattr(decoder, "reads_value", False))


def reads_covariates(network: object) -> tuple[str, ...]:
    """The names of the covariates that a network reads."""
    return tuple(getattr(network, "reads_covariates", ()))


def covariate_sizes(network: object) -> Mapping[str, int]:
    """Covariate -> how many classes or columns of it a network reads; empty where it says none."""
    sizes = getattr(network, "reads_covariates", ())
    return sizes if isinstance(sizes, Mapping) else {}


def width_of(trunk: nn.Module) -> int:
    """F, the number of features of a trunk, its attribute ``out_features``.

    Raises:
        TypeError: If the trunk has no such attribute, or it is no integer of at least 1.
    """
    width = getattr(trunk, "out_features", None)
    if isinstance(width, int) and width > 0:
        return width
    found = "none" if width is None else f"{width!r}"
    raise TypeError(
        f"the trunk {type(trunk).__name__}: expected an attribute out_features, the number of its "
        f"features and at least 1, got {found}; set it in the module's __init__."
    )


@runtime_checkable
class Encoder(Protocol):
    """The torch module that ``Modality.encoder(latent_dim)`` returns."""

    def __call__(
        self, values: Shaped[Tensor, "B *D"], /
    ) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
        """(loc, scale), (B, latent_dim) each, of values (B, *D_m); the scale is above 0."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """The torch module that ``Modality.decoder(in_features)`` returns."""

    def __call__(self, z: Float[Tensor, "B F"], /) -> "Parameters":
        """The likelihood's parameters of latents (B, in_features), one row each."""
        ...


@runtime_checkable
class ReadsElements(Protocol):
    """An encoder, a trunk, or a decoder that reads values, which asks what of them is observed.

    With ``reads_elements`` True it is given, where elements of some row are missing, booleans of
    the shape of the values after them, ``encoder(x, elements)``, True where observed. Other
    networks cannot tell a missing element from a zero.
    """

    reads_elements: bool


@runtime_checkable
class ReadsCovariates(Protocol):
    """A network that reads covariates of its rows, see :class:`ppl_mm.Observations`.

    It is given those that it names after its other arguments, ``network(x, covariates={...})``, by
    their names, (B,) or (B, C) each; so is the method ``sample`` of a decoder that draws values. A
    mapping says besides how many classes or columns each one has, which is checked before training.
    """

    reads_covariates: Sequence[str] | Mapping[str, int]


@runtime_checkable
class ReadsValue(Protocol):
    """A decoder whose parameters depend on the value too, such as an autoregressive one.

    With ``reads_value`` True it is called with latents and values, ``decoder(z, x)``, and draws
    values by itself, see :class:`DrawsValue`.
    """

    reads_value: bool


@runtime_checkable
class DrawsValue(ReadsValue, Protocol):
    """A decoder that reads values and draws them, one element after another."""

    def sample(self, z: Float[Tensor, "B F"], /) -> Shaped[Tensor, "B *D"]:
        """Values (B, *D_m) given latents (B, in_features)."""
        ...


@runtime_checkable
class Trunk(Protocol):
    """The torch module that ``Modality.features()`` returns."""

    out_features: int

    def __call__(self, values: Shaped[Tensor, "B *D"], /) -> Float[Tensor, "B F"]:
        """Features (B, out_features) of values (B, *D_m)."""
        ...
