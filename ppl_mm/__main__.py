"""``python -m ppl_mm``: the command ``ppl-mm``."""

from ppl_mm.cli.app import app

if __name__ == "__main__":
    app(prog_name="ppl-mm")
