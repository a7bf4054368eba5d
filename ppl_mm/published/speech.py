"""The published files of spoken language: translated talks (IWSLT), and X-ray microbeams (XRMB)."""

from pathlib import Path

from ppl_mm.published.sources import data_folder

__all__ = [
    "IWSLT_BY_HAND",
    "IWSLT_PARTS",
    "LANGUAGES",
    "XRMB_BY_HAND",
    "find_iwslt",
    "find_xrmb",
]

LANGUAGES = ("en", "vi")
IWSLT_PARTS = {"train": "train", "validation": "tst2012", "test": "tst2013"}
IWSLT_BY_HAND = (
    "Download train, tst2012, tst2013 and vocab, each with the ends .en and .vi, from "
    "https://nlp.stanford.edu/projects/nmt/data/iwslt15.en-vi/ into iwslt/ of the data "
    "folder, or set PPL_MM_DATA to the folder that has iwslt/ in it."
)
_XRMB_FILES = ("XRMBf2KALDI_window7_single1.mat", "XRMBf2KALDI_window7_single2.mat")
XRMB_BY_HAND = (
    "Ask the University of Wisconsin for the XRMB database, take the two files of "
    "https://home.ttic.edu/~klivescu/XRMB_data/full/README, and put them into xrmb/ of the "
    "data folder, or set PPL_MM_DATA to the folder that has xrmb/ in it."
)


def find_iwslt(folder: str | Path | None = None) -> dict[tuple[str, str], Path]:
    """Find the published files in ``iwslt/`` of the data folder, with a sentence or a word a line.

        train.en     train.vi       to train on
        tst2012.en   tst2012.vi     validation
        tst2013.en   tst2013.vi     test
        vocab.en     vocab.vi       the words that have a symbol, <unk>, <s> and </s> first

    Returns:
        The part ("train", "tst2012", "tst2013" or "vocab") and the language -> the file.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    root = data_folder(folder) / "iwslt"
    kinds = (*IWSLT_PARTS.values(), "vocab")
    files = {(kind, name): root / f"{kind}.{name}" for kind in kinds for name in LANGUAGES}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"iwslt: {root} lacks {', '.join(missing)}. {IWSLT_BY_HAND}")
    return files


def find_xrmb(folder: str | Path | None = None) -> tuple[Path, ...]:
    """Find the published files in ``xrmb/`` of the data folder.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    root = data_folder(folder) / "xrmb"
    missing = [name for name in _XRMB_FILES if not (root / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"xrmb: expected {' and '.join(_XRMB_FILES)} in {root}; missing: {', '.join(missing)}. "
            f"{XRMB_BY_HAND}"
        )
    return tuple(root / name for name in _XRMB_FILES)
