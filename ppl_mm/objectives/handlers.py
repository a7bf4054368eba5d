"""Effect handlers that objectives apply to models and guides."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor

from ppl_mm.batch.plate import of_rows
from ppl_mm.batch.rows import unexpanded
from ppl_mm.distributions.mixture import StratifiedMixture
from ppl_mm.distributions.reference import RowwiseReference
from ppl_mm.programs.contracts import Prior

__all__ = [
    "ByComponent",
    "Matched",
    "OfTheDataSet",
    "OffSource",
    "Reference",
    "ScaleSites",
    "SharedNoise",
    "SkipAbsent",
]


class ScaleSites(Messenger):
    """Multiply log-probabilities: lambda_m of the observed sites, beta of the latent ones.

    Apply it to the model *and* the guide: with ``Trace_ELBO`` a scale on the model's latent
    alone gives beta log p - log q, and ``TraceMeanField_ELBO`` reads the guide's scale for its
    analytic KL. ``poutine.scale`` refuses zero; here a zero weight is a mask.

    Args:
        weights: Site -> factor, a number or one a term, (T, 1); sites not named keep 1.
        beta: A further factor of every latent site.

    Source: Wu & Goodman 2018, arXiv:1802.05335, eq. 2.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from pyro import poutine
        >>> def model():
        ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.0))
        >>> trace = poutine.trace(ScaleSites({"x": 0.0}, beta=0.5)(model)).get_trace()
        >>> trace.compute_log_prob()
        >>> trace.nodes["x"]["log_prob"].item(), trace.nodes["z"]["scale"]
        (0.0, 0.5)
    """

    def __init__(
        self, weights: Mapping[str, float | Float[Tensor, "T 1"]] | None = None, beta: float = 1.0
    ) -> None:
        super().__init__()
        self.weights, self.beta = dict(weights or {}), beta

    def _pyro_sample(self, msg: Message) -> None:
        if type(msg["fn"]).__name__ == "_Subsample":
            return
        weight = self.weights.get(msg["name"], 1.0) * (1.0 if msg["is_observed"] else self.beta)
        if isinstance(weight, Tensor):
            counts = weight != 0
            msg["mask"] = counts if msg["mask"] is None else msg["mask"] & counts
            msg["scale"] = msg["scale"] * weight
        elif weight == 0:
            msg["mask"] = False
        elif weight != 1:
            msg["scale"] = msg["scale"] * weight


class OfTheDataSet(Messenger):
    """Count sites outside the plate of rows for a batch's part of the data set, B / N.

        log p(g) + sum over all N rows of log p(x_i | g)
            =  N / B  E_batch[ B / N log p(g) + sum over the B rows of a batch of log p(x_i | g) ]

    Latents that all rows share thus count once in an epoch. Pyro's plate with ``subsample_size=B``
    does the same, times N / B. Enter this around any objective, which runs model and guide inside.

    Args:
        share: B / N, at least 0.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def _pyro_sample(self, msg: Message) -> None:
        if type(msg["fn"]).__name__ != "_Subsample" and not of_rows(msg):
            msg["scale"] = msg["scale"] * self.share


class Matched(Messenger):
    """Raise if a latent site of the model differs in kind from the guide's of the same name.

    Apply it to a model that is replayed on the guide's draws: it looks before a draw of another
    shape reaches a network.

    Args:
        q: The guide's trace.

    Raises:
        ValueError: For events of another shape, or a latent that only one side draws for each row.
    """

    def __init__(self, q: Trace) -> None:
        super().__init__()
        self.q = q

    def _pyro_sample(self, msg: Message) -> None:
        name = msg["name"]
        if name not in self.q.nodes or msg["is_observed"]:
            return
        site = self.q.nodes[name]
        drawn, expected = (tuple(fn.event_shape) for fn in (site["fn"], msg["fn"]))
        if drawn != expected:
            raise ValueError(
                f"latent site {name!r}: the guide's events have shape {drawn}, the model's "
                f"{expected}. Give both the same size, and .to_event(...) over the same dimensions."
            )
        inside = {of_rows(site): "guide", of_rows(msg): "model"}
        if len(inside) == 2:
            raise ValueError(
                f"latent site {name!r}: the {inside[True]} draws one a row, inside obs.plates(), "
                f"the {inside[False]} one for all rows, outside. Do the same on both sides."
            )


