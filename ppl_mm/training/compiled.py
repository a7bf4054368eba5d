"""Networks under torch.compile for the time of a training run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ppl_mm.networks.joint import JointEncoder
from ppl_mm.systems import System

__all__ = ["check_compile", "compiled", "networks"]

_HOLDERS = {"encoders", "private_encoders", "stand_ins", "joint_networks", "decoders"}


def networks(system: System) -> list[nn.Module]:
    """The system's encoders, decoders and joint networks, each once."""
    found: dict[int, nn.Module] = {}
    for program in (system.model, system.guide):
        for name, module in program.named_modules():
            inside = _HOLDERS & set(name.split(".")[:-1]) or isinstance(module, JointEncoder)
            if inside and not isinstance(module, nn.ModuleDict):
                found.setdefault(id(module), module)
    parts = {id(p) for m in found.values() for p in m.modules() if p is not m}
    return [m for key, m in found.items() if key not in parts]


@contextmanager
def compiled(system: System, option: bool | str) -> Iterator[None]:
    """Inside, calls of the networks are compiled; parameters and their names stay as they are.

    Args:
        system: Whose networks.
        option: As checked by :func:`check_compile`.
    """
    if option is False:
        yield
        return
    chosen = networks(system)
    try:
        for network in chosen:
            network.compile(backend=_backend(option))
        yield
    finally:
        for network in chosen:
            network._compiled_call_impl = None


def check_compile(option: bool | str, device: torch.device) -> None:
    """Raise unless networks on the device can be compiled so.

    Args:
        option: False for not at all, True for torch's own compiler, or the name of a backend.
        device: Where the compiler is tried.

    Raises:
        ValueError: For a backend that torch does not know.
        RuntimeError: Where no working compiler is found.
    """
    if option is False:
        return
    backend = _backend(option)
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        raise ValueError(f"compile: expected a bool or one of {', '.join(known)}, got {backend!r}.")
    try:
        torch.compile(torch.sin, backend=backend)(torch.zeros(2, device=device))
    except Exception as error:
        raise RuntimeError(
            f"compile: torch's backend {backend!r} does not work here "
            f"({str(error).strip().splitlines()[0]}). It needs a C++ compiler, and Triton for a "
            "CUDA device; or leave compile out."
        ) from error


def _backend(option: bool | str) -> str:
    return "inductor" if option is True else str(option)
