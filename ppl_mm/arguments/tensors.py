"""Annotations for the tensors that public functions take; ``@typed`` checks them and names them.

Measures use these annotations. Functions that a training step calls do not, because these checks
read the values of tensors.
"""

from typing import Annotated, Any

from torch import Tensor

from ppl_mm.arguments.kinds import NO, Kind

__all__ = ["Classes", "Matrix", "Numbers", "Symbols", "Vector"]


def _tensor(what: str, dims: int | None, *, integers: bool) -> Kind:
    """Return the kind of tensors with a given number of dimensions and at least one element."""

    def typed(value: object) -> bool:
        return isinstance(value, Tensor)

    def read(value: object) -> Any:
        if not isinstance(value, Tensor) or not value.numel() or value.is_complex():
            return NO
        if dims is not None and value.dim() != dims:
            return NO
        if integers:
            return NO if value.is_floating_point() else value
        return value if bool(value.isfinite().all()) else NO

    return Kind(f"a tensor {what}", f"tensors {what}", read, typed)


Numbers = Annotated[Tensor, _tensor("of finite numbers", None, integers=False)]
Matrix = Annotated[Tensor, _tensor("(N, D) of finite numbers", 2, integers=False)]
Vector = Annotated[Tensor, _tensor("(N,) of finite numbers", 1, integers=False)]
Classes = Annotated[Tensor, _tensor("(N,) of classes, integers", 1, integers=True)]
Symbols = Annotated[Tensor, _tensor("(N, L) of symbols, integers", 2, integers=True)]
