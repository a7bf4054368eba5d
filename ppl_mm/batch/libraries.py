"""Objects of pandas and SciPy, recognised without an import of a library that nobody uses."""

from operator import attrgetter
from typing import Any, TypeGuard

__all__ = ["is_missing_value", "is_pandas", "is_sparse"]


def is_pandas(value: object, *kinds: str) -> TypeGuard[Any]:
    """Whether a value is of one of these classes of pandas.

    Example:
        >>> import pandas
        >>> is_pandas(pandas.Series([1]), "DataFrame", "Series"), is_pandas([1], "Series")
        (True, False)
    """
    if not _derives_from("pandas", value):
        return False
    import pandas

    return isinstance(value, tuple(attrgetter(kind)(pandas) for kind in kinds))


def is_missing_value(value: object) -> bool:
    """Whether a value is ``pandas.NA``; it is asked of every row of a list.

    Example:
        >>> import pandas
        >>> is_missing_value(pandas.NA), is_missing_value(None)
        (True, False)
    """
    return type(value).__name__ == "NAType" and _derives_from("pandas", value)


def is_sparse(value: object) -> TypeGuard[Any]:
    """Whether a value is a sparse matrix or array of SciPy.

    Example:
        >>> import scipy.sparse
        >>> is_sparse(scipy.sparse.eye(2)), is_sparse([[1, 0], [0, 1]])
        (True, False)
    """
    if not _derives_from("scipy", value):
        return False
    import scipy.sparse

    return bool(scipy.sparse.issparse(value))


def _derives_from(library: str, value: object) -> bool:
    return any(cls.__module__.partition(".")[0] == library for cls in type(value).__mro__)
