"""The estimators without refinement: the draws of the proposal that is asked for, alone."""

from functools import partial

import ppl_mm

log_likelihood = partial(ppl_mm.log_likelihood, refine="none")
