"""Recurrent encoder and decoder of short strings, sequences of T symbols out of V."""

from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.likelihoods.densities import Categorical
from ppl_mm.networks.layers import Encoder, Features, as_rows
from ppl_mm.networks.scales import ScaleMap

__all__ = ["StringDecoder", "StringEncoder", "StringFeatures", "drawn", "likeliest", "unroll"]


@typed
class StringFeatures(Features):
    """Features of a string, by a bidirectional GRU on embedded symbols.

        features = forward state + backward state

    Args:
        length: The length T of the strings.
        vocab_size: The number V of symbols.
        hidden: The size of the embedding and of the GRU's state in each direction.
        readout: The states that enter the sum. ``"last"``, as published, takes both states at the
            last position, where the backward GRU has read the last symbol only. ``"final"`` takes
            the state of each direction after the whole string.

    Shapes:
        integer strings (..., T) to (..., hidden).

    Raises:
        ValueError: If ``readout`` is unknown.

    Example:
        >>> import torch
        >>> StringFeatures(length=4, vocab_size=12)(torch.tensor([[3, 1, 4, 11]])).shape
        torch.Size([1, 200])
    """

    def __init__(
        self,
        *,
        length: int = 4,
        vocab_size: int = 12,
        hidden: int = 200,
        readout: Literal["last", "final"] = "last",
    ) -> None:
        super().__init__()
        self.length = length
        self.readout = readout
        self.out_features = hidden
        self.embedding = nn.Embedding(vocab_size, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)

    def forward(self, tokens: Integer[Tensor, "*rows T"]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        rows, leading = as_rows(tokens, (self.length,), "StringFeatures")
        outputs, final = self.gru(self.embedding(rows))  # (N, T, 2 hidden), (2, N, hidden)
        if self.readout == "last":
            forward, backward = outputs[:, -1].chunk(2, dim=-1)
        else:
            forward, backward = final
        return (forward + backward).reshape(*leading, self.out_features)


@typed
class StringEncoder(Encoder):
    """A Gaussian expert q(z | x) of a string, by a bidirectional GRU on embedded symbols.

        loc, s = Linear(forward state + backward state)

    Args:
        latent_dim: The size D of the latent.
        length, vocab_size, hidden, readout: The options of :class:`StringFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        integer strings (..., T) to loc and scale, each (..., D).

    Raises:
        ValueError: If ``readout`` is unknown.

    Source: Wu & Goodman 2018, arXiv:1802.05335, release: the MultiMNIST string encoder.

    Example:
        >>> import torch
        >>> encoder = StringEncoder(100)
        >>> sum(p.numel() for p in encoder.parameters())
        525000
        >>> encoder(torch.tensor([[3, 1, 4, 11], [11, 11, 11, 11]]))[0].shape
        torch.Size([2, 100])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        length: int = 4,
        vocab_size: int = 12,
        hidden: int = 200,
        readout: Literal["last", "final"] = "last",
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = StringFeatures(
            length=length, vocab_size=vocab_size, hidden=hidden, readout=readout
        )
        super().__init__(latent_dim, features, scale, min_scale)


@typed
class StringDecoder(nn.Module):
    """Logits of a string's symbols from z, by a two-layer GRU that reads the symbol before.

        h_0 = Linear(z), in both layers
        h_t = GRU([Swish(Embedding(c_t)), z], h_{t-1}),   logits_t = Linear([h_t, z]),  t = 1..T

    c_1 is ``start``. For t > 1, ``feedback`` chooses c_t:

    - ``"argmax"``, as published: the most probable symbol of logits_{t-1}, in training too. All
      logits are then functions of z alone, and the string's distribution is the product of T
      softmaxes, normalised over all V^T strings. ``tokens`` change nothing.
    - ``"teacher"``: the observed symbol x_{t-1}, if ``forward`` gets the strings. The string's
      distribution is then autoregressive, prod_t p(x_t | x_{1:t-1}, z). Without strings the symbols
      come by argmax, which gives the likeliest string symbol by symbol; these logits are not those
      of the distribution. :meth:`sample` draws from the distribution.

    Args:
        in_features: The size of the input, the latent.
        length: The length T of the strings.
        vocab_size: The number V of symbols.
        start: The symbol that is read before the first one.
        hidden: The size of the embedding and of the GRU's states.
        dropout: The probability of dropout between the GRU's layers.
        feedback: The choice of c_t, ``"argmax"`` or ``"teacher"``.

    Shapes:
        features (..., in_features), and tokens that broadcast to (..., T), to logits (..., T, V).

    Raises:
        ValueError: If ``feedback`` is unknown, or tokens have another length.

    Source: Wu & Goodman 2018, arXiv:1802.05335, release: the MultiMNIST string decoder. Differs:
    ``"teacher"`` follows the paper's text, which conditions on characters instead.

    Example:
        >>> import torch
        >>> decoder = StringDecoder(100)
        >>> sum(p.numel() for p in decoder.parameters())
        568612
        >>> decoder(torch.zeros(3, 5, 100)).shape
        torch.Size([3, 5, 4, 12])
    """

    def __init__(
        self,
        in_features: int,
        *,
        length: int = 4,
        vocab_size: int = 12,
        start: int = 10,
        hidden: int = 200,
        dropout: float = 0.1,
        feedback: Literal["argmax", "teacher"] = "argmax",
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.length = length
        self.start = start
        self.feedback = feedback
        self.reads_value = feedback == "teacher"  # asks for the observed strings
        self.embedding = nn.Embedding(vocab_size, hidden)
        self.initial = nn.Linear(in_features, hidden)
        self.gru = nn.GRU(hidden + in_features, hidden, 2, batch_first=True, dropout=dropout)
        self.output = nn.Linear(hidden + in_features, vocab_size)

    def forward(
        self, features: Float[Tensor, "*rows F"], tokens: Integer[Tensor, "... T"] | None = None
    ) -> Float[Tensor, "*rows T V"]:
        """Return the logits of every position."""
        rows, leading = as_rows(features, (self.in_features,), "StringDecoder")
        state = self.initial(rows).repeat(2, 1, 1)  # (2, N, hidden)
        symbols = torch.full((len(rows), 1), self.start, device=rows.device)
        if self.feedback == "teacher" and tokens is not None:
            if tokens.shape[-1:] != (self.length,):
                raise ValueError(
                    f"StringDecoder: expected tokens of shape (..., {self.length}), "
                    f"got {tuple(tokens.shape)}."
                )
            previous = tokens.expand(*leading, self.length).reshape(len(rows), self.length)[:, :-1]
            logits, _ = self._read(torch.cat([symbols, previous], dim=1), rows, state)
        else:
            steps = unroll(self._read, symbols, rows, state, self.length, likeliest)
            logits = torch.cat([step for step, _ in steps], dim=1)
        return logits.reshape(*leading, *logits.shape[1:])

    @torch.no_grad()
    def sample(self, features: Float[Tensor, "*rows F"]) -> Int[Tensor, "*rows T"]:
        """Draw x ~ p(x | z), strings (..., T) int64 from features (..., in_features)."""
        if self.feedback == "argmax":
            return drawn(self(features))
        rows, leading = as_rows(features, (self.in_features,), "StringDecoder")
        state = self.initial(rows).repeat(2, 1, 1)
        symbols = torch.full((len(rows), 1), self.start, device=rows.device)
        steps = unroll(self._read, symbols, rows, state, self.length, drawn)
        return torch.cat([found for _, found in steps], dim=1).reshape(*leading, self.length)

    def _read(self, symbols: Tensor, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (N, t, V) after each of ``symbols`` (N, t), and the last state."""
        context = rows.unsqueeze(1).expand(-1, symbols.shape[1], -1)
        inputs = torch.cat([F.silu(self.embedding(symbols)), context], dim=-1)
        outputs, state = self.gru(inputs, state)
        return self.output(torch.cat([outputs, context], dim=-1)), state


State = TypeVar("State")  # of a recurrent network


def unroll(
    read: Callable[
        [Int[Tensor, "N 1"], Float[Tensor, "N F"], State], tuple[Float[Tensor, "N 1 V"], State]
    ],
    symbols: Int[Tensor, "N 1"],
    rows: Float[Tensor, "N F"],
    state: State,
    length: int,
    choose: Callable[[Float[Tensor, "N 1 V"]], Int[Tensor, "N 1"]],
) -> Iterator[tuple[Float[Tensor, "N 1 V"], Int[Tensor, "N 1"]]]:
    """Yield logits (N, 1, V) and the chosen symbols (N, 1), one position after the other.

    Args:
        read: The function from symbols (N, 1), rows and a state to the logits after the symbols
            and the next state.
        symbols: The start symbols, (N, 1).
        rows: The features to decode, (N, in_features).
        state: The first state.
        length: The number of positions.
        choose: The function from logits to the symbols that are read next, :func:`likeliest` or
            :func:`drawn`.
    """
    for _ in range(length):
        logits, state = read(symbols, rows, state)
        symbols = choose(logits)
        yield logits, symbols


def likeliest(logits: Float[Tensor, "*rows V"]) -> Int[Tensor, "*rows"]:
    """Return the most probable symbol of logits (..., V)."""
    return logits.argmax(dim=-1)


def drawn(logits: Float[Tensor, "*rows V"]) -> Int[Tensor, "*rows"]:
    """Draw a symbol from logits (..., V)."""
    return Categorical(logits).sample()
