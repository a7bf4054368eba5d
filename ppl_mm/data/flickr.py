"""MIR Flickr: features of photographs, their tags, and 38 yes-or-no labels of some of them.

    image  (3857,) float, standardised over the training rows
    tags   (2000,) 0 or 1, the presence of each of the 2,000 commonest tags
    label  (38,) 0 or 1, missing in rows of the unlabelled part

``DataSet.label`` is None, since a row has no single class.
:func:`ppl_mm.published.photographs.find_flickr` lists the files.

Source: Huiskes & Lew 2008; features, tags and splits of Srivastava & Salakhutdinov 2014,
"Multimodal learning with deep Boltzmann machines"; Mancisidor et al. 2023 (CMMD),
doi:10.1016/j.neunet.2023.10.048, sections 4.1 and 4.3.4.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.registry import register
from ppl_mm.likelihoods import Bernoulli, MultiLabel, Normal
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.photographs import FLICKR_BY_HAND, FlickrFiles, find_flickr

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["mir_flickr"]

_IMAGE, _TAGS, _LABELS, _LATENT_DIM = 3857, 2000, 38, 1024
_MIN_TAGS = 2
_BROKEN = (ValueError, EOFError, OSError, BadZipFile, KeyError, IndexError, TypeError)


@register(
    modalities=("image", "tags", "label"),
    sizes=(10_000, 5_000, 10_000),
    by_hand=FLICKR_BY_HAND,
    find=find_flickr,
)
@typed
def mir_flickr(
    folder: str | Path | None = None,
    *,
    split: Literal[1, 2, 3, 4, 5] = 1,
    unlabelled: int = 0,
) -> DataSet:
    """Read the labelled photographs of one published split, and some unlabelled ones to train on.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        split: The number of the published split of the 25,000 labelled photographs.
        unlabelled: The number of photographs without labels that follow the labelled ones in
            ``train``: the first that have at least 2 tags. One takes 23 kB, 100,000 take 2.3 GB.
            The standardisation counts them, so load once for a first stage without labels and a
            second stage with labels.

    Raises:
        FileNotFoundError: If files are missing. Those of the unlabelled part are needed only if
            ``unlabelled`` is not 0.
        ValueError: If files are damaged or do not fit together, or there are fewer unlabelled
            photographs with two tags than ``unlabelled``.

    Source: see the module; networks and D = 1024 from CMMD, appendix C.
    """
    files = find_flickr(folder, split, unlabelled=unlabelled > 0)
    images = _join(files.images["labelled"])
    tags = _read_tags(files.tags["labelled"])
    labels = _load(files.labels)
    _check(files.tags["labelled"], "rows", tags.shape[0], len(images))
    if labels.shape != (len(images), _LABELS) or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"{files.labels}: expected 0 and 1, ({len(images)}, {_LABELS}), one row a photograph, "
            f"got {labels.dtype} {labels.shape}."
        )
    parts: dict[str, dict[str, Tensor]] = {}
    for name, path in files.splits.items():
        rows = _rows(path, len(images))
        parts[name] = {
            "image": _tensor(images[rows]),
            "tags": _tensor(tags[rows].toarray() > 0),
            "label": _tensor(labels[rows]),
        }
    present = torch.ones(len(parts["train"]["image"]) + unlabelled, dtype=torch.bool)
    if unlabelled:
        present[-unlabelled:] = False
        more = _unlabelled(files, unlabelled)
        parts["train"] = {n: torch.cat([x, more[n]]) for n, x in parts["train"].items()}
    mean, spread = _moments(parts["train"]["image"])
    for rows in parts.values():
        rows["image"] = (rows["image"] - mean) / spread
    obs = {n: Observations(x, {"label": present} if n == "train" else {}) for n, x in parts.items()}
    splits = (obs["train"], obs["validation"], obs["test"])
    return DataSet("mir_flickr", *splits, _modalities(), _LATENT_DIM, None, None)


def _unlabelled(files: FlickrFiles, number: int) -> dict[str, Tensor]:
    """Read the first photographs with two tags or more."""
    tags = _read_tags(files.tags["unlabelled"]) > 0
    rows = (tags.sum(1).A1 >= _MIN_TAGS).nonzero()[0]
    if len(rows) < number:
        raise ValueError(
            f"mir_flickr: expected unlabelled of at most {len(rows)}, the photographs with "
            f"{_MIN_TAGS} tags or more, got {number}."
        )
    rows = rows[:number]
    images = _join(files.images["unlabelled"], rows)
    return {
        "image": _tensor(images),
        "tags": _tensor(tags[rows].toarray()),
        "label": torch.zeros(number, _LABELS),
    }


def _join(paths: list[Path], rows: np.ndarray | None = None) -> np.ndarray:
    """Read the features of all rows, or of these (sorted) without the others."""
    parts, start = [], 0
    for path in paths:
        part = _load(path, mapped=True)
        if part.ndim != 2 or part.dtype.kind != "f" or part.shape[1] != _IMAGE:
            raise ValueError(
                f"{path}: expected floats (rows, {_IMAGE}), got {part.dtype} {part.shape}."
            )
        stop = start + len(part)
        here = slice(None) if rows is None else rows[(rows >= start) & (rows < stop)] - start
        parts.append(np.asarray(part[here]))
        start = stop
    if rows is not None and len(rows) and rows[-1] >= start:
        raise ValueError(
            f"{paths[-1].parent}: expected features of {rows[-1] + 1} photographs or more, as many "
            f"as have tags, got {start}."
        )
    return np.concatenate(parts)


def _read_tags(path: Path) -> "csr_matrix":
    """Read the counts (rows, 2000) as a sparse matrix."""
    from scipy.sparse import csr_matrix

    with path.open("rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            parts = tuple(arrays[name] for name in ("data", "indices", "indptr"))
            tags = csr_matrix(parts, shape=tuple(int(n) for n in arrays["shape"]))
        except _BROKEN as error:
            raise ValueError(
                f"{path}: expected the parts of a sparse matrix, got another file ({error})."
            ) from error
    _check(path, "columns", tags.shape[1], _TAGS)
    return tags


def _rows(path: Path, size: int) -> Any:
    rows = _load(path)
    if rows.ndim != 1 or not len(rows) or (rows != rows.astype(np.int64)).any():
        raise ValueError(f"{path}: expected row numbers (n,), got {rows.dtype} {rows.shape}.")
    if rows.min() < 0 or rows.max() >= size:
        raise ValueError(
            f"{path}: expected row numbers from 0 to {size - 1}, the labelled photographs, got "
            f"{rows.min()} to {rows.max()}."
        )
    return rows.astype(np.int64)


def _load(path: Path, *, mapped: bool = False) -> Any:
    """Open the array of an .npy file; a mapped one is read when it is used."""
    try:
        if mapped:
            return np.lib.format.open_memmap(path, mode="r")
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except _BROKEN as error:
        message = f"{path}: expected an array of NumPy's, got another file ({error})."
        raise ValueError(message) from error


def _check(path: Path, what: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"{path}: expected {expected} {what}, got {got}.")


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations of the columns; 1 in place of 0 for a constant one."""
    spread, mean = torch.std_mean(images.double(), 0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    return mean.to(images), spread.to(images)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).to(torch.get_default_dtype())


def _modalities() -> tuple[Modality, ...]:
    image = presets.cmmd_flickr_image_encoder, presets.cmmd_flickr_image_decoder
    tags = presets.cmmd_tags_encoder, presets.cmmd_tags_decoder
    label = presets.cmmd_topics_encoder, presets.cmmd_topics_decoder
    return (
        Modality("image", Normal(), *image),
        Modality("tags", Bernoulli(), *tags),
        Modality("label", MultiLabel(), *label),
    )
