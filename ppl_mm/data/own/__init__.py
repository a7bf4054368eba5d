"""Data sets of one's own: a declaration in TOML, or a data frame in memory.

``building`` follows the way of the rows: ``declaration`` says what there is, ``reading`` opens the
files, ``matching`` puts their rows side by side and splits them, ``kinds`` and ``values`` make
numbers of cells, and ``defaults`` chooses likelihoods and networks.
"""

from ppl_mm.data.own.open import from_file, from_frame

__all__ = ["from_file", "from_frame"]
