"""Measures and pictures of a run in progress, for a logger such as TensorBoard."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ppl_mm.batch.observations import Observations
from ppl_mm.systems import System
from ppl_mm.training.parts import LossParts, elbo_by_site
from ppl_mm.training.state import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Log", "Logger"]

_MOST = 256  # The largest number of held-out rows.


class Logger(Protocol):
    """A logger of Lightning Fabric, or any object with this method."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Log measures by name, at a step of the optimiser."""


class Log(LossParts):
    """Send the measures of a run to a logger.

    Every few steps the logger gets ``loss`` (nats per row, the mean of the epoch so far),
    ``gradient_norm`` and ``learning_rate``. After each epoch it gets the epoch's row of the
    history, in which ``loss`` is ``epoch_loss``, with the parts of the loss, see
    :class:`LossParts`; and of held-out rows the ELBO site by site: ``validation/log p/MODALITY``
    and ``validation/KL/LATENT``, in nats per row. In names, what MLflow refuses becomes ``_``.

    Args:
        logger: ``CSVLogger`` or ``TensorBoardLogger`` of ``lightning_fabric.loggers``, or any
            object with their ``log_metrics``, such as Lightning's loggers of W&B and MLflow.
        every: The number of steps from one entry to the next.
        rows: The rows whose ELBO is logged site by site; by default the held-out rows, if there are
            any. The first 256 are used.
        picture: A function from the system to a figure of Matplotlib. It goes to the logger's
            ``log_image``, to its ``experiment``'s ``add_figure`` or ``log_figure``, or as
            ``picture-STEP.png`` to its ``log_dir``, whichever there is first.
        picture_every: The number of epochs from one picture to the next.

    Raises:
        TypeError: If the logger has no ``log_metrics``, or takes no pictures and shall have some.

    Example:
        >>> import tempfile
        >>> from lightning_fabric.loggers import CSVLogger
        >>> from ppl_mm import data, fit, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, digits.latent_dim)
        >>> log = Log(CSVLogger(tempfile.mkdtemp()), every=1)
        >>> options = {"epochs": 1, "batch_size": 600, "progress": False}
        >>> result = fit(system, digits.train, callbacks=[log], **options)
    """

    def __init__(
        self,
        logger: Any,
        *,
        every: int = 50,
        rows: Observations | None = None,
        picture: Callable[[System], Any] | None = None,
        picture_every: int = 10,
    ) -> None:
        super().__init__()
        if not callable(getattr(logger, "log_metrics", None)):
            raise TypeError(
                f"Log: expected a logger with a method log_metrics(metrics, step), got a "
                f"{type(logger).__name__}; lightning_fabric.loggers has some."
            )
        self.logger, self.every, self.rows = logger, every, rows
        self.picture, self.picture_every = picture, picture_every

    def after_step(self, training: Training) -> None:
        """Log a step, if it is due."""
        super().after_step(training)
        if training.is_first and _place(training) % self.every == 0:
            rate = float(training.optimizer.param_groups[0]["lr"])
            told = {"loss": training.loss, "gradient_norm": training.gradient_norm()}
            self._log({**told, "learning_rate": rate}, _place(training))

    def after_epoch(self, training: Training) -> None:
        """Log an epoch, its ELBO by site, and a picture if it is due."""
        super().after_epoch(training)
        if not training.is_first:
            return
        rows = training.validation if self.rows is None else self.rows
        told = {name: value for name, value in training.history[-1].items() if name != "epoch"}
        told["epoch_loss"] = told.pop("loss")
        if rows is not None:
            sites = elbo_by_site(training.system, rows[:_MOST])
            told |= {f"validation/{name}": value for name, value in sites.items()}
        self._log(told, _place(training))
        if self.picture is not None and training.epoch % self.picture_every == 0:
            _log_picture(self.logger, self.picture(training.system), _place(training))

    def after_fit(self, training: Training) -> None:
        """Let the logger write its buffered entries."""
        save = getattr(self.logger, "save", None)
        if training.is_first and save is not None:
            save()

    def _log(self, told: dict[str, float], step: int) -> None:
        self.logger.log_metrics({re.sub(r"[^\w\-. /]", "_", k): x for k, x in told.items()}, step)


def _place(training: Training) -> int:
    return training.epoch * training.steps + training.step


def _log_picture(logger: Any, figure: "Figure", step: int) -> None:
    """Give a figure to a logger by the first way that it has, see :class:`Log`."""
    if hasattr(logger, "log_image"):  # W&B
        logger.log_image(key="picture", images=[_pixels(figure)], step=step)
        return
    experiment: object = getattr(logger, "experiment", None)
    if hasattr(experiment, "add_figure"):  # TensorBoard
        experiment.add_figure("picture", figure, step)
    elif hasattr(experiment, "log_figure") and hasattr(logger, "run_id"):  # MLflow
        experiment.log_figure(logger.run_id, figure, f"picture-{step}.png")
    elif getattr(logger, "log_dir", None) is not None:
        folder = Path(logger.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"picture-{step}.png")
    else:
        raise TypeError(
            f"Log: a {type(logger).__name__} takes no pictures; leave out picture=, or give a "
            "logger with log_image, experiment.add_figure, experiment.log_figure or log_dir."
        )


def _pixels(figure: "Figure") -> np.ndarray:
    """Draw a figure, (height, width, 4), 0 to 255."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())
