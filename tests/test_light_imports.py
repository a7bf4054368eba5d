"""Libraries that only one call needs are imported by that call, not by ``import ppl_mm``."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ppl_mm

HEAVY = {
    *("PIL", "arviz", "lightning_fabric", "matplotlib", "pandas", "pooch", "scipy", "skimage"),
    *("anndata", "mudata", "pyarrow", "sklearn", "torchjd", "torchmetrics", "xarray"),
}
DRAWN = "ppl_mm.results.picture"  # The one file of a matplotlib class, imported where one draws.
PACKAGE = Path(ppl_mm.__file__).parent
FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def imported_at_once(source: str) -> set[str]:
    """The top-level packages that a file imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add("matplotlib" if node.module == DRAWN else node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_imports_a_heavy_library_at_its_top(folder):
    files = [p for p in sorted((PACKAGE / folder).rglob("*.py")) if p.name != "picture.py"]
    assert files
    heavy = {file.name: imported_at_once(file.read_text()) & HEAVY for file in files}
    assert {name: found for name, found in heavy.items() if found} == {}
    assert imported_at_once("import numpy as np\nfrom PIL.Image import open") == {"numpy", "PIL"}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh process has loaded after this code."""
    shown = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_with_all_its_names_loads_no_heavy_library():
    names = "import ppl_mm\nfor name in ppl_mm.__all__: getattr(ppl_mm, name)\n"
    more = "import ppl_mm.plotting, ppl_mm.runs, ppl_mm.baselines"
    own = loaded_by(names + more) - loaded_by("import torch, pyro")
    assert {"ppl_mm.systems.system", "ppl_mm.plotting.pictures"} <= own
    assert {name.partition(".")[0] for name in own} & HEAVY == set()
    assert "torch._dynamo" not in own


def test_the_command_shows_its_help_without_torch():
    loaded = loaded_by("import ppl_mm.cli")
    assert "ppl_mm.cli.app" in loaded
    assert {"torch", "pyro", "numpy"} & loaded == set()


def test_names_of_the_package_are_those_of_its_modules():
    assert set(ppl_mm.__all__) <= set(dir(ppl_mm))
    assert ppl_mm.fit is sys.modules["ppl_mm.training.fit"].fit
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        ppl_mm.fitt  # noqa: B018
    unknown = "import ppl_mm\ntry: from ppl_mm import fitt\nexcept ImportError: pass"
    assert "torch" not in loaded_by(unknown)
