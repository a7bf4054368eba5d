"""The default number of (draw, row) pairs that are decoded at a time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ppl_mm.batch.observations import Observations
from ppl_mm.programs.asked import decoders_of
from ppl_mm.systems import System

__all__ = ["check_and_size"]

_MOST = 2**14  # pairs
_NUMBERS = 2**26  # The largest output of a module, 256 MiB in single precision.


def check_and_size(system: System, obs: Observations, chunk: int | None) -> int:
    """Raise unless ``obs`` fits the system; the pairs to decode at a time.

    ``chunk`` itself, or for None so many that no module of a decoder gives more than 2**26 numbers
    for them, and 2**14 at most. What a module gives for one pair is seen in the check, which runs
    the decoders on a few.
    """
    with _largest(decoders_of(system.model)) as largest:
        system.check(obs)
    return min(_MOST, max(1, _NUMBERS // largest["output"])) if chunk is None else chunk


@contextmanager
def _largest(decoders: nn.ModuleDict) -> Iterator[Counter[str]]:
    """The numbers that a module gives for a row of its decoder, the most of any, ``"output"``."""
    largest, given = Counter(output=1, rows=1), Counter[nn.Module]()

    def begin(decoder: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given.clear()
        largest["rows"] = len(inputs[0])

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        given[module] += _numbers(output)  # one that reads strings runs once for each symbol
        largest["output"] = max(largest["output"], given[module] // largest["rows"])

    hooks = [d.register_forward_pre_hook(begin) for d in decoders.values()]
    hooks += [m.register_forward_hook(add) for d in decoders.values() for m in d.modules()]
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()


def _numbers(output: object) -> int:
    if isinstance(output, Tensor):
        return output.numel()
    if isinstance(output, dict):
        output = output.values()
    return sum(map(_numbers, output)) if hasattr(output, "__iter__") else 0
