"""A training step as a CUDA graph: captured once, replayed for every batch of the same shape.

A small network's step is hundreds of short kernels, and Python takes longer to launch them than the
device takes to run them. A graph launches all of them at once. It replays the work of the device
during the captured step, so everything that Python decides or draws must be the same in every step.
Random numbers continue as in eager steps: a replay takes the next numbers of the device's
generator.

Source: torch.cuda.graph, "Whole-network capture" of PyTorch's notes on CUDA.
"""

import logging
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from pyro.infer import ELBO
from torch import Tensor
from torch.optim import Optimizer

from ppl_mm.arguments.wording import first_line
from ppl_mm.batch.host_masks import constants
from ppl_mm.batch.observations import Observations
from ppl_mm.training.step_state import Annealing, Step, pattern, stage_of

__all__ = ["CUDA", "Graphed", "draws_on_host", "obstacle_of", "set_capturable", "synchronisation"]

_WARM_UP = 3  # Steps before the capture, as PyTorch advises.
_WAITS = "called a synchronizing CUDA operation"  # The text of torch's warning.
_log = logging.getLogger("ppl_mm")
Loss = Float[Tensor, ""]


@contextmanager
def synchronisation(mode: str) -> Iterator[None]:
    """Inside, an operation that waits for a CUDA device warns ("warn") or raises ("error").

    Torch also warns once that the mode is a prototype, in similar words; that warning is hidden.
    """
    before = torch.cuda.get_sync_debug_mode()
    try:
        _set_mode(mode)
        yield
    finally:
        _set_mode(before)


def _set_mode(mode: int | str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)


