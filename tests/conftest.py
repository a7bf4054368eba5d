"""Every test: float64, a fixed seed, validation on, and shapes checked against annotations."""

import random
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from annotated import CHECKED, REPEATS, checked_shapes, modules_with_shapes
from matplotlib.figure import Figure

SHAPED = modules_with_shapes()
with checked_shapes(SHAPED):
    for module in SHAPED:
        import_module(module)
    from exact_classes import classes  # the fixture

    from ppl_mm.results import style

__all__ = ["classes"]

LACKING = (  # a device, files that cannot be shipped, wheels that tie torch
    "torch sees no CUDA device",
    "set PPL_MM_DATA",
    "pip install 'ppl-mm[fid]'",
)

torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.default_generator.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - guards libraries that draw from it
    random.seed(0)
    pyro.clear_param_store()
    CHECKED.clear()
    REPEATS.clear()
    with pyro.validation_enabled(True):
        yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have at most 600 pixels a side and are not laid out: half of the time."""
    monkeypatch.setattr(style, "MOST_PIXELS", 600)
    monkeypatch.setattr(Figure, "get_layout_engine", lambda figure: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips", action="store_true", help="a skip whose reason is not expected fails"
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the skips that nobody expects."""
    for reason in _unexpected(terminalreporter, config):
        terminalreporter.write_line(f"UNEXPECTED SKIP {reason}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where there are skips that nobody expects."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and session.exitstatus == 0 and _unexpected(reporter, session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unexpected(reporter: Any, config: pytest.Config) -> list[str]:
    if not config.getoption("--strict-skips"):
        return []
    reasons = [f"{r.nodeid}: {r.longrepr[2]}" for r in reporter.stats.get("skipped", [])]
    return [r for r in reasons if not any(lacking in r for lacking in LACKING)]
