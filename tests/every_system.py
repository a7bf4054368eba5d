"""Every likelihood and every system, small: what tests are parametrised over.

A system joins by being in ``systems.available()``; a likelihood by an entry of ``KINDS``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from ppl_mm import (
    Modality,
    Observations,
    System,
    likelihoods,
    log_likelihood,
    networks,
    systems,
)
from ppl_mm.distributions import (
    EncodedMixture,
    RandomMixture,
    RowwiseReference,
    StratifiedMixture,
)
from ppl_mm.evaluation import LogLikelihood
from ppl_mm.programs.answerable import answerable, conditioned_on

LATENT_DIM = 2
SMALL = (6,)


class CountsDecoder(nn.Module):
    """The user's own network: (total_count, logits) of a negative binomial."""

    def __init__(self, in_features: int, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2 * size)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        count, logits = self.linear(z).chunk(2, -1)
        return nn.functional.softplus(count) + 0.1, logits


@dataclass(frozen=True)
class Kind:
    """A likelihood with networks for it, valid values, and values outside its support.

    Attributes:
        likelihood: The likelihood.
        encoder: As in ``Modality``.
        decoder: As in ``Modality``.
        draw: From a number of rows to valid values, (N, *event).
        invalid: One element that the support does not hold; None where it holds every number.
    """

    likelihood: likelihoods.Likelihood
    encoder: Callable[[int], nn.Module]
    decoder: Callable[[int], nn.Module]
    draw: Callable[[int], Tensor]
    invalid: float | None = None


def _dense(
    likelihood: likelihoods.Likelihood,
    shape: tuple[int, ...],
    draw: Callable[[int], Tensor],
    invalid: float | None = None,
    **options: Any,
) -> Kind:
    return Kind(
        likelihood,
        partial(networks.MLPEncoder, event_shape=shape, hidden=SMALL),
        partial(networks.MLPDecoder, event_shape=shape, hidden=SMALL, **options),
        draw,
        invalid,
    )


def _tokens(n: int) -> Tensor:
    """Strings of 1 to 4 symbols out of 4, filled with the padding symbol 4."""
    symbols = torch.randint(4, (n, 4))
    lengths = torch.randint(1, 5, (n, 1))
    return symbols.masked_fill(torch.arange(4) >= lengths, 4)


_LABEL = (
    partial(networks.LabelEncoder, num_classes=3, hidden=SMALL),
    partial(networks.MLPDecoder, event_shape=(3,), hidden=SMALL),
)

KINDS: dict[str, Kind] = {
    "bernoulli": _dense(
        likelihoods.Bernoulli(), (1, 3, 3), lambda n: (torch.rand(n, 1, 3, 3) < 0.5) * 1.0, 0.5
    ),
    "soft_bernoulli": _dense(
        likelihoods.SoftBernoulli(), (1, 2, 2), lambda n: torch.rand(n, 1, 2, 2), 1.5
    ),
    "continuous_bernoulli": _dense(
        likelihoods.ContinuousBernoulli(), (4,), lambda n: torch.rand(n, 4), -0.1
    ),
    "categorical": Kind(
        likelihoods.Categorical(), *_LABEL, lambda n: torch.randint(3, (n,)), invalid=3
    ),
    "one_hot": Kind(
        likelihoods.Categorical(), *_LABEL, lambda n: torch.eye(3)[torch.randint(3, (n,))], 2.0
    ),
    "multi_label": _dense(
        likelihoods.MultiLabel(), (3,), lambda n: (torch.rand(n, 3) < 0.5) * 1.0, 0.5
    ),
    "normal": _dense(likelihoods.Normal(scale=0.5), (3,), lambda n: torch.randn(n, 3)),
    "normal_learned": _dense(
        likelihoods.Normal(), (3,), lambda n: torch.randn(n, 3), learned_scale=True
    ),
    "laplace": _dense(likelihoods.Laplace(), (3,), lambda n: torch.randn(n, 3)),
    "laplace_learned": _dense(
        likelihoods.Laplace(scale=None), (3,), lambda n: torch.randn(n, 3), learned_scale=True
    ),
    "poisson": _dense(
        likelihoods.Poisson(), (2,), lambda n: torch.poisson(torch.full((n, 2), 2.0)), -1.0
    ),
    "negative_binomial": Kind(
        likelihoods.NegativeBinomial(),
        partial(networks.MLPEncoder, event_shape=(2,), hidden=SMALL),
        partial(CountsDecoder, size=2),
        lambda n: torch.poisson(torch.full((n, 2), 2.0)),
        0.5,
    ),
    "zero_inflated": Kind(
        likelihoods.ZeroInflatedNegativeBinomial(),
        partial(networks.CountsEncoder, event_shape=(2,), hidden=SMALL),
        partial(
            networks.CountsDecoder,
            event_shape=(2,),
            hidden=SMALL,
            likelihood="zero_inflated",
            total=4.0,
            own_total=False,
        ),
        lambda n: torch.poisson(torch.full((n, 2), 2.0)) * (torch.rand(n, 2) < 0.7),
        -1.0,
    ),
    "tokens": Kind(
        likelihoods.Tokens(padding=4),
        partial(networks.StringEncoder, length=4, vocab_size=5, hidden=4),
        partial(networks.StringDecoder, length=4, vocab_size=5, start=0, hidden=4, dropout=0.0),
        _tokens,
        invalid=5,
    ),
}

