"""Run the main experiment: ``python -m ppl_mm.experiments.meme``."""

import typer

from ppl_mm.experiments.meme.experiment import run

if __name__ == "__main__":
    typer.run(run)
