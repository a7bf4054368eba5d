"""Pictures of MMVAE+ as in its paper: captions and images, resampled private latents, alpha."""

import textwrap
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from ppl_mm import generate, plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import eval_mode
from ppl_mm.data import Vocabulary
from ppl_mm.evaluation import draw_latents
from ppl_mm.experiments import captions
from ppl_mm.experiments.generated import evenly
from ppl_mm.systems import System

__all__ = ["ALPHAS", "alphas", "grid", "of_birds", "of_digits", "resampled", "traversal"]

ALPHAS = tuple(round(0.1 * i, 1) for i in range(1, 31))
"""The factors on the scale of p(w) in figures 20 and 21; each has a column."""
_INCHES = 0.45  # The size of an image.


def grid(
    rows: Sequence[Sequence[Float[Tensor, "C H W"] | None]],
    *,
    columns: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw rows of images (C, H, W), all of one size and with values in [0, 1]; None leaves a gap.

    Example:
        >>> figure = grid([[None, torch.zeros(3, 8, 8)]], columns=["gap", "black"])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['gap', 'black']
    """
    width = max(len(row) for row in rows)
    first = next(image for row in rows for image in row if image is not None)
    height, side = first.shape[-2:]
    gap = max(1, side // 16)
    canvas = torch.ones(3, len(rows) * (height + gap), width * (side + gap))
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            if image is not None:
                y, x = i * (height + gap), j * (side + gap)
                canvas[:, y : y + height, x : x + side] = image.detach().cpu().clamp(0, 1)
    words = textwrap.fill(title, int(width * _INCHES * 10), break_long_words=False)
    right, below = width * _INCHES, len(rows) * _INCHES * height / side
    above = 0.3 + 0.2 * len(words.splitlines())
    figure = Figure(figsize=(right, above + below))
    axes = figure.add_axes((0, 0, 1, below / (above + below)))
    axes.imshow(canvas.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_xticks([(j + 0.5) * (side + gap) for j in range(len(columns))], columns)
    axes.set_yticks([])
    axes.tick_params(top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(words, loc="left", fontsize="medium")
    return figure


def resampled(system: System, obs: Observations, *, num_samples: int = 4, seed: int = 0) -> Figure:
    """Draw figure 18: w_n of every target comes from its auxiliary prior r_n.

    Each modality that is given has a block: its inputs stand above, and below them ``num_samples``
    rows of draws of every other modality, in their order.
    """
    blocks = []
    for source in obs.names:
        others = [n for n in obs.names if n != source]
        drawn = generate(
            system,
            obs,
            others,
            num_samples,
            given=source,
            mean=True,
            private="auxiliary",
            seed=seed,
        )
        rows = [list(obs[source]), *(list(x) for n in others for x in drawn[n])]
        blocks.append(rows)
    together: list[list[Tensor | None]] = []
    for first, *more in zip(*blocks, strict=True):
        together.append([*first, *(image for row in more for image in (None, *row))])
    names = [[n, *([""] * len(obs))] for n in obs.names]  # above a block's first row
    columns = [name for block in names for name in block][:-1]
    return grid(together, columns=columns, title="above: given; below: the others, w from r(w)")


def alphas(
    system: System,
    row: Observations,
    source: str,
    *,
    num_samples: int,
    title: str = "",
    seed: int = 0,
) -> Figure:
    """Draw figures 20 and 21: w_n ~ p_alpha(w), with the scale of p(w) times alpha, by columns.

    The noise of a row of images is the same in all columns, so alpha alone makes the difference.

    Args:
        system: A system with private latents.
        row: One row of data.
        source: The modality that is given; it is shown above if it is an image.
        num_samples: The number of rows of images of every other modality.
        title: The title of the picture.
        seed: The seed of the noise.
    """
    others = [n for n in row.names if n != source]
    columns = []
    for alpha in ALPHAS:
        drawn = generate(
            system, row, others, num_samples, given=source, mean=True, alpha=alpha, seed=seed
        )
        columns.append([x for n in others for x in drawn[n][:, 0]])
    rows: list[list[Tensor | None]] = [list(images) for images in zip(*columns, strict=True)]
    if row[source].dim() == 4:
        rows = [[row[source][0], *(None for _ in ALPHAS[1:])], *rows]
    return grid(rows, columns=[f"{alpha:g}" for alpha in ALPHAS], title=title)


def traversal(
    system: System,
    row: Observations,
    source: str,
    targets: Sequence[str],
    latent: str,
    *,
    steps: int = 7,
    title: str = "",
    seed: int = 0,
) -> Figure:
    """Draw figures 10, 16: a coordinate of u or w moves from -5 to 5 around its value, a column.

    The input stands above if it is an image. The targets have ``steps`` rows each, below one
    another with a gap between them.

    The values are the mean of u given the source, and one draw of every w_n from p(w). The unit is
    the standard deviation of the prior.

    Args:
        system: A system with private latents.
        row: One row of data.
        source: The modality that is given.
        targets: The modalities whose images are shown; their w_n have one size.
        latent: ``u``, or ``w``, which moves w_n of each target.
        steps: The number of rows of images of a target.
        title: The title of the picture.
        seed: The seed of the draws.
    """
    start = draw_latents(system, row.only(source), seed=seed)
    start["u"] = draw_latents(system, row, (source,), mean=True)["u"]
    rows: list[list[Tensor | None]] = []
    if row[source].dim() == 4:
        rows.append([row[source][0]])
    for target in targets:
        rows += [[None]] if target != targets[0] else []
        rows += [list(images) for images in _moved(system, start, target, latent, steps)]
    width = len(rows[-1])
    return grid(rows, columns=[str(d) for d in range(width)], title=title)


def _moved(
    system: System, start: dict[str, Tensor], target: str, latent: str, steps: int
) -> Float[Tensor, "steps D *image"]:
    """Return the target's images as each coordinate of its u or w moves from ``start``."""
    guide: Any = system.guide
    model: Any = system.model
    private = f"w_{target}"
    site, prior = ("u", guide.prior) if latent == "u" else (private, guide.private_priors[target])
    with torch.no_grad(), eval_mode(model):
        unit = prior().stddev.reshape(-1)  # (D,)
        along = torch.linspace(-5, 5, steps).to(unit)
        moved = start | {site: start[site] + along[:, None, None] * unit.diag()}  # (steps, D, D)
        u, w = (x.expand(steps, len(unit), -1) for x in (moved["u"], moved[private]))
        images: Tensor = model.likelihoods[target](
            model.decoders[target](torch.cat([u, w], -1))
        ).mean
    return images


def of_digits(system: System, test: Observations, *, seed: int = 0) -> dict[str, Figure]:
    """Return name -> figure of five images of one digit: figures 10, 18 and 20."""
    source, *targets = test.names
    shown = f"above: {source} given; below: {', '.join(targets)}"
    walks = {
        f"traversal-{latent}": traversal(
            system,
            test[:1],
            source,
            targets,
            latent,
            title=f"{shown}, a coordinate of {latent} a column",
            seed=seed,
        )
        for latent in ("u", "w")
    }
    return walks | {
        "auxiliary": resampled(system, test[:4], seed=seed),
        "alpha": alphas(
            system,
            test[:1],
            source,
            num_samples=2,
            title="the scale of p(w) times",
            seed=seed,
        ),
    }


def of_birds(
    system: System, test: Observations, vocabulary: Vocabulary, *, seed: int = 0
) -> dict[str, Figure]:
    """Return name -> figure of images and captions: 13, 12, 14, 15, and 21, 16 of private latents.

    Args:
        system: A system of ``image`` and ``caption``.
        test: The rows; five of them, evenly spread, are shown.
        vocabulary: The captions' words.
        seed: The seed of the draws.
    """
    words = {"caption": lambda symbols: captions.words(vocabulary, symbols[None])[0]}
    out = {}
    obs, both = test[evenly(len(test), 5)].to("cpu"), ("image", "caption")
    for source, target, number in (("caption", "image", 10), ("image", "caption", 3)):
        drawn = generate(system, obs, target, number, given=source, mean=True, seed=seed)
        figure = plotting.samples(system, obs, drawn, [source], words=words)
        out[f"{target}-given-{source}"] = figure
    for name, targets, rows, number in (("image", "image", 8, 8), ("both", both, 5, 1)):
        nothing = Observations.blank(rows)
        drawn = generate(system, nothing, targets, number, mean=True, seed=seed)
        figure = plotting.samples(system, nothing, drawn, like=test, words=words)
        out[f"{name}-prior"] = figure
    if hasattr(system.guide, "private_dim"):
        told = words["caption"](obs["caption"][0])
        out["alpha"] = alphas(system, obs[:1], "caption", num_samples=10, title=told, seed=seed)
        for latent in ("u", "w"):
            out[f"traversal-{latent}"] = traversal(
                system, obs[:1], "caption", ["image"], latent, title=told, seed=seed
            )
    return out
