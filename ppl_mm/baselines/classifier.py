"""Classifiers p(y | x_O) of the modalities that there are at test time: M-x_O, and a larger one.

Source: Mancisidor et al. 2023 (CMMD), table 2; its release for the sizes of M-x_O.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.baselines.views import held_by, require
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihoods import Bernoulli, Categorical, MultiLabel
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.networks.layers import Activation, dense
from ppl_mm.programs.features import example, value_features
from ppl_mm.training.minimise import Shuffled, minimise, seeded

__all__ = ["LabelClassifier", "label_classifier", "matched_classifier"]


class LabelClassifier(nn.Module):
    """p(y | x_O): trunks of the observed modalities side by side, then layers to y's logits.

    Args:
        modalities: Declared modalities; an observed one's ``features()`` is its trunk, or else its
            flattened or one-hot values.
        label: y, whose likelihood is Categorical, MultiLabel or Bernoulli.
        observed: The modalities O that are there.
        event_shape: The shape of y's values in the data: (C,) for one-hot classes.
        layers: A function from a number of features to a module and the number of features that it
            returns.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        label: str,
        observed: Sequence[str],
        event_shape: torch.Size,
        layers: "Layers",
    ) -> None:
        super().__init__()
        declared = {m.name: m for m in check_modalities(modalities)}
        for name in (label, *observed):
            if name not in declared:
                raise ValueError(unknown_name("modality", name, declared))
        if not observed or label in observed:
            raise ValueError(f"observed: expected modalities other than {label!r}, got {observed}.")
        self.label, self.observed = label, tuple(observed)
        self.likelihood = declared[label].likelihood
        if not isinstance(self.likelihood, Categorical | MultiLabel | Bernoulli):
            raise TypeError(
                f"modality {label!r}: expected the likelihood of a label, Categorical, MultiLabel "
                f"or Bernoulli, got {type(self.likelihood).__name__}."
            )
        trunks: dict[str, Any] = {n: value_features(declared[n], 1) for n in observed}
        self.trunks = nn.ModuleDict(trunks)
        inner, size = layers(sum(trunk.out_features for trunk in trunks.values()))
        p: TorchDistribution = example(declared[label], 1)[0]
        classes = isinstance(self.likelihood, Categorical)
        self.event_shape = event_shape
        self.shape = p.logits.shape[-1:] if classes else event_shape
        self.inner, self.output = inner, nn.Linear(size, self.shape.numel())

    def forward(self, *values: Shaped[Tensor, "B ..."]) -> TorchDistribution:
        """p(y | x_O), batch shape (B,), of values in the order of ``observed``."""
        trunks = self.trunks.values()
        features = torch.cat([t(x) for t, x in zip(trunks, values, strict=True)], -1)
        logits = self.output(self.inner(features)).reshape(len(features), *self.shape)
        return self.likelihood(logits, 1, self.event_shape)

    def log_prob(self, obs: Observations) -> Float[Tensor, " N"]:
        """log p(y | x_O) of every row, (N,), in nats; every row must hold y and x_O."""
        require(obs, self.label)
        y = obs[self.label].to(self.output.weight.device)
        return torch.cat([p.log_prob(y[rows]) for rows, p in self._parts(obs)])

    def probabilities(self, obs: Observations) -> Float[Tensor, "N *C"]:
        """Probabilities of classes (N, C), or of labels being 1 (N, *event); rows hold x_O."""
        return torch.cat([_probabilities(p) for _, p in self._parts(obs)])

    def predict(self, obs: Observations) -> Shaped[Tensor, "N *D"]:
        """The most probable class, (N,) int64; or labels 0 and 1, (N, *event)."""
        found = self.probabilities(obs)
        return found.argmax(-1) if isinstance(self.likelihood, Categorical) else (found > 0.5) * 1.0

    def _parts(self, obs: Observations) -> Any:
        """Rows and their p(y | x_O), some at a time, without gradients."""
        for name in self.observed:
            require(obs, name)
        device = self.output.weight.device
        with torch.no_grad():
            for rows in torch.arange(len(obs)).split(1000):
                yield rows, self(*(obs[n][rows].to(device) for n in self.observed))


