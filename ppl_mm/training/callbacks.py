"""Callbacks around a run, its epochs and its steps."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ppl_mm.training.state import Training

__all__ = ["Callback", "Callbacks"]


class Callback:
    """The methods that :func:`ppl_mm.fit` calls around a run; override those that you need.

    Every method gets the run, a :class:`ppl_mm.training.Training`: its ``system``, ``history``,
    ``epoch`` and ``step``, and ``stop()`` and ``save()``. Random numbers of torch's generators that
    a method draws change the run, so draw from your own generator, or inside
    ``torch.random.fork_rng()``. An error ends the run. With several processes, each calls its own
    callbacks; ``training.is_first`` is True in the one that writes and prints.

    Example:
        >>> from ppl_mm import data, fit, systems
        >>> class UntilLossBelow(Callback):
        ...     def after_epoch(self, training):
        ...         if training.history[-1]["loss"] < 2000:
        ...             training.stop()
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, digits.latent_dim)
        >>> options = {"epochs": 5, "batch_size": 600, "progress": False}
        >>> result = fit(system, digits.train, callbacks=[UntilLossBelow()], **options)
        >>> len(result.history)
        1
    """

    def before_fit(self, training: Training) -> None:
        """Called once, after all checks and before the first step."""

    def before_epoch(self, training: Training) -> None:
        """Called before each epoch."""

    def before_step(self, training: Training) -> None:
        """Called before each step."""

    def after_step(self, training: Training) -> None:
        """Called after each step of the optimiser, while the gradients are still there."""

    def after_epoch(self, training: Training) -> None:
        """Called after each epoch; ``training.history[-1]`` is its row."""

    def after_fit(self, training: Training) -> None:
        """Called once at the end, also after an error, in the reverse order of the callbacks."""


class Callbacks:
    """Several callbacks as one; a method that no callback overrides costs nothing."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"callbacks: expected each to be a ppl_mm.training.Callback, got a "
                    f"{type(callback).__name__}; derive its class from Callback."
                )
        self.all = list(callbacks)
        self.before_epoch = self._every("before_epoch")
        self.before_step = self._every("before_step")
        self.after_step = self._every("after_step")
        self.after_epoch = self._every("after_epoch")

    @contextmanager
    def around(self, training: Training) -> Iterator[None]:
        """Run the body; each callback that has begun is also ended, whatever happens."""
        begun: list[Callback] = []
        try:
            for callback in self.all:
                begun.append(callback)
                callback.before_fit(training)
            yield
        finally:
            for callback in reversed(begun):
                callback.after_fit(training)

    def _every(self, name: str) -> Callable[[Training], None]:
        own = [
            getattr(callback, name)
            for callback in self.all
            if getattr(type(callback), name) is not getattr(Callback, name)
        ]

        def call(training: Training) -> None:
            for method in own:
                method(training)

        return call
