"""Do the intervals of log-likelihoods hold the truth? A test on rows of the user's own model."""

from collections.abc import Sequence
from typing import Literal

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.log_likelihood import log_likelihood
from ppl_mm.likelihood.sandwich import sandwich
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.results.certificate import Certificate
from ppl_mm.systems import System

__all__ = ["certify"]


@typed
def certify(
    system: System,
    num_rows: int | Observations = 100,
    target: str | Sequence[str] | None = None,
    *,
    num_samples: int = 1000,
    refine: Literal["auto", "none", "laplace", "variational", "adaptive", "annealed"] = "auto",
    num_temperatures: int = 64,
    num_chains: int = 64,
    num_leaps: int = 5,
    chunk: int | None = None,
    seed: int = 0,
) -> Certificate:
    """Simulate rows from the model, estimate log p, and compare the intervals with exact bounds.

        x_n ~ p(x),      lower_n  <=  log p(x_n)  <=  upper_n  (on average, and nearly always)

    The log p of simulated rows is known between two bounds (:func:`ppl_mm.evaluation.sandwich`,
    with chains from refined proposals), whatever the decoder. So this function counts how many of
    the 95 % intervals of :func:`ppl_mm.log_likelihood` hold the truth, for this very model. It is a
    hint for real data, which the model may explain less well;
    :func:`ppl_mm.evaluation.upper_bounds` says more about them.

    Args:
        system: A model and a guide.
        num_rows: The number of rows to simulate, or rows whose missingness is kept. If the model
            conditions on some modalities, the rows' values for these are kept too.
        target: The modalities that are scored; with None, all that are simulated.
        num_samples: The number of draws of the estimates that are tested.
        refine: The proposal of the estimates that are tested, see :func:`ppl_mm.log_likelihood`.
        num_temperatures: The T of the bounds; more bring them closer together.
        num_chains: The K of the bounds, for each row and direction.
        num_leaps: The number of leapfrog steps of each transition.
        chunk: The most (draw, row) pairs that are decoded at a time, see ``log_likelihood``.
        seed: The seed of the rows, the chains and the draws.

    Returns:
        A certificate, which prints in how many rows the intervals hold, see
        :class:`ppl_mm.evaluation.Certificate`.

    Raises:
        ValueError: For a number of rows where the model conditions on some modalities; for a system
            whose likelihood is put together from conditionals (MEME), which is not the model's own
            density; for a discrete latent, or numbers below 1.

    Warns:
        UnreliableLikelihoodWarning: Naming the rows whose weights have too heavy a tail.

    Source: Grosse, Ghahramani & Adams 2015, arXiv:1511.02543 (the bounds).

    Example:
        >>> from ppl_mm import data, systems
        >>> system = systems.mvae(data.load("digits").modalities, latent_dim=2)
        >>> found = certify(system, 5, "label", num_temperatures=4, num_chains=40)
        >>> print(found)  # doctest: +ELLIPSIS
        log p(label): intervals hold in ... of 5 simulated rows (4 to 5 expected)
        ...
    """
    given = conditioned_on(system.model)
    simulated = [m.name for m in system.modalities if m.name not in given]
    names = (target,) if isinstance(target, str) else tuple(target or simulated)
    if system.alternatives(names, given) is not None:
        raise ValueError(
            "certify: the likelihoods of this system are put together from conditionals, and the "
            "exact bounds are those of its model's own density; they are not the same quantity."
        )
    bounds = sandwich(
        system,
        num_rows,
        names,
        num_temperatures=num_temperatures,
        num_chains=num_chains,
        num_leaps=num_leaps,
        start="refined",
        chunk=chunk,
        seed=seed,
    )
    estimate = log_likelihood(
        system,
        bounds.obs,
        bounds.target,
        given,
        num_samples,
        refine=refine,
        chunk=chunk,
        seed=(seed + 1) % 2**32,
    )
    return Certificate(estimate, bounds)
