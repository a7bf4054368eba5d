"""Fetch published files, with checksums and mirrors."""

from pathlib import Path

import pooch

from ppl_mm.data.idx import read_idx
from ppl_mm.data.sources import BY_HAND, SOURCES, Source, data_folder, find
from ppl_mm.data.svhn import read_svhn
from ppl_mm.modality import unknown_name
from ppl_mm.typed import typed

__all__ = ["get"]

_TIMEOUT = 30  # seconds without an answer


@typed
def get(name: str, folder: str | Path | None = None, base_url: str | None = None) -> Path:
    """Download what a data set is read from, unless it is there already.

    A file that is there, gzipped or plain, and can be read stays as it is, wherever it came
    from; a damaged one is replaced. A download counts only if its MD5 sum is the published one.

    Args:
        name: The data set, such as ``"mnist"``.
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        base_url: An address to download from in place of the known mirrors.

    Returns:
        The folder that holds the files; for a pair of data sets the data folder with both.

    Raises:
        ValueError: For a name without files to download; where there are files without a public
            address, the message says which and where to put them.
        OSError: If a file could not be had from any mirror.
    """
    if name in BY_HAND:
        raise ValueError(f"{name}: is not downloaded by this command. {BY_HAND[name]}")
    if name not in SOURCES:
        raise ValueError(unknown_name("data set to download", name, SOURCES))
    sources = SOURCES[name]
    for source in sources:
        root = data_folder(folder) / source.subfolder
        mirrors = source.mirrors if base_url is None else (base_url,)
        root.mkdir(parents=True, exist_ok=True)
        for file in source.md5:
            if not _is_sound(find(root, file)):
                _fetch(source, file, mirrors, root)
    return root if len(sources) == 1 else data_folder(folder)


def _is_sound(path: Path | None) -> bool:
    if path is None:
        return False
    try:
        (read_svhn if path.suffix == ".mat" else read_idx)(path)
    except ValueError:
        return False
    return True


def _fetch(source: Source, file: str, mirrors: tuple[str, ...], root: Path) -> None:
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file}"
        try:
            pooch.retrieve(
                url,
                known_hash=f"md5:{source.md5[file]}",
                fname=file,
                path=root,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),
            )
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{url}: {error}")
        else:
            return
    raise OSError(
        f"{source.name}: could not download {file}.\n  "
        + "\n  ".join(failures)
        + f"\nTry again later, give another address, or put the file into {root} yourself."
    )
