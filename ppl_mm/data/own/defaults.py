"""The likelihood and the networks of a modality, by its kind and its size."""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ppl_mm.data.own.arrays import blocks
from ppl_mm.data.own.declaration import Declared, Kind
from ppl_mm.data.own.values import Values
from ppl_mm.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Laplace,
    Likelihood,
    LogNormal,
    MultiLabel,
    NegativeBinomial,
    Normal,
    Poisson,
    SoftBernoulli,
    Tokens,
    ZeroInflatedNegativeBinomial,
)
from ppl_mm.modality import Modality
from ppl_mm.networks import (
    ConvDecoder,
    ConvEncoder,
    ConvFeatures,
    CountsDecoder,
    CountsEncoder,
    CountsFeatures,
    LabelEncoder,
    MLPDecoder,
    MLPEncoder,
    RatesDecoder,
    SentenceDecoder,
    SentenceEncoder,
    SentenceFeatures,
    TableDecoder,
    TableEncoder,
    TableFeatures,
)

__all__ = ["latent_size", "modality_of"]

_HIDDEN, _WIDE = (128, 128), (256, 256)  # For up to _MANY elements, and for more.
_MANY = 500
_PARTS = 50  # From this number of columns on, counts are parts of a row's total.
_LATENT, _WIDE_LATENT = 16, 32
_CHANNELS = (32, 64, 128, 128)
_LEAST_MAP = 4  # The smallest height or width of a feature map.
_EMBEDDING = 64

_TRUNKS: dict[Any, Callable[..., Any]] = {
    TableEncoder: TableFeatures,
    CountsEncoder: CountsFeatures,
    SentenceEncoder: SentenceFeatures,
    ConvEncoder: ConvFeatures,
}
"""The features of a modality for joint networks, if flattened values are not suitable."""

_ALLOWED: dict[str, tuple[type[Likelihood], ...]] = {
    "real": (Normal, Laplace),
    "positive": (LogNormal, Normal, Laplace),
    "counts": (NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial),
    "binary": (Bernoulli, MultiLabel),
    "category": (Categorical,),
    "label set": (MultiLabel, Bernoulli),
    "image": (Normal, Laplace, Bernoulli, SoftBernoulli, ContinuousBernoulli),
    "text": (Tokens,),
}


def modality_of(
    declared: Declared,
    kind: Kind,
    values: Values,
    training: np.ndarray,
    where: str,
    covariates: Mapping[str, int] | None = None,
) -> Modality:
    """Declare a modality with the likelihood and the networks of its kind and size.

    Args:
        declared: The user's declaration, which takes precedence.
        kind: Its kind.
        values: Its values.
        training: The positions of its training rows, which determine the units of columns.
        where: The declaration's name in messages.
        covariates: Name -> the number of classes, or 1, of what dense networks read besides; those
            of images and text, and the encoder of a category, do not.

    Raises:
        ValueError: If the likelihood does not fit the kind.
    """
    likelihood = declared.likelihood
    for key in ("symbols", "length"):
        if kind != "text" and getattr(declared, key) is not None:
            raise ValueError(
                f"{where}, [modalities.{declared.name}], {key}: is for kind 'text', got kind "
                f"{kind!r}; leave it out."
            )
    if likelihood is not None and not isinstance(likelihood, _ALLOWED[kind]):
        names = ", ".join(k.__name__ for k in _ALLOWED[kind])
        raise ValueError(
            f"{where}, [modalities.{declared.name}], likelihood: kind {kind!r} takes {names}, got "
            f"{type(likelihood).__name__}."
        )
    if isinstance(likelihood, ZeroInflatedNegativeBinomial) and values.array.shape[1] < _PARTS:
        raise ValueError(
            f"{where}, [modalities.{declared.name}], likelihood: ZeroInflatedNegativeBinomial is "
            f"for counts of at least {_PARTS} columns that are parts of a total, got "
            f"{values.array.shape[1]}; NegativeBinomial takes any number."
        )
    shape = tuple(int(n) for n in values.array.shape[1:])
    hidden = declared.hidden or (_WIDE if math.prod(shape) > _MANY else _HIDDEN)
    if kind == "counts" and shape[0] >= _PARTS:
        made = _parts(likelihood or NegativeBinomial(), values, training, hidden)
    elif kind in ("real", "positive", "counts"):
        made = _columns(kind, likelihood, values, training, hidden)
    elif kind in ("binary", "label set"):
        made = _bits(
            likelihood or (MultiLabel() if kind == "label set" else Bernoulli()), values, hidden
        )
    elif kind == "category":
        made = _category(likelihood or Categorical(), len(values.levels), hidden)
    elif kind == "text":
        assert values.vocabulary is not None
        made = _text(likelihood or Tokens(), shape[0], len(values.vocabulary), hidden[-1])
    else:
        made = _image(likelihood or _of_pixels(values, training), shape, hidden)
    likelihood = made[0]
    encoder, decoder = (_reading(network, covariates) for network in made[1:])
    trunk = _TRUNKS.get(encoder.func)
    features = None if trunk is None else partial(trunk, **encoder.keywords)
    return Modality(declared.name, likelihood, encoder, decoder, declared.weight, features)


