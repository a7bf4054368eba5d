"""ppl_mm: multimodal variational autoencoders as Pyro probabilistic programs.

Its names are imported when they are first used, so that ``ppl-mm --help`` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ppl_mm import checkout  # noqa: F401 - first, for it says where the others are

if TYPE_CHECKING:
    from ppl_mm import (
        data,
        evaluation,
        guides,
        likelihoods,
        models,
        networks,
        objectives,
        programs,
        systems,
    )
    from ppl_mm.batch.observations import Observations
    from ppl_mm.likelihood.log_likelihood import log_likelihood
    from ppl_mm.measures.embedding import embed
    from ppl_mm.measures.generation import generate
    from ppl_mm.measures.imputation import impute
    from ppl_mm.modality import Modality
    from ppl_mm.programs import Program
    from ppl_mm.systems import System
    from ppl_mm.training.fit import fit

__all__ = [
    "Modality",
    "Observations",
    "Program",
    "System",
    "data",
    "embed",
    "evaluation",
    "fit",
    "generate",
    "guides",
    "impute",
    "likelihoods",
    "log_likelihood",
    "models",
    "networks",
    "objectives",
    "programs",
    "systems",
]

__version__ = "0.2.0"

_DEFINED_IN = {
    "Modality": "ppl_mm.modality",
    "Observations": "ppl_mm.batch.observations",
    "Program": "ppl_mm.programs",
    "System": "ppl_mm.systems",
    "embed": "ppl_mm.measures.embedding",
    "fit": "ppl_mm.training.fit",
    "generate": "ppl_mm.measures.generation",
    "impute": "ppl_mm.measures.imputation",
    "log_likelihood": "ppl_mm.likelihood.log_likelihood",
}
"""The names that are no folders."""


if not TYPE_CHECKING:  # a type checker knows the names by the imports above, and no others

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'ppl_mm' has no attribute {name!r}")
        if name in _DEFINED_IN:
            found = getattr(import_module(_DEFINED_IN[name]), name)
        else:
            found = import_module(f"ppl_mm.{name}")
        globals()[name] = found  # asked once
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
