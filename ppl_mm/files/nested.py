"""Nested Python values with tensors in them, as named tensors and one text of JSON."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["pack", "unpack"]


def pack(content: object) -> tuple[dict[str, Shaped[Tensor, "..."]], str]:
    """Take a nested value apart; :func:`unpack` puts it together again.

    Args:
        content: Nested dicts with string keys, counters, lists, tuples, numbers, strings, dtypes,
            None and tensors.

    Raises:
        TypeError: If a value has another type; the message has its place.

    Example:
        >>> tensors, text = pack({"state": {"step": torch.ones(())}, "betas": (0.9, 0.999)})
        >>> list(tensors)
        ['/state/step']
        >>> unpack(tensors, text)
        {'state': {'step': tensor(1.)}, 'betas': (0.9, 0.999)}
    """
    tensors: dict[str, Tensor] = {}
    return tensors, json.dumps(_packed(content, "", tensors))


def unpack(tensors: Mapping[str, Shaped[Tensor, "..."]], text: str) -> Any:
    """Restore the value that :func:`pack` took apart.

    Raises:
        ValueError: If the text is not JSON.
        KeyError: If a tensor is missing.
    """
    return _unpacked(json.loads(text), tensors)


def _packed(value: object, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        while place in tensors:  # {"a/b": x, "a": {"b": y}}
            place += "'"
        tensors[place] = value
        return {"tensor": place}
    if isinstance(value, Counter):
        return {"counter": [[_packed(k, place, tensors), n] for k, n in value.items()]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {k: _packed(v, f"{place}/{k}", tensors) for k, v in value.items()}}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_packed(v, f"{place}/{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{place or 'it'}: a {type(value).__name__} cannot be written to a file.")


def _unpacked(value: object, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "dict":
        return {k: _unpacked(v, tensors) for k, v in inner.items()}
    if kind == "dtype":
        return getattr(torch, inner)
    if kind == "counter":
        return Counter({_unpacked(k, tensors): n for k, n in inner})
    several = [_unpacked(v, tensors) for v in inner]
    return tuple(several) if kind == "tuple" else several
