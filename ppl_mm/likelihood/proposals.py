"""Where draws come from, by name."""

from collections.abc import Sequence

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.importance import Sampler, from_guide, from_mixture, from_prior

__all__ = ["proposal_label", "proposal_of"]

_PRIOR_SHARE = 0.1  # of the defensive mixture
_LABELS = {
    "joint": "joint posterior",
    "given": "posterior of the given",
    "prior": "prior",
    "defensive": "defensive mixture",
}


def proposal_of(
    proposal: str | Sequence[str],
    obs: Observations,
    names: tuple[str, ...],
    given: tuple[str, ...],
) -> tuple[Sampler, tuple[str, ...]]:
    """The sampler and the modalities that it looks at."""
    if proposal == "joint":
        return from_guide, (*names, *given)
    if proposal == "given":
        return from_guide, given
    if proposal == "prior":
        return from_prior, ()
    if proposal == "defensive":
        return from_mixture(_PRIOR_SHARE), (*names, *given)
    if isinstance(proposal, str):
        raise ValueError(unknown_name("proposal", proposal, _LABELS) + " Or a list of modalities.")
    for name in proposal:
        if name not in obs.names:
            raise ValueError(unknown_name("modality in proposal", name, obs.names))
    return from_guide, tuple(proposal)


def proposal_label(proposal: str | Sequence[str], evidence: Sequence[str]) -> str:
    """What results say of where their draws came from."""
    if isinstance(proposal, str):
        return _LABELS[proposal]
    return f"posterior of {', '.join(evidence)}"
