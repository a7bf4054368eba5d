"""Every test: float64, a fixed seed, validation on, and shapes checked against annotations."""

import random
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pyro
import pytest
import torch
from jaxtyping import install_import_hook

# The modules whose signatures carry shapes; elsewhere the library's own messages are tested.
SHAPED = ["ppl_mm.distributions.experts", "ppl_mm.objectives.iwae"]
with install_import_hook(SHAPED, "beartype.beartype"):
    for module in SHAPED:
        import_module(module)
    from exact_classes import classes  # the fixture

__all__ = ["classes"]

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
