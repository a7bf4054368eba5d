"""Wu & Goodman 2018 (MVAE, arXiv:1802.05335), section 6: six views of a face."""

from dataclasses import replace

from ppl_mm.experiments.mvae import vision
from ppl_mm.experiments.mvae.vision import Config
from ppl_mm.experiments.mvae.vision_table import figure
from ppl_mm.experiments.reproduction import Table, each

__all__ = ["TABLES"]

RUNS = [Config()]
SIZES = {"train_rows": 2000, "test_rows": 200, "precision": "bf16-mixed"}

VIEWS = Table(
    title="Six views of a face: what the picture tells of the others, and they of it",
    experiment=vision,
    data=("celeba_vision",),
    paper=RUNS,
    short=each(RUNS, epochs=3, **SIZES),
    show=figure("views", "colours", "halves", "watermarks"),
)
TABLES = {
    "figure-4": VIEWS,
    "figure-11": replace(
        VIEWS, title="Picture, edges and face's parts given all six views", show=figure("edges")
    ),
    "figure-12": replace(VIEWS, title="Colours given the grey picture", show=figure("colours")),
    "figure-13": replace(
        VIEWS, title="The right half of a picture given the left", show=figure("halves")
    ),
    "figure-14": replace(
        VIEWS, title="The picture given the one under a watermark", show=figure("watermarks")
    ),
}
