"""Small tensors that stay on the host, so that Python reads their values without waiting.

Masks decide which rows a network sees. A value read from a CUDA device arrives only when the device
has done all its queued work. The masks of a training batch are therefore computed on the host and
copied to the device when they are combined with a tensor there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map_only

__all__ = ["HostTensor", "aside", "constants", "on_host", "plain", "recording", "unread", "waits"]

_Constants = dict[tuple[Any, ...], Tensor]
_kept: list[_Constants] = []  # the last one is in use
_recording = False

_RANDOM = (  # these draw on the device
    *("bernoulli", "bernoulli_", "dropout", "multinomial", "normal", "normal_", "poisson"),
    *("rand_like", "randint_like", "randn_like", "uniform_"),
)


class HostTensor(Tensor):
    """A small tensor for the device ``target`` whose values are kept on the host.

    A result computed from host tensors and numbers alone is a host tensor. A result computed from a
    host tensor and any other tensor is a tensor on the device, and so is a random draw. Host
    tensors have no gradient.

    Example:
        >>> mask = HostTensor.of(torch.tensor([True, False]), torch.device("meta"))
        >>> bool((~mask).any()), mask.device  # "meta" tensors hold no values
        (True, device(type='meta'))
        >>> (mask * torch.ones(2, device="meta")).device
        device(type='meta')
    """

    target: torch.device
    _copied: tuple[int, Tensor] | None

    @staticmethod
    def of(host: Shaped[Tensor, "..."], target: torch.device) -> "HostTensor":
        """Return a host tensor for ``target`` with the values of ``host``."""
        kept = host.as_subclass(HostTensor)
        kept.target, kept._copied = target, None
        return kept

    @property
    def host(self) -> Shaped[Tensor, "..."]:
        """The values as a plain tensor on the host."""
        return self.as_subclass(Tensor)

    def copied(self) -> Shaped[Tensor, "..."]:
        """Return the values on the device, without waiting; repeated calls share one copy."""
        with torch._C.DisableTorchFunctionSubclass(), aside():
            host, version = self.host, self._version
            if _kept:  # kept only there, by value, because copies of a failed capture are lost
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
            with aside():
                args, kwargs = tree_map_only(HostTensor, _as_tensor, (args, kwargs))
            if kwargs.get("device") is not None:
                kwargs = {**kwargs, "device": "cpu"}
            with aside():
                result, target = func(*args, **kwargs), mine[0].target
                return tree_map_only(Tensor, lambda x: HostTensor.of(x, target), result)


def _as_tensor(x: HostTensor) -> Tensor:
    return x.as_subclass(Tensor)


_DEVICE = Tensor.device.__get__
_MOVES = (Tensor.to,)


def waits(device: torch.device) -> bool:
    """Return whether reading a value from the device waits for its queued work.

    While a step is recorded, no device's values are read, so the answer is True.
    """
    return _recording or device.type != "cpu"


def on_host(x: Shaped[Tensor, "..."]) -> bool:
    """Return whether the host can read a tensor's values without waiting for its device."""
    return isinstance(x, HostTensor) or not waits(x.device)


def unread(x: Shaped[Tensor, "..."]) -> bool:
    """Return whether Python must not read a tensor's values, as a step is being recorded.

    The recorded step serves all values of a mask that is no :class:`HostTensor`.
    """
    return _recording and not isinstance(x, HostTensor)


def plain(x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """Return the tensor itself, or a :class:`HostTensor` as a tensor on its device."""
    return x.copied() if isinstance(x, HostTensor) else x


@contextmanager
def recording() -> Iterator[None]:
    """Keep computations on host tensors alone out of a graph that is recorded in the context."""
    global _recording
    before, _recording = _recording, True
    try:
        yield
    finally:
        _recording = before


def aside() -> AbstractContextManager[None]:
    """Return a context in which operations are not recorded, if a step is being recorded."""
    return _disable_current_modes() if _recording else nullcontext()


@contextmanager
def constants(kept: _Constants | None = None) -> Iterator[_Constants]:
    """Reuse copies on a device in the context, where the same values were copied before.

    Args:
        kept: The copies, by their values; None starts with none. Their number grows with every new
            value, so use this where the same values occur in batch after batch.
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
