"""The options of a paper's system: names, defaults and meanings, from its documentation."""

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Option", "about", "options_of"]


class Option(NamedTuple):
    """An option of a system.

    Attributes:
        name: The name, as in ``systems.build(..., name=value)`` and ``--option name=value``.
        default: Its default, as Python writes it; "required" where there is none.
        what: Its meaning, the first sentence of its documentation.
    """

    name: str
    default: str
    what: str


def options_of(function: Callable[..., Any]) -> list[Option]:
    """The options of a function of :mod:`ppl_mm.systems`, and those that it hands on."""
    takers: tuple[Callable[..., Any], ...] = getattr(function, "takers", ())
    documented = _documented(function)
    for taker in takers:
        for name, what in _documented(taker).items():
            documented.setdefault(name, what)
    return [
        Option(
            name,
            "required" if option.default is option.empty else repr(option.default),
            _first_sentence(documented.get(name, "")),
        )
        for name, option in inspect.signature(function).parameters.items()
        if option.kind == option.KEYWORD_ONLY
    ]


def about(function: Callable[..., Any]) -> tuple[str, str]:
    """The description of a function of :mod:`ppl_mm.systems`, and of the modalities that it takes.

    Returns:
        Its documentation up to the arguments, and that of its argument ``modalities``.
    """
    text = inspect.getdoc(function) or ""
    return text.partition("\nArgs:")[0].strip(), _arguments(text).get("modalities", "")


def _documented(taker: Callable[..., Any]) -> dict[str, str]:
    """Argument -> its text, for a function, or a class with the classes that it inherits from."""
    found: dict[str, str] = {}
    for thing in taker.__mro__ if isinstance(taker, type) else (taker,):
        for name, text in _arguments(inspect.cleandoc(thing.__doc__ or "")).items():
            found.setdefault(name, text)
    return found


def _first_sentence(text: str) -> str:
    """The text up to the first full stop, without the markup.

    Example:
        >>> _first_sentence("p(z), see :class:`ppl_mm.guides.Experts`; ``None``, 0.5. More.")
        'p(z), see Experts; None, 0.5.'
    """
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", text).replace("``", "")
    return re.split(r"(?<=\.) (?=[A-Z`])", text, maxsplit=1)[0]


def _arguments(docstring: str) -> dict[str, str]:
    r"""The Args section of a Google-style docstring.

    Example:
        >>> _arguments("Sum.\n\nArgs:\n    a: One\n        number.\n    b: Two.\n\nEnd.")
        {'a': 'One number.', 'b': 'Two.'}
    """
    section = re.search(r"^Args:\n((?:(?: .*)?\n?)+)", docstring, re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^    ([\w, ]+): ((?:.*\n?)(?:^ {8}.*\n?)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}
