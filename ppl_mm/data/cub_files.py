"""The published captions of Caltech-UCSD Birds, and the features of its pictures.

    cub/text_trainvalclasses.txt    88,550 captions of the 8,855 pictures of the training classes
    cub/text_testclasses.txt        29,330 captions of the 2,933 pictures of the test classes
    cub/features_train.npy          float (8855, 2048), a row for each of the first pictures
    cub/features_test.npy           float (2933, 2048), a row for each of the second

A caption is a line, and ten lines in a row belong to one picture. Pictures are sorted by class
folder, then by file name. Text files may be gzipped (.txt.gz), and may lie in ``cub-captions/``.
The files have no public address. The text files come with the code of Shi et al. 2019
(arXiv:1911.03393). The features are the output of a ResNet-101 trained on ImageNet after global
average pooling, for each picture resized to 224 x 224 and scaled to [0, 1].

Source: Wah et al. 2011, "The Caltech-UCSD Birds-200-2011 dataset"; captions of Reed et al. 2016,
arXiv:1605.05395.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "CAPTIONS_PER_PICTURE",
    "NUM_FEATURES",
    "read_captions",
    "read_features",
]

CAPTIONS_PER_PICTURE = 10
NUM_FEATURES = 2048


def read_captions(path: str | Path) -> list[str]:
    r"""Read the captions of a text file, one a line; a file whose name ends in .gz is gzipped.

    An empty line is a caption without words. Bytes that are not UTF-8 become U+FFFD.

    Returns:
        The captions; those of picture i go from 10 i to 10 i + 9.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or the number of lines is not a multiple of ten.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "text_testclasses.txt")
        >>> _ = path.write_text("a red bird.\n" * 20)
        >>> len(read_captions(path))
        20
    """
    path = Path(path)
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: a damaged gzip file ({error}); copy it again.") from error
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    captions = text.removesuffix("\n").split("\n")
    if not text or len(captions) % CAPTIONS_PER_PICTURE:
        raise ValueError(
            f"{path}: expected {CAPTIONS_PER_PICTURE} lines for each picture, got "
            f"{len(captions) if text else 0} lines. The file is not the original or is damaged: "
            "copy it again."
        )
    return captions


def read_features(path: str | Path, num_pictures: int) -> Float[Tensor, "P 2048"]:
    """Read the features of pictures, one row each.

    Args:
        path: The path of a NumPy file (.npy) of floats (P, 2048).
        num_pictures: The number P of pictures with captions.

    Returns:
        The features (P, 2048) in torch's default dtype.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is another one, holds NaN or infinity, or has another number of
            rows.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "features_test.npy")
        >>> np.save(path, np.zeros((3, 2048), np.float32))
        >>> read_features(path, 3).shape
        torch.Size([3, 2048])
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path}: expected an array as numpy.save writes it, got another file ({error})."
        ) from error
    expected = (num_pictures, NUM_FEATURES)
    found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != expected:
        raise ValueError(
            f"{path}: expected floats {expected}, a row for each picture with captions, got "
            f"{found}; save the features of these pictures in their order, by class, then by file."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: expected finite features, got NaN or infinity.")
    return torch.from_numpy(array).to(torch.get_default_dtype())
