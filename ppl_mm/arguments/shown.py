"""The wording of values in messages."""

import reprlib

import numpy as np
import torch

from ppl_mm.arguments.wording import article

__all__ = ["shown"]

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlist = _short.maxtuple = _short.maxdict = 4

_CALLED = {"Tensor": "tensor", "ndarray": "NumPy array"}


def _has_holes(tensor: torch.Tensor) -> bool:
    """Return whether a tensor holds NaN or infinity; False if its values cannot be read."""
    held = tensor.layout is torch.strided and tensor.device.type != "meta"
    return held and not bool(tensor.isfinite().all())


def shown(value: object) -> str:
    """Return a value as messages show it: a plain value by its repr, another by a description.

    Example:
        >>> shown("a"), shown(torch.zeros(2, 3)), shown({"x": 1.0}), shown(dict)
        ("'a'", 'a tensor of float32 of shape (2, 3)', "a dict with keys 'x'", 'the class dict')
    """
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return _short.repr(value)
    if isinstance(value, np.generic | torch.device | torch.dtype):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = article(_CALLED.get(type(value).__name__, type(value).__name__))
    if isinstance(value, torch.Tensor | np.ndarray):
        dtype = str(value.dtype).removeprefix("torch.")
        holes = ""
        if isinstance(value, torch.Tensor) and _has_holes(value):
            holes = " with NaN or infinity"
        return f"{kind} of {dtype} of shape {tuple(value.shape)}{holes}"
    if isinstance(value, dict):
        return (
            f"{kind} with keys {', '.join(map(repr, list(value)[:4]))}"
            if value
            else f"{kind}, {{}}"
        )
    if isinstance(value, list | tuple):
        plain = all(x is None or isinstance(x, bool | int | float | str) for x in value)
        return _short.repr(value) if plain else f"{kind} of {len(value)}"
    name = getattr(value, "name", None)  # modalities, data sets and paths have names
    if isinstance(name, str):
        return f"{kind} {name!r}"
    return kind
