"""A proposal of every row's own, for log-likelihoods that can be trusted.

A guide is amortised, its covariance diagonal, and its mode a little off, so the weights of its
draws have heavy tails. Here each row's proposal is fitted to its own posterior, in stages:

    laplace       a Student distribution at the posterior's mode and one with the weighted moments
                  of pilot draws from it, if they are enough, mixed with guide and prior; or the
                  prior alone, where the rows say little of the latents
    adaptive      the same with the weighted moments of all draws so far, round by round
    variational   the same around the Normal with full covariance that maximises the row's ELBO
    annealed      chains from the proposal so far to p(x, z)

Pilot draws, which the estimate does not use, say in which rows a stage is good enough; the others
go on to the next. So no estimate is chosen by its own draws, and the weights stay unbiased.
"""

from ppl_mm.likelihood.refined.estimate import check_refinable, refined_blocks, unrefinable
from ppl_mm.likelihood.refined.stages import REFINEMENTS, Refined

__all__ = ["REFINEMENTS", "Refined", "check_refinable", "refined_blocks", "unrefinable"]