THREE = ("bernoulli", "categorical", "normal")
"""An image, a label and numbers: what every system is built on by default."""


def modality(kind: str, **changes: Any) -> Modality:
    """The modality of that kind; its name is the kind's unless changed."""
    k = KINDS[kind]
    fields: dict[str, Any] = {
        "name": kind,
        "likelihood": k.likelihood,
        "encoder": k.encoder,
        "decoder": k.decoder,
    }
    return Modality(**{**fields, **changes})


def modalities(*kinds: str) -> list[Modality]:
    """Modalities of these kinds, or of the three."""
    return [modality(kind) for kind in kinds or THREE]


def complete(num_rows: int, *kinds: str) -> Observations:
    """Valid random rows that hold everything."""
    return Observations({kind: KINDS[kind].draw(num_rows) for kind in kinds or THREE})


def mixed(*kinds: str, rows_per_pattern: int = 1) -> Observations:
    """Every pattern of missingness in one batch, nothing observed included."""
    kinds = kinds or THREE
    patterns = torch.cartesian_prod(*[torch.tensor([True, False])] * len(kinds))
    patterns = patterns.reshape(-1, len(kinds)).repeat(rows_per_pattern, 1)
    present = {kind: patterns[:, i] for i, kind in enumerate(kinds)}
    return Observations(complete(len(patterns), *kinds).values, present)


def kinds_of(name: str, *kinds: str) -> tuple[str, ...]:
    """The kinds that a system of this name is built on: for vae the first alone."""
    kinds = kinds or THREE
    return kinds[:1] if name == "vae" else kinds


def options_of(name: str, declared: Sequence[Modality]) -> dict[str, Any]:
    """What a system must be told about these modalities, in whatever order they come.

    cvae conditions on the label; vcca looks at the last of them by name; cmmd always observes the
    numbers, or else the last by name that is no label.
    """
    listed = [declared] if isinstance(declared, Modality) else declared  # wrong input comes too
    names = [m.name for m in listed if isinstance(m, Modality)]
    label = "categorical" if "categorical" in names else (names or ["label"])[-1]
    if name in ("vcca", "vcca_private"):
        return {"view": max(names, default=None)}
    if name == "cmmd":
        rest = [n for n in names if n != "categorical"] or names or ["label"]
        seen = "normal" if "normal" in rest else max(rest)
        has_label = "categorical" in names and seen != "categorical"
        return {"observed": (seen,), "label": "categorical" if has_label else None}
    return {"given": (label,)} if name == "cvae" else {}


