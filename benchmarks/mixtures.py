"""One training step of MMVAE and MMVAE+ against the same computation written by hand in PyTorch.

    python benchmarks/mixtures.py --out benchmarks/results/mixtures.json

Five modalities of 784 pixels, two hidden layers of 512, 64 latents (MMVAE+: 32 shared and 32
private ones each), Laplace, K = 10 draws from each of the five experts, batch 128, Adam; the looser
bound under IWAE and under DReG. All steps run in one process, alternating, with the same initial
parameters and data; their losses and gradients are compared for the same noise first.
"""

import math
from collections.abc import Callable
from functools import partial

import pyro
import torch
import torch.nn.functional as F
import typer
from step import alternate, our_step, report
from torch import Tensor, nn

from ppl_mm import Modality, Observations, likelihoods, networks, systems
from ppl_mm.systems import System

M, PIXELS, HIDDEN, BATCH, K = 5, 784, 512, 128, 10
SHARED = {"mmvae": 64, "mmvae_plus": 32}
NAMES = [f"x{m}" for m in range(M)]


def declared(system: str, objective: str) -> System:
    """The library's side: declarations."""
    modalities = [
        Modality(
            name,
            likelihoods.Bernoulli(),
            partial(
                networks.MLPEncoder, event_shape=(PIXELS,), hidden=(HIDDEN,) * 2, scale="softmax"
            ),
            partial(networks.MLPDecoder, event_shape=(PIXELS,), hidden=(HIDDEN,) * 2),
        )
        for name in NAMES
    ]
    size = SHARED[system]
    return systems.build(system, modalities, size, objective=objective, num_particles=K)


