"""Comparisons of systems on one data set: a run folder a trial, one table and one page.

trials = plan("runs/compare", "digits", ["mvae", "mmvae"], missing=[0, 0.5], seeds=[0, 1])
outcomes = run(trials)
write("runs/compare", outcomes)
"""

from ppl_mm.comparison.making import run
from ppl_mm.comparison.report import write
from ppl_mm.comparison.summary import Block, Entry, summarise
from ppl_mm.comparison.trials import Outcome, Trial, adopt, plan

__all__ = [
    "Block",
    "Entry",
    "Outcome",
    "Trial",
    "adopt",
    "plan",
    "run",
    "summarise",
    "write",
]
