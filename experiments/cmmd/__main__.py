"""Run the main experiment: ``python -m ppl_mm.experiments.cmmd``."""

import typer

from ppl_mm.experiments.cmmd.experiment import run

if __name__ == "__main__":
    typer.run(run)