class Layers:
    """Dense layers with activations, optionally after a linear layer to Z features."""

    def __init__(
        self,
        hidden: Sequence[int],
        activation: Activation,
        dropout: float,
        through: tuple[Sequence[int], int] | None = None,
    ) -> None:
        self.hidden, self.through = tuple(hidden), through
        self.options: dict[str, Any] = {"activation": activation, "dropout": dropout}

    def __call__(self, in_features: int) -> tuple[nn.Module, int]:
        """The module, and how many features it gives."""
        parts: list[nn.Module] = []
        if self.through is not None:
            before, latent_dim = self.through
            sizes = (in_features, *before)
            parts += [dense(sizes, **self.options), nn.Linear(sizes[-1], latent_dim)]
            in_features = latent_dim
        sizes = (in_features, *self.hidden)
        return nn.Sequential(*parts, dense(sizes, **self.options)), sizes[-1]


@typed
def label_classifier(
    train: Observations,
    modalities: Sequence[Modality],
    label: str,
    observed: str | Sequence[str],
    *,
    hidden: Sequence[int] = (70, 70),
    activation: Activation = "tanh",
    dropout: float = 0.0,
    epochs: int = 200,
    batch_size: int = 100,
    learning_rate: float = 1e-4,
    seed: int = 0,
    device: str = "cpu",
) -> LabelClassifier:
    """M-x_O: a small network from the modalities at test time to the label.

    Args:
        train: The training rows, of which those with the label and all of ``observed`` count.
        modalities: Declared modalities.
        label: The label, y.
        observed: The modalities O that are there, one name or several.
        hidden: The sizes of the hidden layers; the default is the release's for MNIST.
        activation: The activation after them.
        dropout: The probability of dropout after them.
        epochs: The number of passes through the rows.
        batch_size: The number of rows per step; their cross-entropies are summed.
        learning_rate: The learning rate of Adam.
        seed: The seed of the network, the order and dropout.
        device: The device to train on, where the classifier stays.

    Raises:
        TypeError: For a label of another likelihood than Categorical, MultiLabel or Bernoulli.
        ValueError: For unknown modalities, a label that is observed, or no rows to learn from.
    """
    return _trained(
        train,
        modalities,
        label,
        observed,
        Layers(hidden, activation, dropout),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )


@typed
def matched_classifier(
    train: Observations,
    modalities: Sequence[Modality],
    label: str,
    observed: str | Sequence[str],
    latent_dim: int = 50,
    *,
    prior_hidden: Sequence[int] = (1024, 1024, 1024),
    hidden: Sequence[int] = (50, 50),
    activation: Activation = "softplus",
    dropout: float = 0.2,
    epochs: int = 200,
    batch_size: int = 100,
    learning_rate: float = 1e-4,
    seed: int = 0,
    device: str = "cpu",
) -> LabelClassifier:
    """CMMD's path from x_O to y without its generation: the prior's mean, then a classifier.

    As :func:`label_classifier` with, before the hidden layers, those of the prior network and a
    linear layer to ``latent_dim`` features; dropout follows every hidden layer.

    Args:
        train: The training rows, of which those with the label and all of ``observed`` count.
        modalities: Declared modalities.
        label: The label, y.
        observed: The modalities O that are there, one name or several.
        latent_dim: The size Z of the latent.
        prior_hidden: The sizes of the prior network's hidden layers.
        hidden: The sizes of the classifier's hidden layers.
        activation: The activation after either.
        dropout: The probability of dropout after either.
        epochs: As in :func:`label_classifier`.
        batch_size: As in :func:`label_classifier`.
        learning_rate: As in :func:`label_classifier`.
        seed: As in :func:`label_classifier`.
        device: As in :func:`label_classifier`.

    Raises:
        TypeError: As in :func:`label_classifier`.
        ValueError: As in :func:`label_classifier`, and for no features.
    """
    return _trained(
        train,
        modalities,
        label,
        observed,
        Layers(hidden, activation, dropout, (prior_hidden, latent_dim)),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )


def _trained(
    train: Observations,
    modalities: Sequence[Modality],
    label: str,
    observed: str | Sequence[str],
    layers: Layers,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: str,
) -> LabelClassifier:
    names = (observed,) if isinstance(observed, str) else tuple(observed)
    with seeded(seed, device):
        event_shape = train[label].shape[1:] if label in train.names else torch.Size()
        classifier = LabelClassifier(modalities, label, names, event_shape, layers).to(device)
        rows = held_by(train, (label, *names))
        y, *values = (train[n][rows].to(device) for n in (label, *names))
        minimise(
            classifier,
            lambda batch: -classifier(*(x[batch] for x in values)).log_prob(y[batch]).sum(),
            Shuffled(len(rows), batch_size, epochs),
            learning_rate=learning_rate,
        )
    return classifier


def _probabilities(p: TorchDistribution) -> Tensor:
    base = getattr(p, "base_dist", p)
    probabilities: Tensor = base.probs
    return probabilities
