"""Likelihoods of classes and of sequences of symbols."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Integer, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.rows import at_least_float32
from ppl_mm.likelihoods import densities
from ppl_mm.likelihoods.likelihood import (
    Likelihood,
    check_integers,
    converted,
    one_tensor,
    require,
)

__all__ = ["Categorical", "Tokens"]


@typed
@dataclass(frozen=True)
class Categorical(Likelihood):
    """The likelihood of a class, one of C.

    The decoder returns logits (..., C). Data are class indices (integers, event shape ()) or
    one-hot vectors (event shape (C,)). Samples have the form of the data; without data they are
    class indices.

    Example:
        >>> logits = torch.zeros(2, 4)
        >>> Categorical()(logits).log_prob(torch.tensor([0, 3])).exp()
        tensor([0.2500, 0.2500])
        >>> Categorical()(logits, event_shape=(4,)).event_shape
        torch.Size([4])
    """

    def __call__(
        self,
        parameters: Float[Tensor, "*batch C"],
        batch_dims: int = 1,
        event_shape: Sequence[int] | None = None,
    ) -> TorchDistribution:
        """Return Categorical(logits), or OneHotCategorical(logits) for one-hot data."""
        parameters = at_least_float32(one_tensor(self, parameters))
        if parameters.dim() != batch_dims + 1:
            raise ValueError(
                f"Categorical: expected logits with one event dimension (C,), "
                f"got {tuple(parameters.shape[batch_dims:])}."
            )
        if event_shape is not None and len(event_shape) == 1:
            return densities.OneHotCategorical(parameters)
        return densities.Categorical(parameters)

    def check(self, name: str, values: Shaped[Tensor, "B *C"]) -> None:
        """Raise ValueError unless values are class indices of at least 0, or one-hot rows."""
        if values.dim() == 1:
            check_integers(name, values, "integer class indices")
            fix = (
                "A mask says what is missing: give from_arrays np.ma.masked_less(x, 0), or "
                f"Observations present={{{name!r}: x >= 0}}."
            )
            require((values >= 0).all(), name, "class indices of at least 0", values, fix)
        else:
            one_hot = (values.dim() == 2) and bool(
                (((values == 0) | (values == 1)).all()) & (values.sum(-1) == 1).all()
            )
            fix = (
                "Each row needs exactly one 1; a missing label is missing, not a row of zeros. "
                "Class indices have shape (N,)."
            )
            if values.shape[1:] == (1,):
                fix = f"Class indices have shape (N,). {converted(name, '[:, 0]')}"
            require(one_hot, name, "one-hot rows (N, C)", values, fix)


@typed
@dataclass(frozen=True)
class Tokens(Likelihood):
    """The likelihood of a sequence of T symbols from a vocabulary of V.

        log p(x | z) = sum over positions t of log softmax(logits_t)[x_t]

    The decoder returns logits (..., T, V). Data are integers (N, T).

    Args:
        padding: The symbol that fills the end of short sequences. Positions that hold it are not
            scored, so the density is that of the sequence given its length. With None, every
            position is scored.
    """

    padding: int | None = None

    def __call__(
        self,
        parameters: Float[Tensor, "*batch_D V"],
        batch_dims: int = 1,
        event_shape: Sequence[int] | None = None,
    ) -> TorchDistribution:
        """Return independent Categorical positions."""
        parameters = at_least_float32(one_tensor(self, parameters))
        event_dims = parameters.dim() - batch_dims - 1
        if event_dims < 1:
            raise ValueError(
                f"Tokens: expected logits (..., T, V), got {tuple(parameters.shape)} "
                f"with {batch_dims} batch dimensions."
            )
        if self.padding is None:
            return densities.Categorical(parameters).to_event(event_dims)
        return densities.Tokens(parameters, event_dims, self.padding)

    def check(self, name: str, values: Integer[Tensor, "B *D"]) -> None:
        """Raise ValueError unless values are symbol indices of at least 0."""
        fix = "Symbol indices have shape (N, T), with padding included in the vocabulary."
        require(values.dim() > 1, name, "integers (N, T)", values, fix)
        check_integers(name, values, "integers (N, T)")
        require((values >= 0).all(), name, "symbol indices of at least 0", values, fix)
