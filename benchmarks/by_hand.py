"""The losses of the systems in :mod:`declared`, written by hand in plain PyTorch.

A function for each system takes the system and returns its loss, a mean over complete rows. It
calls the system's networks and nothing else. Noise is drawn in the library's order, so the same
seed gives the same loss.
"""

import math
from collections.abc import Callable
from itertools import combinations

import torch
import torch.nn.functional as F
from by_hand_mixtures import mmvae
from torch import Tensor, nn

from ppl_mm.networks import LabelEncoder
from ppl_mm.systems import System

__all__ = ["by_hand", "written"]

Values = dict[str, Tensor]
Loss = Callable[[Values], Tensor]


def score(logits: Tensor, x: Tensor) -> Tensor:
    """Return log p(x_m | z) for logits (..., B, D), as a tensor (..., B)."""
    if x.dim() == 1:
        flat = F.cross_entropy(
            logits.flatten(0, -2), x.expand(logits.shape[:-1]).reshape(-1), reduction="none"
        )
        return -flat.view(logits.shape[:-1])
    nll = F.binary_cross_entropy_with_logits(logits, x.expand(logits.shape), reduction="none")
    return -nll.sum(-1)


def read(encoder: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return loc and scale of each row; the library runs a label's encoder once for each class."""
    if not isinstance(encoder, LabelEncoder):
        return encoder(x)
    embedded = encoder.features.embedding(x)
    return encoder.location_scale(encoder.head(encoder.features.hidden(embedded)), x.shape)


def experts(encoders: nn.ModuleDict, xs: Values) -> tuple[Tensor, Tensor]:
    """Return the experts' locations and scales, (M, B, Z)."""
    loc, scale = zip(*(read(encoders[n], x) for n, x in xs.items()), strict=True)
    return torch.stack(loc), torch.stack(scale)


def products(loc: Tensor, scale: Tensor, member: Tensor, prior: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance (S, B, Z) of products, whose members are True in a mask (S, M)."""
    t = scale**-2
    shape = (len(member), *loc.shape[1:])
    precision = prior + (member @ t.flatten(1)).view(shape)
    return (member @ (t * loc).flatten(1)).view(shape) / precision, 1 / precision


def kl(mu: Tensor, var: Tensor, mu2: Tensor | None = None, var2: Tensor | None = None) -> Tensor:
    """Return the KL of diagonal Normals, by default to N(0, I), summed over the last dimension."""
    if mu2 is None:
        return 0.5 * (mu**2 + var - 1 - var.log()).sum(-1)
    return 0.5 * (((mu - mu2) ** 2 + var) / var2 - 1 + (var2 / var).log()).sum(-1)


def mvae(system: System) -> Loss:
    """MVAE: minus the ELBOs of all modalities and of each alone, with products of experts."""
    count = len(system.guide.names)
    member = torch.cat([torch.ones(1, count), torch.eye(count)])

    def loss(xs: Values) -> Tensor:
        mu, var = products(*experts(system.guide.encoders, xs), member, 1.0)
        z = mu + var.sqrt() * torch.randn_like(mu)
        total = kl(mu, var).sum()
        for m, (n, x) in enumerate(xs.items()):
            total = total - score(system.model.decoders[n](torch.stack([z[0], z[1 + m]])), x).sum()
        return total / len(x)

    return loss


def jmvae(system: System) -> Loss:
    """JMVAE-kl: minus the joint network's ELBO, plus its KL to each modality's encoder."""
    (joint,) = system.guide.joint_networks.values()

    def loss(xs: Values) -> Tensor:
        mu, scale = joint(*xs.values())
        loc, own = experts(system.guide.encoders, xs)
        total = kl(mu, scale**2).sum() + kl(mu, scale**2, loc, own**2).sum()
        # The library later draws noise for the other terms too. Torch's first numbers are then
        # the same if B Z is a multiple of 16.
        z = mu + scale * torch.randn_like(mu)
        for n, x in xs.items():
            total = total - score(system.model.decoders[n](z), x).sum()
        return total / len(x)

    return loss


def mopoe(system: System) -> Loss:
    """MoPoE: minus the mean over subsets of the components' ELBOs, each KL in closed form."""
    count = len(system.guide.names)
    subsets = [s for size in range(1, count + 1) for s in combinations(range(count), size)]
    member = torch.tensor([[float(m in s) for m in range(count)] for s in subsets])

    def loss(xs: Values) -> Tensor:
        mu, var = products(*experts(system.guide.encoders, xs), member, 0.0)
        z = mu + var.sqrt() * torch.randn_like(mu)
        total = kl(mu, var).sum()
        for n, x in xs.items():
            total = total - score(system.model.decoders[n](z), x).sum()
        return total / (len(member) * len(x))

    return loss


def cmmd(system: System) -> Loss:
    """CMMD: minus the conditional ELBO with omega KL, plus (1 - omega) lambda MMD of the pools."""
    (observed,) = system.model.conditions_on
    omega, factor = system.objective.omega, system.objective.mmd_weight

    def loss(xs: Values) -> Tensor:
        mu, scale = system.guide.network(*xs.values())
        loc, own = system.model.prior.network(xs[observed])
        noise = torch.randn_like(mu)
        z, prior = mu + scale * noise, loc + own * noise
        total = omega * kl(mu, scale**2, loc, own**2).mean()
        width = mu.shape[-1] ** 2

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
            return (-(distance**2) / width).expm1().mean()  # the ones cancel

        mmd = kernel(z, z) + kernel(prior, prior) - 2 * kernel(z, prior)
        total = total + (1 - omega) * factor * mmd
        seen = torch.cat([z, xs[observed]], -1)
        for n, decoder in system.model.decoders.items():
            total = total - score(decoder(seen), xs[n]).mean()
        return total

    return loss


def meme(system: System) -> Loss:
    """MEME: minus the bound of mutual supervision on complete rows, the mean over directions."""
    draws, count = system.objective.num_particles, len(system.guide.names)
    own = torch.eye(count, dtype=torch.bool)[:, :, None]
    shares = torch.where(own, -torch.inf, -math.log(count - 1))

    def loss(xs: Values) -> Tensor:
        loc, scale = experts(system.guide.encoders, xs)
        z = loc + scale * torch.randn(draws, *loc.shape)  # (K, M, B, Z)
        each = -0.5 * ((z[:, :, None] - loc) / scale) ** 2 - scale.log()
        each = each.sum(-1)  # (K, M, M, B): direction, expert; constants cancel
        r = torch.logsumexp(each + shares, 2) - each.diagonal(dim1=1, dim2=2).mT
        scores = [score(system.model.decoders[n](z), x) for n, x in xs.items()]
        whole = torch.stack(scores, 2)  # (K, M, M, B): direction, modality
        explained = whole.diagonal(dim1=1, dim2=2).mT
        others = whole.sum(2) - explained
        log_z = others.logsumexp(0) - math.log(draws)
        value = (others.softmax(0) * (r + explained - others)).sum(0) + log_z
        return -value.mean()

    return loss


def svae(system: System) -> Loss:
    """SVAE: minus the terms of complete rows and of each modality alone, with stand-in experts."""
    names, guide, terms = system.guide.names, system.guide, system.objective.terms
    readers = [(n, n) for n in names] + [(n, k) for n in names for k in names if k != n]

    def members(source: tuple[str, ...], via: str | None) -> tuple[float, ...]:
        reads = source[0] if len(source) == 1 else via
        return tuple(
            float(n in source if n == k else n == reads and k not in source) for n, k in readers
        )

    asked = [members(t.source, t.via) for t in terms]
    against = [members(t.reference, t.via) if t.reference else None for t in terms]
    every = list(dict.fromkeys(p for p in asked + against if p))
    member = torch.tensor(every)
    source = torch.tensor([every.index(p) for p in asked])
    reference = torch.tensor([every.index(p) if p else len(every) for p in against])
    weight = torch.tensor([[t.weight] for t in terms])
    scored = {n: torch.tensor([i for i, t in enumerate(terms) if n in t.scored]) for n in names}

    def loss(xs: Values) -> Tensor:
        reads = [
            read(guide.encoders[n] if n == k else guide.stand_ins[n][k], xs[n]) for n, k in readers
        ]
        loc, scale = (torch.stack([expert[i] for expert in reads]) for i in (0, 1))
        mu, var = products(loc, scale, member, 0.0)
        mu = torch.cat([mu, torch.zeros_like(mu[:1])])
        var = torch.cat([var, torch.ones_like(var[:1])])
        q, v = mu[source], var[source]
        z = q + v.sqrt() * torch.randn_like(q)
        total = (weight * kl(q, v, mu[reference], var[reference])).sum()
        for n, x in xs.items():
            rows = scored[n]
            logits = system.model.decoders[n](z[rows])
            total = total - (weight[rows] * score(logits, x)).sum()
        return total / len(x)

    return loss


_WRITTEN = {"mvae": mvae, "jmvae": jmvae, "mopoe": mopoe, "cmmd": cmmd, "meme": meme, "svae": svae}


def written(name: str) -> bool:
    """Return whether a loss is written by hand; MoPoE's random strata have none."""
    return name in _WRITTEN or name.startswith("mmvae")


def by_hand(name: str, system: System) -> Loss:
    """Return the loss of a system in :data:`declared.SYSTEMS`, which calls its networks."""
    return mmvae(name, system) if name.startswith("mmvae") else _WRITTEN[name](system)
