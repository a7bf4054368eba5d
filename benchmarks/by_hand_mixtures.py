"""The losses of MMVAE and MMVAE+ by hand: the looser bound, with IWAE and with DReG gradients."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ppl_mm.systems import System

__all__ = ["mmvae"]

Loss = Callable[[dict[str, Tensor]], Tensor]


def laplace(value: Tensor, loc: Tensor | float, scale: Tensor) -> Tensor:
    """Return the Laplace log-density, summed over the last dimension."""
    return -((value - loc).abs() / scale + scale.log()).sum(-1) - math.log(2) * value.shape[-1]


def mmvae(name: str, system: System) -> Loss:
    """Return the loss of a name such as ``"mmvae iwae"`` or ``"mmvae_plus dreg"``."""
    return _Loss(name, system)


class _Loss:
    """The loss of one batch, a mean over rows, with K draws from each of M experts."""

    def __init__(self, name: str, system: System) -> None:
        """Prepare MMVAE's or MMVAE+'s loss, with DReG's gradient or the bound's own."""
        self.plus, self.dreg = name.startswith("mmvae_plus"), name.endswith("dreg")
        self.draws = system.objective.num_particles
        shared = system.guide.shared if self.plus else system.guide
        self.encode, self.decode = shared.encoders, system.model.decoders
        if self.plus:
            self.encode_private = system.guide.private_encoders
            self.auxiliary = [prior.raw for prior in system.guide.auxiliary_priors.values()]
        else:
            self.prior = system.model.prior.raw

    def __call__(self, xs: dict[str, Tensor]) -> Tensor:
        """Return minus the looser bound, the mean over experts of log (1/K) sum of the weights."""
        k, m, b = self.draws, len(xs), len(next(iter(xs.values())))
        experts = [self.encode[n](x) for n, x in xs.items()]
        loc, scale = (torch.stack([expert[i] for expert in experts]) for i in (0, 1))
        prior = torch.ones(()) if self.plus else self.prior.softmax(-1) * len(self.prior)
        draws = loc + scale * _noise(k, *loc.shape)  # (K, M, B, Z)
        self.factor: tuple[Tensor, Tensor] | None = None
        z = self._hooked(draws, "u")
        total = laplace(z, 0.0, prior.expand(z.shape[-1]))
        private_z, own = [], []
        if self.plus:
            private = [self.encode_private[n](x) for n, x in xs.items()]
            for n, (w_loc, w_scale) in enumerate(private):
                r = self.auxiliary[n].softmax(-1) * len(self.auxiliary[n])
                off = (torch.arange(m) != n)[:, None, None]
                noise = _noise(k, m, *w_loc.shape)
                w = torch.where(off, r, w_scale) * noise + torch.where(off, 0.0, w_loc)
                w = self._hooked(w, "w", n)
                private_z.append(w)
                own.append((w[:, n], w_loc, w_scale))
            one = torch.ones(own[0][1].shape[-1])
            total = total + torch.stack([laplace(w, 0.0, one) for w, _, _ in own], 1)
        for n, (name, x) in enumerate(xs.items()):
            latent = torch.cat([z, private_z[n]], -1) if self.plus else z
            logits = self.decode[name](latent.reshape(-1, latent.shape[-1]))
            total = total + _score(logits, x, k * m).reshape(k, m, b)
        if self.dreg:
            return self._doubly(total, draws, loc, scale, own)
        each = laplace(z[:, :, None], loc, scale)  # (K, M, M, B)
        log_w = total - (each.logsumexp(2) - math.log(m))
        if self.plus:
            log_w = log_w - torch.stack([laplace(*parts) for parts in own], 1)
        return -(log_w.logsumexp(0) - math.log(k)).mean()

    def _hooked(self, value: Tensor, kind: str, n: int = 0) -> Tensor:
        """Return a copy whose gradient ``_doubly``'s factors scale; without DReG, the value."""
        if not self.dreg:
            return value
        copy = value.view_as(value)

        def scaled(g: Tensor) -> Tensor:
            assert self.factor is not None
            if kind == "u":
                return g * self.factor[0][..., None]
            g = g.clone()
            g[:, n] *= self.factor[1][:, n, :, None]
            return g

        copy.register_hook(scaled)
        return copy

    def _doubly(
        self,
        total: Tensor,
        draws: Tensor,
        loc: Tensor,
        scale: Tensor,
        own: list[tuple[Tensor, ...]],
    ) -> Tensor:
        """Return a loss whose gradient is the unbiased doubly reparameterised one for a mixture."""
        k, m, b = total.shape
        each = laplace(draws[:, :, None], loc.detach(), scale.detach())
        log_sum = each.detach().logsumexp(2)
        rho = torch.exp(each.detach() - log_sum[:, :, None])
        log_w = total.detach() - (log_sum - math.log(m))
        if self.plus:
            private = torch.stack([laplace(w, a.detach(), c.detach()) for w, a, c in own], 1)
            log_w = log_w - private.detach()
        p = log_w.softmax(0)
        a = p / m
        eye = torch.eye(m)[:, :, None]
        mine = (rho * eye).sum(2)
        kept = mine * (1 - p)
        self.factor = (1 - kept, p)
        path = a[:, :, None] * ((1 - kept)[:, :, None] * rho + mine[:, :, None] * (eye - rho))
        direct = laplace(draws.detach()[:, :, None], loc, scale)
        surrogate = (a * total).sum() - (path * each).sum()
        surrogate = surrogate - (a[:, :, None] * rho * (1 - eye) * direct).sum()
        if self.plus:
            surrogate = surrogate - (a * private).sum()
        value = (log_w.logsumexp(0) - math.log(k)).mean(0).sum()
        return -(value + surrogate - surrogate.detach()) / b


def _noise(*shape: int) -> Tensor:
    """Return standard Laplace noise, drawn as in :mod:`torch.distributions`."""
    return torch.distributions.Laplace(torch.zeros(shape), 1.0).rsample()


def _score(logits: Tensor, x: Tensor, times: int) -> Tensor:
    """Return log p(x_m | z) of every row, (times * B,)."""
    target = x.expand(times, *x.shape).flatten(0, 1)
    if x.dim() == 1:
        return -F.cross_entropy(logits, target, reduction="none")
    return -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
