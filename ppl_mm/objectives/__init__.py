"""The objectives of training: ELBO terms, importance-weighted bounds, and their pieces."""

from ppl_mm.batch.terms import Term
from ppl_mm.objectives.annealing import linear_annealing
from ppl_mm.objectives.conditional_mmd import ConditionalMMD, LossParts
from ppl_mm.objectives.dreg import DReG
from ppl_mm.objectives.elbo_terms import ELBOTerms
from ppl_mm.objectives.iwae import IWAE, iwae_bound
from ppl_mm.objectives.mixture_elbo import MixtureELBO
from ppl_mm.objectives.mmd import MMD, kernel_width, squared_mmd, squared_mmd_of_normals
from ppl_mm.objectives.mutual_supervision import MutualSupervisionELBO
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.paired_terms import chain_terms, paired_terms
from ppl_mm.objectives.reweighted import Reweighted
from ppl_mm.objectives.stages import Stages
from ppl_mm.objectives.subset_terms import SubsetTerms, subset_terms
from ppl_mm.objectives.weights import log_weights, row_elbo, trace_pair
from ppl_mm.objectives.with_mmd import WithMMD

__all__ = [
    "IWAE",
    "MMD",
    "ConditionalMMD",
    "DReG",
    "ELBOTerms",
    "LossParts",
    "MixtureELBO",
    "MutualSupervisionELBO",
    "Objective",
    "Reweighted",
    "Stages",
    "SubsetTerms",
    "Term",
    "WithMMD",
    "chain_terms",
    "iwae_bound",
    "kernel_width",
    "linear_annealing",
    "log_weights",
    "paired_terms",
    "row_elbo",
    "squared_mmd",
    "squared_mmd_of_normals",
    "subset_terms",
    "trace_pair",
]
