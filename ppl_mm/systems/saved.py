"""The file of a system: its parameters by name, and the recipe that rebuilds it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ppl_mm.files import Sealed, read_sealed, write_sealed
from ppl_mm.systems import registry

if TYPE_CHECKING:
    from ppl_mm.modality import Modality
    from ppl_mm.systems.system import System

__all__ = ["check_finite", "load", "save"]

_KIND = "system"
_REMEDY = "Take another copy of what System.save wrote, or train again."
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError)
_SLACK = 1 << 24  # numbers that networks may ask for as they are built, besides their parameters
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def save(system: "System", path: Path) -> None:
    """Write the parameters, buffers and recipe."""
    write_sealed(path, _KIND, system.state_dict(), {"recipe": json.dumps(system.recipe)})


def load(path: Path, modalities: "Sequence[Modality] | None", system: "System | None") -> "System":
    """The system of a file, see :meth:`ppl_mm.systems.System.load`."""
    file = read_sealed(path, _KIND, _REMEDY)
    if system is None:
        system = _rebuilt(file, modalities)
    _check_fits(file, system.state_dict())
    tensors = file.tensors()
    check_finite(path, {n: t for n, t in tensors.items() if n in dict(system.named_parameters())})
    system.load_state_dict(tensors)
    return system


def check_finite(path: Path, parameters: dict[str, Shaped[Tensor, "..."]]) -> None:
    """Raise ValueError if a parameter of a file is not finite."""
    for name, tensor in parameters.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(
                f"{path}: the parameter {name!r} holds NaN or an infinite number; its training "
                "diverged. Train again with a lower learning rate."
            )


def _rebuilt(file: Sealed, modalities: "Sequence[Modality] | None") -> "System":
    """The system of the file's recipe in the file's dtype, with fresh parameters."""
    try:
        recipe = json.loads(file.header["recipe"])
        with _asking_for_no_more_than(file):
            system = registry.rebuild(file.path, recipe, modalities)
    except _WRONG as error:
        if str(error).startswith(str(file.path)):
            raise  # it says what the user must give
        raise ValueError(
            f"{file.path}: its recipe cannot be followed ({error}); it is damaged or of another "
            f"version of ppl_mm. {_REMEDY}"
        ) from error
    dtypes = {dtype for dtype in file.dtypes.values() if dtype in _FLOATS}
    if len(dtypes) == 1:
        system.to(dtypes.pop())
    return system


def _check_fits(file: Sealed, own: dict[str, Tensor]) -> None:
    for name in sorted(own.keys() ^ file.shapes.keys()):
        where = "the file lacks" if name in own else "the system lacks"
        raise ValueError(f"{file.path}: {where} {name!r}; was it saved by another system?")
    for name, shape in file.shapes.items():
        if own[name].shape != shape:
            raise ValueError(
                f"{file.path}: {name!r} has shape {shape}, the system's "
                f"{tuple(own[name].shape)}; build it with the saved sizes."
            )
        if own[name].dtype != file.dtypes[name]:
            raise ValueError(
                f"{file.path}: {name!r} is of {file.dtypes[name]}, the system's of "
                f"{own[name].dtype}; convert the system, as by system.double() or system.float()."
            )


@contextmanager
def _asking_for_no_more_than(file: Sealed) -> Iterator[None]:
    """Inside, new tensors of many more numbers than the file holds are refused."""
    with _Allowance(16 * sum(map(_numel, file.shapes.values())) + _SLACK):
        yield


def _numel(shape: tuple[int, ...]) -> int:
    found = 1
    for size in shape:
        found *= size
    return found


class _Allowance(TorchDispatchMode):
    """Refuse new tensors beyond a total of numbers, before they take any memory."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Sequence[type],
        given: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        size = given[0] if given and isinstance(given[0], list | tuple) else ()
        if size and all(isinstance(length, int) for length in size):
            self.left -= _numel(tuple(size))
            if self.left < 0:
                raise RuntimeError(
                    f"it asks for a tensor of shape {tuple(size)}, larger than all that is saved"
                )
        return operation(*given, **(named or {}))
