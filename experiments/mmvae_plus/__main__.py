"""Run the main experiment: ``python -m ppl_mm.experiments.mmvae_plus``."""

import typer

from ppl_mm.experiments.mmvae_plus.experiment import run

if __name__ == "__main__":
    typer.run(run)
