"""The parts of log p(x_A | x_B), where it is not log p(x_A, x_B) - log p(x_B).

A model or an objective that defines

    alternatives(system, target, given)  ->  list of lists of Conditional

says that, for rows that hold all of A and B,

    log p(x_A | x_B)  =  log (1/n) sum over the n alternatives of
                         the product over its conditionals c of p_c(x_target | x_given)

Likelihoods then estimate every conditional by importance sampling, each once.
"""

from typing import NamedTuple

from torch import nn

__all__ = ["Alternatives", "Conditional"]


class Conditional(NamedTuple):
    """p(x_target | x_given) as one integral over the latent.

    Attributes:
        target: The modalities scored.
        given: The modalities conditioned on.
        model: A Pyro program of observations, as a module: its latent's prior may look at the
            given ones, and it scores the target.
    """

    target: tuple[str, ...]
    given: tuple[str, ...]
    model: nn.Module


Alternatives = list[list[Conditional]]
