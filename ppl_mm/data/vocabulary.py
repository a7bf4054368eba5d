"""Vocabularies: the symbol of each word of captions.

A caption becomes T symbols: those of its first T - 1 words at most, then ``EOS``, then ``PAD`` to
the end. Words are lower-cased, and every punctuation mark is a word.

Source: Shi et al. 2019, arXiv:1911.03393 (MMVAE), release. Differs: a regular expression
finds the words in place of NLTK's rules, which cut "don't" elsewhere.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from ppl_mm.arguments.typed import typed

__all__ = ["EOS", "EXC", "LENGTH", "PAD", "SPECIALS", "Vocabulary", "split_words"]

EXC = 0
"""The symbol of a word that is not in the vocabulary."""
PAD = 1
"""The symbol that fills a caption up to T symbols."""
EOS = 2
"""The symbol after the last word."""
SPECIALS = ("<exc>", "<pad>", "<eos>")
LENGTH = 32
"""The published number T of symbols."""

_WORD = re.compile(r"'?\w+(?:-\w+)*|[^\w\s]")
_MORE_THAN = 3


def split_words(caption: str) -> list[str]:
    """Split a caption into lower-cased words.

    Example:
        >>> split_words("A well-fed bird, it's BLUE.")
        ['a', 'well-fed', 'bird', ',', 'it', "'s", 'blue', '.']
    """
    return _WORD.findall(caption.lower())


@typed
@dataclass(frozen=True)
class Vocabulary:
    """The words that have a symbol of their own.

    Attributes:
        words: Symbol -> word, ``SPECIALS`` first.

    Raises:
        ValueError: If ``words`` does not begin with ``SPECIALS``, or repeats a word.

    Example:
        >>> vocabulary = Vocabulary.of(4 * ["a blue bird"] + ["a rare bird"])
        >>> vocabulary.words
        ('<exc>', '<pad>', '<eos>', 'a', 'blue', 'bird')
        >>> tokens = vocabulary.encode(["A rare bird"], length=6)
        >>> tokens.tolist(), vocabulary.decode(tokens)
        ([[3, 0, 5, 2, 1, 1]], ['a <exc> bird'])
    """

    words: tuple[str, ...]
    _symbols: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.words[: len(SPECIALS)] != SPECIALS or len(set(self.words)) < len(self.words):
            raise ValueError(
                f"Vocabulary: expected the words {', '.join(SPECIALS)} first and none twice, got "
                f"{len(self.words)} words, {', '.join(self.words[:3])} first; see Vocabulary.of."
            )
        object.__setattr__(self, "_symbols", {word: i for i, word in enumerate(self.words)})

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    @typed
    def of(cls, captions: Iterable[str]) -> "Vocabulary":
        """Collect ``SPECIALS`` and the words that occur more than 3 times, by first occurrence."""
        count = Counter(word for caption in captions for word in split_words(caption))
        return cls((*SPECIALS, *(word for word, n in count.items() if n > _MORE_THAN)))

    @typed
    def encode(self, captions: Sequence[str], length: int = LENGTH) -> Int[Tensor, "N {length}"]:
        """Encode captions, cut or filled up to ``length`` = T.

        Returns:
            Symbols (N, T) int64.
        """
        return self.encode_words([split_words(caption) for caption in captions], length)

    @typed
    def encode_words(
        self, sentences: Sequence[Sequence[str]], length: int = LENGTH
    ) -> Int[Tensor, "N {length}"]:
        """Encode sentences that are split into words already; the words are taken as they are.

        Example:
            >>> Vocabulary((*SPECIALS, "we", "We")).encode_words([["We", "are"]], length=4).tolist()
            [[4, 0, 2, 1]]
        """
        tokens = torch.full((len(sentences), length), PAD)
        for row, words in zip(tokens, sentences, strict=True):
            symbols = [self._symbols.get(word, EXC) for word in words[: length - 1]]
            row[: len(symbols) + 1] = torch.tensor([*symbols, EOS])
        return tokens

    @typed
    def decode(self, tokens: Integer[Tensor, "N T"]) -> list[str]:
        """Join the words of each row of symbols (N, T) before its first ``EOS`` with spaces."""
        captions = []
        for symbols in tokens.tolist():
            end = symbols.index(EOS) if EOS in symbols else len(symbols)
            captions.append(" ".join(self.words[i] for i in symbols[:end]))
        return captions
