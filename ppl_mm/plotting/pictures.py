"""Pictures of a trained system, for any number and kind of modalities.

Every function returns a matplotlib ``Figure``; :func:`ppl_mm.plotting.save` writes it as a PNG. The
values of a row's modalities are a row of tiles: images as images, labels, strings and attributes as
text, other vectors as bars. A tile may stack several images, such as the halves of a digit.

The colours are those of Okabe & Ito, which people with any colour vision can tell apart.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.generation import generate
from ppl_mm.measures.latent_sampler import LatentSampler
from ppl_mm.plotting.tiles import Sheet
from ppl_mm.plotting.values import Tiles, Words, rows_of, tiles_of
from ppl_mm.programs.answerable import answerable, conditioned_on
from ppl_mm.results.style import BLUE, ORANGE, PALE
from ppl_mm.systems import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "classes",
    "losses",
    "posterior_means",
    "prior_samples",
    "samples",
]

_CLASSES = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#222222", "#8C564B", "#7F7F7F", "#6A3D9A"),
)


@typed
def losses(history: Sequence[Mapping[str, float]], best_epoch: int | None = None) -> "Figure":
    """The training loss of every epoch, and the validation ELBO if there is one.

    Args:
        history: Rows with ``epoch``, ``loss`` and perhaps ``validation_elbo``, as ``fit`` returns.
        best_epoch: The epoch to mark.
    """
    from ppl_mm.results.picture import Picture

    if not history:
        raise ValueError("losses: expected a history of one epoch at least, got none.")
    curves = [("loss", "training loss (nats per row)", ORANGE)]
    if any("validation_elbo" in row for row in history):
        curves.append(("validation_elbo", "validation ELBO (nats per row)", BLUE))
    figure = Picture(figsize=(4.2 * len(curves), 3.2), layout="constrained")
    for axes, (key, title, colour) in zip(
        np.atleast_1d(figure.subplots(1, len(curves))), curves, strict=True
    ):
        rows = [(row["epoch"], row[key]) for row in history if key in row]
        epochs, values = zip(*rows, strict=True)
        axes.plot(epochs, values, color=colour, marker="o" if len(rows) < 15 else None)
        axes.set(title=title, xlabel="epoch")
        _spare_the_start(axes, values)
        axes.grid(color=PALE)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if key == "validation_elbo" and best_epoch in epochs:
            best = values[epochs.index(best_epoch)]
            axes.plot(best_epoch, best, "o", color="black", clip_on=False)
            late = best_epoch > epochs[-1] / 2
            axes.annotate(
                f"best: {best:.1f} in epoch {best_epoch:g}",
                (best_epoch, best),
                (0, -22),
                textcoords="offset points",
                ha="right" if late else "left",
            )
    return figure


def _spare_the_start(axes: "Axes", values: Sequence[float]) -> None:
    """Cut the axis if the first epochs would flatten the rest of a curve."""
    later = values[len(values) // 20 :]
    low, high = min(later), max(later)
    if len(values) >= 20 and max(values) - min(values) > 2 * (high - low) > 0:
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)


@typed
def prior_samples(
    system: System,
    *,
    tiles: Tiles = (),
    like: Observations | None = None,
    num_samples: int = 40,
    columns: int = 5,
    prior: LatentSampler | None = None,
    words: Words | None = None,
) -> "Figure":
    """Draws from the prior, in a block for each tile; a draw has the same place in every block.

    Args:
        system: The system, a model and a guide.
        tiles: Modalities to stack to one image; each by itself otherwise.
        like: Data to take the range of values from that are not between 0 and 1; the draws' own
            by default. What a model conditions on (CVAE) and the covariates that networks read
            come from its rows, which they then need.
        num_samples: The number of draws.
        columns: The number of draws side by side in a block.
        prior: The distribution that draws the latents in place of the model's prior, see
            :func:`ppl_mm.evaluation.fit_latent_sampler`.
        words: Modality -> how a value reads, such as the name of its class.
    """
    fixed, obs = conditioned_on(system.model), Observations.blank(num_samples, like)
    names = [m.name for m in system.modalities if m.name not in fixed]
    if fixed and like is not None:
        obs = answerable(system.model, like)[:num_samples]
    drawn = generate(system, obs, names, given=fixed, mean=True, prior=prior)
    values = {n: x[0] for n, x in drawn.items()}
    tiles = tiles_of(tiles, names, system.modalities, values)
    sheet = Sheet(system.modalities, tiles, values, truth=like, words=words)
    left = 0.0
    for tile in tiles:
        sheet.write(left + columns * sheet.widths[tile] / 2, -0.2, " + ".join(tile), weight="bold")
        for i in range(len(obs)):
            row, column = divmod(i, columns)
            sheet.tile(
                tile, left + column * sheet.widths[tile], row, {n: x[i] for n, x in values.items()}
            )
        left += columns * sheet.widths[tile] + 0.5
    source = (
        "the prior" if prior is None else f"a {prior.kind.replace('_', ' ')} of posterior means"
    )
    return sheet.figure(f"drawn from {source}: the same place is the same z")


@typed
def samples(
    system: System,
    obs: Observations,
    drawn: Mapping[str, Shaped[Tensor, "K N ..."]],
    given: Sequence[str] = (),
    *,
    tiles: Tiles = (),
    like: Observations | None = None,
    words: Words | None = None,
) -> "Figure":
    """Draws of some modalities given others, in a line for each row, after its truth.

    Args:
        system: The system that drew them.
        obs: The rows; ``Observations.blank(n)`` for draws from the prior. What they do not hold
            has no place before the draws.
        drawn: Modality -> (K, N, *event), as :func:`ppl_mm.generate` returns.
        given: The modalities that the draws were given.
        tiles: Modalities to stack to one image; each by itself otherwise.
        like: Data to take the range of values from that are not between 0 and 1; ``obs`` by
            default.
        words: Modality -> how a value reads, such as a caption's symbols as its words.
    """
    if not drawn:
        raise ValueError("samples: expected drawn values of one modality at least, got none.")
    shown = [m.name for m in system.modalities if m.name in drawn or m.name in given]
    example = {n: drawn[n][0] if n in drawn else obs[n] for n in shown}
    tiles = tiles_of(tiles, shown, system.modalities, example)
    targets = [tile for tile in tiles if any(n in drawn for n in tile)]
    ranges = obs if like is None else like
    sheet = Sheet(system.modalities, tiles, example, truth=ranges, words=words)
    there = {n for n in obs.names if obs.present[n].any()}
    held = [tile for tile in tiles if there.intersection(tile)]
    real = bool(there.intersection(drawn))
    start = sheet.width(held) if held else 0.0
    lefts = [start + k * sheet.width(targets) for k in range(len(next(iter(drawn.values()))))]
    if held:
        sheet.heading(0, sheet.width(held), "truth" if real else "given")
    for k, left in enumerate(lefts):
        sheet.heading(left, sheet.width(targets), f"draw {k + 1}")
    kept = [n for n in given if n not in drawn]
    for row, truth in enumerate(rows_of(obs, shown)):
        if held:
            sheet.cell(0, row, truth, given=given, only=held)
        for k, left in enumerate(lefts):
            values = {n: drawn[n][k, row] if n in drawn else truth[n] for n in shown}
            known = truth if real else None
            sheet.cell(left, row, values, given=kept, truth=known, only=targets)
    if not given:
        return sheet.figure(f"{' + '.join(drawn)} from the prior")
    what = f"{' + '.join(drawn)} given {' + '.join(given)}"
    return sheet.figure(
        f"{what}      blue frame: given" + (f"      {sheet.orange()}" if real else "")
    )


@typed
def posterior_means(
    system: System,
    obs: Observations,
    *,
    label: str | None = None,
    given: Sequence[str] | None = None,
    seed: int = 0,
) -> "Figure":
    """Posterior means of z of every row, in two dimensions (t-SNE), marked by their label.

    The label need not be a modality of the system.

    By default the posterior looks at every modality except the label. It looks at all if the label
    is the only modality, or if the model conditions on something (CVAE); such a model's posterior
    is p(z) for rows that lack a modality.
    """
    from ppl_mm.results.picture import Picture

    alone = [] if conditioned_on(system.model) else [n for n in obs.names if n != label]
    names = list(given or alone or obs.names)
    others = set(obs.names) - {m.name for m in system.modalities}
    with torch.no_grad():
        q = system.posterior(obs.drop(*sorted(others)).to(system).given(*names))
        mean, deviation = q.mean.cpu(), q.stddev.cpu()  # some encode when they are asked
    points, (xlabel, ylabel) = _in_two_dimensions(mean, deviation, seed)
    title = f"posterior means given {' + '.join(names)}"
    if label in obs.names:
        title += f"\neach mark: the {label} of a test row"
    figure = Picture(figsize=(5.6, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    if "t-SNE" in xlabel:
        axes.set(xticks=[], yticks=[])  # only distances mean something
    found = classes(obs, label)
    for value in sorted(set(found)):
        x, y = points[[c == value for c in found]].T
        if value < 0:
            axes.scatter(x, y, s=18, color="#999999")
        else:
            colour = _CLASSES[value % len(_CLASSES)]
            axes.scatter(x, y, s=42, color=colour, marker=f"${value}$", linewidths=0.2)
    return figure


@typed
def classes(obs: Observations, label: str | None) -> list[int]:
    """The class of every row by its label, indices or one-hot; -1 where there is none."""
    if label not in obs.names or label is None:
        return [-1] * len(obs)
    values = obs[label] if obs[label].dim() == 1 else obs[label].argmax(-1)
    return torch.where(obs.present[label], values.long(), -1).tolist()


def _in_two_dimensions(
    loc: Tensor, scale: Tensor, seed: int
) -> tuple[np.ndarray[Any, Any], tuple[str, str]]:
    if loc.shape[1] == 1:
        return torch.cat([loc, scale], 1).numpy(), ("mean of z", "standard deviation of z")
    if loc.shape[1] == 2:
        return loc.numpy(), ("mean of z, dimension 1", "mean of z, dimension 2")
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(loc) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed)
    return tsne.fit_transform(loc.numpy()), ("t-SNE, dimension 1", "t-SNE, dimension 2")
