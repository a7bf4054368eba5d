"""Features of a modality's values, for networks that look at several modalities."""

import pyro.distributions as dist
import torch
from jaxtyping import Float, Integer, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from ppl_mm.batch.covariates import blank_covariates
from ppl_mm.batch.network_contracts import width_of
from ppl_mm.batch.rows import eval_mode, run_network
from ppl_mm.likelihoods.decoder import of_decoder
from ppl_mm.modality import Modality
from ppl_mm.programs.networks import decoder_of

__all__ = ["ValueFeatures", "declared_features", "example", "one_hot", "value_features"]


def one_hot(
    classes: Integer[Tensor, "*B"], num_classes: int
) -> Integer[Tensor, "*B {num_classes}"]:
    """Indicators of classes, as torch's function but without its look at all values.

    A recorded step must not look at values.

    Example:
        >>> one_hot(torch.tensor([2, 0]), 3)
        tensor([[0, 0, 1],
                [1, 0, 0]])
    """
    zeros = classes.new_zeros((*classes.shape, num_classes), dtype=torch.int64)
    return zeros.scatter(-1, classes.long().unsqueeze(-1), 1)


class ValueFeatures(nn.Module):
    """Flattened values, classes and symbols one-hot; no parameters.

    Args:
        name: The modality.
        event_shape: The shape of one value; for classes and symbols, of integers.
        num_classes: C, or None for numbers.

    Shapes:
        values (B, *event_shape), or one-hot (B, C), to (B, out_features).

    Example:
        >>> features = ValueFeatures("label", (), 3)
        >>> features(torch.tensor([2, 0]))
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
        >>> ValueFeatures("image", (1, 28, 28)).out_features
        784
    """

    def __init__(self, name: str, event_shape: torch.Size, num_classes: int | None = None) -> None:
        super().__init__()
        self.name, self.num_classes = name, num_classes
        self.out_features = torch.Size(event_shape).numel() * (num_classes or 1)

    def check(self, values: Shaped[Tensor, "B *D"]) -> None:
        """Raise ValueError for classes or symbols from C on."""
        limit = self.num_classes
        if limit is not None and not values.is_floating_point() and bool((values >= limit).any()):
            raise ValueError(
                f"modality {self.name!r}: expected classes or symbols below {limit}, the number "
                f"that its decoder knows, got {values.max().item()}."
            )

    def forward(self, values: Shaped[Tensor, "B *D"]) -> Float[Tensor, "B F"]:
        """The features."""
        if self.num_classes is not None and not values.is_floating_point():
            values = one_hot(values, self.num_classes)
        dtype = values.dtype if values.is_floating_point() else torch.get_default_dtype()
        return values.reshape(len(values), -1).to(dtype)


def declared_features(modality: Modality) -> nn.Module:
    """The module ``features()`` of a modality that declares it.

    Raises:
        TypeError: If it has no attribute ``out_features``, see :func:`width_of`.
    """
    assert modality.features is not None
    trunk = modality.features()
    try:
        width_of(trunk)
    except TypeError as error:
        raise TypeError(
            f"modality {modality.name!r}: features() must return a module with its width; {error}"
        ) from error
    return trunk


def value_features(modality: Modality, in_features: int) -> nn.Module:
    """``features()`` of a modality, or its flattened or one-hot values.

    Args:
        modality: The modality.
        in_features: The number of features that its decoder takes. A fresh decoder tells the shape
            of a value.

    Raises:
        TypeError: For integers of another kind than classes and symbols, without ``features``.
    """
    if modality.features is not None:
        return declared_features(modality)
    p, draw = example(modality, in_features)
    if draw.is_floating_point():
        return ValueFeatures(modality.name, draw.shape[1:])
    base = getattr(p, "base_dist", p)
    if not isinstance(base, dist.Categorical):
        raise TypeError(
            f"modality {modality.name!r}: its values are integers, but how many there are is not "
            "known; declare features=."
        )
    return ValueFeatures(modality.name, draw.shape[1:], base.logits.shape[-1])


def example(
    modality: Modality, in_features: int
) -> tuple[TorchDistribution, Shaped[Tensor, "1 *D"]]:
    """p(x_m | z) of a fresh decoder, and a draw (1, *D_m): what values look like without data."""
    decoder = decoder_of(modality, in_features)
    with torch.no_grad(), eval_mode(decoder):
        none = blank_covariates([decoder], 1)
        output = run_network(decoder, torch.zeros(1, in_features), covariates=none)
        p = of_decoder(modality.likelihood, output, torch.Size([1]), name=modality.name)
    return p, p.sample()
