"""One training step of MVAE against the same computation written by hand in plain PyTorch.

    python benchmarks/step.py --out benchmarks/results/step.json

A 784-pixel image and a 10-way label, two hidden layers of 512, 64 latents, batch 128; the terms
of the paper (both, image alone, label alone), analytic KL, Adam. Both steps run in one process,
alternating, with the same initial parameters and the same data, and their losses are compared for
the same noise first. The result is the median of each and of their ratio round by round, with
quartiles, and where the library's extra time goes.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyro
import torch
import torch.nn.functional as F
import typer
from rich import print as rich_print
from rich.table import Table
from torch import Tensor, nn

from ppl_mm import Modality, Observations, likelihoods, networks, systems
from ppl_mm.systems import System

PIXELS, CLASSES, HIDDEN, LATENT, BATCH = 784, 10, 512, 64, 128


def declared() -> System:
    """The library's side: declarations."""
    image = Modality(
        "image",
        likelihoods.Bernoulli(),
        encoder=partial(networks.MLPEncoder, event_shape=(PIXELS,), hidden=(HIDDEN, HIDDEN)),
        decoder=partial(networks.MLPDecoder, event_shape=(PIXELS,), hidden=(HIDDEN, HIDDEN)),
    )
    label = Modality(
        "label",
        likelihoods.Categorical(),
        encoder=partial(networks.LabelEncoder, num_classes=CLASSES, hidden=(HIDDEN, HIDDEN)),
        decoder=partial(networks.MLPDecoder, event_shape=(CLASSES,), hidden=(HIDDEN, HIDDEN)),
    )
    return systems.mvae([image, label], LATENT)


def by_hand(nets: dict[str, nn.Module], image: Tensor, label: Tensor, noise: Tensor) -> Tensor:
    """The other side: the loss of one batch, a mean over rows; noise (3, B, Z) for the terms."""
    mu1, scale1 = nets["encode_image"](image)
    mu2, scale2 = nets["encode_label"](label)
    t1, t2 = scale1**-2, scale2**-2
    precision = torch.stack([1 + t1 + t2, 1 + t1, 1 + t2])
    mu = torch.stack([t1 * mu1 + t2 * mu2, t1 * mu1, t2 * mu2]) / precision
    variance = 1 / precision
    kl = 0.5 * (mu**2 + variance - 1 - variance.log()).sum()
    z = mu + variance.sqrt() * noise
    logits_image = nets["decode_image"](z[:2].reshape(-1, LATENT))
    logits_label = nets["decode_label"](z[::2].reshape(-1, LATENT))
    nll_image = F.binary_cross_entropy_with_logits(
        logits_image, image.repeat(2, 1), reduction="sum"
    )
    nll_label = F.cross_entropy(logits_label, label.repeat(2), reduction="sum")
    return (nll_image + nll_label + kl) / len(image)


def main(
    rounds: int = 150, warmup: int = 20, threads: int = 2, seed: int = 0, out: str = ""
) -> None:
    """Check that both compute the same, time them, print the table, write the record."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    image = (torch.rand(BATCH, PIXELS) > 0.5).float()
    label = torch.randint(CLASSES, (BATCH,))
    ours, copy = declared(), declared()
    copy.load_state_dict(ours.state_dict())
    nets = hand_networks(copy)
    difference = compare(ours, nets, image, label)
    steps = {
        "by hand": hand_step(nets, image, label),
        "ppl_mm": our_step(ours, Observations({"image": image, "label": label})),
    }
    with pyro.validation_enabled(False):
        times = alternate(steps, rounds, warmup)
        parts = breakdown(ours, Observations({"image": image, "label": label}), rounds)
    setting = {"rounds": rounds, "threads": threads, "seed": seed}
    ratios = {"ratio": ("ppl_mm", "by hand")}
    report("one MVAE step, batch 128", times, ratios, difference, setting, out, parts)


def hand_networks(system: System) -> dict[str, nn.Module]:
    """The same layers, called directly."""
    return {
        "encode_image": system.guide.encoders["image"],
        "encode_label": system.guide.encoders["label"],
        "decode_image": system.model.decoders["image"],
        "decode_label": system.model.decoders["label"],
    }


def compare(
    ours: System, nets: dict[str, nn.Module], image: Tensor, label: Tensor
) -> dict[str, float]:
    """Relative difference of loss and gradients for the same noise."""
    torch.manual_seed(1)
    noise = torch.randn(3, BATCH, LATENT)
    hand = by_hand(nets, image, label, noise)
    hand.backward()
    torch.manual_seed(1)
    loss = ours(Observations({"image": image, "label": label})) / BATCH
    loss.backward()
    worst = 0.0
    for key, mine in hand_networks(ours).items():
        for p, q in zip(mine.parameters(), nets[key].parameters(), strict=True):
            worst = max(worst, ((p.grad - q.grad).norm() / q.grad.norm()).item())
    loss_difference = abs(loss.item() / hand.item() - 1)
    if loss_difference > 1e-5 or worst > 1e-3:
        raise SystemExit(f"not the same computation: loss {loss_difference}, gradient {worst}")
    return {"loss": loss_difference, "gradient": worst}


def hand_step(nets: dict[str, nn.Module], image: Tensor, label: Tensor) -> Callable[[], None]:
    """A step of the hand-written side, with the optimiser that ``fit`` uses."""
    parameters = [p for net in nets.values() for p in net.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        by_hand(nets, image, label, torch.randn(3, BATCH, LATENT)).backward()
        optimizer.step()

    return step


def our_step(system: System, obs: Observations) -> Callable[[], None]:
    """A step of the library's side."""
    module = system.objective(system.model, system.guide)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        (module(obs) / len(obs)).backward()
        optimizer.step()

    return step


