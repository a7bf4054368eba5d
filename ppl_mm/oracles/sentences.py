"""Vectors of sentences, made from the training sentences alone.

Word vectors are the largest singular directions of positive pointwise mutual information,

    PPMI_wc  =  max( 0, log  #(w, c) sum_c' #(c')^0.75 / ( #(w) #(c)^0.75 ) ),     v_w = U_w S^(1/2)

where #(w, c) counts how often c is within 3 words of w in a sentence, and #(w) = sum_c #(w, c). A
sentence is the mean of its words, in which frequent words weigh less, without its part along the
first singular direction d of the training sentences:

    v_s  =  (I - d d^T)  1/|s| sum_{w in s} a / (a + p(w)) v_w,      a = 0.001

Source: words Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization", and
Levy, Goldberg & Dagan 2015 (the powers 0.75 and 1/2); sentences Arora, Liang & Ma 2017 (SIF), as
in Shi et al. 2019, arXiv:1911.03393. Differs: the latter's word vectors are FastText's, with the
same window and size; correlations in other vectors have other values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ppl_mm.arguments.tensors import Matrix, Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.data.vocabulary import EOS, PAD

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["SentenceEmbedding"]

_SMOOTHING, _POWER, _A = 0.75, 0.5, 1e-3


@typed
@dataclass(frozen=True)
class SentenceEmbedding:
    """A map from sentences of symbols (N, T) to vectors (N, D), see the module.

    Attributes:
        vectors: The word vectors v_w, (V, D); 0 for a symbol that no training sentence has.
        weights: The weights a / (a + p(w)), (V,).
        direction: The direction d, (D,), of length 1.
        ends: The symbols that end a sentence at the first of them, which is no word itself.

    Example:
        >>> tokens = torch.tensor([[3, 4, 5, 2], [5, 4, 3, 2], [6, 7, 2, 1], [7, 6, 2, 1]])
        >>> embed = SentenceEmbedding.fit(tokens, 8, num_components=3)
        >>> embed(tokens).shape
        torch.Size([4, 3])
        >>> bool((embed(tokens[:2]).diff(dim=0).abs() < 1e-12).all())  # order does not matter
        True
    """

    vectors: Matrix
    weights: Numbers
    direction: Numbers
    ends: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        tokens: Integer[Tensor, "N T"],
        num_symbols: int,
        *,
        num_components: int = 300,
        window: int = 3,
        ends: Sequence[int] = (EOS, PAD),
    ) -> Self:
        """The vectors of training sentences.

        Args:
            tokens: Symbols from 0, (N, T) integers.
            num_symbols: The number V of symbols, such as ``len(dataset.vocabulary)``.
            num_components: The number D of components, below V.
            window: The number of words to each side that are a word's context.
            ends: The symbols of which the first ends a sentence; none where all T are words.

        Raises:
            ValueError: For other tokens, or D that is not below V.
        """
        check_at_least_one("window", window)
        check_at_least_one("num_components", num_components)
        if num_components >= num_symbols:
            raise ValueError(
                f"num_components: expected fewer than the {num_symbols} symbols, got "
                f"{num_components}."
            )
        ends, tokens = tuple(ends), tokens.cpu()
        words = _words(tokens, num_symbols, ends)
        share = torch.bincount(tokens[words], minlength=num_symbols).double()
        share = share / share.sum().clamp(min=1)
        counts = _contexts(tokens, words, num_symbols, window)
        if not counts.nnz:
            raise ValueError("tokens: expected sentences of more than one word, got none.")
        vectors = _singular_vectors(_ppmi(counts), num_components)
        whole = cls(vectors, _A / (_A + share), torch.zeros(num_components).double(), ends)
        direction = torch.linalg.svd(whole(tokens), full_matrices=False)[2][0]
        return cls(vectors, whole.weights, direction, ends)

    def __call__(self, tokens: Integer[Tensor, "N T"]) -> Float[Tensor, "N D"]:
        """The vectors of sentences (N, T), (N, D) in float64 on the CPU; 0 for one of no word."""
        from scipy.sparse import coo_array

        tokens = tokens.cpu()
        words = _words(tokens, len(self.vectors), self.ends)
        row, symbol = words.nonzero()[:, 0], tokens[words]
        share = self.weights[symbol] / words.sum(1)[row]
        bags = coo_array(
            (share.numpy(), (row.numpy(), symbol.numpy())), (len(tokens), len(self.vectors))
        )
        means = torch.from_numpy(bags @ self.vectors.numpy())
        return means - torch.outer(means @ self.direction, self.direction)


def _words(tokens: Tensor, num_symbols: int, ends: tuple[int, ...]) -> Tensor:
    """The symbols that are words, those before the first end, bool (N, T)."""
    if tokens.dim() != 2 or tokens.is_floating_point() or not tokens.numel():
        raise ValueError(
            f"tokens: expected symbols (N, T) as integers, got {tokens.dtype} of shape "
            f"{tuple(tokens.shape)}."
        )
    if int(tokens.min()) < 0 or int(tokens.max()) >= num_symbols:
        raise ValueError(
            f"tokens: expected symbols from 0 to {num_symbols - 1}, got {int(tokens.min())} to "
            f"{int(tokens.max())}."
        )
    return torch.isin(tokens, torch.tensor(ends, dtype=tokens.dtype)).cumsum(1) == 0


def _contexts(tokens: Tensor, words: Tensor, num_symbols: int, window: int) -> "csr_array":
    """#(w, c), a symmetric sparse matrix (V, V)."""
    from scipy.sparse import coo_array

    shape = (num_symbols, num_symbols)
    counts = coo_array(shape).tocsr()
    for step in range(1, min(window, tokens.shape[1] - 1) + 1):
        both = words[:, step:]  # before the first end there are only words
        pair = tokens[:, :-step][both].numpy(), tokens[:, step:][both].numpy()
        counts = counts + coo_array((np.ones(len(pair[0])), pair), shape).tocsr()
    return counts + counts.T


def _ppmi(counts: "csr_array") -> "csr_array":
    """The sparse matrix PPMI_wc."""
    found = counts.tocoo()
    of_word = np.asarray(counts.sum(1)).ravel()
    of_context = of_word**_SMOOTHING
    w, c = found.coords
    pmi = np.log(found.data) + np.log(of_context.sum()) - np.log(of_word[w] * of_context[c])
    found.data = np.maximum(pmi, 0.0)
    return found.tocsr()


def _singular_vectors(matrix: "csr_array", num_components: int) -> Tensor:
    """U S^(1/2), (V, D)."""
    from sklearn.decomposition import TruncatedSVD

    svd = TruncatedSVD(num_components, algorithm="arpack", random_state=0)
    scaled = torch.from_numpy(svd.fit_transform(matrix))  # U S
    values = torch.from_numpy(svd.singular_values_)
    kept = values > 1e-10 * values.amax()
    return torch.where(kept, scaled / values.clamp(min=1e-300) ** (1 - _POWER), 0.0)
