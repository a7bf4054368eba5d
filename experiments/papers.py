"""The tables and figures of five papers that can be made again.

``ppl-mm reproduce PAPER TABLE`` makes one of them; ``ppl-mm reproduce`` lists them. The file
``pages.py`` of a paper's folder has the paper's tables, with their settings.
"""

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.experiments.cmmd import pages as cmmd
from ppl_mm.experiments.meme import pages as meme
from ppl_mm.experiments.mmvae_plus import pages as mmvae_plus
from ppl_mm.experiments.mvae import pages as mvae
from ppl_mm.experiments.reproduction import Table, missing_data
from ppl_mm.experiments.svae import pages as svae

__all__ = ["TABLES", "about", "of", "ready", "table"]

TABLES = {
    "mvae": mvae.TABLES,
    "svae": svae.TABLES,
    "mmvae_plus": mmvae_plus.TABLES,
    "meme": meme.TABLES,
    "cmmd": cmmd.TABLES,
}
"""Paper -> name of the table or figure -> :class:`~ppl_mm.experiments.reproduction.Table`."""


def of(paper: str | None = None) -> dict[str, dict[str, Table]]:
    """Return the tables of one paper, or of all papers.

    Raises:
        ValueError: If the paper is unknown; the message names the nearest known one.

    Example:
        >>> list(of("svae")["svae"])[:4]
        ['table-1', 'figure-3', 'figure-4', 'figure-5']
    """
    if paper is None:
        return TABLES
    if paper not in TABLES:
        raise ValueError(unknown_name("paper", paper, TABLES))
    return {paper: TABLES[paper]}


def ready(paper: str) -> list[str]:
    """Return the names of a paper's tables whose data are here.

    Raises:
        ValueError: If the paper is unknown.
    """
    return [name for name, table in of(paper)[paper].items() if not missing_data(table)]


def about(paper: str) -> str:
    """Return a line that describes a paper.

    Example:
        >>> about("svae")
        'Kutuzova et al. 2021, SVAE: product of experts with few pairs'
    """
    return _ABOUT[paper]


_ABOUT = {
    "mvae": "Wu & Goodman 2018, MVAE: product of experts, few labels",
    "svae": "Kutuzova et al. 2021, SVAE: product of experts with few pairs",
    "mmvae_plus": "Palumbo et al. 2023, MMVAE+: shared and private latents",
    "meme": "Joy et al. 2022, MEME: mutual supervision",
    "cmmd": "Mancisidor et al. 2023, CMMD: what is missing in use",
}


def table(paper: str, name: str) -> Table:
    """Return one table or figure.

    Raises:
        ValueError: If the paper or the table is unknown.

    Example:
        >>> table("cmmd", "table-2").data
        ('two_view_mnist',)
    """
    tables = of(paper)[paper]
    if name not in tables:
        raise ValueError(unknown_name(f"table of {paper}", name, tables))
    return tables[name]
