"""The tables and figures of five papers that can be made again, a file each paper.

``ppl-mm reproduce PAPER TABLE`` makes one of them; ``ppl-mm reproduce`` lists them.
"""

from ppl_mm.experiments.cmmd import pages as cmmd
from ppl_mm.experiments.meme import pages as meme
from ppl_mm.experiments.mmvae_plus import pages as mmvae_plus
from ppl_mm.experiments.mvae import pages as mvae
from ppl_mm.experiments.reproduction import Table
from ppl_mm.experiments.svae import pages as svae

from ppl_mm.modality import unknown_name

__all__ = ["TABLES", "of", "table"]

TABLES = {
    "mvae": mvae.TABLES,
    "svae": svae.TABLES,
    "mmvae_plus": mmvae_plus.TABLES,
    "meme": meme.TABLES,
    "cmmd": cmmd.TABLES,
}
"""Paper -> name of the table or figure -> :class:`~ppl_mm.experiments.reproduction.Table`."""


def of(paper: str | None = None) -> dict[str, dict[str, Table]]:
    """The tables of one paper, or of all.

    Raises:
        ValueError: For an unknown paper; the nearest known one is in the message.

    Example:
        >>> list(of("svae")["svae"])[:4]
        ['table-1', 'figure-3', 'figure-4', 'figure-6']
    """
    if paper is None:
        return TABLES
    if paper not in TABLES:
        raise ValueError(unknown_name("paper", paper, TABLES))
    return {paper: TABLES[paper]}


def table(paper: str, name: str) -> Table:
    """One table or figure.

    Raises:
        ValueError: For an unknown paper or table.

    Example:
        >>> table("cmmd", "table-2").data
        ('two_view_mnist',)
    """
    tables = of(paper)[paper]
    if name not in tables:
        raise ValueError(unknown_name(f"table of {paper}", name, tables))
    return tables[name]