def build(
    name: str,
    declared: Sequence[Modality] | None = None,
    latent_dim: int = LATENT_DIM,
    **options: Any,
) -> System:
    """The system of that name on the three modalities, or on those declared."""
    if declared is None:
        declared = modalities(*kinds_of(name))
    return systems.build(name, declared, latent_dim, **{**options_of(name, declared), **options})


def targets(system: System) -> tuple[str, ...]:
    """What the system scores and generates: all but what its model conditions on."""
    given = conditioned_on(system.model)
    return tuple(n for n in system.model.names if n not in given)


def likelihood(system: System, obs: Observations, **options: Any) -> LogLikelihood:
    """log p of all that there is, given what the model conditions on, by rows that hold it."""
    given = conditioned_on(system.model)
    names = [n for n in obs.names if n not in given]
    return log_likelihood(system, answerable(system.model, obs), names, given, **options)


SYSTEMS = tuple(sorted(systems.available()))


class SameNoise(Messenger):
    """Every row of data, term and stratum draws with the same noise, a seed of its own a site.

    A loss is then a function of each row alone, summed: what batches share and split can be
    compared to the last digits. For locations and scales, and for stratified mixtures of them;
    other sites (counts, classes, pixels) are drawn as ever.
    """

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or msg["value"] is not None or msg["done"]:
            return
        if type(msg["fn"]).__name__ == "_Subsample":
            return
        shape, event = msg["fn"].batch_shape, msg["fn"].event_shape
        generator = torch.Generator().manual_seed(sum(map(ord, msg["name"])))
        particles = shape[:1] if len(shape) == 3 else ()
        plates = [1] * (len(shape) - len(particles))
        noise = torch.randn(*particles, *plates, *event, generator=generator, dtype=torch.float64)
        value = self._draw(msg["fn"], noise)
        if value is not None:
            msg["value"], msg["done"] = value.expand(*shape, *event), True

    def _draw(self, fn: Any, noise: Tensor) -> Tensor | None:
        if isinstance(fn, StratifiedMixture):
            fn = fn.from_drawn
        if isinstance(fn, RowwiseReference):
            parts = (part.expand(fn.batch_shape) for part in (fn.first, fn.second))
            first, second = (self._draw(part, noise) for part in parts)
            return torch.where(fn.rows[..., None], first, second)
        if isinstance(fn, RandomMixture):
            return self._draw_component(fn, noise)
        if isinstance(fn, EncodedMixture):
            loc, scale = (part[0] for part in fn.encoded())
            return (loc + scale * noise.to(loc.dtype)).expand(*fn.batch_shape, *fn.event_shape)
        base = getattr(fn, "base_dist", fn)
        if not {"loc", "scale"} <= base.arg_constraints.keys():
            return None
        return base.loc + base.scale * noise.to(base.loc.dtype)

    def _draw_component(self, mixture: RandomMixture, noise: Tensor) -> Tensor:
        """From the component of each row at the same point of its cumulative probabilities."""
        cumulative = mixture.log_weight.exp().cumsum(0)
        index = (cumulative < 0.7).sum(0)[None, ..., None]
        draws = torch.stack([self._draw(c, noise) for c in mixture.components])
        return draws.take_along_dim(index, 0)[0]


def summed(system: System) -> System:
    """The system with its terms summed over rows where they are means over rows of their own.

    A mean weighs rows by how many others there are; what it weighs is still each row's own. An MMD
    is of the rows of a batch together, and is left out.
    """
    if getattr(system.objective, "mean", None) == "rows":
        system.objective.mean = "batch"
    if hasattr(system.objective, "mmd_weight"):
        system.objective.mmd_weight = 0.0
    return system


def loss_and_gradients(system: System, obs: Observations) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradient of every parameter (zeros where there is none)."""
    system.zero_grad()
    loss = system(obs)
    if loss.requires_grad:
        loss.backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in system.named_parameters()
    }
    return loss.detach(), gradients
