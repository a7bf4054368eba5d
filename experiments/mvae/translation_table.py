"""The records of translation from few pairs as tables, beside the paper's numbers."""

from html import escape, unescape

from ppl_mm.arguments.wording import counted
from ppl_mm.data.vocabulary import EXC, SPECIALS
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.mvae.translation import TARGETS
from ppl_mm.experiments.tables import Record, Runs, grouped, made, spread, table

__all__ = ["FRACTIONS", "PAPER", "render", "table_4", "table_5", "table_11", "table_12", "table_13"]

FRACTIONS = (0.001, 0.005, 0.01, 0.05, 0.1, 1.0)
# Wu & Goodman 2018, table 4: the share of paired rows -> log p(x), mean and ± over 3 runs.
PAPER = {
    0.001: (-558.88, 3.56),
    0.005: (-494.76, 4.18),
    0.01: (-483.23, 5.81),
    0.05: (-478.75, 3.00),
    0.1: (-478.04, 4.95),
    1.0: (-478.12, 3.02),
}
_HEADS = {
    "en": ("English, real", "Vietnamese, drawn", "Vietnamese, likeliest", "a person's translation"),
    "vi": ("Vietnamese, real", "English, drawn", "English, likeliest", "a person's translation"),
    "both": ("English, real", "Vietnamese, real", "English, drawn", "Vietnamese, drawn"),
}


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    parts = (table_4, table_5, table_11, _runs)
    return "\n".join(
        [
            page_head("mvae", "MVAE: translation from few pairs"),
            *(line for part in parts for line in part(records)),
        ]
    )


def table_4(records: list[Record]) -> list[str]:
    """Show nats of a test sentence, by the share of paired rows."""
    head = [
        "paired",
        "share",
        "rows",
        "words",
        "epochs",
        *TARGETS,
        "ELBO",
        "by frequency",
        "collapsed",
    ]
    every = [r["measures"] for r in records]
    gains = [f"{n} refined gain" for n in TARGETS if all(f"{n} refined gain" in m for m in every)]
    add = [f"refined draws add, {name.removesuffix(' refined gain')}" for name in gains]
    rows = [[*head, "Pareto k > 0.7", *add, "*paper*"]]
    for own in _settings(records):
        config, first = own[0]["config"], own[0]
        measures = [r["measures"] for r in own]
        names = (*TARGETS, "elbo", "by frequency")
        unreliable = max(m[f"{name} unreliable"] for m in measures for name in TARGETS)
        mean, error = PAPER.get(config["fraction"], (None, None))
        rows.append(
            [
                f"{first['paired_rows']:,}",
                f"{config['fraction'] * 100:g} %",
                f"{first['train_rows']:,}",
                "all" if config["num_words"] is None else f"{config['num_words']:,}",
                str(config["epochs"]),
                *(spread([m[name] for m in measures]) for name in names),
                f"{max(m['collapsed'] for m in measures):.0%}",
                f"{unreliable:.0%}",
                *(spread([m[name] for m in measures]) for name in gains),
                "" if mean is None else f"*{mean:.2f} ± {error:.2f}*",
            ]
        )
    return ["### Table 4: log-likelihoods\n", finding("mvae", "Table 4"), *table(rows)]


def table_5(records: list[Record]) -> list[str]:
    """Show translations both ways."""
    return _examples("### Table 5: translations\n", records, ("en", "vi"))


def table_11(records: list[Record]) -> list[str]:
    """Show pairs drawn with one z."""
    title = "### Table 11: pairs from one draw of z given both\n"
    return _examples(title, records, ("both",))


def table_12(records: list[Record]) -> list[str]:
    """Show Vietnamese translations of English sentences."""
    return _examples("### Table 12: from English\n", records, ("en",))


def table_13(records: list[Record]) -> list[str]:
    """Show English translations of Vietnamese sentences."""
    return _examples("### Table 13: from Vietnamese\n", records, ("vi",))


def _examples(title: str, records: list[Record], kinds: tuple[str, ...]) -> list[str]:
    lines = [title]
    for record in sorted(records, key=_order):
        config = record["config"]
        lines.append(
            f"{config['fraction'] * 100:g} % of the pairs, {counted(config['epochs'], 'epoch')}, "
            f"seed {config['seed']}:\n"
        )
        for kind in kinds:
            found = record["measures"]["examples"][kind]
            lines += table([[*_HEADS[kind]], *([_shown(text) for text in row] for row in found)])
    return lines


def _shown(text: str) -> str:
    """Return a sentence as a cell of Markdown; the files have &apos; for an apostrophe."""
    plain = unescape(text.replace(SPECIALS[EXC], "<unk>"))
    return escape(plain, quote=False).replace("|", "&#124;").replace("*", "&#42;")


def _order(record: Record) -> tuple[float, int, int]:
    config = record["config"]
    return config["fraction"], config["epochs"], config["seed"]


def _settings(records: list[Record]) -> list[Runs]:
    """Group the records that differ in the seed alone."""
    return grouped(sorted(records, key=_order))


def _runs(records: list[Record]) -> list[str]:
    lines = ["### Runs\n"]
    for r in sorted(records, key=_order):
        lines.append(f"- `{r['command']}`: {made(r)}; {r['measures']['test rows']:,} test rows.")
    return [*lines, ""]
