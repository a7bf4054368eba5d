"""Wrong calls of public names: one argument of a call that is right, replaced by a wrong value.

Public names join by being in a module's ``__all__``; their arguments are made by name or annotation.
"""

import ast
import dataclasses
import importlib
import inspect
import linecache
import math
import random
import signal
import traceback
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from every_system import build, complete, modalities, modality
from torch import nn

import ppl_mm
from ppl_mm import Observations, data, likelihoods, networks, objectives
from ppl_mm.objectives import Term

MODULES = (
    *("", ".likelihoods", ".models", ".guides", ".objectives", ".evaluation", ".systems", ".data"),
    *(".networks", ".baselines", ".plotting"),
)
METHODS = {
    "Observations": ("blank", "collate", "only", "without", "given", "scoring", "drop", "to"),
    "System": ("save", "load", "start_from"),
}
KINDS = ("normal", "categorical")
ROWS = 6
SECONDS = 10.0  # of processor time for a call; then it hangs
ROOT = Path(__file__).resolve().parents[1]
OURS = tuple(str(ROOT / folder) for folder in ("ppl_mm", "models", "guides"))


class OutOfTimeError(BaseException):
    """A call takes too long."""
