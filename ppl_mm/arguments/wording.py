"""The wording of choices, numbers and suggestions in messages; it needs no torch."""

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["article", "counted", "either", "every", "first_line", "unknown_name"]

_LISTED = 30  # A table of genes has thousands of names.


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """Return the message for an unknown name, with the most similar known one."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    rest = f" and {len(known) - _LISTED:,} more" if len(known) > _LISTED else ""
    return f"unknown {what} {name!r}; known: {', '.join(known[:_LISTED]) or 'none'}{rest}.{hint}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def either(choices: Sequence[str]) -> str:
    """Return the choices as ``a, b or c``.

    Example:
        >>> either(["a string", "a path", "None"])
        'a string, a path or None'
    """
    return _listed(choices, "or")


def every(names: Sequence[str]) -> str:
    """Return the names as ``a, b and c``.

    Example:
        >>> every(["image", "label"])
        'image and label'
    """
    return _listed(names, "and")


def _listed(names: Sequence[str], word: str) -> str:
    *rest, last = names
    return f"{', '.join(rest)} {word} {last}" if rest else last


def counted(number: int, noun: str) -> str:
    """Return a number of things, one or several.

    Example:
        >>> counted(1, "epoch"), counted(500, "epoch")
        ('1 epoch', '500 epochs')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def article(noun: str) -> str:
    """Return the noun with its article; plurals such as Observations have none."""
    if noun == "Observations":
        return noun
    return f"{'an' if noun[0] in 'AEIOUaeio' else 'a'} {noun}"
