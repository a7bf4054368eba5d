"""Tensors whose values the host knows, so that Python can ask for them without waiting.

Masks decide which rows a network sees. Read from a CUDA device, an answer waits until the device
has done all that is queued. The masks of a training batch are therefore computed on the host, where
they come from, and copied to the device where they meet something there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map_only

__all__ = ["HostTensor", "constants", "on_host", "plain", "recording", "waits"]

_Constants = dict[tuple[Any, ...], Tensor]
_kept: list[_Constants] = []  # the innermost is in use
_recording = False

_RANDOM = (  # these draw on the device
    *("bernoulli", "bernoulli_", "dropout", "multinomial", "normal", "normal_", "poisson"),
    *("rand_like", "randint_like", "randn_like", "uniform_"),
)


class HostTensor(Tensor):
    """A small tensor for ``target``, kept on the host.

    What is computed from such tensors and numbers alone is another of them. What is computed
    from one and any other tensor is a tensor of the device, and so is what is drawn at random.
    It has no gradient.

    Example:
        >>> mask = HostTensor.of(torch.tensor([True, False]), torch.device("meta"))
        >>> bool((~mask).any()), mask.device  # no value of a tensor on "meta" can be read
        (True, device(type='meta'))
        >>> (mask * torch.ones(2, device="meta")).device
        device(type='meta')
    """

    target: torch.device
    _copied: tuple[int, Tensor] | None

    @staticmethod
    def of(host: Tensor, target: torch.device) -> "HostTensor":
        """The values of a tensor on the host, for ``target``."""
        known = host.as_subclass(HostTensor)
        known.target, known._copied = target, None
        return known

    @property
    def host(self) -> Tensor:
        """The values, on the host."""
        return self.as_subclass(Tensor)

    def copied(self) -> Tensor:
        """The values on the device, without waiting; one copy, however often it is asked for."""
        with torch._C.DisableTorchFunctionSubclass(), _aside():
            host, version = self.host, self._version
            if _kept:  # there by its values, and nowhere else, as copies of a failed capture go
                return _copy(host, self.target)
            if self._copied is None or self._copied[0] != version:
                self._copied = (version, _send(host, self.target))
            return self._copied[1]

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func == _DEVICE:
            return args[0].target
        leaves = tree_flatten((args, kwargs))[0]
        mine = [x for x in leaves if isinstance(x, HostTensor)]
        met = any(isinstance(x, Tensor) and not isinstance(x, HostTensor) for x in leaves)
        moved = func in _MOVES and any(isinstance(x, torch.device | str) for x in leaves)
        with torch._C.DisableTorchFunctionSubclass():
            if met or moved or func.__name__ in _RANDOM:
                args, kwargs = tree_map_only(HostTensor, HostTensor.copied, (args, kwargs))
                return func(*args, **kwargs)
            with _aside():
                args, kwargs = tree_map_only(HostTensor, _as_tensor, (args, kwargs))
            if kwargs.get("device") is not None:
                kwargs = {**kwargs, "device": "cpu"}
            with _aside():
                result, target = func(*args, **kwargs), mine[0].target
                return tree_map_only(Tensor, lambda x: HostTensor.of(x, target), result)


def _as_tensor(x: HostTensor) -> Tensor:
    return x.as_subclass(Tensor)


_DEVICE = Tensor.device.__get__
_MOVES = (Tensor.to,)


def waits(device: torch.device) -> bool:
    """Whether reading a value from the device waits for what is queued there.

    While a step is recorded every device is one whose values are not read.
    """
    return _recording or device.type != "cpu"


def on_host(x: Tensor) -> bool:
    """Whether the host can read a tensor's values without waiting for its device."""
    return isinstance(x, HostTensor) or not waits(x.device)


def plain(x: Tensor) -> Tensor:
    """The tensor itself; a :class:`HostTensor` one as a tensor of its device."""
    return x.copied() if isinstance(x, HostTensor) else x


@contextmanager
def recording() -> Iterator[None]:
    """Inside, what is computed from host tensors alone is no part of a graph that is recorded."""
    global _recording
    before, _recording = _recording, True
    try:
        yield
    finally:
        _recording = before


def _aside() -> AbstractContextManager[None]:
    """Outside of what records operations, if a step is recorded."""
    return _disable_current_modes() if _recording else nullcontext()


@contextmanager
def constants(kept: _Constants | None = None) -> Iterator[_Constants]:
    """Inside, what was copied to a device before is not copied again.

    Args:
        kept: The copies, by their values. They grow with every new one, so use it where batch
            after batch asks for the same ones.
    """
    kept = {} if kept is None else kept
    _kept.append(kept)
    try:
        yield kept
    finally:
        _kept.pop()


def _copy(host: Tensor, target: torch.device) -> Tensor:
    key = (target, host.dtype, tuple(host.shape), host.numpy().tobytes())
    if key not in _kept[-1]:
        _kept[-1][key] = _send(host, target)
    return _kept[-1][key]


def _send(host: Tensor, target: torch.device) -> Tensor:
    host = host.pin_memory() if target.type == "cuda" else host
    return host.to(target, non_blocking=True)
