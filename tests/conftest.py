"""Every test: float64, a fixed seed, validation on, and shapes checked against annotations."""

import random
from collections.abc import Iterator

import numpy as np
import pyro
import pytest
import torch
from jaxtyping import install_import_hook

# The modules whose signatures carry shapes; elsewhere the library's own messages are tested.
SHAPED = ["ppl_mm.distributions.experts", "ppl_mm.objectives.iwae"]
with install_import_hook(SHAPED, "beartype.beartype"):
    from exact_classes import classes  # the fixture

    import ppl_mm

__all__ = ["classes", "ppl_mm"]

torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - guards libraries that draw from it
    random.seed(0)
    pyro.clear_param_store()
    with pyro.validation_enabled(True):
        yield
    torch.set_default_dtype(torch.float32)
