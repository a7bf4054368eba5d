"""MVCL: two encoders under a contrastive loss.

    dis(a, b) = 1 - cos(a, b)
    loss = (1/B) sum_i max(0, margin + dis(f(x_1i), g(x_2i)) - dis(f(x_1i), g(x_2i')))

with i' another row of the batch, drawn at random.

Source: Hermann & Blunsom 2014, arXiv:1312.6173, as run by Wang et al. 2015. Differs: they use
squared Euclidean distances.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.baselines.views import Projection, Views, perceptron
from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality
from ppl_mm.networks.layers import Activation
from ppl_mm.training.minimise import Shuffled, minimise, seeded

__all__ = ["contrastive_loss", "mvcl"]


@typed
def contrastive_loss(
    first: Float[Tensor, "B k"], second: Float[Tensor, "B k"], margin: float
) -> Float[Tensor, ""]:
    """The loss above of two views' features, (B, k) each, B at least 2; a scalar.

    Raises:
        ValueError: For other shapes.

    Example:
        >>> a = torch.eye(2)
        >>> contrastive_loss(a, a, margin=0.5), contrastive_loss(a, a.flip(0), margin=0.5)
        (tensor(0.), tensor(1.5000))
    """
    size = len(first)
    if first.shape != second.shape or first.dim() != 2 or size < 2:
        raise ValueError(
            "contrastive_loss: expected first and second (B, k) of one shape, B at least 2, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    others = (torch.arange(size) + torch.randint(1, size, (size,))) % size
    negative = second[others.to(second.device)]
    matched = 1.0 - F.cosine_similarity(first, second)
    mismatched = 1.0 - F.cosine_similarity(first, negative)
    return F.relu(margin + matched - mismatched).mean()


@typed
def mvcl(
    train: Observations,
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    views: Sequence[str] | None = None,
    margin: float = 0.5,
    hidden: Sequence[int] = (1024, 1024, 1024),
    activation: Activation = "relu",
    epochs: int = 50,
    batch_size: int = 100,
    learning_rate: float = 1e-4,
    seed: int = 0,
    device: str = "cpu",
) -> Projection:
    """Multi-view contrastive learning of two views.

    Args:
        train: The training rows; those that lack a view are left out.
        modalities: Declared modalities; values are flattened, classes and symbols one-hot.
        latent_dim: The number k of outputs of each encoder.
        views: The two views, the one at test time first; the first two modalities by default.
        margin: The distance by which a mismatched pair must be further apart, above 0; tune it.
        hidden: The sizes of each encoder's hidden layers.
        activation: The activation after them.
        epochs: The number of passes through the rows.
        batch_size: The number of rows per step, at least 2; an incomplete last batch is left out.
        learning_rate: The learning rate of Adam.
        seed: The seed of the networks, the order and the mismatched rows.
        device: The device to train on, where the projection stays.

    Raises:
        ValueError: For unknown views, no rows that hold both, or numbers out of range.
    """
    if not 0 < margin < float("inf"):
        raise ValueError(f"margin: expected a number above 0, got {margin!r}.")
    if batch_size < 2:
        raise ValueError(f"batch_size: expected at least 2 rows to contrast, got {batch_size!r}.")
    with seeded(seed, device):
        both = Views(train, modalities, views, device)
        first, second = both.numbers
        f, g = (perceptron((x.shape[1], *hidden, latent_dim), activation) for x in both.numbers)
        projection = both.projection([f, g]).to(device)
        minimise(
            projection,
            lambda rows: contrastive_loss(f(first[rows]), g(second[rows]), margin),
            Shuffled(len(first), batch_size, epochs, whole=True),
            learning_rate=learning_rate,
        )
    return projection
