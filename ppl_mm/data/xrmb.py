"""The Wisconsin X-ray microbeam database: speech, movements of the mouth, and the phone.

    acoustic      (273,) float, 39 MFCCs of each of 7 frames (13, their first and second
                  derivatives); or (39,), those of the frame in the middle, columns 117 .. 155
    articulatory  (112,) float, 8 pellets' 2 coordinates in each of 7 frames
    label         () integer, the phone, 0..39

Two MATLAB files hold the published arrays, each array in any of the two:

    X1 XV1 XTe1  acoustics (N, 273)    X2 XV2 XTe2  articulation (N, 112)
    trainLabel tuneLabel testLabel     trainID tuneID testID, the speaker

They belong to the parts for training (35 speakers), tuning and testing.

Source: Westbury 1994; as arrays, Wang et al. 2015, "Unsupervised learning of acoustic features via
deep canonical correlation analysis". Experiments: Mancisidor et al. 2023 (CMMD),
doi:10.1016/j.neunet.2023.10.048, sections 4.2, 4.3.3, 4.3.5 and 4.4.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.registry import register
from ppl_mm.likelihoods import Categorical, Normal
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.speech import XRMB_BY_HAND, find_xrmb

__all__ = ["XRMB_FOLDS", "XRMB_TEST", "read_xrmb", "xrmb"]

XRMB_TEST = (7, 16, 20, 21, 23, 28, 31, 35)
"""The test speakers of table 8, which are in the published parts for tuning and testing."""
XRMB_FOLDS = ((1, 3), (43, 45), (10, 13), (27, 29))
"""The pairs of speakers of section 4.2, which trains on three pairs and tests on the fourth."""

_PARTS = {  # Part -> acoustics, articulation, phones, speakers.
    "train": ("X1", "X2", "trainLabel", "trainID"),
    "tune": ("XV1", "XV2", "tuneLabel", "tuneID"),
    "test": ("XTe1", "XTe2", "testLabel", "testID"),
}
_NAMES = ("acoustic", "articulatory", "label")
_CENTRE = slice(117, 156)
_ACOUSTIC, _ARTICULATORY, _PHONES, _LATENT_DIM = 273, 112, 40, 70
_TEST_TENTHS = 3  # Tenths of the frames of one speaker.


Frames = dict[str, Tensor]
"""The frames ``acoustic`` (N, 273), ``articulatory`` (N, 112), ``label`` and ``speaker`` (N,)."""


@register(modalities=_NAMES, sizes=None, by_hand=XRMB_BY_HAND, find=find_xrmb)
@typed
def xrmb(
    folder: str | Path | None = None,
    *,
    test: Sequence[int] = XRMB_TEST,
    train: Sequence[int] | None = None,
    validation: Sequence[int] = (),
    speaker: int | None = None,
    frames: Literal["all", "centre"] = "all",
    seed: int = 0,
) -> DataSet:
    """Read frames of some speakers for training, and of others for the test.

    Fold k of section 4.2 has ``test=XRMB_FOLDS[k]``, and the speakers of the other pairs in
    ``train``.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache. All frames take
            2.5 GB.
        test: The speakers of the test frames.
        train: The speakers of the training frames; None for those of the published training part
            that are neither in ``test`` nor in ``validation``.
        validation: The speakers of the frames for choosing a model.
        speaker: One speaker in place of all these: 70 % of the speaker's frames are for training
            and 30 % for the test, at random, with equal shares of every phone, as in section 4.4.
        frames: The acoustics to keep, ``"all"`` or those of the frame in the middle, ``"centre"``.
        seed: The seed of the frames of one speaker.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, a speaker is in two splits or in no file, or ``frames`` is
            unknown.

    Source: see the module; networks and D = 70 from CMMD, appendix C.
    """
    found = read_xrmb(folder)
    if speaker is None:
        splits = _of_speakers(found, train, validation, test)
    else:
        splits = _of_one(_select(found, (speaker,)), seed)
    if frames == "centre":
        for split in filter(None, splits):
            split["acoustic"] = split["acoustic"][:, _CENTRE]
    rows = [Observations({n: s[n] for n in _NAMES}) if s else None for s in splits]
    assert rows[0] is not None
    assert rows[2] is not None
    modalities = _modalities(rows[0]["acoustic"].shape[1])
    return DataSet("xrmb", rows[0], rows[1], rows[2], modalities, _LATENT_DIM, "label", _PHONES)


def read_xrmb(folder: str | Path | None = None) -> dict[str, Frames]:
    """Read the published parts ``"train"``, ``"tune"`` and ``"test"``.

    Phones are 0..39. Files may count them from 1.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If an array is missing, has another shape, or holds other values.
    """
    arrays = _arrays(find_xrmb(folder))
    found: dict[str, Frames] = {}
    for part, keys in _PARTS.items():
        acoustic, articulatory, phones, speakers = (arrays[key] for key in keys)
        size = len(acoustic)
        for key, array, width in zip(
            keys[:2], (acoustic, articulatory), (_ACOUSTIC, _ARTICULATORY), strict=True
        ):
            if array.dtype.kind != "f" or array.shape != (size, width):
                raise _damaged(f"{key} as floats ({size}, {width})", array)
            if not np.isfinite(array).all():
                raise ValueError(f"xrmb: expected finite {key}, got NaN or infinity.")
        for key, array in zip(keys[2:], (phones, speakers), strict=True):
            whole = array.size == size and (array == np.round(array)).all()
            if not whole:
                raise _damaged(f"{key} as {size} whole numbers, one a row of {keys[0]}", array)
        found[part] = {
            "acoustic": torch.from_numpy(acoustic).to(torch.get_default_dtype()),
            "articulatory": torch.from_numpy(articulatory).to(torch.get_default_dtype()),
            "label": torch.from_numpy(phones.reshape(-1).astype(np.int64)),
            "speaker": torch.from_numpy(speakers.reshape(-1).astype(np.int64)),
        }
    phones = torch.cat([frames["label"] for frames in found.values()])
    first = int(phones.min() > 0)  # The smallest phone is 0 or 1.
    if phones.min() < 0 or phones.max() >= _PHONES + first:
        raise ValueError(
            f"xrmb: expected phones 0..39 or 1..40, got {int(phones.min())}..{int(phones.max())}."
        )
    for frames in found.values():
        frames["label"] -= first
    return found


def _arrays(paths: Sequence[Path]) -> dict[str, Any]:
    """Read the arrays of all parts from the files that hold them."""
    from scipy.io import loadmat, whosmat

    wanted = {key for keys in _PARTS.values() for key in keys}
    arrays: dict[str, Any] = {}
    for path in paths:
        try:
            here = wanted & {name for name, _, _ in whosmat(path)}
            arrays |= {key: loadmat(path, variable_names=[key])[key] for key in sorted(here)}
        except Exception as error:  # A damaged file makes the parser fail in many ways.
            raise ValueError(
                f"{path}: expected a MATLAB 5 file, got a broken or another one ({error})."
            ) from error
    if missing := sorted(wanted - arrays.keys()):
        names = " and ".join(path.name for path in paths)
        raise ValueError(f"xrmb: {names} lack the arrays {', '.join(missing)}.")
    return arrays


def _of_speakers(
    found: dict[str, Frames],
    train: Sequence[int] | None,
    validation: Sequence[int],
    test: Sequence[int],
) -> list[Frames]:
    """Return training, validation and test frames; no frames for a split without speakers."""
    if train is None:
        there = found["train"]["speaker"].unique().tolist()
        train = [s for s in there if s not in {*test, *validation}]
    for speaker in {*train, *validation, *test}:
        times = sum(speaker in speakers for speakers in (train, validation, test))
        if times > 1:
            raise ValueError(
                f"xrmb: expected each speaker in one of train, validation and test, got {speaker} "
                f"in {times} of them; for frames of one speaker in both use speaker={speaker}."
            )
    return [_select(found, train), _select(found, validation), _select(found, test)]


def _select(found: dict[str, Frames], speakers: Sequence[int]) -> Frames:
    """Return the frames of these speakers from all parts; an empty dict for no speaker."""
    there = torch.cat([frames["speaker"] for frames in found.values()])
    for speaker in speakers:
        if not bool((there == speaker).any()):
            raise ValueError(
                f"xrmb: there are no frames of speaker {speaker}; there are those of "
                f"{', '.join(map(str, there.unique().tolist()))}."
            )
    if not speakers:
        return {}
    asked = torch.tensor(list(speakers))
    kept = [
        {name: x[torch.isin(frames["speaker"], asked)] for name, x in frames.items()}
        for frames in found.values()
    ]
    return {name: torch.cat([frames[name] for frames in kept]) for name in (*_NAMES, "speaker")}


def _of_one(frames: Frames, seed: int) -> list[Frames]:
    """Split off 30 % of the frames, the same share of every phone up to rounding."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(frames["label"]), generator=generator)
    order = order[frames["label"][order].argsort(stable=True)]  # Sorted by phone.
    places = torch.arange(len(order))
    tested = (places + 1) * _TEST_TENTHS // 10 > places * _TEST_TENTHS // 10
    rows = [order[~tested].sort().values, order[tested].sort().values]
    train, test = ({name: x[chosen] for name, x in frames.items()} for chosen in rows)
    return [train, {}, test]


def _modalities(acoustic: int) -> tuple[Modality, ...]:
    views = (
        Modality(
            name,
            Normal(),
            partial(getattr(presets, f"cmmd_{name}_encoder"), event_shape=(size,)),
            partial(getattr(presets, f"cmmd_{name}_decoder"), event_shape=(size,)),
        )
        for name, size in (("acoustic", acoustic), ("articulatory", _ARTICULATORY))
    )
    encoder, decoder = presets.cmmd_phone_encoder, presets.cmmd_phone_decoder
    return (*views, Modality("label", Categorical(), encoder, decoder))


def _damaged(expected: str, array: np.ndarray[Any, Any]) -> ValueError:
    return ValueError(
        f"xrmb: expected {expected}, got {array.dtype} {array.shape}. A file is not the original "
        "or is damaged: copy it again."
    )
