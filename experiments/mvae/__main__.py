"""Run the main experiment: ``python -m ppl_mm.experiments.mvae``."""

import typer

from ppl_mm.experiments.mvae.experiment import run

if __name__ == "__main__":
    typer.run(run)
