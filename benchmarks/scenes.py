"""The options of step.py and step_missing.py, and the batches whose steps they time."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, NamedTuple

import pyro
import torch
from declared import data, image_and_label
from timing import setting
from torch import Tensor
from typer import Option

Values = dict[str, Tensor]
NARROW = 8  # the width of narrow networks, and their number of pixels


class Scene(NamedTuple):
    """A batch, the width of both hidden layers, and the number of measured rounds."""

    number: int
    width: int
    values: Values
    rounds: int


@dataclass(frozen=True)
class Plan:
    """The options of a benchmark of steps."""

    rounds: Annotated[int, Option(help="Measured rounds with two modalities.")] = 40
    rounds_of_five: Annotated[int, Option(help="Measured rounds with five modalities.")] = 10
    warmup: Annotated[int, Option(help="Rounds before the measured ones.")] = 2
    threads: Annotated[int, Option(help="The number of torch's threads.")] = 1
    seed: Annotated[int, Option(help="The seed of data and parameters.")] = 0
    batch: Annotated[int, Option(help="The number of rows in a batch.")] = 128
    pixels: Annotated[int, Option(help="The number of pixels in an image.")] = 784
    width: Annotated[list[int], Option(help="Width of both hidden layers; repeatable.")] = field(
        default_factory=lambda: [NARROW, 64, 128, 512]
    )
    latent_dim: Annotated[int, Option(help="The number of latents, Z.")] = 64
    modalities: Annotated[list[int], Option(help="The number of modalities; repeatable.")] = field(
        default_factory=lambda: [2, 5]
    )
    only: Annotated[list[str], Option(help="A system to measure, all by default; repeatable.")] = (
        field(default_factory=list)
    )
    out: Annotated[str, Option(help="The file of the record.")] = ""

    def record(self, title: str) -> dict[str, Any]:
        """Prepare torch and Pyro, and return the record before anything is measured."""
        torch.set_num_threads(self.threads)
        pyro.enable_validation(False)
        sizes = {name: getattr(self, name) for name in ("batch", "pixels", "width", "latent_dim")}
        rounds = {"rounds": self.rounds, "rounds_of_five": self.rounds_of_five}
        found = setting(self.threads, self.seed, **rounds, sizes=sizes)
        return {"title": title, "setting": found, "tables": []}

    def scenes(self) -> Iterator[Scene]:
        """Yield a scene for each table; the seed is set before each."""
        for number in self.modalities:
            rounds = self.rounds if number == 2 else self.rounds_of_five
            for width in self.width:
                torch.manual_seed(self.seed)
                yield Scene(number, width, self._values(number, width), rounds)

    def _values(self, number: int, width: int) -> Values:
        """Return an image and a label for two modalities, else images; small for small networks."""
        pixels = NARROW if width == NARROW else self.pixels
        if number == 2:
            return image_and_label(self.batch, pixels)
        return data(number, self.batch, pixels)


def command(measure: Callable[[Any], None], plan: type[Plan] = Plan) -> Callable[..., None]:
    """Return the function of a plan as a function of its fields, for ``typer.run``."""

    def main(**options: Any) -> None:
        measure(plan(**options))

    main.__doc__ = measure.__doc__
    main.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=f.default if f.default_factory is MISSING else f.default_factory(),
                annotation=f.type,
            )
            for f in fields(plan)
        ]
    )
    return main
