"""The colours of all pictures, and how a picture is written.

The colours are those of Okabe & Ito, told apart with any colour vision.
"""

import io
import os
from pathlib import Path
from typing import Any

from ppl_mm.arguments.typed import typed
from ppl_mm.files import write_atomically

__all__ = ["BLUE", "COLOURS", "GREY", "MARKS", "MOST_PIXELS", "ORANGE", "PALE", "save"]

BLUE, ORANGE, PALE, GREY = "#0072B2", "#D55E00", "#eeeeee", "#999999"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MOST_PIXELS = 6000
"""No side of a picture that is written has more."""
MARKS = ("o", "s", "^", "D", "v", "P", "X")  # which tell the curves apart in grey


@typed
def save(figure: Any, path: str | os.PathLike[str], *, dpi: int = 150) -> None:
    """Write a figure as a PNG, whole or not at all.

    Args:
        figure: A ``matplotlib.figure.Figure``.
        path: The file.
        dpi: Dots per inch; fewer where a side would have more than 6,000 pixels.

    Raises:
        TypeError: For anything but a figure.
    """
    if not hasattr(figure, "savefig"):
        raise TypeError(
            f"save, argument figure: expected a Figure, got {type(figure).__name__}; functions of "
            "ppl_mm.plotting and the method figure of a result make one."
        )
    buffer = io.BytesIO()
    longest = max(figure.get_size_inches().tolist())
    figure.savefig(buffer, format="png", dpi=min(dpi, MOST_PIXELS / longest))
    write_atomically(Path(path), buffer.getvalue())
