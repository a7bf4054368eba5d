"""Recurrent encoder and decoder of sentences: words, an end, and padding up to T symbols out of V.

The symbols are those of :mod:`ppl_mm.data.vocabulary`: 0 is an unknown word, 1 is padding, 2 is
the end.
"""

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.layers import Encoder, Features, as_rows
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.networks.text import drawn, likeliest, unroll

__all__ = ["SentenceDecoder", "SentenceEncoder", "SentenceFeatures"]

_UNKNOWN, _PAD, _END = 0, 1, 2


@typed
class SentenceFeatures(Features):
    """Features of a sentence: the state of an LSTM after its last symbol before the padding.

        features = h_n,   h_t = LSTM(Embedding(x_t), h_{t-1}),   n the symbols before the padding

    Args:
        length: The length T of the sentences with padding; the amount of padding changes nothing.
        vocab_size: The number V of symbols.
        embedding: The size of a word's embedding.
        hidden: The size of the LSTM's state.

    Shapes:
        integer sentences (..., T) to (..., hidden).

    Example:
        >>> features = SentenceFeatures(length=5, vocab_size=9, embedding=4, hidden=6)
        >>> features(torch.tensor([[3, 8, 2, 1, 1]])).shape
        torch.Size([1, 6])
    """

    def __init__(
        self,
        *,
        length: int = 70,
        vocab_size: int = 10_000,
        embedding: int = 256,
        hidden: int = 512,
    ) -> None:
        super().__init__()
        self.length = length
        self.out_features = hidden
        self.embedding = nn.Embedding(vocab_size, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)

    def forward(self, tokens: Integer[Tensor, "*rows T"]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        rows, leading = as_rows(tokens, (self.length,), "SentenceFeatures")
        states, _ = self.lstm(self.embedding(rows))  # (N, T, hidden)
        last = (rows != _PAD).sum(1).clamp(min=1) - 1
        at_last = last[:, None, None].expand(-1, 1, self.out_features)
        return states.gather(1, at_last).reshape(*leading, self.out_features)


@typed
class SentenceEncoder(Encoder):
    """A Gaussian expert q(z | x) of a sentence: the last state of an LSTM, then one linear layer.

    Args:
        latent_dim: The size D of the latent.
        length, vocab_size, embedding, hidden: The options of :class:`SentenceFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        integer sentences (..., T) to loc and scale, each (..., D).

    Source: Bowman et al. 2016, "Generating sentences from a continuous space", arXiv:1511.06349,
    section 3.

    Example:
        >>> encoder = SentenceEncoder(3, length=5, vocab_size=9, embedding=4, hidden=6)
        >>> encoder(torch.tensor([[3, 8, 2, 1, 1]]))[0].shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        length: int = 70,
        vocab_size: int = 10_000,
        embedding: int = 256,
        hidden: int = 512,
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = SentenceFeatures(
            length=length, vocab_size=vocab_size, embedding=embedding, hidden=hidden
        )
        super().__init__(latent_dim, features, scale, min_scale)


@typed
class SentenceDecoder(nn.Module):
    """Logits of a sentence's symbols from z, by an LSTM that reads the symbol before.

        (h_0, c_0) = Linear(z)
        h_t = LSTM([Embedding(x_{t-1}), z], h_{t-1}),   logits_t = Linear(h_t),   t = 1..T

    x_0 is an additional symbol, the start. Padding has probability one after the end and zero
    before, so that

        p(x | z) = prod_{t=1..T} softmax(logits_t)[x_t]

    is normalised over all V^T sequences, and the padding adds exactly nothing to log p(x | z).

    ``forward`` with the sentences gives these logits. In training it reads each word, except the
    start, as an unknown one with probability ``word_dropout``, so that z has to tell more. Without
    sentences it reads the likeliest symbol in place of x_{t-1}, which gives the likeliest sentence
    word by word; these logits are not those of the distribution. :meth:`sample` draws from the
    distribution.

    Args:
        in_features: The size of the input, the latent.
        length: The length T of the sentences.
        vocab_size: The number V of symbols.
        embedding: The size of a word's embedding.
        hidden: The size of the LSTM's state.
        word_dropout: The probability of reading a word as an unknown one, 0 to 1.

    Shapes:
        features (..., in_features), and tokens that broadcast to (..., T), to logits (..., T, V).

    Raises:
        ValueError: If ``word_dropout`` is outside [0, 1], or tokens have another length.

    Source: Bowman et al. 2016, arXiv:1511.06349, section 3. Differs: z is read at every step too,
    which made little difference in their trials.

    Example:
        >>> decoder = SentenceDecoder(3, length=5, vocab_size=9, embedding=4, hidden=6).eval()
        >>> sentences = torch.tensor([[3, 8, 2, 1, 1], [4, 2, 1, 1, 1]])
        >>> decoder(torch.zeros(2, 3), sentences).shape, decoder.sample(torch.zeros(2, 3)).shape
        (torch.Size([2, 5, 9]), torch.Size([2, 5]))
    """

    reads_value = True  # asks for the observed sentences

    def __init__(
        self,
        in_features: int,
        *,
        length: int = 70,
        vocab_size: int = 10_000,
        embedding: int = 256,
        hidden: int = 512,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= word_dropout <= 1:
            raise ValueError(
                f"SentenceDecoder: expected word_dropout from 0 to 1, got {word_dropout}."
            )
        self.in_features = in_features
        self.length = length
        self.start = vocab_size
        self.word_dropout = word_dropout
        self.embedding = nn.Embedding(vocab_size + 1, embedding)
        self.initial = nn.Linear(in_features, 2 * hidden)
        self.lstm = nn.LSTM(embedding + in_features, hidden, batch_first=True)
        self.output = nn.Linear(hidden, vocab_size)

    def forward(
        self, features: Float[Tensor, "*rows F"], tokens: Integer[Tensor, "*#rows T"] | None = None
    ) -> Float[Tensor, "*rows T V"]:
        """Return the logits of every position."""
        rows, leading = as_rows(features, (self.in_features,), "SentenceDecoder")
        start = torch.full((len(rows), 1), self.start, device=rows.device)
        if tokens is None:
            steps = unroll(self._read, start, rows, self._initial(rows), self.length, likeliest)
            logits = torch.cat([step for step, _ in steps], dim=1)
        else:
            if tokens.shape[-1:] != (self.length,):
                raise ValueError(
                    f"SentenceDecoder: expected tokens of shape (..., {self.length}), "
                    f"got {tuple(tokens.shape)}."
                )
            observed = tokens.expand(*leading, self.length).reshape(len(rows), self.length)
            before = torch.cat([start, observed[:, :-1]], dim=1)
            logits, _ = self._read(before, rows, self._initial(rows))
        return logits.reshape(*leading, *logits.shape[1:])

    @torch.no_grad()
    def sample(self, features: Float[Tensor, "*rows F"]) -> Int[Tensor, "*rows T"]:
        """Draw x ~ p(x | z), sentences (..., T) int64 from features (..., in_features)."""
        rows, leading = as_rows(features, (self.in_features,), "SentenceDecoder")
        start = torch.full((len(rows), 1), self.start, device=rows.device)
        steps = unroll(self._read, start, rows, self._initial(rows), self.length, drawn)
        return torch.cat([found for _, found in steps], dim=1).reshape(*leading, self.length)

    def _initial(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        h, c = self.initial(rows).unsqueeze(0).chunk(2, dim=-1)  # (1, N, hidden) each
        return h.contiguous(), c.contiguous()

    def _read(
        self, symbols: Tensor, rows: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the logits (N, t, V) after each of ``symbols`` (N, t), and the last state."""
        context = rows.unsqueeze(1).expand(-1, symbols.shape[1], -1)
        inputs = torch.cat([self.embedding(self._read_as(symbols)), context], dim=-1)
        states, state = self.lstm(inputs, state)
        logits = self.output(states)
        ended = (symbols == _END) | (symbols == _PAD)
        is_padding = torch.arange(logits.shape[-1], device=logits.device) == _PAD
        return logits.masked_fill_(ended.unsqueeze(-1) != is_padding, -torch.inf), state

    def _read_as(self, symbols: Tensor) -> Tensor:
        """Return the symbols; in training, random words among them become unknown."""
        if not self.training or self.word_dropout == 0:
            return symbols
        forgotten = torch.rand(symbols.shape, device=symbols.device) < self.word_dropout
        return symbols.masked_fill(forgotten & (symbols != self.start), _UNKNOWN)
