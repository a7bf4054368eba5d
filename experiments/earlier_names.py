"""The names that experiments had before each paper had a folder.

Records name the experiment and the command that repeats it. With this finder on ``sys.meta_path``
a command of an earlier record, such as ``python -m ppl_mm.experiments.mvae_weak``, still runs.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from types import ModuleType

__all__ = ["EARLIER", "install", "name_now"]

EARLIER = {
    "mvae_attributes": "mvae.attributes",
    "mvae_parameters": "mvae.parameters",
    "mvae_translation": "mvae.translation",
    "mvae_vision": "mvae.vision",
    "mvae_weak": "mvae.weak",
    "mmvae_plus_cub": "mmvae_plus.cub",
    "meme_gradients": "meme.gradients",
    "cmmd_three": "cmmd.three",
}
"""An experiment's earlier name -> its name, a module of this package."""

_PACKAGE = __name__.rpartition(".")[0]


def name_now(experiment: str) -> str:
    """Return the name that an experiment of a record has today.

    Example:
        >>> name_now("mvae_weak"), name_now("mvae")
        ('mvae.weak', 'mvae')
    """
    return EARLIER.get(experiment, experiment)


class _Finder(MetaPathFinder):
    """It finds the file of an experiment under the experiment's earlier name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        if package != _PACKAGE or name not in EARLIER:
            return None
        now = find_spec(f"{_PACKAGE}.{EARLIER[name]}")
        return None if now is None else spec_from_file_location(fullname, now.origin)


def install() -> None:
    """Let Python find experiments under their earlier names."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
