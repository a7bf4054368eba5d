"""The page of a comparison: the template ``page.html.j2``, filled with plain data."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from ppl_mm.comparison.curves import curve
from ppl_mm.comparison.facts import duration, facts
from ppl_mm.comparison.paired import first_finished, paired
from ppl_mm.comparison.summary import Block
from ppl_mm.comparison.training import OPTIONAL, PICTURES
from ppl_mm.comparison.trials import Outcome

__all__ = ["page"]

_TEMPLATES = Environment(
    loader=PackageLoader("ppl_mm.comparison", ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"duration": duration, "thousands": "{:,}".format}

_EXPLAINED = {
    "cross_generation": (
        "Cross generation",
        "A held-out row a line: the truth, then what is generated from each modality alone and "
        "from everything. The rows are the same for every system.",
    ),
    "prior_samples": ("Draws from the prior", "The same place in each block is the same draw."),
    "latent": ("Latent space", "Posterior means of held-out rows; only distances mean something."),
    "posterior": (
        "The posterior of one row",
        "The first held-out row in the two latent coordinates that it says most of: contours "
        "around 50 and 90 % of the posterior (blue), of the guide (orange) and of the Laplace "
        "approximation (green), and draws by the refined proposal.",
    ),
    "loss": ("Training", "The training losses of different objectives are not comparable."),
}
"""The title of each picture of a run, and its explanation."""


@dataclass(frozen=True)
class Picture:
    """A picture of the page, as an ``img`` element shows it."""

    base64: str
    width: int
    height: int
    alt: str
    caption: str = ""


def page(outcomes: Sequence[Outcome], blocks: Sequence[Block], command: str) -> str:
    """Return the whole page.

    Args:
        outcomes: The outcomes of all trials.
        blocks: Their summary.
        command: The command that repeats the comparison.
    """
    systems = dict.fromkeys(o.trial.config.system for o in outcomes)
    return _TEMPLATES.get_template("page.html.j2").render(
        title=f"{', '.join(systems)} on {outcomes[0].trial.dataset.name}",
        command=command,
        outcomes=outcomes,
        facts=facts(outcomes),
        blocks=blocks,
        curves=_curves(blocks) if len(blocks) > 1 else [],
        paired={block.missing: paired(block, outcomes) for block in blocks},
        pictures={block.missing: _pictures(block, outcomes) for block in blocks},
    )


def _curves(blocks: Sequence[Block]) -> list[Picture]:
    """Draw every measure against the share of missing values."""
    pictures = []
    for measure in dict.fromkeys(name for block in blocks for name in block.measures):
        numbers = "; ".join(
            f"{b.missing:g} missing: "
            + ", ".join(f"{s} {e.text(b.decimals(measure))}" for s, e in b.row(measure).items())
            for b in blocks
            if b.row(measure)
        )
        buffer = io.BytesIO()
        curve(blocks, measure).savefig(buffer, format="png", dpi=150)
        alt = f"{measure} against the share of missing values. {numbers}."
        pictures.append(_picture(buffer.getvalue(), alt))
    return pictures


def _pictures(block: Block, outcomes: Sequence[Outcome]) -> list[tuple[str, str, list[Picture]]]:
    """Return title, explanation and a picture of each system, from its first finished seed."""
    shown = first_finished(block, outcomes)
    if not shown:
        return []
    found = []
    for name in (*PICTURES[:-1], *OPTIONAL, PICTURES[-1]):
        title, what = _EXPLAINED[name]
        pictures = [
            _picture(
                (outcome.trial.folder / f"{name}.png").read_bytes(),
                f"{title} of {outcome.trial}. {what}",
                f"{system}, seed {outcome.trial.config.seed}",
            )
            for system, outcome in shown.items()
            if (outcome.trial.folder / f"{name}.png").is_file() or name not in OPTIONAL
        ]
        if pictures:
            found.append((title, what, pictures))
    return found


def _picture(png: bytes, alt: str, caption: str = "") -> Picture:
    """Reduce a PNG file to 256 colours."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(256)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    code = base64.b64encode(buffer.getvalue()).decode()
    return Picture(code, picture.width, picture.height, alt, caption)
