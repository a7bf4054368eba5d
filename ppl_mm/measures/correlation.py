"""Canonical correlation: do two modalities belong together, as training pairs do?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self, Unpack

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.generation import GenerationOptions
from ppl_mm.measures.readings import as_subsets, generations
from ppl_mm.programs.answerable import check_held, conditioned_on
from ppl_mm.results.by_subset import Subset
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.systems import System

__all__ = ["CanonicalCorrelation", "Correlation", "correlation"]

Embedding = Callable[[Tensor], Tensor]
"""From values (B, *event_shape) to features (B, D)."""
Pair = tuple[str, str]


@dataclass(frozen=True)
class CanonicalCorrelation(Result):
    r"""Linear maps W_1, W_2 in whose coordinates the pairs of a training set correlate most.

        W_v  =  S_vv^{-1/2} U_v[:, :k],     U_1 diag(rho) U_2^T  the SVD of
                                            S_11^{-1/2} S_12 S_22^{-1/2}

    with the covariances S of centred training features, so each coordinate has variance 1 and
    correlates with its partner alone, by rho. The score of a pair is the cosine of
    W_1^T (x_1 - mu_1) and W_2^T (x_2 - mu_2): near 1 for pairs like those of training, near 0 on
    average for unrelated ones. A generated feature or caption is scored with the real partner it
    was generated from; what real pairs score is the reference.

    Attributes:
        means: mu_1 and mu_2, (D_1,) and (D_2,).
        maps: W_1 and W_2, (D_1, k) and (D_2, k).
        correlations: rho, (k,), largest first, on the training pairs.

    Source: Massiceti et al. 2018, arXiv:1812.00235, as in Shi et al. 2019, arXiv:1911.03393
    (k = 40, ResNet features against averaged word vectors). Differs: directions without variance
    are left out, where the source adds 1e-12 to all variances; coordinates have variance 1.

    Example:
        >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        >>> found = CanonicalCorrelation.fit(x, x @ torch.randn(3, 5), 3)
        >>> [round(r, 3) for r in found.correlations.tolist()]
        [1.0, 1.0, 1.0]
    """

    means: tuple[Tensor, Tensor]
    maps: tuple[Tensor, Tensor]
    correlations: Tensor

    def numbers(self) -> Iterator[Number]:
        """The correlations on the training pairs."""
        for i, rho in enumerate(self.correlations.tolist()):
            yield number("canonical correlation", rho, component=i)

    @classmethod
    def fit(
        cls, first: Float[Tensor, "N D_1"], second: Float[Tensor, "N D_2"], num_components: int
    ) -> Self:
        """The maps of training pairs.

        Args:
            first: x_1, (N, D_1).
            second: x_2, (N, D_2), row by row.
            num_components: k, at most the smaller rank of the two.

        Raises:
            ValueError: For features that are no pairs of finite vectors, or if a view has fewer
                than k independent features.
        """
        _check_pairs(first, second)
        check_at_least_one("num_components", num_components)
        views = [x.detach().cpu().double() for x in (first, second)]
        means = [x.mean(0) for x in views]
        centred = [x - m for x, m in zip(views, means, strict=True)]
        roots = [_inverse_root(x) for x in centred]
        rank = min(root.shape[1] for root in roots)
        if rank < num_components:
            raise ValueError(
                f"num_components: {num_components} asked for, but the smaller view has only "
                f"{rank} independent features in {len(first)} rows."
            )
        whitened = [x @ root for x, root in zip(centred, roots, strict=True)]
        left, rho, right = torch.linalg.svd(whitened[0].T @ whitened[1] / (len(first) - 1))
        turns = (left[:, :num_components], right.T[:, :num_components])
        first_map, second_map = (root @ turn for root, turn in zip(roots, turns, strict=True))
        return cls((means[0], means[1]), (first_map, second_map), rho[:num_components])

    def score(
        self, first: Float[Tensor, "N D_1"], second: Float[Tensor, "N D_2"]
    ) -> Float[Tensor, " N"]:
        """The cosine of each pair's coordinates, (N,), between -1 and 1.

        Raises:
            ValueError: For features that are no pairs of finite vectors of the training's sizes.
        """
        _check_pairs(first, second)
        for x, mean in zip((first, second), self.means, strict=True):
            if x.shape[1:] != mean.shape:
                raise ValueError(
                    f"expected features of size {len(mean)}, got {tuple(x.shape[1:])}."
                )
        a, b = (
            (x.detach().cpu().double() - mean) @ turn
            for x, mean, turn in zip((first, second), self.means, self.maps, strict=True)
        )
        return cosine_similarity(a, b)

    def mean_score(self, first: Float[Tensor, "N D_1"], second: Float[Tensor, "N D_2"]) -> Estimate:
        """The mean score of pairs, with the standard error over them."""
        return Estimate.of(self.score(first, second))


@dataclass(frozen=True)
class Correlation(Result):
    """Scores of pairs, see :func:`correlation`. Standard errors are over rows.

    Attributes:
        subsets: The S subsets that were given and so are real; what a pair has beyond it is
            generated.
        pairs: The P pairs of modalities that are compared.
        scores: The cosines, (S, P, N).
    """

    subsets: tuple[Subset, ...]
    pairs: tuple[Pair, ...]
    scores: Tensor

    def cell(self, given: str | Sequence[str], pair: Pair) -> Estimate:
        """The mean score of one pair, with ``given`` real, between -1 and 1."""
        subset = (given,) if isinstance(given, str) else tuple(given)
        return Estimate.of(self.scores[self.subsets.index(subset), self.pairs.index(pair)])

    def numbers(self) -> Iterator[Number]:
        """Every pair from every subset; ``generated`` says which of the pair are not real."""
        for subset in self.subsets:
            for pair in self.pairs:
                made = " + ".join(n for n in pair if n not in subset) or "nothing"
                told = " and ".join(pair)
                yield number("correlation", self.cell(subset, pair), subset, told, generated=made)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON, an estimate as [value, standard error]."""
        return {
            "given": [list(s) for s in self.subsets],
            "pairs": [list(p) for p in self.pairs],
            "cells": [[self.cell(s, p).to_list() for p in self.pairs] for s in self.subsets],
        }


