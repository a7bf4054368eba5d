"""A comparison as one HTML page that needs nothing but itself: no script, no link, no font."""

import base64
import io
from collections.abc import Sequence
from datetime import datetime
from html import escape

from matplotlib.figure import Figure
from PIL import Image

from ppl_mm.comparison.cells import Outcome
from ppl_mm.comparison.curves import curve
from ppl_mm.comparison.facts import data_in_words, missing_in_words
from ppl_mm.comparison.style import STYLE
from ppl_mm.comparison.summary import Block, Entry
from ppl_mm.comparison.training import PICTURES

__all__ = ["page"]

_TOLD = {
    "cross_generation": (
        "Cross generation",
        "A held-out row a line: the truth, then what is generated from each modality alone and "
        "from everything. The rows are the same for every system.",
    ),
    "prior_samples": ("Draws from the prior", "The same place in each block is the same draw."),
    "latent": ("Latent space", "Posterior means of held-out rows; only distances mean something."),
    "loss": ("Training", "The training losses of different objectives are not comparable."),
}

_RELIABILITY = (
    "<strong>k &gt; 0.7</strong> is the share of rows whose Pareto k says that their "
    "log-likelihood is off by an unknown amount: log&nbsp;p of something is then too low, and a "
    "conditional, a difference of two, may be too low or too high."
)


def page(
    outcomes: Sequence[Outcome],
    blocks: Sequence[Block],
    command: str,
) -> str:
    """The whole page.

    Args:
        outcomes: Of all cells.
        blocks: Their summary.
        command: What repeats the comparison.
    """
    data = outcomes[0].cell.config.dataset
    systems = list(dict.fromkeys(o.cell.config.system for o in outcomes))
    title = escape(f"{', '.join(systems)} on {data}")
    body = [
        f"<header><h1>{title}</h1>{_state(outcomes)}</header>",
        _section("What was run", _run(outcomes, command)),
        _section("Measures of held-out rows", "".join(map(_block, blocks)), _notes(outcomes)),
        _curves(blocks),
        _section("Pictures", "".join(_pictures(block, outcomes) for block in blocks)),
        _section("Cells", _cells(outcomes)),
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, *parts: str) -> str:
    content = "\n".join(parts)
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>" if content.strip() else ""


def _state(outcomes: Sequence[Outcome]) -> str:
    """How many cells are done, and what failed."""
    done = sum(o.measures is not None for o in outcomes)
    failed = [o for o in outcomes if o.failure is not None]
    text = f"<p>{done} of {len(outcomes)} cells (system, missing share, seed) are done"
    text += f", {len(failed)} failed.</p>" if failed else ".</p>"
    items = [f"<li>{escape(str(o.cell))}: {escape(o.failure or '')}</li>" for o in failed]
    return text + (f'<ul class="failed">{"".join(items)}</ul>' if items else "")


def _run(outcomes: Sequence[Outcome], command: str) -> str:
    known = [o.training for o in outcomes if o.training is not None]
    seconds = sum(t.seconds for t in known)
    facts = {
        "Command": f"<code>{_words(command)}</code>" if command else "",
        "Data": escape(data_in_words(outcomes)),
        "Missing values": escape(missing_in_words(outcomes)),
        "Settings": escape(_settings(outcomes)),
        "Hardware": escape("; ".join(dict.fromkeys(t.hardware for t in known))),
        "Versions": escape("; ".join(dict.fromkeys(t.versions for t in known))),
        "Time": f"{_duration(seconds)} of training in all; page written "
        + datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
    rows = [f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items() if text]
    return f"<dl>{''.join(rows)}</dl>"


def _words(command: str) -> str:
    """A command line that breaks between words alone."""
    return " ".join(f"<span>{escape(word)}</span>" for word in command.split())


def _settings(outcomes: Sequence[Outcome]) -> str:
    """What all cells have in common, and each system's own options."""
    c = outcomes[0].cell.config
    parts = [
        f"latent size {c.latent_dim}, {c.epochs} epochs, {c.batch_size} rows a step, Adam at "
        f"{c.learning_rate:g}; the data set's encoders, decoders and likelihoods for every system"
    ]
    for name, value in (("weights", c.weights), ("annealing epochs", c.annealing_epochs)):
        parts += [f"{name} {value}"] if value else []
    parts += [f"{c.paired:g} of the rows paired"] if c.paired < 1 else []
    for name in ("beta", "patience", "clip_norm", "impartial"):
        value = getattr(c, name)
        parts += [f"{name} {value}"] if value is not None else []
    configs = {o.cell.config.system: o.cell.config for o in outcomes}
    for name, config in configs.items():
        own = {**({"terms": config.terms} if config.terms is not None else {}), **config.options}
        listed = ", ".join(f"{key}={value}" for key, value in own.items())
        parts += [f"{name}: {listed}"] if own else []
    return "; ".join(parts) + "."


def _block(block: Block) -> str:
    if not block.measures:
        return f"<h3>{_share(block.missing)}</h3><p>No cell is done.</p>"
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in block.systems)
    rows = []
    for measure in block.measures:
        best, row = block.best(measure), block.row(measure)
        cells = [_entry(row.get(s), block.decimals(measure), s == best) for s in block.systems]
        rows.append(f'<tr><th scope="row">{escape(measure)}</th>{"".join(cells)}</tr>')
    share = _share(block.missing)
    over = sorted({f"over {e.over}" for e in block.entries.values()})
    caption = f"Mean ± standard error {' or '.join(over)}; the best in bold, as explained below"
    return (
        f"<h3>{share}</h3>\n"
        f'<div class="wide" tabindex="0" role="region" aria-label="{share}"><table>\n'
        f"<caption>{caption}</caption>\n"
        f'<thead><tr><th scope="col">measure</th>{columns}</tr></thead>\n'
        f"<tbody>{''.join(rows)}</tbody>\n</table></div>\n"
    )


