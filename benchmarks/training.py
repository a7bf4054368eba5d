"""Time a step within ``fit``: eager, recorded (on CUDA as a graph), compiled, and in bfloat16.

    python benchmarks/training.py --out benchmarks/results/training.json
    python benchmarks/training.py --device cuda --out benchmarks/results/training-cuda.json

The data are an image of 784 pixels and a label. The networks have two hidden layers of 512 and
there are 64 latents; the batch size is 128 and the optimiser is fused Adam. Each way of training
starts from the same parameters and runs for some epochs. The first epoch, in which a step is
recorded, compiled or captured, is reported separately. The ways take turns. The hand-written step
runs in a plain loop, and so does the package ``multivae`` if the extra ``benchmarks`` is installed.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import by_hand
import multivae_models
import pyro
import torch
import typer
from declared import SYSTEMS, declared, image_and_label
from timing import optimised, ratios, setting, spread, table, write
from torch import Tensor

from ppl_mm import Observations, fit

Values = dict[str, Tensor]
EAGER = "eager"
WAYS: dict[str, dict[str, Any]] = {
    EAGER: {},
    "recorded": {"step": "recorded"},
    "compiled": {"step": "compiled"},
    "bfloat16": {"precision": "bf16-mixed"},
}
"""A way to train, and the options of :func:`ppl_mm.fit` that say so."""
ON_CUDA: dict[str, dict[str, Any]] = {
    "graph, bfloat16": {"step": "recorded", "precision": "bf16-mixed"},
}
PEER, HAND = "multivae", "by hand"


class Training:
    """A system, and the time that a few epochs of its training take.

    Args:
        name: The name of a system in :data:`declared.SYSTEMS`.
        values: The values of all rows.
        batch: The number of rows in a step.
        epochs: The number of measured epochs; one more comes before them.
        layers: The widths of the hidden layers.
        latent_dim: The number of latents, Z.
        device: The device, as in :func:`ppl_mm.fit`.
    """

    def __init__(
        self,
        name: str,
        values: Values,
        batch: int,
        epochs: int,
        layers: tuple[int, ...],
        latent_dim: int,
        device: str,
    ) -> None:
        self.name, self.values, self.batch, self.epochs = name, values, batch, epochs
        self.layers, self.latent_dim, self.device = layers, latent_dim, device
        self.steps = len(next(iter(values.values()))) // batch

    def milliseconds(self, way: str) -> tuple[list[float], float]:
        """Return the milliseconds of a step by epoch, and the first epoch's extra seconds."""
        torch.manual_seed(0)
        others = {PEER: self._peer, HAND: self._by_hand}
        seconds = others[way]() if way in others else self._ours({**WAYS, **ON_CUDA}[way])
        first, *others = seconds
        return [1e3 * s / self.steps for s in others], first - statistics.median(others)

    def _ours(self, options: dict[str, Any]) -> list[float]:
        system = declared(self.name, self.values, self.layers, self.latent_dim)
        result = fit(
            system,
            Observations(self.values),
            epochs=1 + self.epochs,
            batch_size=self.batch,
            device=self.device,
            progress=False,
            **{"step": "eager", **options},
        )
        return [row["seconds"] for row in result.history]

    def _peer(self) -> list[float]:
        model, loss = multivae_models.loss(self.name, self._batch(), self.layers, self.latent_dim)
        model.to(self.device)
        return self._plain([p for p in model.parameters() if p.requires_grad], loss)

    def _by_hand(self) -> list[float]:
        with torch.device(self.device):  # tensors that a loss creates are on the device too
            system = declared(self.name, self.values, self.layers, self.latent_dim)
            loss, xs = by_hand.by_hand(self.name, system), self._batch()
            return self._plain(system.parameters(), lambda: loss(xs))

    def _batch(self) -> Values:
        return {n: x[: self.batch].to(self.device) for n, x in self.values.items()}

    def _plain(self, parameters: Iterable[Tensor], loss: Callable[[], Tensor]) -> list[float]:
        """Time a plain loop, which takes the same batch in every step."""
        step, seconds = optimised(parameters, loss), []
        for _ in range(1 + self.epochs):
            start = time.perf_counter()
            for _ in range(self.steps):
                step()
            if self.device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        return seconds


def main(
    rounds: int = 3,
    epochs: int = 3,
    steps: int = 20,
    threads: int = 1,
    seed: int = 0,
    batch: int = 128,
    hidden: int = 512,
    latent_dim: int = 64,
    device: str = "cpu",
    only: str = "",
    out: str = "",
) -> None:
    """Time every way, print the tables, write the record.

    Args:
        rounds: The number of trainings for each way.
        epochs: The number of epochs in each training, without the first.
        steps: The number of steps in an epoch.
        threads: The number of torch's threads.
        seed: The seed of the data.
        batch: The number of rows in a step.
        hidden: The width of both hidden layers.
        latent_dim: The number of latents, Z.
        device: The device, cpu or cuda.
        only: The system to measure; the default is all.
        out: The file of the record.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    pyro.enable_validation(False)
    ways = [*WAYS, *(ON_CUDA if device != "cpu" else ())]
    options = {"rounds": rounds, "epochs": epochs, "steps": steps, "device": _device(device)}
    record: dict[str, Any] = {
        "title": "Training",
        "setting": setting(threads, seed, **options),
        "milliseconds": {},
    }
    values = image_and_label(batch * steps, 784)
    rows, firsts = [], []
    for name in (s for s in SYSTEMS if only in ("", s)):
        torch.compiler.reset()  # torch compiles a function at most eight times
        run = Training(name, values, batch, epochs, (hidden, hidden), latent_dim, device)
        own = [*ways, *([HAND] if by_hand.written(name) else [])]
        own += [PEER] if multivae_models.available(name) else []
        times: dict[str, list[float]] = {way: [] for way in own}
        extra: dict[str, list[float]] = {way: [] for way in own}
        for i in range(rounds):
            for way in own if i % 2 == 0 else own[::-1]:
                counted, beyond = run.milliseconds(way)
                times[way] += counted
                extra[way].append(beyond)
        record["milliseconds"][name] = times
        shown = [spread(times[w], 1) if w in times else "" for w in (*ways, HAND, PEER)]
        faster = [spread(ratios(times[EAGER], times[w])) for w in ways[1:]]
        rows.append([name, *shown, *faster])
        firsts.append([name, *(f"{extra[w][0]:.1f}" for w in ways)])
    columns = [
        "system",
        *(f"{w}, ms" for w in (*ways, HAND, PEER)),
        *(f"{EAGER} / {w}" for w in ways[1:]),
    ]
    record["tables"] = [
        table(f"A step within fit, two modalities, {_device(device)}, wall time", columns, rows),
        table("What the first epoch took beyond the others, s", ["system", *ways], firsts),
    ]
    write(record, out)


def _device(device: str) -> str:
    return "CPU" if device == "cpu" else torch.cuda.get_device_name(device)


if __name__ == "__main__":
    typer.run(main)