def alternate(
    steps: dict[str, Callable[[], None]], rounds: int, warmup: int
) -> dict[str, list[float]]:
    """Milliseconds of every round; the order within a round changes from one to the next."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(rounds + warmup):
        order = list(steps) if i % 2 == 0 else list(steps)[::-1]
        for name in order:
            start = time.perf_counter()
            steps[name]()
            if i >= warmup:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def breakdown(system: System, obs: Observations, rounds: int) -> dict[str, float]:
    """Milliseconds of the library's parts, medians: programs and masks without the networks."""

    class Constant(nn.Module):
        """Stands for a network: the same shapes, no work."""

        def __init__(self, *shapes: tuple[int, ...]) -> None:
            super().__init__()
            self.values = nn.ParameterList([torch.ones(shape) for shape in shapes])

        def forward(self, x: Tensor) -> object:
            values = tuple(v.expand(len(x), *v.shape) for v in self.values)
            return values if len(values) > 1 else values[0]

    empty = declared()
    for name, event in (("image", (PIXELS,)), ("label", (CLASSES,))):
        empty.guide.encoders[name] = Constant((LATENT,), (LATENT,))
        empty.model.decoders[name] = Constant(event)
    whole = our_step(empty, obs)
    with torch.no_grad():
        forward = partial(empty.objective.differentiable_loss, empty.model, empty.guide, obs)
        terms = empty.objective.terms(empty.model.names)
        parts = {
            "whole step, networks taken out": whole,
            "its forward pass": forward,
            "masks of the terms": lambda: obs.terms(terms),
        }
        out = {}
        for name, part in parts.items():
            with torch.set_grad_enabled(part is whole):
                out[name] = statistics.median(alternate({name: part}, rounds, 5)[name])
    return out


def report(
    title: str,
    times: dict[str, list[float]],
    ratios: dict[str, tuple[str, str]],
    difference: dict[str, object],
    setting: dict[str, int],
    out: str,
    parts: dict[str, float] | None = None,
) -> None:
    """Print the table; write the record. A ratio is taken round by round."""
    table = Table("", "median ms", "quartiles", title=title)
    record: dict[str, object] = {"setting": setting, "same computation": difference}
    rows = {**times}
    for name, (over, under) in ratios.items():
        rows[name] = [a / b for a, b in zip(times[over], times[under], strict=True)]
    for name, values in rows.items():
        low, median, high = statistics.quantiles(values, n=4)
        table.add_row(name, f"{median:.3f}", f"{low:.3f} to {high:.3f}")
        record[name] = {"median": median, "quartiles": [low, high]}
    for name, value in (parts or {}).items():
        table.add_row(name, f"{value:.3f}", "")
    if parts is not None:
        record["parts of ppl_mm"] = parts
    record["versions"] = {"torch": torch.__version__, "pyro": pyro.__version__}
    record["hardware"] = f"{platform.machine()} CPU, {setting['threads']} threads"
    rich_print(table)
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
