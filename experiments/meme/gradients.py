"""The effect of MEME's stop-gradient: signal to noise of the gradients, with it and without.

MEME weighs its draws by w, the softmax of the other modality's log-likelihoods, and holds w fixed
in gradients. Then all gradient through those log-likelihoods cancels (draw by draw for the
symmetric estimator, in expectation for the single one), so a direction teaches the other modality's
decoder nothing. Without the stop-gradient the gradient is that of the bound, with more noise or
less. This is figure 10 of Joy et al. 2022 (arXiv:2106.12570), on handwritten digits in halves:

    python -m ppl_mm.experiments.meme.gradients --out runs/meme

The signal to noise of one parameter's gradient is |mean| / standard deviation over repeated draws
at fixed parameters. The figure shows its average over the encoders' parameters and over the
decoders', in the course of training, for both estimators.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import typer
from matplotlib.figure import Figure

from ppl_mm import data, fit, plotting, systems
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import runner
from ppl_mm.objectives import MutualSupervisionELBO
from ppl_mm.objectives.options import DirectionEstimator
from ppl_mm.systems import System

__all__ = ["SMOKE", "Config", "figure", "main", "signal_to_noise"]

ESTIMATORS: tuple[DirectionEstimator, ...] = ("symmetric", "single")
SETTINGS = {
    (estimator, stop): f"{estimator}, {'stopped' if stop else 'exact gradient'}"
    for estimator in ESTIMATORS
    for stop in (True, False)
}
PARTS = ("encoders", "decoders")


@dataclass(frozen=True)
class Config:
    """The options of one run.

    Attributes:
        experiment: The experiment's module, within ``ppl_mm.experiments``.
        epochs: The number of epochs of training, in total.
        every: The number of epochs between measures.
        rows: The number of training rows whose gradient is measured.
        draws: The number of repeated gradients.
        num_particles: The M of MEME.
        seed: The seed of networks, order and draws.
        threads: The number of threads that torch uses.
        out: The folder of the record and the picture.
    """

    experiment: ClassVar[str] = "meme.gradients"

    epochs: int = 20
    every: int = 5
    rows: int = 64
    draws: int = 100
    num_particles: int = 11
    seed: int = 0
    threads: int = 1
    out: str = "runs/meme"

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        return f"gradients-{self.num_particles}-{self.epochs}-{self.seed}"


SMOKE = Config(epochs=1, every=1, rows=4, draws=3, num_particles=2)


def signal_to_noise(
    system: System, obs: Observations, objective: MutualSupervisionELBO, *, draws: int, seed: int
) -> dict[str, float]:
    """Return the mean over parameters of |mean| / sd of their gradients, over ``draws``."""
    torch.manual_seed(seed)
    networks: dict[str, Any] = {
        "encoders": system.guide.encoders,
        "decoders": system.model.decoders,
    }
    found: dict[str, list[torch.Tensor]] = {part: [] for part in PARTS}
    for _ in range(draws):
        system.zero_grad()
        objective.differentiable_loss(system.model, system.guide, obs).backward()
        for part, network in networks.items():
            gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
            found[part].append(torch.cat(gradients))
    system.zero_grad()
    out = {}
    for part, gradients in found.items():
        each = torch.stack(gradients)
        mean, deviation = each.mean(0), each.std(0)
        moving = deviation > 0
        out[part] = (mean[moving].abs() / deviation[moving]).mean().item()
    return out


def main(config: Config) -> dict[str, Any]:
    """Train MEME on digits, measure every few epochs, and write record and picture."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    digits = data.load("digits")
    train = digits.train.drop("label")
    halves = [m for m in digits.modalities if m.name != "label"]
    system = systems.meme(halves, 8, num_pseudo_inputs=50, pseudo_inputs=train)
    measured: dict[str, Any] = {"epochs": []}
    for epoch in range(0, config.epochs + 1, config.every):
        if epoch:
            seed = config.seed + epoch
            fit(system, train, epochs=config.every, seed=seed, device="cpu", progress=False)
        measured["epochs"].append(epoch)
        for (estimator, stop), name in SETTINGS.items():
            objective = MutualSupervisionELBO(
                config.num_particles, estimator=estimator, stop_gradient=stop
            )
            found = signal_to_noise(
                system, train[: config.rows], objective, draws=config.draws, seed=config.seed
            )
            for part, value in found.items():
                measured.setdefault(part, {}).setdefault(name, []).append(value)
    Path(config.out).mkdir(parents=True, exist_ok=True)
    plotting.save(figure(measured), Path(config.out, f"{config.name}.png"))
    return runner.finish(config, {"measures": measured})


def figure(measured: dict[str, Any]) -> Figure:
    """Draw signal to noise by epoch: the encoders' gradients left, the decoders' right."""
    picture = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, part in zip(picture.subplots(1, 2, sharey=True), PARTS, strict=True):
        for (estimator, stop), name in SETTINGS.items():
            axes.plot(
                measured["epochs"],
                measured[part][name],
                color="C0" if estimator == "symmetric" else "C1",
                linestyle="--" if stop else "-",
                marker=".",
                label=name,
            )
        axes.set(title=f"gradients of the {part}", xlabel="epoch", yscale="log")
    picture.axes[0].set_ylabel("signal to noise")
    handles, labels = picture.axes[1].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=2)
    return picture


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
