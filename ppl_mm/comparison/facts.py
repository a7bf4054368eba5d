"""The facts of a comparison in words: its data, settings, hardware and time."""

from collections.abc import Sequence
from datetime import datetime

from ppl_mm.arguments.wording import counted
from ppl_mm.comparison.trials import Outcome
from ppl_mm.runs.config import Config

__all__ = ["duration", "facts"]


def facts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return name -> text of each fact; the text is empty if nothing is known."""
    known = [o.training for o in outcomes if o.training is not None]
    trained = duration(sum(t.seconds for t in known))
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return {
        "Data": _data(outcomes),
        "Missing values": _missing(outcomes),
        "Settings": _settings(outcomes),
        "Hardware": "; ".join(dict.fromkeys(t.hardware for t in known)),
        "Versions": "; ".join(dict.fromkeys(t.versions for t in known)),
        "Time": f"{trained} of training in all; page written {written}",
    }


def duration(seconds: float) -> str:
    """Write a number of seconds in the units that a reader expects.

    Example:
        >>> duration(3.21), duration(61), duration(7260)
        ('3.2 s', '1 min 1 s', '2 h 01 min')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, rest_minutes = divmod(minutes, 60)
    return f"{hours} h {rest_minutes:02d} min" if hours else f"{minutes} min {rest} s"


def _data(outcomes: Sequence[Outcome]) -> str:
    """Describe the name, the rows and the modalities of the data."""
    data = outcomes[0].trial.dataset
    rows = [f"{len(data.train):,} training", f"{len(data.test):,} test"]
    if data.validation is not None:
        rows.insert(1, f"{len(data.validation):,} validation")
    parts = []
    for m in data.modalities:
        shape = " x ".join(map(str, data.test[m.name].shape[1:]))
        parts.append(f"{m.name} ({shape + ', ' if shape else ''}{type(m.likelihood).__name__})")
    origin = f" Origin: {data.origin}." if data.origin else ""
    return f"{data.name}: {', '.join(rows)} rows of {', '.join(parts)}.{origin}"


def _missing(outcomes: Sequence[Outcome]) -> str:
    """Describe the missing values, and how they were chosen."""
    shares = sorted({o.trial.config.missing for o in outcomes})
    if shares == [0]:
        return "Nothing is left out of the data."
    number = len(outcomes[0].trial.dataset.modalities)
    empty = f"{shares[-1] ** number:.3g} at {shares[-1]:g}"
    return (
        "Each modality of each training row is left out with the given probability, independently, "
        "once. At one seed the same values are missing for every system, and what is missing at "
        "one share is missing at every larger one. A row may lose everything (probability "
        f"{empty}) and then teaches nothing. Validation and test rows are left as they are."
    )


def _settings(outcomes: Sequence[Outcome]) -> str:
    """List the settings of all trials, and each system's own options."""
    c = outcomes[0].trial.config
    parts = [
        f"latent size {c.latent_dim}, {counted(c.epochs, 'epoch')}, {c.batch_size} rows a step, "
        f"Adam at {c.learning_rate:g}; the data set's encoders, decoders and likelihoods for "
        "every system"
    ]
    for name, value in (("weights", c.weights), ("annealing epochs", c.annealing_epochs)):
        parts += [f"{name} {value}"] if value else []
    parts += [f"{c.paired:g} of the rows paired"] if c.paired < 1 else []
    for name in ("scheduler", "beta", "patience", "clip_norm", "impartial"):
        value = getattr(c, name)
        parts += [f"{name} {value}"] if value is not None else []
    parts += [f"precision {c.precision}"] if c.precision != Config.precision else []
    configs = {o.trial.config.system: o.trial.config for o in outcomes}
    for name, config in configs.items():
        own = {**({"terms": config.terms} if config.terms is not None else {}), **config.options}
        listed = ", ".join(f"{key}={value}" for key, value in own.items())
        parts += [f"{name}: {listed}"] if own else []
    return "; ".join(parts) + "."
