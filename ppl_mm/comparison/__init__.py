"""Several systems on one data set: a run folder a cell, one table and one page of all.

cells = plan("runs/compare", "digits", ["mvae", "mmvae"], missing=[0, 0.5], seeds=[0, 1])
outcomes = run(cells)
write("runs/compare", outcomes)
"""

from ppl_mm.comparison.cells import Cell, Outcome, adopt, plan, run
from ppl_mm.comparison.cli import command
from ppl_mm.comparison.report import write
from ppl_mm.comparison.summary import Block, Entry, summarise

__all__ = [
    "Block",
    "Cell",
    "Entry",
    "Outcome",
    "adopt",
    "command",
    "plan",
    "run",
    "summarise",
    "write",
]
