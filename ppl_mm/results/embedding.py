"""The places of rows in the latent space: the mean and the scale of each row's posterior."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ppl_mm.results.imputation import frame_of

__all__ = ["Embedding"]


@dataclass(frozen=True)
class Embedding:
    """The mean and the standard deviation of q(z | x_given) of N rows, by latent site.

    Attributes:
        mean: Site, such as ``z``, or ``u`` and ``w_image`` -> (N, D).
        scale: Site -> the standard deviation of each coordinate, (N, D).
        given: The modalities that were looked at, where a row holds them.
    """

    mean: Mapping[str, Tensor]
    scale: Mapping[str, Tensor]
    given: tuple[str, ...]

    def to_frame(self, index: Sequence[Any] | None = None) -> Any:
        """A ``pandas.DataFrame`` of N rows.

        Its columns are ``z[0]``, ``z[1]``, ... and ``z[0] scale``, ... of each latent site.

        Args:
            index: The rows' labels; by default 0, 1, ...
        """
        import pandas

        columns = {n: [f"{n}[{i}]" for i in range(x.shape[1])] for n, x in self.mean.items()}
        scales = {n: [f"{name} scale" for name in names] for n, names in columns.items()}
        parts = [frame_of(self.mean, columns, index), frame_of(self.scale, scales, index)]
        return pandas.concat(parts, axis=1)
