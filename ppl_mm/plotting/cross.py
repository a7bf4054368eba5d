"""Pictures of each modality generated from the others, beside the truth."""

from typing import TYPE_CHECKING

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.generation import generate
from ppl_mm.plotting.tiles import Sheet
from ppl_mm.plotting.values import Tiles, Words, rows_of, tiles_of
from ppl_mm.programs.answerable import answerable, conditioned_on
from ppl_mm.systems import System

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cross_generation"]

_MOST_SHOWN = 16  # modalities of a cell
_MOST_ALONE = 8  # columns that are given one modality


@typed
def cross_generation(
    system: System,
    obs: Observations,
    *,
    tiles: Tiles = (),
    label: str | None = None,
    like: Observations | None = None,
    words: Words | None = None,
) -> "Figure":
    """Draw generations from each modality alone, from all except the label, and from everything.

    For a model that conditions on some modalities (CVAE): from those, and from everything.

    A label or string that is not the truth is orange. A number, a modality of one real value, has
    its error beside it, and is orange where that exceeds the standard deviation of the rows shown.
    Three or more labels and numbers share tiles.

    The picture is at most 24 inches wide and high, 3,600 pixels as :func:`save` writes it: the
    first 16 modalities are shown, 8 columns of one given modality, and as many rows as fit (33,
    fewer where many labels and numbers share a tile). The note says what is left out.

    Args:
        system: The system, a model and a guide.
        obs: The rows to show. If a row lacks what a column is given, the column shows a prior draw.
            Rows that lack what the model conditions on are left out.
        tiles: The modalities to stack in one tile; by default small ones share a tile.
        label: The modality to leave out in one column.
        like: Data to take the range of values from that are not between 0 and 1; ``obs`` by
            default.
        words: Modality -> how a value reads, such as the name of its class.

    Raises:
        ValueError: For rows that do not fit the system, or none that it can answer.
    """
    fixed, obs = conditioned_on(system.model), answerable(system.model, obs)
    every = [m.name for m in system.modalities if m.name in obs.names]
    subsets: list[tuple[str, ...]] = [(n,) for n in every[:_MOST_ALONE]] if len(every) > 1 else []
    unlabelled = tuple(n for n in every if n != label)
    subsets += [unlabelled] if 1 < len(unlabelled) < len(every) else []
    subsets = [fixed] if fixed else subsets
    names = every[:_MOST_SHOWN]
    targets = [n for n in names if n not in fixed]
    drawn = [generate(system, obs, targets, given=s, mean=True) for s in [*subsets, tuple(every)]]
    example = {n: drawn[-1][n][0] if n in targets else obs[n] for n in names}
    tiles = tiles_of(tiles, names, system.modalities, example)
    sheet = Sheet(
        system.modalities, tiles, example, truth=obs if like is None else like, words=words
    )
    rows = obs[: sheet.rows_that_fit()]
    told = [" + ".join(s) if len(s) < 5 or s == fixed else f"all but {label}" for s in subsets]
    titles = ["truth", *(f"given\n{what}" for what in told), "given\neverything"]
    for column, title in enumerate(titles):
        sheet.heading(column * sheet.width(), sheet.width(), title)
    for row, truth in enumerate(rows_of(rows, names)):
        sheet.cell(0, row, truth)
        for column, (given, values) in enumerate(
            zip([*subsets, fixed], drawn, strict=True), start=1
        ):
            shown = {n: truth[n] if n in given else values[n][0, row] for n in names}
            sheet.cell(column * sheet.width(), row, shown, given=given, truth=truth)
    limits = [("rows", len(obs), len(rows)), ("modalities", len(every), len(names))]
    few = [f"the first {most} of {number} {what}" for what, number, most in limits if number > most]
    return sheet.figure("      ".join(["blue frame: given", sheet.orange(), *few]))