class Reference(Messenger):
    """Give the model's latent ``site`` another distribution in the rows that ask for it.

    Where ``rows`` is False the model keeps its own prior.
    """

    def __init__(
        self, site: str, distribution: TorchDistribution, rows: Bool[Tensor, "*S B"]
    ) -> None:
        super().__init__()
        self.site, self.distribution, self.rows = site, distribution, rows

    def _pyro_sample(self, msg: Message) -> None:
        if msg["name"] == self.site and not msg["is_observed"]:
            msg["fn"] = RowwiseReference(self.rows, self.distribution, msg["fn"])


class OffSource(Messenger):
    """Draw w_m from another prior in the strata that do not look at x_m, and leave out its density.

    In MMVAE+ the stratum of expert m' explains modality m with w_m from the auxiliary prior
    r_m(w_m). Its density would cancel between model and guide, so both leave it out. Apply this to
    the model and the guide.

    Args:
        source: Modality -> the rows of the strata that look at it, (S, B).
        priors: Modality -> the module whose call returns r_m.

    Source: Palumbo et al. 2023 (MMVAE+), eq. 1.
    """

    def __init__(
        self, source: Mapping[str, Bool[Tensor, "S B"]], priors: Mapping[str, Prior]
    ) -> None:
        super().__init__()
        self.source, self.priors = source, priors

    def _pyro_sample(self, msg: Message) -> None:
        name = msg["name"].removeprefix("w_")
        if name == msg["name"] or name not in self.source or msg["is_observed"]:
            return
        rows = self.source[name]
        if msg["value"] is None:  # the guide, which draws
            q, r = msg["fn"].base_dist, self.priors[name]()
            own, batch = rows[..., None], msg["fn"].batch_shape
            loc = torch.where(own, unexpanded(q.loc), r.base_dist.loc)
            scale = torch.where(own, unexpanded(q.scale), r.base_dist.scale)
            msg["fn"] = type(q)(loc, scale).to_event(1).expand(batch)
        msg["mask"] = rows if msg["mask"] is None else msg["mask"] & rows


class ByComponent(Messenger):
    """Give every stratum of a mixture the distribution and density of its own component."""

    def _pyro_sample(self, msg: Message) -> None:
        if isinstance(msg["fn"], StratifiedMixture):
            msg["fn"] = msg["fn"].from_drawn.expand(msg["fn"].batch_shape)


class SharedNoise(Messenger):
    """Draw every latent with the same noise in all terms: z = loc + scale * eps, eps (K?, 1, B, Z).

    Apply it to a guide whose latents are diagonal Normals, outside the plate of particles.

    Raises:
        ValueError: For a latent that is no diagonal Normal.

    Source: Wu & Goodman 2018, arXiv:1802.05335, appendix I.
    """

    def _pyro_sample(self, msg: Message) -> None:
        if msg["is_observed"] or type(msg["fn"]).__name__ == "_Subsample":
            return
        base = getattr(msg["fn"], "base_dist", None)
        if not isinstance(base, torch.distributions.Normal):
            raise ValueError(
                f"shared_noise needs a guide of diagonal Normals; {msg['name']!r} is a "
                f"{type(msg['fn']).__name__}."
            )
        batch, event = msg["fn"].batch_shape, msg["fn"].event_shape
        shape = (*batch[:-2], *(1 for _ in batch[-2:-1]), *batch[-1:], *event)
        noise = torch.randn(shape, dtype=base.loc.dtype, device=base.loc.device)
        msg["value"], msg["done"] = base.loc + base.scale * noise, True


class SkipAbsent(Messenger):
    """Leave out the observed sites of modalities that the data do not hold at all.

    A model draws such a site, as any site without ``obs``; objectives and likelihoods do not need
    the draw.
    """

    def __init__(self, absent: frozenset[str]) -> None:
        super().__init__()
        self.absent = absent

    def _pyro_sample(self, msg: Message) -> None:
        if msg["name"] in self.absent:
            msg["value"], msg["done"], msg["stop"] = torch.zeros(()), True, True
