"""A figure that shows itself in a notebook, also where ``pyplot`` has not been imported."""

from io import BytesIO

from matplotlib.figure import Figure

__all__ = ["Picture"]


class Picture(Figure):
    r"""A ``matplotlib.figure.Figure`` outside ``pyplot``, which keeps no list of it.

    A notebook draws figures by itself only once ``pyplot`` is imported; it draws this one always.

    Example:
        >>> Picture(figsize=(1, 1))._repr_png_()[:4]
        b'\x89PNG'
    """

    def _repr_png_(self) -> bytes:
        """Return the picture as the bytes of a PNG file."""
        buffer = BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()
