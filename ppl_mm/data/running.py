"""Facts of data sets for runs: the recorded name, the training options and the tiles."""

from pathlib import Path

from ppl_mm.data.dataset import DataSet
from ppl_mm.data.registry import Defaults, Tiles, entry, is_declaration

__all__ = ["defaults_of", "reference", "tiles_of"]

_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 4000, 20, 300  # For the user's own data.
_MOST_ROWS = 500  # The number of test rows for likelihoods.


def reference(name: str) -> str:
    """Return the name that a run records: the data set's, or its declaration's absolute path."""
    return str(Path(name).resolve()) if is_declaration(name) else name


def defaults_of(dataset: DataSet) -> Defaults:
    """Return the training options of runs on a data set; for the user's own data by its size.

    Runs on the user's own data take about 4,000 steps, in 20 to 300 epochs, and measure likelihoods
    of at most 500 test rows.
    """
    if dataset.provenance is None:
        return entry(dataset.name).defaults
    rows = len(dataset.train)
    batch_size = next((size for size in (128, 64) if rows >= 8 * size), 32)
    epochs = min(max(round(_STEPS * batch_size / rows), _FEWEST_EPOCHS), _MOST_EPOCHS)
    measured = _MOST_ROWS if len(dataset.test) > _MOST_ROWS else None
    return Defaults(epochs=epochs, batch_size=batch_size, rows=measured)


def tiles_of(dataset: DataSet) -> Tiles:
    """Return the groups of a data set's modalities that pictures show as one image."""
    return () if dataset.provenance is not None else entry(dataset.name).tiles
