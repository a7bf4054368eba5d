"""Checks of questions to models that condition on some modalities."""

from collections.abc import Iterable, Sequence

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.programs.conditioning import holds
from ppl_mm.programs.contracts import Conditional, Model

__all__ = ["answerable", "check_answerable", "check_held", "conditioned_on"]


def conditioned_on(model: object) -> tuple[str, ...]:
    """The modalities that a model conditions on and has no density of; most models have none."""
    return model.conditions_on if isinstance(model, Conditional) else ()


def answerable(model: Model, obs: Observations) -> Observations:
    """The rows that hold all that the model conditions on; all rows, if it conditions on nothing.

    Raises:
        ValueError: If there is no such row.
    """
    names = conditioned_on(model)
    if not names:
        return obs
    rows = holds(obs, names)
    if not bool(rows.any()):
        raise ValueError(f"no row holds {' and '.join(names)}, which the model conditions on.")
    return obs[rows]


def check_held(obs: Observations, names: Iterable[str], what: str = "modality") -> None:
    """Raise for a modality that is to be measured, but is unknown or missing in every row.

    Raises:
        ValueError: For a name that the rows do not have, or one that no row holds.
    """
    for name in names:
        if name not in obs.names:
            raise ValueError(unknown_name(what, name, obs.names))
        if not bool(obs.present[name].any()):
            raise ValueError(
                f"modality {name!r}: none of the {len(obs)} rows holds it, so there is nothing to "
                "measure; give rows that do, or leave it out."
            )


def check_answerable(
    model: Model, obs: Observations, targets: Sequence[str], given: Sequence[str]
) -> None:
    """Raise unless a model that conditions on some modalities can say p(targets | given).

    Raises:
        ValueError: If one of these modalities is a target, is not given, or is missing in a row.
    """
    for name in conditioned_on(model):
        if name in targets:
            raise ValueError(
                f"modality {name!r}: the model conditions on it and has no density of it; ask for "
                f"the others given={list(conditioned_on(model))}."
            )
        if name in given and name in obs.names and bool(obs.present[name].all()):
            continue
        if name in given and name in obs.names:
            row = int((~obs.present[name]).nonzero()[0])
            raise ValueError(
                f"modality {name!r}: row {row} lacks it, and the model conditions on it. Leave "
                f"such rows out: obs[obs.present[{name!r}]]."
            )
        raise ValueError(
            f"modality {name!r}: the model conditions on it, so it must be among what is given: "
            f"given={list(conditioned_on(model))}, with rows that hold it."
        )
