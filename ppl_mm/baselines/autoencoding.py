"""A deterministic autoencoder of one modality, of its encoder's location and its decoder.

    z = loc(x),      loss = - sum over rows log p(x | z)

Source: the baseline AE of Wu & Goodman 2018, arXiv:1802.05335, table 8.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.baselines.views import Projection, held_by
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.shapes import loc_scale
from ppl_mm.likelihoods.decoder import of_decoder
from ppl_mm.modality import Modality
from ppl_mm.training.minimise import Shuffled, minimise, seeded

__all__ = ["autoencoder"]


class Location(nn.Module):
    """The location that an encoder gives, without its scale."""

    def __init__(self, modality: Modality, latent_dim: int) -> None:
        super().__init__()
        self.name, self.latent_dim = modality.name, latent_dim
        self.encoder = modality.encoder(latent_dim)

    def forward(self, values: Shaped[Tensor, "B *D"]) -> Float[Tensor, "B Z"]:
        """(B, *event_shape) to (B, Z)."""
        return loc_scale(self.name, self.encoder(values), self.latent_dim, len(values))[0]


@typed
def autoencoder(
    train: Observations,
    modality: Modality,
    latent_dim: int,
    *,
    epochs: int = 200,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
) -> Projection:
    """An autoencoder with a modality's own networks and likelihood, without noise or prior.

    Args:
        train: The training rows; those that lack the modality are left out.
        modality: The modality, whose encoder, decoder and likelihood are used.
        latent_dim: The size Z of the code.
        epochs: The number of passes through the rows.
        batch_size: The number of rows per step; their log-probabilities are summed.
        learning_rate: The learning rate of Adam.
        seed: The seed of the networks and the order.
        device: The device to train on, where the networks stay.

    Returns:
        A projection whose one view is the modality: from rows to codes (N, Z).

    Raises:
        ValueError: If fewer than two rows hold the modality, or for numbers out of range.

    Example:
        >>> from ppl_mm import baselines, data
        >>> digits = data.load("digits")
        >>> top = digits.modalities[0]
        >>> codes = baselines.autoencoder(digits.train, top, 5, epochs=1)
        >>> codes(digits.test).shape
        torch.Size([397, 5])
    """
    with seeded(seed, device):
        encoder: nn.Module = Location(modality, latent_dim).to(device)
        decoder: nn.Module = modality.decoder(latent_dim).to(device)
        rows = held_by(train, (modality.name,))
        values = train[modality.name][rows].to(device)

        def loss(batch: Tensor) -> Tensor:
            x = values[batch]
            rows, event = torch.Size([len(x)]), x.shape[1:]
            p = of_decoder(modality.likelihood, decoder(encoder(x)), rows, event, modality.name)
            return -p.log_prob(x).sum()

        batches = Shuffled(len(rows), batch_size, epochs)
        minimise(nn.ModuleList([encoder, decoder]), loss, batches, learning_rate=learning_rate)
    return Projection((modality.name,), [encoder])
