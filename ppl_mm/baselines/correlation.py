"""Linear and deep canonical correlation analysis, by cca-zoo.

    CCA     max over w_1, w_2 of the correlations of w_1' x_1 and w_2' x_2
    DCCA    max over f, g of || S_11^(-1/2) S_12 S_22^(-1/2) ||_F^2, with S the covariances of
            f(x_1) and g(x_2) in a batch; then CCA of f(x_1) and g(x_2)
    DCCAE   (1 - lam) times DCCA's, minus lam sum over v of the mean squared error of x_v

Sources: Hotelling 1936; Andrew et al. 2013, "Deep canonical correlation analysis"; Wang et al.
2015, "On deep multi-view representation learning". Differs: Andrew et al. maximise the sum of the
singular values, cca-zoo that of their squares.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.baselines.views import Projection, Views, perceptron
from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality
from ppl_mm.networks.layers import Activation
from ppl_mm.training.minimise import Shuffled, minimise, seeded

__all__ = ["cca", "dcca", "dccae"]


@typed
def cca(
    train: Observations,
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    views: Sequence[str] | None = None,
    shrinkage: float = 0.0,
) -> Projection:
    """Linear CCA of two views, with ridge or without.

    Args:
        train: The training rows; those that lack a view are left out.
        modalities: Declared modalities; values are flattened, classes and symbols one-hot.
        latent_dim: The number k of canonical directions; there are fewer if a view has a
            lower rank.
        views: The two views, the one at test time first; the first two modalities by default.
        shrinkage: The share of the identity in each view's covariance, in [0, 1]; 0 is CCA.

    Raises:
        ModuleNotFoundError: Without the extra ``baselines``.
        ValueError: For unknown views, no rows that hold both, or more directions than a view has
            numbers.

    Example:
        >>> from ppl_mm import data
        >>> digits = data.load("digits")
        >>> projection = cca(digits.train, digits.modalities, 5)
        >>> projection.names, projection(digits.test).shape
        (('top', 'bottom'), torch.Size([397, 5]))
    """
    with seeded(0, "cpu"):
        both = Views(train, modalities, views)
        return both.projection(_canonical(both.numbers, latent_dim, shrinkage))


@typed
def dcca(
    train: Observations,
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    views: Sequence[str] | None = None,
    hidden: Sequence[int] = (1024, 1024, 1024),
    activation: Activation = "relu",
    ridge: float = 1e-4,
    epochs: int = 50,
    batch_size: int = 800,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
) -> Projection:
    """Deep CCA of two views.

    Args:
        train: The training rows; those that lack a view are left out.
        modalities: Declared modalities; values are flattened, classes and symbols one-hot.
        latent_dim: The number k of outputs of each encoder and the canonical directions.
        views: The two views, the one at test time first; the first two modalities by default.
        hidden: The sizes of each encoder's hidden layers.
        activation: The activation after them.
        ridge: The number that is added to the covariances' diagonals.
        epochs: The number of passes through the rows.
        batch_size: The number of rows per step, well above k; an incomplete last batch is left out
            if there is another.
        learning_rate: The learning rate of Adam.
        seed: The seed of the networks and the order.
        device: The device to train on, where the projection stays.

    Raises:
        ModuleNotFoundError: Without the extra ``baselines``.
        ValueError: For unknown views, no rows that hold both, or batches of no more rows than k.
    """
    return _deep(
        train,
        modalities,
        latent_dim,
        None,
        views=views,
        hidden=hidden,
        activation=activation,
        ridge=ridge,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )


@typed
def dccae(
    train: Observations,
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    lam: float = 0.5,
    **options: Any,
) -> Projection:
    """Deep canonically correlated autoencoders: DCCA whose encodings also reconstruct the views.

    Args:
        train: The training rows; those that lack a view are left out.
        modalities: Declared modalities.
        latent_dim: The number k of canonical directions.
        lam: The share of the reconstructions, in [0, 1]; the paper's lambda, of squared errors
            summed over a view's D numbers, is lam / ((1 - lam) D).
        **options: The options of :func:`dcca`; decoders mirror the encoders' hidden layers.

    Raises:
        ModuleNotFoundError: Without the extra ``baselines``.
        ValueError: For unknown views, no rows that hold both, or lam outside [0, 1].
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"dccae: expected lam in [0, 1], got {lam!r}.")
    return _deep(train, modalities, latent_dim, lam, **options)


def _deep(
    train: Observations,
    modalities: Sequence[Modality],
    latent_dim: int,
    lam: float | None,
    *,
    views: Sequence[str] | None = None,
    hidden: Sequence[int] = (1024, 1024, 1024),
    activation: Activation = "relu",
    ridge: float = 1e-4,
    epochs: int = 50,
    batch_size: int = 800,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
) -> Projection:
    zoo = _zoo("deep")
    with seeded(seed, device):
        both = Views(train, modalities, views, device)
        inner = (*hidden, latent_dim)
        sizes = [(x.shape[1], *inner) for x in both.numbers]
        if (rows := min(batch_size, len(both.numbers[0]))) <= latent_dim:
            raise ValueError(
                f"expected batches of more rows than latent_dim = {latent_dim}, for covariances of "
                f"full rank, got {rows}; give more rows or a larger batch_size."
            )
        encoders = [perceptron(s, activation).to(device) for s in sizes]
        options = {"n_components": latent_dim, "encoders": encoders, "reg_covar": ridge}
        if lam is None:
            module = zoo.DCCA(**options)
        else:
            decoders = [perceptron(s[::-1], activation).to(device) for s in sizes]
            module = zoo.DCCAE(**options, decoders=decoders, lam=lam)
        minimise(
            module,
            lambda rows: module.loss({"views": [x[rows] for x in both.numbers]})["objective"],
            Shuffled(len(both.numbers[0]), rows, epochs, whole=True),
            learning_rate=learning_rate,
        )
        with torch.no_grad():
            outputs = [f(x) for f, x in zip(encoders, both.numbers, strict=True)]
        maps = _canonical(outputs, latent_dim, 0.0)
        networks = [nn.Sequential(*pair) for pair in zip(encoders, maps, strict=True)]
        return both.projection(networks)


def _canonical(numbers: Sequence[Tensor], latent_dim: int, shrinkage: float) -> list[nn.Linear]:
    """The canonical maps of two views, (D_v, k) each, as linear layers."""
    arrays = [x.double().cpu().numpy() for x in numbers]
    found = _zoo("linear").RidgeCCA(n_components=latent_dim, shrinkage=shrinkage).fit(arrays)
    layers = []
    for x, mean, weight in zip(numbers, found.means_, found.weights_, strict=True):
        layer = nn.Linear(*weight.shape).to(x)
        with torch.no_grad():
            layer.weight.copy_(torch.as_tensor(weight.T.copy()))
            layer.bias.copy_(torch.as_tensor(-(mean @ weight)))
        layers.append(layer.requires_grad_(False))
    return layers


def _zoo(part: str) -> Any:
    """``cca_zoo.linear`` or ``cca_zoo.deep``."""
    try:
        import cca_zoo.deep
        import cca_zoo.linear
        import lightning  # noqa: F401 - cca_zoo.deep is empty without it
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "canonical correlation analysis needs cca-zoo: pip install 'ppl-mm[baselines]'."
        ) from error
    return getattr(cca_zoo, part)