class CUDA:
    """The trial and the capture of steps on a CUDA device."""

    def watched(self, run: Callable[[], Loss]) -> tuple[Loss, str | None]:
        """Run a step on a side stream; return its loss and the obstacle to a replay, or None."""
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with (
            synchronisation("warn"),
            torch.cuda.stream(side),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            loss, drew = draws_on_host(run)
        current.wait_stream(side)
        loss.record_stream(current)
        waits = [w for w in caught if _WAITS in str(w.message)]
        if waits:
            return loss, f"a step waits for the device, at {waits[0].filename}:{waits[0].lineno}"
        return loss, "a step draws random numbers on the host" if drew else None

    def capture(self, run: Callable[[], Loss]) -> tuple[Loss, Callable[[], None]]:
        """Capture a step without running it; return the tensor of its loss, and its replay."""
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        before = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                loss = run()
        except Exception:
            generator.graphsafe_set_state(before)  # A broken capture leaves the generator unusable.
            raise
        return loss, graph.replay


class Graphed:
    """A training step that is replayed if possible, and otherwise run eagerly.

    The first steps of one shape are eager. Then the step is captured, which runs nothing, and
    replayed for this and every later batch with the same number of rows, shapes, masks and stage. A
    batch that differs, such as a smaller last one, gets an eager step. Results equal those of eager
    steps up to rounding.

    Args:
        step: The function from a batch, its share and its size to its loss; it updates the
            parameters.
        objective: The objective, whose stage and beta are read.
        optimizer: The optimiser, whose gradients are freed before the capture.
        why_not: The reason to capture nothing; None tries to capture.

    Attributes:
        why_not: The reason why steps are eager, as given or found later; None if there is none.
        replayed: The number of replayed steps.
    """

    key: Hashable  # The key of the steps that are warmed up or replayed.
    warm: int
    largest: int
    replay: tuple[Observations, Tensor, Callable[[], None]] | None
    kept: dict[Any, Tensor]  # The graph reads these, so they live as long as it does.

    def __init__(
        self, step: Step, objective: ELBO, optimizer: Optimizer, why_not: str | None
    ) -> None:
        self.step, self.objective, self.optimizer = step, objective, optimizer
        self.why_not, self.replayed = why_not, 0
        self.device = CUDA()
        first = optimizer.param_groups[0]["params"][0]
        self.beta = Annealing(objective, first.device)
        self._forget(None)

    @property
    def outcome(self) -> str:
        """A line that says how steps were taken."""
        if self.why_not is not None:
            return f"eager: {self.why_not}"
        if self.replayed == 0:
            return f"eager: fewer than {_WARM_UP + 2} batches of one shape and stage"
        return f"captured: {self.replayed} steps replayed"

    def __call__(self, batch: Observations, share: range, size: int) -> Loss:
        """Take one step and return its loss, which the next step overwrites."""
        key = None if self.why_not is not None else self._key(batch, size)
        if key is None or size < self.largest:
            return self.step(batch, share, size)
        if key != self.key:
            self._forget(key)
            self.largest = size
            return self.step(batch, share, size)
        with constants(self.kept):
            if self.warm < _WARM_UP:
                return self._warm_up(batch, share, size)
            if self.replay is None and not self._captured(batch, share, size):
                return self.step(batch, share, size)
        return self._replayed(batch)

    def doubt(self) -> None:
        """Discard the captured step, since a callback may have changed something that it uses."""
        self._forget(None)

    def _warm_up(self, batch: Observations, share: range, size: int) -> Tensor:
        """Take an eager step; the last one finds operations that no graph can replay."""
        loss, why_not = self.device.watched(lambda: self.step(batch, share, size))
        self.warm += 1
        if why_not is not None and self.warm == _WARM_UP:
            self._note(why_not)
        return loss

    def _captured(self, batch: Observations, share: range, size: int) -> bool:
        """Capture a step; all of its constants must be on the device already.

        A copy to the device during a capture does not run until the replay, and then reads the
        host's memory, which may hold something else by that time.
        """
        static = batch._copy()
        static.values = {n: x.clone() for n, x in batch.values.items()}
        static.covariates = {n: x.clone() for n, x in batch.covariates.items()}
        self.optimizer.zero_grad()  # The graph allocates its own gradients.
        before = set(self.kept)
        try:
            with self.beta:
                captured = self.device.capture(lambda: self.step(static, share, size))
        except RuntimeError as error:
            self._note(f"the capture failed: {first_line(error)}")
        else:
            if self.kept.keys() == before:
                self.replay = static, *captured
            else:
                self._note("a step copies something new to the device")
        for key in self.kept.keys() - before:
            del self.kept[key]
        return self.replay is not None

    def _replayed(self, batch: Observations) -> Tensor:
        assert self.replay is not None
        static, loss, run = self.replay
        for name, values in static.values.items():
            values.copy_(batch.values[name])
        for name, read in static.covariates.items():
            read.copy_(batch.covariates[name])
        run()
        self.replayed += 1
        return loss

    def _note(self, why: str) -> None:
        self.why_not = why
        _log.info("fit: steps are eager, as %s", why)

    def _forget(self, key: Hashable) -> None:
        self.key, self.warm, self.largest, self.replay, self.kept = key, 0, 0, None, {}

    def _key(self, batch: Observations, size: int) -> Any:
        """Everything that Python's decisions in a step depend on; None if it is not known."""
        found = pattern(batch)
        if found is None:
            self._note("the transform makes masks whose values only the device has")
            return None
        rates = tuple(float(group["lr"]) for group in self.optimizer.param_groups)
        return size, found, stage_of(self.objective), self.beta.follow(), rates


def draws_on_host(
    run: Callable[[], Float[Tensor, "*shape"]],
) -> tuple[Float[Tensor, "*shape"], bool]:
    """Run a step; return its loss, and whether it used torch's random generator on the host."""
    before = torch.get_rng_state()
    loss = run()
    return loss, not torch.equal(before, torch.get_rng_state())


def obstacle_of(optimizer: Optimizer) -> str | None:
    """Return why an optimiser's steps cannot be captured; None if they can."""
    inner = getattr(optimizer, "optimizer", optimizer)
    ours = type(inner).__module__.startswith("torch.optim")
    if not ours or not ("capturable" in inner.defaults or isinstance(inner, torch.optim.SGD)):
        return f"the optimiser {type(inner).__name__} has no option capturable"
    return None


def set_capturable(optimizer: Optimizer, wanted: bool) -> None:
    """Let an optimiser count its steps on the device if wanted, else at its default place.

    Call this after a checkpoint is loaded, since it may come from another kind of device.
    """
    inner = getattr(optimizer, "optimizer", optimizer)
    if "capturable" not in inner.defaults:
        return
    for group in inner.param_groups:
        group["capturable"] = wanted or bool(inner.defaults["capturable"])
        on_device = group["capturable"] or bool(group.get("fused"))
        for parameter in group["params"]:
            step = inner.state.get(parameter, {}).get("step")
            if isinstance(step, Tensor):
                device = parameter.device if on_device else "cpu"
                inner.state[parameter]["step"] = step.to(device)
