"""Pictures of shared and private latents: conditional draws, mixed latents, traversals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.generation import central_value, generate, target_sites
from ppl_mm.measures.latents import draw_latents
from ppl_mm.objectives.weights import model_trace
from ppl_mm.plotting.tiles import Sheet
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["conditional_columns", "shared_private_grid", "traversal"]


@typed
def conditional_columns(
    system: System,
    obs: Observations,
    *,
    num_samples: int = 6,
    sources: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    seed: int = 0,
) -> "Figure":
    """Draw a block for each source: its example on top, and a column of draws of every target.

    Source number i shows row i of ``obs``, modulo their number. Draws are likelihood means.

    Args:
        system: The system, a model and a guide.
        obs: The examples.
        num_samples: The number of draws in a column.
        sources: The modalities to condition on, one at a time; all modalities of ``obs`` by
            default.
        targets: The modalities to generate; all modalities of ``obs`` by default.
        seed: The seed of the draws.

    Raises:
        ValueError: If a row lacks the modality that it should show.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+), figure 1.
    """
    obs = obs.to("cpu")
    sources = tuple(obs.names if sources is None else sources)
    system.check(obs)
    targets = tuple(obs.names if targets is None else targets)
    if not targets:
        raise ValueError("conditional_columns: expected one target at least, got none.")
    shown = tuple(dict.fromkeys((*sources, *targets)))
    examples = {n: obs[n] for n in shown}
    sheet = Sheet(system.modalities, [(n,) for n in shown], examples, truth=obs)
    left, block = 0.0, sum(sheet.widths[(t,)] for t in targets)
    for i, source in enumerate(sources):
        row = obs[i % len(obs)]
        if not bool(row.present[source]):
            raise ValueError(f"modality {source!r}: row {i % len(obs)} lacks it; choose others.")
        drawn = generate(system, row, targets, num_samples, given=source, mean=True, seed=seed)
        sheet.heading(left, block, source)
        sheet.tile((source,), left, 0, {source: row[source][0]}, given=(source,))
        x = left
        for target in targets:
            for k, value in enumerate(drawn[target][:, 0].cpu()):
                sheet.tile((target,), x, k + 1, {target: value})
            x += sheet.widths[(target,)]
        left += max(block, sheet.widths[(source,)]) + 0.4
    return sheet.figure("blue frame: given      below: draws of every modality, one a row")


@typed
def shared_private_grid(
    system: System,
    shared: Observations,
    private: Observations,
    *,
    source: str,
    target: str,
    mean: bool = False,
    seed: int = 0,
) -> "Figure":
    """The target decoded from u of one input and w of another: rows share u, columns share w.

    Args:
        system: A model and a guide with sites ``u`` and ``w_<target>``.
        shared: Inputs that give u by their modality ``source``, one a row of the grid.
        private: Inputs that give w by their modality ``target``, one a column.
        source: The modality that u is drawn from.
        target: The modality that is decoded.
        mean: Whether u and w are posterior means, and not draws.
        seed: The seed of the draws.

    Raises:
        ValueError: If the guide has no such sites.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+), figures 8 and 9.
    """
    site = f"w_{target}"
    from_rows = draw_latents(system, shared, (source,), mean=mean, seed=seed)
    from_columns = draw_latents(system, private, (target,), mean=mean, seed=seed + 1)
    for name in ("u", site):
        if name not in from_rows:
            raise ValueError(unknown_name("latent site", name, from_rows))
    num_rows, num_columns = len(shared), len(private)
    latents = {n: x.repeat_interleave(num_columns, 0) for n, x in from_rows.items()}
    latents[site] = from_columns[site].repeat(num_rows, 1)
    decoded = _decode(system, latents, (target,))[target].unflatten(0, (num_rows, num_columns))
    shared, private = shared.to("cpu"), private.to("cpu")
    examples = {source: shared[source], target: private[target]}
    tiles = [(n,) for n in examples]
    sheet = Sheet(system.modalities, tiles, examples, truth=private)
    left, width = sheet.widths[(source,)] + 0.2, sheet.widths[(target,)]
    for column in range(num_columns):
        x = left + column * width
        sheet.tile((target,), x, 0, {target: private[target][column]}, given=(target,))
        for row in range(num_rows):
            sheet.tile((target,), x, row + 1, {target: decoded[row, column]})
    for row in range(num_rows):
        sheet.tile((source,), 0.0, row + 1, {source: shared[source][row]}, given=(source,))
    return sheet.figure(f"{target} with u of the left {source} and w of the {target} above")


@typed
def traversal(
    system: System,
    obs: Observations,
    site: str,
    dims: Sequence[int] | None = None,
    *,
    given: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    steps: int = 7,
    span: float = 5.0,
) -> "Figure":
    """Decode a row's latents with one coordinate moved from -span to span: a row a coordinate.

    The unit is the standard deviation of the site's prior, sqrt(2) for Laplace(0, 1). The other
    coordinates keep their posterior means, or their prior means if nothing is given of a private
    latent's modality.

    Args:
        system: The system, a model and a guide.
        obs: The one row to start from; ``Observations.blank(1)`` for the prior's mean.
        site: ``z``, ``u`` or ``w_<modality>``.
        dims: The coordinates; the first five by default.
        given: The modalities that the row's latents are given; None is all that it has.
        targets: The modalities to decode, side by side; all modalities by default, for
            ``w_<modality>`` that one.
        steps: The values of the coordinate.
        span: The largest distance from 0, in standard deviations of the prior.

    Raises:
        ValueError: For more rows than one, or an unknown site or coordinate.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+), latent traversals over 5 sigma. Differs: its
    text takes sigma = 1 for Laplace(0, 1), and its code draws the private latents.
    """
    if len(obs) != 1:
        raise ValueError(f"expected one row to start from, got {len(obs)}; choose one, obs[0].")
    start = draw_latents(system, obs, given, mean=True)
    if site not in start:
        raise ValueError(unknown_name("latent site", site, start))
    size = start[site].shape[-1]
    dims = tuple(range(min(5, size)) if dims is None else dims)
    if not dims or not all(0 <= d < size for d in dims):
        raise ValueError(
            f"dims: expected coordinates of {site!r} from 0 to {size - 1}, got {dims}."
        )
    if targets is None:
        targets = (site[2:],) if site.startswith("w_") else [m.name for m in system.modalities]
    latents = {n: x.repeat(len(dims) * steps, 1) for n, x in start.items()}
    along = torch.linspace(-span, span, steps).to(start[site])
    moved = latents[site].unflatten(0, (len(dims), steps)).clone()
    for i, dim in enumerate(dims):
        moved[i, :, dim] = along * _prior_scale(system, site)[dim]
    latents[site] = moved.flatten(0, 1)
    decoded = _decode(system, latents, targets)
    sheet = Sheet(system.modalities, [(t,) for t in targets], decoded, truth=obs)
    left = 0.0
    for target in targets:
        width = sheet.widths[(target,)]
        sheet.heading(left, steps * width, target)
        for i, value in enumerate(decoded[target]):
            row, step = divmod(i, steps)
            sheet.tile((target,), left + step * width, row, {target: value})
        left += steps * width + 0.4
    which = ", ".join(map(str, dims))
    return sheet.figure(f"{site}[{which}] from -{span:g} to {span:g} prior standard deviations")


def _decode(
    system: System, latents: Mapping[str, Tensor], targets: Sequence[str]
) -> dict[str, Tensor]:
    """Likelihood means of the targets, (N, *event) on the CPU, at latents (N, D)."""
    num = len(next(iter(latents.values())))
    placed = {n: x[None, None] for n, x in latents.items()}  # particles, no strata, rows
    with evaluating(system, seed=0):
        sites = target_sites(system.model, Observations.blank(num), targets, placed, 1)
        return {n: central_value(site["fn"])[0, 0].cpu() for n, site in sites.items()}


def _prior_scale(system: System, site: str) -> Tensor:
    """Standard deviation of the model's prior at a site, (D,)."""
    names = frozenset(m.name for m in system.modalities)
    with evaluating(system, seed=0):
        p = model_trace(system.model, Observations.blank(1), names)
    scale: Tensor = p.nodes[site]["fn"].stddev
    return scale.reshape(-1, scale.shape[-1])[0]