@typed
def correlation(
    system: System,
    train: Observations,
    test: Observations,
    embeddings: Mapping[str, Embedding],
    subsets: Sequence[str | Sequence[str]] | None = None,
    *,
    num_components: int = 40,
    batch_size: int = 500,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> Correlation:
    """The canonical correlation of generated modalities with the others.

    For each pair of the embedded modalities a :class:`CanonicalCorrelation` is fitted to the real
    training pairs; the score of a test pair is its cosine there. Given S, a modality of the pair
    that is in S is the real one, and the others are generated from S: the likelihoods' means, or
    their likeliest symbols, at one draw of the latents for each row. With an image and a caption:

        S = image             caption from image, scored with that image
        S = caption           image from caption, scored with that caption
        S = nothing           both drawn together from the prior
        S = image + caption   nothing generated: the score of real pairs, to compare with

    Values depend on the embeddings: compare systems by the same ones, and with the real pairs.

    Args:
        system: The system, a model and a guide.
        train: The real rows; a pair learns from those that hold both of its modalities.
        test: The rows to generate from, which hold all that is given.
        embeddings: Modality -> function from values (B, *event) to features (B, D): of text such
            as :class:`SentenceEmbedding`; of images ``partial(features_of, classifier)``; of
            features themselves ``lambda x: x.flatten(1)``. At least two.
        subsets: The subsets to give; None is nothing, each of these modalities alone, and all, as
            far as they hold what the model conditions on.
        num_components: The number k of components of the canonical correlation.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`, such as ``private`` and ``alpha``.

    Raises:
        ValueError: If some test row lacks what it should be given, fewer than two modalities have
            embeddings, or their features have fewer than k independent ones.

    Source: Massiceti et al. 2018, arXiv:1812.00235; Shi et al. 2019, arXiv:1911.03393 (k = 40);
    Joy et al. 2022 (MEME), arXiv:2106.12570, table 5.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits").without_label()
        >>> system = systems.mvae(digits.modalities, 4)
        >>> flat = {name: lambda x: x.flatten(1) for name in ("top", "bottom")}
        >>> found = correlation(system, digits.train, digits.test, flat, num_components=5)
        >>> real = found.cell(("top", "bottom"), ("top", "bottom")).value
        >>> real > found.cell("top", ("top", "bottom")).value  # untrained
        True
    """
    system.check(train)
    system.check(test)
    names = tuple(embeddings)
    if len(names) < 2:
        raise ValueError(f"embeddings: expected at least two modalities, got {len(names)}.")
    check_held(train, names, "modality to embed")
    if subsets is None:
        fixed = conditioned_on(system.model)
        subsets = [s for s in ((), *((n,) for n in names), names) if set(fixed) <= set(s)]
    chosen, pairs = as_subsets(test, subsets), tuple(combinations(names, 2))
    fitted = [_fit(train, embeddings, pair, num_components) for pair in pairs]
    scores = []
    for subset in chosen:
        made = tuple(n for n in names if n not in subset)
        features = {n: embeddings[n](test[n]) for n in names if n in subset}
        if made:
            drawn = generations(
                system, test, made, [subset], batch_size=batch_size, seed=seed, **options
            )
            parts = [{n: embeddings[n](x[n]) for n in made} for _, x in drawn]
            features |= {n: torch.cat([part[n] for part in parts]) for n in made}
        both = [(features[a], features[b]) for a, b in pairs]
        scores.append(torch.stack([f.score(a, b) for f, (a, b) in zip(fitted, both, strict=True)]))
    return Correlation(chosen, pairs, torch.stack(scores))


def _inverse_root(centred: Tensor) -> Tensor:
    """S^{-1/2} of the covariance, (D, rank), as principal axes over their deviations."""
    values, axes = torch.linalg.eigh(centred.T @ centred / (len(centred) - 1))
    kept = values > 1e-10 * values.amax()
    return axes[:, kept] / values[kept].sqrt()


def _check_pairs(first: Tensor, second: Tensor) -> None:
    if first.dim() != 2 or second.dim() != 2 or len(first) != len(second) or len(first) < 2:
        raise ValueError(
            "expected two matrices of features with a row for each of at least two pairs, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    for which, x in (("first", first), ("second", second)):
        if not bool(x.isfinite().all()):
            raise ValueError(f"the {which} features hold values that are not finite.")


def _fit(
    train: Observations, embeddings: Mapping[str, Embedding], pair: Pair, num_components: int
) -> CanonicalCorrelation:
    held = train.held_whole(pair[0]) & train.held_whole(pair[1])
    first, second = (embeddings[n](train[n][held]) for n in pair)
    return CanonicalCorrelation.fit(first, second, num_components)
