"""What a program says of itself, with the answer for one that says nothing."""

from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality
from ppl_mm.programs.contracts import (
    Declares,
    Labelled,
    Mixed,
    NamesSite,
)

__all__ = ["declared", "family_of", "label_of", "names_of", "site_of"]


def declared(program: object) -> tuple[Modality, ...]:
    """The modalities that a program declares; none where it declares none."""
    return tuple(program.modalities) if isinstance(program, Declares) else ()


def names_of(program: object, obs: Observations) -> tuple[str, ...]:
    """The names that a program declares; otherwise those that the data hold."""
    return tuple(m.name for m in program.modalities) if isinstance(program, Declares) else obs.names


def label_of(model: object) -> str | None:
    """The label that a conditional model predicts; None where there is none."""
    return model.label if isinstance(model, Labelled) else None


def site_of(guide: object) -> str:
    """The site whose distribution is the guide's ``posterior``; "z" unless the guide says."""
    return guide.site if isinstance(guide, NamesSite) else "z"


def family_of(guide: object) -> tuple[tuple[str, ...], ...]:
    """The subsets of a mixture guide, one a component; none for other guides."""
    return guide.family if isinstance(guide, Mixed) else ()
