"""Published files: their addresses, their checksums and their place on this computer."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Source", "data_folder", "find", "locate"]


@dataclass(frozen=True)
class Source:
    """Published files that one or several data sets are read from.

    Attributes:
        name: The name of the data set that ``ppl-mm data get`` downloads them for.
        subfolder: The folder of the data folder that they lie in.
        mirrors: The addresses to download from, which are tried in this order.
        md5: Published file -> MD5 sum of the file as it is published.
        read: The function that reads one of the files, as ``"module:name"``, such as
            ``"ppl_mm.data.idx:read_idx"``. It raises ValueError for a damaged one.
    """

    name: str
    subfolder: str
    mirrors: tuple[str, ...]
    md5: Mapping[str, str]
    read: str


def data_folder(folder: str | Path | None = None) -> Path:
    """Return ``folder``, else the environment's ``PPL_MM_DATA``, else the user's cache folder.

    Example:
        >>> data_folder("corpora").name
        'corpora'
    """
    import pooch

    chosen = folder or os.environ.get("PPL_MM_DATA") or pooch.os_cache("ppl_mm")
    return Path(chosen).expanduser()


def locate(source: Source, folder: str | Path | None = None) -> dict[str, Path]:
    """Find the files of a source in the data folder; .gz files may be gzipped or plain.

    Returns:
        Published file name -> path; the gzipped file if both forms are there.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    root = data_folder(folder) / source.subfolder
    found = {name: path for name in source.md5 if (path := find(root, name)) is not None}
    missing = [name for name in source.md5 if name not in found]
    if missing:
        zipped = any(name.endswith(".gz") for name in source.md5)
        either = " (or the same without .gz)" if zipped else ""
        raise FileNotFoundError(
            f"{source.name}: expected {', '.join(source.md5)}{either} in {root}; "
            f"missing: {', '.join(missing)}. Run `ppl-mm data get {source.name}` to download "
            f"them, or set PPL_MM_DATA to the folder that has {source.subfolder}/ in it."
        )
    return found


def find(root: Path, name: str) -> Path | None:
    """Return the file of this published name in ``root``, or the one without .gz, or None."""
    for path in (root / name, root / name.removesuffix(".gz")):
        if path.is_file():
            return path
    return None
