"""Run the main experiment: ``python -m ppl_mm.experiments.svae``."""

import typer

from ppl_mm.experiments.svae.experiment import run

if __name__ == "__main__":
    typer.run(run)
