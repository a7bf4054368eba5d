"""The download of published files, with checksums and mirrors."""

import pkgutil
from pathlib import Path

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.data.registry import entries
from ppl_mm.published import sources as published
from ppl_mm.published.sources import Source, find

__all__ = ["data_folder", "get"]

data_folder = typed(published.data_folder)

_TIMEOUT = 30  # Seconds without an answer.


@typed
def get(name: str, folder: str | Path | None = None, base_url: str | None = None) -> Path:
    """Download the files of a data set, unless they are there already.

    A readable file stays as it is, gzipped or plain. A damaged file is replaced. A download is
    kept only if its MD5 sum is the published one.

    Args:
        name: The data set, such as ``"mnist"``.
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        base_url: The address to download from in place of the known mirrors.

    Returns:
        The folder that holds the files, or the data folder if they are of several data sets.

    Raises:
        ValueError: If the name has no files to download. For files without a public address the
            message says which ones to get, and where to put them.
        OSError: If no mirror delivers a file.
    """
    known = {entry.name: entry for entry in entries()}
    if name in known and known[name].by_hand is not None:
        raise ValueError(f"{name}: is not downloaded by this command. {known[name].by_hand}")
    downloaded = {name: entry.sources for name, entry in known.items() if entry.sources}
    if name not in downloaded:
        raise ValueError(unknown_name("data set to download", name, downloaded))
    sources = downloaded[name]
    for source in sources:
        root = data_folder(folder) / source.subfolder
        mirrors = source.mirrors if base_url is None else (base_url,)
        root.mkdir(parents=True, exist_ok=True)
        for file in source.md5:
            if not _is_sound(source, find(root, file)):
                _fetch(source, file, mirrors, root)
    return root if len(sources) == 1 else data_folder(folder)


def _is_sound(source: Source, path: Path | None) -> bool:
    if path is None:
        return False
    read = pkgutil.resolve_name(source.read)
    try:
        read(path)
    except ValueError:
        return False
    return True


def _fetch(source: Source, file: str, mirrors: tuple[str, ...], root: Path) -> None:
    import pooch

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
        except (OSError, ValueError) as error:  # requests' errors are OSErrors.
            failures.append(f"{url}: {error}")
        else:
            return
    raise OSError(
        f"{source.name}: could not download {file}.\n  "
        + "\n  ".join(failures)
        + f"\nTry again later, give another address, or put the file into {root} yourself."
    )