def _entry(entry: Entry | None, decimals: int, best: bool) -> str:
    if entry is None:
        return '<td><span class="note">none</span></td>'
    mean, _, error = entry.text(decimals).partition(" ")
    text = f'{mean} <span class="error">{error}</span>' if error else mean
    text = f"<strong>{text}</strong>" if best else text
    if entry.unreliable:
        text += f'<span class="note">k&nbsp;&gt;&nbsp;0.7: {entry.unreliable:.0%}</span>'
    if entry.seeds < entry.planned:
        text += f'<span class="note">{entry.seeds} of {entry.planned} seeds</span>'
    return f"<td>{text}</td>"


def _notes(outcomes: Sequence[Outcome]) -> str:
    """What the numbers and the bold ones mean."""
    found = next((o.measures for o in outcomes if o.measures is not None), None)
    if found is None:
        return ""
    seeds = len({o.cell.config.seed for o in outcomes})
    error = (
        f"The standard error is over {seeds} seeds (networks, order, noise, what is missing), on "
        "the same test rows; another test set would add an error of its own."
        if seeds > 1
        else "There is one seed: the standard error is over test rows, and says nothing of another "
        "training."
    )
    if 1 < seeds < 5:
        error += f" Of {seeds} seeds it is itself rough: take bold as a hint."
    notes = [
        f"The ELBO, accuracies and coherence are of {found.rows:,} test rows, log-likelihoods of "
        f"{found.likelihood_rows:,}, with {found.num_samples:,} draws a row. The ELBO and "
        "log&nbsp;p are in nats a row; of everything, more is better.",
        error + " The number of decimals follows the smallest error in a line.",
        "<strong>Bold</strong>: the lead over every other system exceeds both standard errors "
        "(and Monte Carlo errors) together, and neither estimate is in doubt (k &gt; 0.7 in more "
        "than 5% of the rows).",
        _RELIABILITY,
    ]
    if found.oracles:
        read = ", ".join(f"{name} {share:.3f}" for name, share in found.oracles.items())
        notes.append(
            "Coherence: a classifier reads the class of what is generated from a row; the share "
            f"that it reads right. Of real test rows it reads right: {escape(read)}; coherence "
            "can hardly be more. Joint: the share of draws from the prior whose classes agree."
        )
    if not found.normalised:
        notes.append("SoftBernoulli is no density for grey values: its log p are scores.")
    return f'<ul class="notes">{"".join(f"<li>{note}</li>" for note in notes)}</ul>'


def _curves(blocks: Sequence[Block]) -> str:
    if len(blocks) < 2:
        return ""
    figures = []
    for measure in dict.fromkeys(name for block in blocks for name in block.measures):
        told = "; ".join(
            f"{b.missing:g} missing: "
            + ", ".join(f"{s} {e.text(b.decimals(measure))}" for s, e in b.row(measure).items())
            for b in blocks
            if b.row(measure)
        )
        alt = f"{measure} against the share of missing values. {told}."
        figures.append(f"<figure>{_image(_png(curve(blocks, measure)), alt)}</figure>")
    return _section(
        "Against the share of missing values",
        "<p>Bars are standard errors, as in the tables. Hollow marks are in doubt: k &gt; 0.7 in "
        "more than 5% of the rows.</p>",
        f'<div class="grid">{"".join(figures)}</div>',
    )


def _pictures(block: Block, outcomes: Sequence[Outcome]) -> str:
    """The pictures of the first seed that is done, of every system side by side."""
    shown: dict[str, Outcome] = {}
    for outcome in outcomes:
        if outcome.cell.config.missing == block.missing and outcome.measures is not None:
            shown.setdefault(outcome.cell.config.system, outcome)
    parts = []
    for name in PICTURES:
        title, what = _TOLD[name]
        figures = []
        for system, outcome in shown.items():
            alt = f"{title} of {outcome.cell}. {what}"
            image = _image((outcome.cell.folder / f"{name}.png").read_bytes(), alt)
            seed = outcome.cell.config.seed
            caption = f"<figcaption>{escape(system)}, seed {seed}</figcaption>"
            figures.append(f"<figure>{caption}{image}</figure>")
        if figures:
            grid = f'<div class="grid">{"".join(figures)}</div>'
            parts.append(f"<h4>{title}</h4><p>{what}</p>{grid}")
    return f"<h3>{_share(block.missing)}</h3>{''.join(parts)}" if parts else ""


def _cells(outcomes: Sequence[Outcome]) -> str:
    heads = ("system", "missing", "seed", "state", "epochs", "kept", "training", "parameters")
    rows = []
    for outcome in outcomes:
        c, how = outcome.cell.config, outcome.training
        state = (
            "failed" if outcome.failure is not None else "not run yet" if how is None else "done"
        )
        told = ["", "", "", ""]
        if how is not None:
            told = [str(how.epochs), str(how.best_epoch), _duration(how.seconds)]
            told.append(f"{how.parameters:,}")
        texts = [f"{c.missing:g}", str(c.seed), state, *told]
        cells = "".join(f"<td>{text}</td>" for text in texts)
        rows.append(f'<tr><th scope="row">{escape(c.system)}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    caption = "Kept: the epoch of the best validation ELBO, or the last"
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Cells"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _share(missing: float) -> str:
    return f"{100 * missing:g}% of training values missing" if missing else "Nothing missing"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest} s"
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _image(png: bytes, alt: str) -> str:
    """An image inside the page, of 256 colours."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(256)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    code = base64.b64encode(buffer.getvalue()).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img src="data:image/png;base64,{code}" {size} alt="{escape(alt)}">'
