"""Inception's features of images, in which published Fréchet distances are measured.

The network and its weights of 2015-12-05 are those of torch-fidelity, by torchmetrics: the extra
``ppl-mm[fid]``. Source: Heusel et al. 2017, arXiv:1706.08500; Szegedy et al. 2016,
arXiv:1512.00567.
"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed

__all__ = ["Inception", "as_bytes"]

_FILE = "weights-inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_FILE}"


@typed
class Inception(nn.Module):
    """Inception v3 of 2015 in place of a classifier: its features are the 2048 pooled ones.

    Images are numbers in [0, 1], grey or of three colours, of any size; see :func:`as_bytes`. They
    are resized to 299 x 299 (bilinear) and (x - 128) / 128 is what the network sees.

    Args:
        weights: The file of the weights. None is torch's cache, ``hub/checkpoints`` in
            ``TORCH_HOME``, to which it is downloaded once.
        device: The device to run on.

    Raises:
        ImportError: Without the extra.
        FileNotFoundError: If there is no such file, or none can be downloaded.
        ValueError: If the file holds other weights.

    Source: the network of torchmetrics' ``FrechetInceptionDistance``. Differs: bytes are rounded,
    as in writing an image to a file, where that cuts them.

    Example:
        ``frechet(system, test, {"image": Inception()}, [("label",), ()])``
    """

    def __init__(
        self, weights: str | Path | None = None, *, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__()
        self.network = _network(None if weights is None else Path(weights)).to(device)

    def features(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2048"]:
        """The features (B, 2048) of images (B, 1 or 3, H, W) in [0, 1]."""
        return self.network(as_bytes(images))


def as_bytes(images: Float[Tensor, "B C H W"]) -> Integer[Tensor, "B 3 H W"]:
    """Images as three colours of 0 to 255; numbers outside [0, 1] are cut, grey is repeated.

    Args:
        images: (B, 1 or 3, H, W), floats.

    Returns:
        (B, 3, H, W), uint8.

    Raises:
        ValueError: For another shape.

    Example:
        >>> as_bytes(torch.tensor([-0.1, 0.5, 1.0]).reshape(1, 1, 1, 3))[0, :, 0].tolist()
        [[0, 128, 255], [0, 128, 255], [0, 128, 255]]
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
        raise ValueError(
            f"Inception: expected images (B, 1 or 3, H, W) of floats in [0, 1], got "
            f"{images.dtype} of shape {tuple(images.shape)}."
        )
    return (images.clamp(0, 1) * 255 + 0.5).floor().to(torch.uint8).expand(-1, 3, -1, -1)


def _network(path: Path | None) -> Any:
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3
    except ImportError as error:  # torch-fidelity does not import without its torchvision
        raise _missing(str(error)) from error
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; download it from {_URL}.")
    try:
        if path is not None:
            torch.load(path, map_location="cpu", weights_only=True)  # no file that runs code
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], path and str(path))
    except ModuleNotFoundError as error:
        raise _missing("torch-fidelity is not installed") from error
    except OSError as error:
        raise FileNotFoundError(
            f"Inception's weights are neither in {torch.hub.get_dir()}/checkpoints nor to be "
            f"downloaded ({error}). Download {_URL} elsewhere and give its path as weights=."
        ) from error
    except (RuntimeError, UnpicklingError) as error:
        raise ValueError(
            f"{path}: does not hold the weights of {_FILE}; download it from {_URL}."
        ) from error


def _missing(reason: str) -> ImportError:
    return ImportError(
        f"Inception needs the extra: pip install 'ppl-mm[fid]' ({reason}). It brings torchvision, "
        "which must be the one built for your torch."
    )
