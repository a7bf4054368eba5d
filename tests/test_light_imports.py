"""Libraries that only one call needs are imported by that call, not by ``import ppl_mm``."""

import ast
from pathlib import Path

import pytest

import ppl_mm

HEAVY = {"PIL", "matplotlib", "pandas", "pooch", "scipy", "skimage", "sklearn"}
FOLDERS = ("comparison", "data", "networks")


def imported_at_once(source: str) -> set[str]:
    """The top-level packages that a file imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_imports_a_heavy_library_at_its_top(folder):
    files = sorted((Path(ppl_mm.__file__).parent / folder).glob("*.py"))
    assert files
    heavy = {file.name: imported_at_once(file.read_text()) & HEAVY for file in files}
    assert {name: found for name, found in heavy.items() if found} == {}
    assert imported_at_once("import numpy as np\nfrom PIL.Image import open") == {"numpy", "PIL"}
