"""The records of MVAE's vision experiment as pages: errors of every view, and the pictures."""

from collections.abc import Callable

from ppl_mm.arguments.wording import counted
from ppl_mm.experiments.mvae.vision import Config
from ppl_mm.experiments.tables import Record, pictures, spread, table

__all__ = ["CAPTIONS", "errors", "figure"]

CAPTIONS = {
    "views": "picture, edges and face's parts given the picture",
    "edges": "picture, edges and face's parts given all six views",
    "colours": "the picture given its grey values",
    "halves": "the right half given the left",
    "watermarks": "the picture given the one under a watermark",
}
"""A picture of ``vision.FIGURES`` -> what it shows."""


def figure(*names: str) -> Callable[[list[Record]], list[str]]:
    """Return a page's lines with these pictures of every run, names of ``vision.FIGURES``."""

    def show(records: list[Record]) -> list[str]:
        configs = [Config(**record["config"]) for record in records]
        runs = {c.name: f"{counted(c.epochs, 'epoch')}, seed {c.seed}" for c in configs}
        return [*pictures(runs, {name: CAPTIONS[name] for name in names}), *errors(records)]

    return show


def errors(records: list[Record]) -> list[str]:
    """Show root mean square errors, with a row for what is given and a column for what is made."""
    measured = [record["measures"] for record in records]
    views = list(measured[0]["rmse"]["everything"])
    rows = [["given", *views]]
    for given in measured[0]["rmse"]:
        cells = [spread([m["rmse"][given][view] for m in measured]) for view in views]
        rows.append([given, *cells])
    config = records[0]["config"]
    bound = spread([[m["elbo"], m["elbo se"]] for m in measured])
    return [
        "Root mean square error of pixels in [0, 1], by the mean of q(z | given). ± is the "
        "standard error over test rows of one run, the standard deviation over seeds of several. "
        "Given nothing, every picture is the same.\n",
        *table(rows),
        f"{counted(config['epochs'], 'epoch')} of "
        f"{records[0]['train_rows']:,} training rows, of the {records[0]['data']}; "
        f"{config['test_rows']:,} test rows; ELBO {bound} nats a row, of grey pixels as if they "
        "were probabilities, so that it is no likelihood.\n",
    ]