def laplace(value: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """Log-density, summed over the last dim."""
    return -((value - loc).abs() / scale + scale.log()).sum(-1) - math.log(2) * value.shape[-1]


class ByHand(nn.Module):
    """The other side: the loss of one batch, a mean over rows."""

    def __init__(self, system: str, objective: str, nets: System) -> None:
        super().__init__()
        self.plus, self.dreg = system == "mmvae_plus", objective == "dreg"
        shared = nets.guide.shared if self.plus else nets.guide
        self.encode, self.decode = shared.encoders, nets.model.decoders
        if self.plus:
            self.encode_private = nets.guide.private_encoders
            self.auxiliary = nn.ParameterList([p.raw for p in nets.guide.auxiliary_priors.values()])
        else:
            self.prior = nets.model.prior.raw

    def forward(self, xs: dict[str, Tensor], noise: list[Tensor]) -> Tensor:
        """Noise: standard Laplace, (K, M, B, D) for the shared latent and for each private one."""
        experts = [self.encode[n](x) for n, x in xs.items()]
        loc, scale = (torch.stack([expert[i] for expert in experts]) for i in (0, 1))
        one, zero = torch.ones(()), torch.zeros(())
        prior = one if self.plus else self.prior.softmax(-1) * len(self.prior)
        draws = loc + scale * noise[0]  # (K, M, B, D)
        self.factor = None
        z = self.hooked(draws, "u")
        total = laplace(z, zero, prior.expand(z.shape[-1]))
        private_z, own = None, []
        diagonal = torch.arange(M)
        if self.plus:
            private = [self.encode_private[n](x) for n, x in xs.items()]
            private_z = []
            for n, (w_loc, w_scale) in enumerate(private):
                r = self.auxiliary[n].softmax(-1) * len(self.auxiliary[n])
                off = (diagonal != n)[:, None, None]
                w = torch.where(off, r, w_scale) * noise[1 + n] + torch.where(off, 0.0, w_loc)
                w = self.hooked(w, "w", n)
                private_z.append(w)
                own.append((w[:, n], w_loc, w_scale))
            total = total + torch.stack(
                [laplace(w, zero, torch.ones(w.shape[-1])) for w, _, _ in own], 1
            )
        for n, name in enumerate(NAMES):
            latent = z if private_z is None else torch.cat([z, private_z[n]], -1)
            logits = self.decode[name](latent.reshape(-1, latent.shape[-1]))
            target = xs[name].expand(K, M, BATCH, PIXELS).reshape(-1, PIXELS)
            nll = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
            total = total - nll.reshape(K, M, BATCH)
        if self.dreg:
            return self.doubly(total, draws, loc, scale, own)
        each = laplace(z[:, :, None], loc, scale)  # (K, M, M, B)
        log_w = total - (each.logsumexp(2) - math.log(M))
        if self.plus:
            log_w = log_w - torch.stack([laplace(*parts) for parts in own], 1)
        return -(log_w.logsumexp(0) - math.log(K)).mean(0).sum() / BATCH

    def hooked(self, value: Tensor, kind: str, n: int = 0) -> Tensor:
        """Under DReG, a copy whose gradient is scaled by what ``doubly`` finds."""
        if not (self.dreg and torch.is_grad_enabled()):
            return value
        copy = value.view_as(value)

        def scaled(g: Tensor) -> Tensor:
            if kind == "u":
                return g * self.factor[0][..., None]
            g = g.clone()
            g[:, n] *= self.factor[1][:, n, :, None]
            return g

        copy.register_hook(scaled)
        return copy

    def doubly(
        self,
        total: Tensor,
        draws: Tensor,
        loc: Tensor,
        scale: Tensor,
        own: list[tuple[Tensor, ...]],
    ) -> Tensor:
        """The unbiased doubly reparameterised gradient for a mixture, looser form, beta 1."""
        each = laplace(draws[:, :, None], loc.detach(), scale.detach())
        rho = each.detach().softmax(2)
        log_w = total.detach() - (each.detach().logsumexp(2) - math.log(M))
        if self.plus:
            private = torch.stack([laplace(w, a.detach(), b.detach()) for w, a, b in own], 1)
            log_w = log_w - private.detach()
        p = log_w.softmax(0)
        a = p / M
        eye = torch.eye(M)[:, :, None]
        mine = (rho * eye).sum(2)
        self.factor = (1 - mine * (1 - p), p)
        path = a[:, :, None] * (
            (1 - (mine * (1 - p))[:, :, None]) * rho + mine[:, :, None] * (eye - rho)
        )
        direct = laplace(draws.detach()[:, :, None], loc, scale)
        surrogate = (a * total).sum() - (path * each).sum()
        surrogate = surrogate - (a[:, :, None] * rho * (1 - eye) * direct).sum()
        if self.plus:
            surrogate = surrogate - (a * private).sum()
        value = (log_w.logsumexp(0) - math.log(K)).mean(0).sum()
        return -(value + surrogate - surrogate.detach()) / BATCH


def draw_noise(system: str) -> list[Tensor]:
    """Standard Laplace noise, in the order in which the library draws it."""
    count = 1 + M * (system == "mmvae_plus")
    one = torch.distributions.Laplace(torch.zeros(K, M, BATCH, SHARED[system]), 1.0)
    return [one.rsample() for _ in range(count)]


def hand_step(hand: ByHand, system: str, xs: dict[str, Tensor]) -> Callable[[], None]:
    """A step of the hand-written side."""
    optimizer = torch.optim.Adam(hand.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        hand(xs, draw_noise(system)).backward()
        optimizer.step()

    return step


def compare(
    ours: System, copy: System, hand: ByHand, system: str, obs: Observations
) -> dict[str, float]:
    """Relative difference of loss and gradients for the same noise; equal, or an error."""
    torch.manual_seed(1)
    loss = ours(obs) / BATCH
    loss.backward()
    torch.manual_seed(1)
    by_hand = hand(obs.values, draw_noise(system))
    by_hand.backward()
    theirs = {id(p): p for p in hand.parameters()}
    pairs = [
        (p, q) for p, q in zip(ours.parameters(), copy.parameters(), strict=True) if id(q) in theirs
    ]
    worst = max(((p.grad - q.grad).norm() / q.grad.norm()).item() for p, q in pairs)
    loss_difference = abs(loss.item() / by_hand.item() - 1)
    if loss_difference > 1e-5 or worst > 1e-2 or len(pairs) < len(theirs):
        raise SystemExit(f"not the same computation: loss {loss_difference}, gradient {worst}")
    return {"loss": loss_difference, "gradient": worst}


def main(rounds: int = 12, warmup: int = 2, threads: int = 2, seed: int = 0, out: str = "") -> None:
    """Check that both compute the same, time them, print the tables, write the records."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    xs = {name: (torch.rand(BATCH, PIXELS) > 0.5).float() for name in NAMES}
    obs = Observations(xs)
    pyro.enable_validation(False)
    steps: dict[str, Callable[[], None]] = {}
    differences = {}
    for system in SHARED:
        for objective in ("iwae", "dreg"):
            ours, copy = declared(system, objective), declared(system, objective)
            copy.load_state_dict(ours.state_dict())
            hand = ByHand(system, objective, copy)
            name = f"{system} {objective}"
            differences[name] = compare(ours, copy, hand, system, obs)
            steps[f"{name} by hand"] = hand_step(hand, system, xs)
            steps[f"{name} ppl_mm"] = our_step(ours, obs)
    times = alternate(steps, rounds, warmup)
    ratios = {}
    for name in differences:
        ratios[f"{name}: ppl_mm / by hand"] = (f"{name} ppl_mm", f"{name} by hand")
    for system in SHARED:
        ratios[f"{system}: dreg / iwae"] = (f"{system} dreg ppl_mm", f"{system} iwae ppl_mm")
    setting = {"rounds": rounds, "threads": threads, "seed": seed}
    report("one step, five modalities, K = 10", times, ratios, differences, setting, out)


if __name__ == "__main__":
    typer.run(main)
