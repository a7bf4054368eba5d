"""Flags of the command that repeat or hold several values, as Python values."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import typer

__all__ = ["DATASET", "covariates", "names", "options", "settings", "weights"]


DATASET: Any = typer.Argument(
    help="A name from: ppl-mm data list; or a TOML file that declares your own data."
)


def names(given: Iterable[str] | None) -> list[str]:
    """Return names that are given several times or separated by commas.

    Example:
        >>> names(["a,b", "c"])
        ['a', 'b', 'c']
    """
    return [name for words in given or () for name in words.split(",")]


def covariates(given: Sequence[str]) -> dict[str, str]:
    """Return values by name, as they are written.

    Raises:
        ValueError: If a flag is not NAME=VALUE.

    Example:
        >>> covariates(["site=b", "age=50"])
        {'site': 'b', 'age': '50'}
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"covariate: expected NAME=VALUE such as site=b, got {text!r}.")
        found[name] = value
    return found


def weights(given: Sequence[str]) -> dict[str, float]:
    """Return numbers by name.

    Raises:
        ValueError: If a flag is not NAME=NUMBER.

    Example:
        >>> weights(["label=5"])
        {'label': 5.0}
    """
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ValueError(
                f"weight: expected NAME=VALUE such as label=5, got {text!r}."
            ) from None
    return found


def options(given: Sequence[str]) -> dict[str, Any]:
    """Return JSON values, or words, by name.

    Raises:
        ValueError: If a flag is not NAME=VALUE.

    Example:
        >>> options(["private_dim=8", "objective=elbo"])
        {'private_dim': 8, 'objective': 'elbo'}
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"option: expected NAME=VALUE such as private_dim=8, got {text!r}.")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of :class:`ppl_mm.runs.Config` that the flags of ``train`` set.

    Example:
        >>> settings({"modality": ["top"], "terms": "3", "weight": None, "epochs": 2})
        {'modalities': ['top'], 'terms': 3, 'epochs': 2}
    """
    several: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "modality": ("modalities", list),
        "weight": ("weights", weights),
        "option": ("options", options),
        "data_option": ("data_options", options),
        "terms": ("terms", lambda text: int(text) if text.isdecimal() else text),
    }
    found = {}
    for flag, value in given.items():
        if value is not None and value != []:
            name, read = several.get(flag, (flag, lambda same: same))
            found[name] = read(value)
    return found
