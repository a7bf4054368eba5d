"""What a page says of the data of a comparison."""

from collections.abc import Sequence

from ppl_mm.comparison.cells import Outcome

__all__ = ["data_in_words", "missing_in_words"]


def data_in_words(outcomes: Sequence[Outcome]) -> str:
    """Name, rows and modalities of the data."""
    cell = outcomes[0].cell
    held, data = cell.dataset.validation, cell.dataset
    rows = [f"{len(data.train):,} training", f"{len(data.test):,} test"]
    if held is not None:
        rows.insert(1, f"{len(held):,} validation")
    parts = []
    for m in data.modalities:
        shape = " x ".join(map(str, data.test[m.name].shape[1:]))
        parts.append(f"{m.name} ({shape + ', ' if shape else ''}{type(m.likelihood).__name__})")
    origin = f" Origin: {data.origin}." if data.origin else ""
    return f"{data.name}: {', '.join(rows)} rows of {', '.join(parts)}.{origin}"


def missing_in_words(outcomes: Sequence[Outcome]) -> str:
    """What is missing, and how it was chosen."""
    shares = sorted({o.cell.config.missing for o in outcomes})
    if shares == [0]:
        return "Nothing is left out of the data."
    number = len(outcomes[0].cell.dataset.modalities)
    empty = f"{shares[-1] ** number:.3g} at {shares[-1]:g}"
    return (
        "Each modality of each training row is left out with the given probability, independently, "
        "once. At one seed the same values are missing for every system, and what is missing at "
        "one share is missing at every larger one. A row may lose everything (probability "
        f"{empty}) and then teaches nothing. Validation and test rows are left as they are."
    )
