"""Distances between unimodal posteriors: does the latent space know which rows belong together?

    d_ij  =  W_2( q(z | x_a^i), q(z | x_b^j) )

The latent is ``z``, or ``u`` where there are private ones too. Latent spaces have no common unit:
compare systems by the AUROC of d, not by d.

Source: Joy et al. 2022 (MEME), arXiv:2106.12570, section 4.2 and figures 8 and 9.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ppl_mm.arguments.tensors import Matrix
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.coordinates import posterior_coordinates
from ppl_mm.measures.readings import as_subsets
from ppl_mm.oracles.outputs import checked_labels
from ppl_mm.results.relatedness import Relatedness
from ppl_mm.systems import System

__all__ = ["relatedness", "wasserstein_distances"]


@typed
def wasserstein_distances(
    mean_a: Matrix, std_a: Matrix, mean_b: Matrix, std_b: Matrix
) -> Float[Tensor, "N_a N_b"]:
    """The 2-Wasserstein distance of every pair of distributions with independent coordinates.

        d_ij^2  =  | mean_a^i - mean_b^j |^2  +  | std_a^i - std_b^j |^2

    It is exact where all coordinates are of one family that location and scale move, such as the
    Normals or the Laplaces: a quantile of one is then mean + std * (that of the standard one).
    Differences are squared and summed as they are, so equal distributions are at distance 0.

    Args:
        mean_a: (N_a, D).
        std_a: Standard deviations, (N_a, D); for Laplace sqrt(2) times the scale.
        mean_b: (N_b, D).
        std_b: (N_b, D).

    Returns:
        Distances, (N_a, N_b), in the unit of the latents.

    Raises:
        ValueError: For shapes that do not fit, or numbers that are not finite.

    Source: Dowson & Landau 1982. Joy et al. 2022 (MEME), appendix E, prints |mean_a + mean_b|^2.

    Example:
        >>> zero, there = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]])
        >>> one, other = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 2.0], [1.0, 2.0]])
        >>> wasserstein_distances(zero, one, there, other).square()
        tensor([[26.,  0.]])
    """
    given = {"mean_a": mean_a, "std_a": std_a, "mean_b": mean_b, "std_b": std_b}
    alike = mean_a.shape == std_a.shape and mean_b.shape == std_b.shape
    if not alike or mean_a.shape[1] != mean_b.shape[1]:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in given.items())
        raise ValueError(
            "wasserstein_distances: expected means (N, D) with standard deviations of the same "
            f"shape, and one D, got {shapes}."
        )
    points = torch.cat([mean_a, std_a], -1), torch.cat([mean_b, std_b], -1)
    return torch.cdist(*points, compute_mode="donot_use_mm_for_euclid_dist")


@typed
def relatedness(
    system: System,
    obs: Observations,
    first: str | Sequence[str],
    second: str | Sequence[str],
    labels: Integer[Tensor, " N"] | None = None,
    *,
    site: str | None = None,
    num_rows: int | None = 2000,
    batch_size: int = 500,
    seed: int = 0,
) -> Relatedness:
    """Distances between q(z | x_first) of every row and q(z | x_second) of every row.

    Args:
        system: The system, a model and a guide.
        obs: The rows, which hold both.
        first: A modality, or several; where the guide has no single distribution for several,
            as mixtures have none, that is refused.
        second: Another.
        labels: The rows' classes, (N,); rows of class -1, which have none, are left out. None
            relates rows to themselves alone.
        site: The latent; None is ``u`` of guides that have it, else ``z``.
        num_rows: The most rows to compare, chosen at random; None for all. All pairs are kept:
            n rows take 8 n^2 bytes, 32 MB for 2000 and 0.8 GB for 10,000.
        batch_size: The number of rows that are encoded at a time.
        seed: The seed of the choice of rows.

    Raises:
        ValueError: If some row lacks what it should be given, the labels do not fit, fewer than
            two rows or classes are left, the guide has no such site, or a conditional model
            conditions on more.
        TypeError: For posteriors that are not all Normal, or all Laplace, in independent
            coordinates.

    Source: Joy et al. 2022 (MEME), section 4.2. Differs: it compares the rows of each batch; the
    AUROC is ours, as is the choice of rows.

    Example:
        >>> from ppl_mm import data, systems
        >>> test = data.load("digits").test
        >>> system = systems.mvae(data.load("digits").modalities, 4)
        >>> found = relatedness(system, test, "top", "bottom", test["label"], num_rows=100)
        >>> found.distances.shape, found.matrix().shape
        (torch.Size([100, 100]), torch.Size([10, 10]))
        >>> 0.0 <= found.auroc("class").value <= 1.0
        True
    """
    labels = None if labels is None else checked_labels(labels, len(obs))
    known = torch.ones(len(obs), dtype=torch.bool) if labels is None else labels >= 0
    rows = known.nonzero().squeeze(-1)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    rows = rows[order[:num_rows].sort().values]
    kept = None if labels is None else labels[rows]
    if len(rows) < 2 or (kept is not None and len(kept.unique()) < 2):
        raise ValueError(
            "relatedness: expected at least two rows and, with labels, two classes to compare, "
            f"got {len(rows)} rows" + ("." if kept is None else f" of {len(kept.unique())}.")
        )
    chosen = obs[rows]
    system.check(chosen)
    a, b = as_subsets(chosen, (first, second))
    of_a, of_b = (
        posterior_coordinates(system, chosen, subset, site, batch_size=batch_size, seed=seed)
        for subset in (a, b)
    )
    if type(of_a) is not type(of_b):
        raise TypeError(
            f"expected posteriors of one family, got {type(of_a).__name__} given {' + '.join(a)} "
            f"and {type(of_b).__name__} given {' + '.join(b)}."
        )
    distances = wasserstein_distances(of_a.mean, of_a.stddev, of_b.mean, of_b.stddev)
    return Relatedness((a, b), distances, kept)
