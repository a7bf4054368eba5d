"""The data sets by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppl_mm.data.celeba import ATTRIBUTES, celeba, celeba19
from ppl_mm.data.celeba_files import find_celeba
from ppl_mm.data.celeba_views import VIEWS, celeba_vision, find_views
from ppl_mm.data.cub import cub, cub_captions, cub_images
from ppl_mm.data.cub_files import find_captions, find_cub
from ppl_mm.data.cub_pictures import find_pictures
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.digits import digits
from ppl_mm.data.flickr import find_flickr, mir_flickr
from ppl_mm.data.iwslt import LANGUAGES, find_iwslt, iwslt
from ppl_mm.data.mnist import binary_mnist, fashion_mnist, mnist
from ppl_mm.data.mnist_split import mnist_split, mnist_split_3
from ppl_mm.data.multimnist import multimnist
from ppl_mm.data.pairs import mnist_fashion, mnist_svhn
from ppl_mm.data.polymnist import NAMES, polymnist
from ppl_mm.data.polymnist_files import find_polymnist
from ppl_mm.data.sources import BY_HAND, SOURCES, locate
from ppl_mm.data.svhn import svhn
from ppl_mm.data.triples import mnist_fashion_text, mnist_rotated_svhn, mnist_svhn_text
from ppl_mm.data.views import two_view_mnist
from ppl_mm.data.xrmb import find_xrmb, xrmb
from ppl_mm.modality import unknown_name
from ppl_mm.typed import typed

__all__ = ["Summary", "available", "describe", "load"]


@dataclass(frozen=True)
class Summary:
    """What a data set is, without reading it.

    Attributes:
        name: Its name.
        modalities: The names of its modalities.
        sizes: By default, the rows for training, validation and test; None where only the files
            tell.
        download: The name to give to ``ppl-mm data get``; None where nothing is needed. Where the
            files have no public address, the command says what to do.
        ready: Whether all its files are there.
    """

    name: str
    modalities: tuple[str, ...]
    sizes: tuple[int, int, int] | None
    download: str | None
    ready: bool


@dataclass(frozen=True)
class _Entry:
    build: Callable[..., DataSet]
    modalities: tuple[str, ...]
    sizes: tuple[int, int, int] | None
    # Files in place of its sources: None where it may go on with these, else FileNotFoundError.
    find: Callable[[str | Path | None], object] | None = None


_ENTRIES = {
    "digits": _Entry(digits, ("top", "bottom", "label"), (1200, 200, 397)),
    "mnist": _Entry(mnist, ("image", "label"), (50_000, 10_000, 10_000)),
    "binary_mnist": _Entry(binary_mnist, ("image", "label"), (50_000, 10_000, 10_000)),
    "fashion_mnist": _Entry(fashion_mnist, ("image", "label"), (50_000, 10_000, 10_000)),
    "mnist_split": _Entry(mnist_split, ("top", "bottom"), (60_000, 5_000, 5_000)),
    "mnist_split_3": _Entry(mnist_split_3, ("top", "middle", "bottom"), (60_000, 5_000, 5_000)),
    "multimnist": _Entry(multimnist, ("image", "string"), (60_000, 0, 10_000)),
    "polymnist": _Entry(polymnist, NAMES, (60_000, 0, 10_000), find_polymnist),
    "svhn": _Entry(svhn, ("image", "label"), (73_257, 0, 26_032)),
    "mnist_svhn": _Entry(mnist_svhn, ("mnist", "svhn"), (56_068, 0, 10_000)),
    "mnist_fashion": _Entry(mnist_fashion, ("mnist", "fashion"), (58_862, 0, 9_786)),
    "cub_captions": _Entry(
        cub_captions, ("caption_a", "caption_b"), (10_915, 1_250, 2_500), find_captions
    ),
    "cub": _Entry(cub, ("image", "caption"), (88_550, 14_660, 14_670), find_cub),
    "cub_images": _Entry(cub_images, ("image", "caption"), (88_550, 0, 29_330), find_pictures),
    "two_view_mnist": _Entry(
        two_view_mnist, ("rotated", "noisy", "label"), (50_000, 10_000, 10_000)
    ),
    "mnist_svhn_text": _Entry(
        mnist_svhn_text, ("mnist", "svhn", "text", "label"), (56_068, 0, 10_000)
    ),
    "mnist_fashion_text": _Entry(
        mnist_fashion_text, ("mnist", "fashion", "text", "label"), (58_862, 0, 9_786)
    ),
    "mnist_rotated_svhn": _Entry(
        mnist_rotated_svhn, ("mnist", "rotated", "svhn", "label"), (30_000, 0, 7_000)
    ),
    "xrmb": _Entry(xrmb, ("acoustic", "articulatory", "label"), None, find_xrmb),
    "mir_flickr": _Entry(
        mir_flickr, ("image", "tags", "label"), (10_000, 5_000, 10_000), find_flickr
    ),
    "iwslt": _Entry(iwslt, LANGUAGES, None, find_iwslt),
    "celeba": _Entry(celeba, ("image", "attributes"), (162_770, 19_867, 19_962), find_celeba),
    "celeba19": _Entry(celeba19, ("image", *ATTRIBUTES), (162_770, 19_867, 19_962), find_celeba),
    "celeba_vision": _Entry(celeba_vision, VIEWS, (162_770, 19_867, 19_962), find_views),
}


@typed
def available() -> list[str]:
    """The names that :func:`load` knows.

    Example:
        >>> available()
        ['digits', 'mnist', 'binary_mnist', 'fashion_mnist', 'mnist_split', 'mnist_split_3', \
'multimnist', 'polymnist', 'svhn', 'mnist_svhn', 'mnist_fashion', 'cub_captions', 'cub', \
'cub_images', 'two_view_mnist', 'mnist_svhn_text', 'mnist_fashion_text', 'mnist_rotated_svhn', \
'xrmb', 'mir_flickr', 'iwslt', 'celeba', 'celeba19', 'celeba_vision']
    """
    return list(_ENTRIES)


@typed
def load(name: str, folder: str | Path | None = None, **options: Any) -> DataSet:
    """Read a data set by its name.

    Args:
        name: One of :func:`available`.
        folder: The data folder, for those that are read from files; default ``PPL_MM_DATA``,
            or the user's cache.
        options: Of the data set's own function, such as ``binarisation="dynamic"``.

    Raises:
        ValueError: For an unknown name; the nearest known one is in the message.
        FileNotFoundError: If files are missing; the message says how to get them.
    """
    if name not in _ENTRIES:
        raise ValueError(unknown_name("data set", name, _ENTRIES))
    if name in SOURCES or name in BY_HAND:
        options["folder"] = folder
    return _ENTRIES[name].build(**options)


@typed
def describe(folder: str | Path | None = None) -> list[Summary]:
    """All data sets, and which of them are ready to be read.

    Example:
        >>> describe()[0]
        Summary(name='digits', modalities=('top', 'bottom', 'label'), sizes=(1200, 200, 397), \
download=None, ready=True)
    """
    summaries = []
    for name, entry in _ENTRIES.items():
        sources = SOURCES.get(name, ())
        download = name if len(sources) > 1 or name in BY_HAND else None
        if len(sources) == 1:
            download = sources[0].name
        ready = _is_ready(name, folder)
        summaries.append(Summary(name, entry.modalities, entry.sizes, download, ready))
    return summaries


def _is_ready(name: str, folder: str | Path | None) -> bool:
    find = _ENTRIES[name].find
    try:
        if find is not None and find(folder) is not None:
            return True
        for source in SOURCES.get(name, ()):
            locate(source, folder)
    except FileNotFoundError:
        return False
    return True
