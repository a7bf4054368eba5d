"""Street View House Numbers: cropped photographs of digits, and their classes.

    image (3, 32, 32) float in [0, 1], the published bytes / 255
    label () integer, 0..9

Source: Netzer et al. 2011, "Reading digits in natural images with unsupervised feature learning";
73,257 training and 26,032 test digits (and 531,131 easier ones in ``extra_32x32.mat``).
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, as_floats, split_last
from ppl_mm.data.registry import Defaults, register
from ppl_mm.likelihoods import Categorical, Laplace
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.small_pictures import SVHN
from ppl_mm.published.sources import locate

__all__ = ["SVHN_DEFAULTS", "read_svhn", "svhn"]

SVHN_DEFAULTS = Defaults(epochs=30, rows=500)
"""The defaults of SVHN, and of pairs of pictures."""

_LATENT_DIM = 20


@typed
def read_svhn(path: str | Path) -> tuple[Integer[Tensor, "N 3 32 32"], Int[Tensor, " N"]]:
    """Read one of SVHN's files of cropped digits, train, test or extra.

    Args:
        path: A MATLAB file with ``X`` (32, 32, 3, N) of bytes and ``y`` (N, 1), where 10 is
            the digit 0.

    Returns:
        Images (N, 3, 32, 32) uint8 and labels (N,) int64, 0..9.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is another one, or is damaged.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np, scipy.io
        >>> path = pathlib.Path(tempfile.mkdtemp(), "test_32x32.mat")
        >>> X, y = np.zeros((32, 32, 3, 2), np.uint8), np.array([[10], [3]], np.uint8)
        >>> scipy.io.savemat(path, {"X": X, "y": y})
        >>> images, labels = read_svhn(path)
        >>> images.shape, labels.tolist()
        (torch.Size([2, 3, 32, 32]), [0, 3])
    """
    from scipy.io import loadmat

    with Path(path).open("rb") as file:
        try:
            arrays = loadmat(file, variable_names=("X", "y"))
        except Exception as error:  # A damaged file makes the parser fail in many ways.
            raise _damaged(path, "a MATLAB 5 file", f"a broken one ({error})") from error
    for name in ("X", "y"):
        if name not in arrays:
            raise _damaged(path, "the arrays X and y", f"none called {name}")
    images, digits = arrays["X"], arrays["y"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise _damaged(path, "X as bytes (32, 32, 3, N)", f"{images.dtype} {images.shape}")
    size = images.shape[3]
    if digits.dtype.kind not in "ui" or digits.shape != (size, 1):
        raise _damaged(path, f"y as integers ({size}, 1)", f"{digits.dtype} {digits.shape}")
    if size == 0 or digits.min() < 1 or digits.max() > 10:
        got = f"{digits.min()}..{digits.max()}" if size else "no digit at all"
        raise _damaged(path, "digits 1..10 in y, 10 for the 0", got)
    labels = torch.from_numpy(digits[:, 0].astype(np.int64)) % 10
    return torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1))), labels


@register(
    modalities=("image", "label"),
    sizes=(73_257, 0, 26_032),
    sources=(SVHN,),
    defaults=SVHN_DEFAULTS,
)
@typed
def svhn(folder: str | Path | None = None, *, validation: int = 0) -> DataSet:
    """Read SVHN, whose colours a Laplace with scale 0.75 scores.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache. The 99,289 rows
            take 1.2 GB.
        validation: The number of training rows, the last ones, to hold out.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to train on.

    Source: Netzer et al. 2011; likelihood, networks and D = 20 of the image from Shi et al. 2019,
    arXiv:1911.03393, networks of the label from Wu & Goodman 2018, arXiv:1802.05335.
    """
    paths = locate(SVHN, folder)
    train, test = (_observations(paths[f"{part}_32x32.mat"]) for part in ("train", "test"))
    encoder, decoder = presets.mnist_svhn_svhn_encoder, presets.mnist_svhn_svhn_decoder
    image = Modality("image", Laplace(0.75), encoder, decoder)
    label = Modality("label", Categorical(), presets.label_encoder, presets.label_decoder)
    splits = (*split_last("svhn", train, validation), test)
    return DataSet("svhn", *splits, (image, label), _LATENT_DIM, "label", 10)


def _observations(path: Path) -> Observations:
    images, labels = read_svhn(path)
    return Observations({"image": as_floats(images), "label": labels})


def _damaged(path: str | Path, expected: str, got: str) -> ValueError:
    return ValueError(
        f"{path}: expected {expected}, got {got}. The file is not the original or is damaged: "
        "delete it and download it again with `ppl-mm data get svhn`."
    )