def _reading(network: partial[Any], covariates: Mapping[str, int] | None) -> partial[Any]:
    """Let a network read covariates if it can."""
    if covariates is None or "covariates" not in inspect.signature(network.func).parameters:
        return network
    return partial(network, covariates=dict(covariates))


def latent_size(shapes: list[tuple[int, ...]]) -> int:
    """Return the size of the latent: 16, or 32 if a modality has more than 500 elements."""
    return _WIDE_LATENT if any(math.prod(shape) > _MANY for shape in shapes) else _LATENT


Made = tuple[Likelihood, partial[Any], partial[Any]]


def _columns(
    kind: Kind,
    likelihood: Likelihood | None,
    values: Values,
    training: np.ndarray,
    hidden: tuple[int, ...],
) -> Made:
    """Declare columns of numbers, which the networks see standardised by the training rows."""
    likelihood = likelihood or {"real": Normal(), "positive": LogNormal()}.get(kind)
    likelihood = likelihood or NegativeBinomial()
    transform: Any = {"positive": "log", "counts": "log1p"}.get(kind, "none")
    centre, spread = _moments(values, training, transform)
    units: dict[str, Any] = {"centre": centre, "spread": spread}
    asks = values.holes is not None
    encoder = partial(TableEncoder, **units, transform=transform, hidden=hidden, elements=asks)
    if kind == "counts":
        log_mean = _log_means(values, training)
        dispersion = isinstance(likelihood, NegativeBinomial)
        counts = partial(RatesDecoder, log_mean=log_mean, hidden=hidden, dispersion=dispersion)
        return likelihood, encoder, counts
    if kind == "positive" and not isinstance(likelihood, LogNormal):
        centre, spread = _moments(values, training, "none")
        units = {"centre": centre, "spread": spread}
    learned = getattr(likelihood, "scale", None) is None
    return likelihood, encoder, partial(TableDecoder, **units, hidden=hidden, learned_scale=learned)


def _parts(
    likelihood: Likelihood, values: Values, training: np.ndarray, hidden: tuple[int, ...]
) -> Made:
    """Declare counts that are parts of a row's total, such as the genes of a cell."""
    totals = np.concatenate([np.nansum(x, 1) for x in blocks(values.array, training)])
    form: dict[type, Any] = {Poisson: "poisson", ZeroInflatedNegativeBinomial: "zero_inflated"}
    options: dict[str, Any] = {"event_shape": tuple(values.array.shape[1:]), "hidden": hidden}
    decoder = partial(
        CountsDecoder,
        **options,
        likelihood=form.get(type(likelihood), "negative_binomial"),
        total=float(max(np.median(totals), 1.0)),
    )
    return likelihood, partial(CountsEncoder, **options), decoder


