"""The command ``ppl-mm``."""

from ppl_mm.cli.app import app

__all__ = ["app"]
