"""Latents drawn as the training rows' posteriors lie, in place of the model's prior.

The posteriors of a trained model, taken together, are often not its prior: draws from the prior
then decode to nothing in particular. A density fitted to the posterior means draws latents that
decode well. It is another model: a likelihood of the system knows nothing of it.

Sources: Ghosh et al. 2020, arXiv:1903.12436 (Gaussian mixtures); Dinh et al. 2017, arXiv:1605.08803
(flows).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor, nn
from torch.distributions import Distribution

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import RandomMixture
from ppl_mm.distributions.flowed import Flowed
from ppl_mm.guides.flow import coupling_layers
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["LatentSampler", "fit_latent_sampler"]

SamplerKind = Literal["gaussian_mixture", "flow"]

_LAYERS, _STEPS, _RATE = 6, 400, 1e-2
_HELD_OUT = 10  # one row in ten chooses among a flow's steps


@typed
@dataclass(frozen=True)
class LatentSampler:
    """A density of all latents of one row side by side, see :func:`fit_latent_sampler`.

    Attributes:
        kind: ``"gaussian_mixture"`` or ``"flow"``.
        sizes: Latent site -> its size, such as ``{"z": 16}`` or ``{"u": 8, "w_image": 8}``.
        distribution: The density of the standardised latents, event shape (D,).
        loc: The mean of the posterior means, (D,).
        scale: Their standard deviation, (D,).
    """

    kind: str
    sizes: Mapping[str, int]
    distribution: Distribution
    loc: Tensor
    scale: Tensor

    def sample(self, num_samples: int) -> dict[str, Float[Tensor, "{num_samples} _"]]:
        """Latent site -> draws (num_samples, size), from torch's generator."""
        with torch.no_grad():
            drawn = self.loc + self.scale * self.distribution.sample((num_samples,))
        parts = drawn.split(list(self.sizes.values()), -1)
        return dict(zip(self.sizes, parts, strict=True))

    def log_prob(self, latents: Mapping[str, Float[Tensor, "N _"]]) -> Float[Tensor, " N"]:
        """The log-density (N,) of latents, nats."""
        joined = torch.cat([latents[name] for name in self.sizes], -1)
        standard = (joined - self.loc) / self.scale
        found: Tensor = self.distribution.log_prob(standard)
        return found - self.scale.log().sum()


@typed
def fit_latent_sampler(
    system: System,
    obs: Observations,
    kind: SamplerKind = "gaussian_mixture",
    *,
    num_components: int = 10,
    seed: int = 0,
) -> LatentSampler:
    """Fit a density to the posterior means of rows, for use in :func:`ppl_mm.generate`.

    All latent sites of a row are taken side by side, private ones too. For a mixture guide it
    takes the mean of one component, at random for each row, because the mean of a mixture lies
    between its components, where no row is.

    Args:
        system: A trained system.
        obs: The rows, such as the training rows; those that hold nothing are left out.
        kind: ``"gaussian_mixture"`` (scikit-learn's, full covariances), or ``"flow"``: affine
            coupling layers on a Normal, at the step that a tenth of the rows, held out, find best.
        num_components: The components of the Gaussian mixture.
        seed: The seed of the fit.

    Raises:
        ValueError: For fewer than two rows a component, or a model that conditions on modalities,
            whose latents depend on them.

    Example:
        >>> from ppl_mm import data, evaluation, generate, systems
        >>> digits = data.digits()
        >>> system = systems.mvae(digits.modalities, latent_dim=4)
        >>> sampler = evaluation.fit_latent_sampler(system, digits.train[:200], num_components=3)
        >>> drawn = generate(system, Observations.blank(5), ["top", "label"], prior=sampler)
        >>> drawn["top"].shape
        torch.Size([1, 5, 4, 8])
    """
    fixed = conditioned_on(system.model)
    if fixed:
        raise ValueError(
            f"fit_latent_sampler: the model conditions on {' and '.join(fixed)}, and its latents "
            "depend on them; draw from its own prior."
        )
    system.check(obs)
    means = _posterior_means(system, obs[obs.any_data.nonzero().squeeze(-1)], seed)
    joined = torch.cat(list(means.values()), -1).double()
    if len(joined) < 2 * num_components:
        raise ValueError(
            f"fit_latent_sampler: expected two rows for each of {num_components} components at "
            f"least, got {len(joined)}; give more rows or fewer components."
        )
    loc, scale = joined.mean(0), joined.std(0).clamp(min=1e-6)
    standard = (joined - loc) / scale
    dtype = next(iter(means.values())).dtype
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "flow":
            fitted: Distribution = _flow(standard.to(dtype))
        else:
            fitted = _gaussian_mixture(standard, num_components, seed, dtype)
    sizes = {name: mean.shape[-1] for name, mean in means.items()}
    return LatentSampler(kind, sizes, fitted, loc.to(dtype), scale.to(dtype))


def _posterior_means(system: System, obs: Observations, seed: int) -> dict[str, Tensor]:
    """Latent site -> the posterior mean of every row, (N, size)."""
    with evaluating(system, seed), torch.no_grad(), _AtTheMean():
        trace = poutine.trace(system.guide).get_trace(obs.to(system))
    return {name: trace.nodes[name]["value"] for name in trace.stochastic_nodes}


class _AtTheMean(Messenger):
    """Give every latent its posterior's mean; of a mixture, that of a component at random."""

    def _pyro_sample(self, msg: Message) -> None:
        if msg["is_observed"] or msg["done"]:
            return
        fn = msg["fn"]
        if isinstance(fn, RandomMixture):
            chosen = torch.distributions.Categorical(logits=fn.log_weight.movedim(0, -1)).sample()
            each = torch.stack([component.mean for component in fn.components])
            msg["value"] = each.take_along_dim(chosen[None, ..., None], 0).squeeze(0)
        else:
            msg["value"] = fn.mean.expand(fn.shape())
        msg["done"] = True


def _gaussian_mixture(rows: Tensor, components: int, seed: int, dtype: torch.dtype) -> Distribution:
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(components, reg_covar=1e-5, random_state=seed).fit(rows.cpu().numpy())
    weights, loc, covariance = (
        torch.as_tensor(part).to(rows.device, dtype)
        for part in (fitted.weights_, fitted.means_, fitted.covariances_)
    )
    normals = torch.distributions.MultivariateNormal(loc, covariance)
    return dist.MixtureSameFamily(dist.Categorical(weights), normals)


def _flow(rows: Tensor) -> Flowed:
    """The flow of largest likelihood on held-out rows, among all steps of Adam."""
    order = torch.randperm(len(rows), device=rows.device)
    held_out, kept = rows[order[::_HELD_OUT]], rows[order]
    kept = kept[torch.arange(len(rows), device=rows.device) % _HELD_OUT != 0]
    layers = nn.ModuleList(coupling_layers(rows.shape[-1], _LAYERS)).to(rows)
    base = dist.Normal(rows.new_zeros(rows.shape[-1]), 1.0).to_event(1)
    flow = Flowed(base, list(layers))
    optimizer = torch.optim.Adam(layers.parameters(), _RATE)
    best, state = -torch.inf, layers.state_dict()
    for _ in range(_STEPS):
        with torch.no_grad():
            found = flow.log_prob(held_out).mean().item()
        if found > best:
            best, state = found, {n: p.clone() for n, p in layers.state_dict().items()}
        optimizer.zero_grad()
        loss = -flow.log_prob(kept).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(layers.parameters(), 5.0)
        optimizer.step()
    layers.load_state_dict(state)
    layers.requires_grad_(False)
    return flow