def _bits(likelihood: Likelihood, values: Values, hidden: tuple[int, ...]) -> Made:
    shape, asks = tuple(values.array.shape[1:]), values.holes is not None
    encoder = partial(MLPEncoder, event_shape=shape, hidden=hidden, elements=asks)
    return likelihood, encoder, partial(MLPDecoder, event_shape=shape, hidden=hidden)


def _category(likelihood: Likelihood, classes: int, hidden: tuple[int, ...]) -> Made:
    encoder = partial(LabelEncoder, num_classes=classes, hidden=hidden)
    return likelihood, encoder, partial(MLPDecoder, event_shape=(classes,), hidden=hidden)


def _text(likelihood: Likelihood, length: int, symbols: int, hidden: int) -> Made:
    options: dict[str, Any] = {
        "length": length,
        "vocab_size": symbols,
        "embedding": _EMBEDDING,
        "hidden": hidden,
    }
    return likelihood, partial(SentenceEncoder, **options), partial(SentenceDecoder, **options)


def _of_pixels(values: Values, training: np.ndarray) -> Likelihood:
    """Choose Bernoulli for pictures in black and white, and a narrow Normal for others."""
    stored = next(blocks(values.array, training))
    grey = stored / 255 if values.convert is not None else stored
    return Bernoulli() if np.isin(grey[~np.isnan(grey)], (0, 1)).all() else Normal(scale=0.1)


def _image(likelihood: Likelihood, shape: tuple[int, ...], hidden: tuple[int, ...]) -> Made:
    """Choose convolutions that halve the picture if its sides divide, else dense layers."""
    channels, height, width = shape
    halvings = 0
    while halvings < len(_CHANNELS) and all(
        side % 2 ** (halvings + 1) == 0 and side >> (halvings + 1) >= _LEAST_MAP
        for side in (height, width)
    ):
        halvings += 1
    learned = getattr(likelihood, "scale", 0.0) is None
    if halvings == 0 or learned:
        encoder = partial(MLPEncoder, event_shape=shape, hidden=hidden)
        decoder = partial(MLPDecoder, event_shape=shape, hidden=hidden, learned_scale=learned)
        return likelihood, encoder, decoder
    sizes = _CHANNELS[:halvings]
    down = tuple((size, 4, 2, 1) for size in sizes)
    up = tuple((size, 4, 2, 1) for size in (*sizes[-2::-1], channels))
    start = (sizes[-1], height >> halvings, width >> halvings)
    return (
        likelihood,
        partial(ConvEncoder, event_shape=shape, layers=down, hidden=hidden[-1:]),
        partial(ConvDecoder, start=start, layers=up, hidden=hidden[-1:]),
    )


def _moments(
    values: Values, training: np.ndarray, transform: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each transformed column over training rows.

    The standard deviation of a constant or empty column is set to 1.
    """
    function = {"log": np.log, "log1p": np.log1p}.get(transform, np.asarray)

    def parts() -> Any:
        return (function(block.astype(np.float64)) for block in blocks(values.array, training))

    size = sum((~np.isnan(x)).sum(0) for x in parts())
    size = np.maximum(size, 1)
    centre = sum(np.nansum(x, 0) for x in parts()) / size
    spread = np.sqrt(sum(np.nansum((x - centre) ** 2, 0) for x in parts()) / size)
    spread[~(spread > 1e-12 * np.maximum(1.0, abs(centre)))] = 1.0
    return tuple(centre.tolist()), tuple(spread.tolist())


def _log_means(values: Values, training: np.ndarray) -> tuple[float, ...]:
    """Return the log of each column's mean over training rows, with half a count added."""
    total = sum(np.nansum(x.astype(np.float64), 0) for x in blocks(values.array, training))
    return tuple(np.log((total + 0.5) / max(len(training), 1)).tolist())
