"""The user's own data sets: a declaration in TOML, or a data frame in memory.

``building`` calls the others in order: ``declaration`` reads the declaration, ``reading`` opens the
files, ``matching`` puts their rows side by side and splits them, ``kinds`` and ``values`` turn
cells into numbers, and ``defaults`` chooses likelihoods and networks.
"""

from ppl_mm.data.own.open import from_file, from_frame

__all__ = ["from_file", "from_frame"]
