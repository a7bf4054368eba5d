"""A training step as a CUDA graph: captured once, replayed for every batch of the same shape.

A small network's step is hundreds of short kernels, and Python takes longer to launch them than
the device to run them. A graph launches all of them at once. What it replays is what the device
did while one step was captured; what Python decides or draws in a step must therefore be the same
in every one. Its random numbers continue as without it: a replay takes the next ones of the
device's generator.

Source: torch.cuda.graph, "Whole-network capture" of PyTorch's notes on CUDA.
"""

import logging
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyro.infer import ELBO
from torch import Tensor
from torch.optim import Optimizer

from ppl_mm.batch.host_masks import constants
from ppl_mm.batch.observations import Observations
from ppl_mm.training.alike import Annealing, Step, pattern, stage_of

__all__ = ["CUDA", "Graphed", "draws_on_host", "obstacle_of", "set_capturable", "synchronisation"]

_WARM_UP = 3  # steps before the capture, as PyTorch advises: they make what is made lazily
_WAITS = "called a synchronizing CUDA operation"  # torch's warning of it
_log = logging.getLogger("ppl_mm")


@contextmanager
def synchronisation(mode: str) -> Iterator[None]:
    """Inside, what waits for a CUDA device warns ("warn") or raises ("error").

    Torch warns once that the mode is a prototype, in words much like those of a wait.
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
    """How steps are watched and captured on a CUDA device."""

    def watched(self, run: Callable[[], Tensor]) -> tuple[Tensor, str | None]:
        """Run a step on a side stream; what it returns, and what of it no graph could replay."""
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

    def capture(self, run: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Capture a step without running it: where its loss will be, and what runs it."""
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        before = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                loss = run()
        except Exception:
            generator.graphsafe_set_state(before)  # a broken capture leaves it unusable
            raise
        return loss, graph.replay


class Graphed:
    """A step that is replayed where it can be, and run eagerly elsewhere.

    The first steps of one shape are eager ones and train as ever. Then the step is captured, which
    runs nothing, and replayed for this and every later batch of the same rows' number, shapes,
    masks and stage; what differs, such as a last and smaller batch, is eager. Results
    are those of eager steps up to rounding.

    Args:
        step: From a batch, its share and its size to its loss; it updates the parameters.
        objective: Its stage and beta are read.
        optimizer: Its gradients are let go before the capture.
        why_not: Why nothing is to be captured; None to try.

    Attributes:
        why_not: As given, or as found on the way; None while there is no obstacle.
        replayed: How many steps were replayed.
    """

    key: Hashable  # of the steps that are warmed up or replayed
    warm: int
    largest: int
    replay: tuple[Observations, Tensor, Callable[[], None]] | None
    kept: dict[Any, Tensor]  # a graph reads these: they live as long as it does

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
        """What became of it, in a line."""
        if self.why_not is not None:
            return f"eager: {self.why_not}"
        if self.replayed == 0:
            return f"eager: fewer than {_WARM_UP + 2} batches of one shape and stage"
        return f"captured: {self.replayed} steps replayed"

    def __call__(self, batch: Observations, share: range, size: int) -> Tensor:
        """Take one step; the loss, which the next step overwrites."""
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
        """Capture anew: what the graph rests on may have changed."""
        self._forget(None)

    def _warm_up(self, batch: Observations, share: range, size: int) -> Tensor:
        """An eager step; what must not be in a graph is found in the last of them."""
        loss, why_not = self.device.watched(lambda: self.step(batch, share, size))
        self.warm += 1
        if why_not is not None and self.warm == _WARM_UP:
            self._note(why_not)
        return loss

    def _captured(self, batch: Observations, share: range, size: int) -> bool:
        """Capture a step, whose constants must all be on the device before.

        What a capture copies there has not arrived: nothing runs until the graph is replayed, and
        then from the host's memory, which may hold something else by that time.
        """
        static = batch._copy()
        static.values = {n: x.clone() for n, x in batch.values.items()}
        static.covariates = {n: x.clone() for n, x in batch.covariates.items()}
        self.optimizer.zero_grad()  # gradients of the graph's own
        before = set(self.kept)
        try:
            with self.beta:
                captured = self.device.capture(lambda: self.step(static, share, size))
        except RuntimeError as error:
            self._note(f"the capture failed: {str(error).strip().splitlines()[0]}")
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
        """All that Python looks at in a step; None where it cannot know."""
        found = pattern(batch)
        if found is None:
            self._note("the transform makes masks whose values only the device has")
            return None
        rates = tuple(float(group["lr"]) for group in self.optimizer.param_groups)
        return size, found, stage_of(self.objective), self.beta.follow(), rates


def draws_on_host(run: Callable[[], Tensor]) -> tuple[Tensor, bool]:
    """What a step returns, and whether it took numbers of torch's generator on the host."""
    before = torch.get_rng_state()
    loss = run()
    return loss, not torch.equal(before, torch.get_rng_state())


def obstacle_of(optimizer: Optimizer) -> str | None:
    """Why an optimiser's steps cannot be captured; None if they may be."""
    inner = getattr(optimizer, "optimizer", optimizer)
    ours = type(inner).__module__.startswith("torch.optim")
    if not ours or not ("capturable" in inner.defaults or isinstance(inner, torch.optim.SGD)):
        return f"the optimiser {type(inner).__name__} has no option capturable"
    return None


def set_capturable(optimizer: Optimizer, wanted: bool) -> None:
    """Let an optimiser count its steps on the device, or where it would by itself.

    Do it after a checkpoint is loaded, which may come from another kind of device.
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
