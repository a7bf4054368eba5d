"""Pyro programs of a batch: their base class, and the contracts for programs of your own.

:class:`Program` is the base of all models and guides of this library. The others are contracts
(:class:`typing.Protocol`), which a program of your own meets by its names alone.
"""

from ppl_mm.batch.network_contracts import (
    Decoder,
    DrawsValue,
    Encoder,
    ReadsCovariates,
    ReadsElements,
    ReadsValue,
    Trunk,
)
from ppl_mm.programs.contracts import (
    Alternatives,
    Checks,
    Combinable,
    Conditional,
    Declares,
    DiagonalFamily,
    Guide,
    HasExperts,
    HasPosterior,
    HasPrivate,
    Labelled,
    Mixed,
    Model,
    NamesFamily,
    NamesSite,
    Prior,
)
from ppl_mm.programs.program import Program

__all__ = [
    "Alternatives",
    "Checks",
    "Combinable",
    "Conditional",
    "Declares",
    "Decoder",
    "DiagonalFamily",
    "DrawsValue",
    "Encoder",
    "Guide",
    "HasExperts",
    "HasPosterior",
    "HasPrivate",
    "Labelled",
    "Mixed",
    "Model",
    "NamesFamily",
    "NamesSite",
    "Prior",
    "Program",
    "ReadsCovariates",
    "ReadsElements",
    "ReadsValue",
    "Trunk",
]
