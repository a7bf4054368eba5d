"""A restricted Boltzmann machine of one modality, whose features are the hidden units.

    p(x, h) proportional to exp( b'x + c'h + h'W x ),    features p(h = 1 | x) = sigmoid(W x + c)

Source: the baseline RBM of Wu & Goodman 2018, arXiv:1802.05335, tables 8 and 9; scikit-learn's
``BernoulliRBM``. Differs: that learns by persistent contrastive divergence (Tieleman 2008).
"""

from dataclasses import replace

import torch
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.baselines.views import Projection, held_by
from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality
from ppl_mm.programs.features import value_features

__all__ = ["rbm"]


@typed
def rbm(
    train: Observations,
    modality: Modality,
    *,
    hidden: int = 128,
    epochs: int = 200,
    batch_size: int = 100,
    learning_rate: float = 0.05,
    seed: int = 0,
) -> Projection:
    """Fit the machine to values in [0, 1], flattened; classes and symbols are one-hot.

    Args:
        train: The training rows; those that lack the modality are left out.
        modality: The modality of the visible units.
        hidden: The number of hidden units.
        epochs: The number of passes through the rows.
        batch_size: The number of rows per step, and chains of the sampler.
        learning_rate: The learning rate of the steps.
        seed: The seed of the weights and the sampler.

    Returns:
        A projection whose one view is the modality: from rows to p(h = 1 | x), (N, hidden).

    Raises:
        ValueError: For values outside [0, 1], if fewer than two rows hold the modality, or for
            numbers out of range.

    Example:
        >>> from ppl_mm import baselines, data
        >>> digits = data.load("digits")
        >>> features = baselines.rbm(digits.train, digits.modalities[0], hidden=6, epochs=1)
        >>> features(digits.test).shape
        torch.Size([397, 6])
    """
    from sklearn.neural_network import BernoulliRBM

    rows = held_by(train, (modality.name,))
    flat = value_features(replace(modality, features=None), 1)
    visible = flat(train[modality.name][rows])
    if bool((visible < 0).any()) or bool((visible > 1).any()):
        raise ValueError(
            f"modality {modality.name!r}: expected values from 0 to 1, got {visible.min().item():g}"
            f" to {visible.max().item():g}; scale them."
        )
    machine = BernoulliRBM(
        n_components=hidden,
        learning_rate=learning_rate,
        batch_size=batch_size,
        n_iter=epochs,
        random_state=seed,
    )
    machine.fit(visible.cpu().numpy())
    linear = nn.Linear(visible.shape[1], hidden, dtype=visible.dtype)
    linear.requires_grad_(requires_grad=False)
    linear.weight.copy_(torch.from_numpy(machine.components_))
    linear.bias.copy_(torch.from_numpy(machine.intercept_hidden_))
    network = nn.Sequential(flat, linear, nn.Sigmoid()).to(visible.device)
    return Projection((modality.name,), [network])
