"""The wheel and the editable install both work outside the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import ppl_mm

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("ppl_mm", "models", "guides", "experiments")
FILES = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
FILES += ("CHANGELOG.md", "CITATION.cff", "constraints.txt")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, copy / file)
    return copy


def fresh_environment(folder: Path) -> Path:
    """A new environment that borrows this one's dependencies, but not its ppl_mm."""
    venv.create(folder, with_pip=False)
    site = Path(next((folder / "lib").glob("python*"))) / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def install(binaries: Path, *what: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install"]
    run([*command, "--quiet", "--no-deps", "--no-build-isolation", *what])


def run(command: list[str], cwd: Path | None = None) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_versions_agree():
    """The package has one version, and CITATION.cff names the last dated one of the changelog."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata["version"] == ppl_mm.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    version, date = re.findall(r"^## \[([\d.]+)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)[0]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {version}\n" in citation
    assert f'\ndate-released: "{date}"\n' in citation
    assert f"\nlicense: {metadata['license']}\n" in citation
    assert f"- name: {metadata['authors'][0]['name']}\n" in citation


RECORDED = "ppl_mm.experiments.mvae_weak"  # a command of an old record, now of mvae/weak.py
IMPORTS = (
    "import ppl_mm, ppl_mm.models, ppl_mm.guides, ppl_mm.experiments.mvae;"
    "print(ppl_mm.models.__file__)"
)

METADATA = (
    "import json; from importlib.metadata import metadata;"
    "print(json.dumps(metadata('ppl-mm').json))"
)


def test_wheel_in_a_fresh_environment(source, tmp_path):
    build = [sys.executable, "-m", "build", "--no-isolation"]  # the wheel is made of the sdist
    run([*build, "--outdir", str(tmp_path), str(source)])
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {*FILES, "models/shared_latent.py", "ppl_mm/py.typed"} <= held
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {"ppl_mm/py.typed", "ppl_mm/models/shared_latent.py"} <= set(names)
    assert {"ppl_mm/comparison/page.html.j2", "ppl_mm/comparison/page.css"} <= set(names)
    papers = {path.parent.name for path in (ROOT / "experiments").glob("*/findings.md")}
    assert {f"ppl_mm/experiments/{paper}/findings.md" for paper in papers} <= set(names)
    assert not [n for n in names if n.startswith(("models/", "guides/", "tests/"))]
    binaries = fresh_environment(tmp_path / "env")
    install(binaries, str(wheel))
    where = run([str(binaries / "python"), "-c", IMPORTS], cwd=tmp_path)
    assert str(tmp_path / "env") in where
    found = json.loads(run([str(binaries / "python"), "-c", METADATA], cwd=tmp_path))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["version"] == project["version"] == ppl_mm.__version__
    assert found["license_expression"] == project["license"]
    assert found["requires_python"] == project["requires-python"]
    assert found["classifier"] == project["classifiers"]
    assert "Typing :: Typed" in found["classifier"]
    assert found["description"].startswith("# ppl_mm\n")
    where = run([str(binaries / "python"), "-c", IMPORTS], cwd=source)  # its package comes first
    assert str(source / "models") in where
    assert "mvae" in run([str(binaries / "ppl-mm"), "systems"], cwd=tmp_path)
    assert "--fraction" in run([str(binaries / "python"), "-m", RECORDED, "--help"], cwd=tmp_path)


@pytest.mark.slow  # installs, as CI does for itself
def test_editable_install_inside_and_outside_the_checkout(source, tmp_path):
    binaries = fresh_environment(tmp_path / "env")
    install(binaries, "--editable", str(source))
    for folder in (tmp_path, source):
        where = run([str(binaries / "python"), "-c", IMPORTS], cwd=folder)
        assert str(source / "models") in where
    assert "mvae" in run([str(binaries / "ppl-mm"), "systems"], cwd=tmp_path)
    assert "--fraction" in run([str(binaries / "python"), "-m", RECORDED, "--help"], cwd=tmp_path)
