"""The site is built without a warning, and reads well in a browser, on a phone too.

Tutorials run when ``make docs`` builds the site and in ``test_tutorials.py``; here they are read.
All pages are read from their files, as one would without a network.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, with the tutorials as they are written; or those of PPL_MM_SITE."""
    if built := os.environ.get("PPL_MM_SITE"):
        return Path(built).resolve()
    pytest.importorskip("myst_nb", reason="needs the extra: pip install 'ppl-mm[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    unrun = ["-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer"]
    command += [*unrun, str(ROOT / "docs"), str(out)]
    subprocess.run(command, check=True, cwd=ROOT)
    return out


def browse(page: str, *options: str, patience: int = 3000) -> tuple[str, list[str]]:
    """A page after its scripts have run, and what they have complained of."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", *options]
    command += [f"--virtual-time-budget={patience}", "--enable-logging=stderr", page]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    return seen.stdout, re.findall(r"CONSOLE.*?(?:Uncaught|Error|Failed).*", seen.stderr)


def test_every_link_leads_somewhere(site: Path) -> None:
    for page in site.rglob("*.html"):  # a source's links back are viewcode's guesses
        text = page.read_text()
        for target in re.findall(r'(?:href|src)="([^"]+)', text):
            path, _, anchor = html.unescape(target).partition("#")
            path = path.partition("?")[0]
            if path.startswith(("http", "mailto:", "data:")):
                continue
            there = page.parent / path if path else page
            assert there.exists(), f"{page.relative_to(site)}: {target}"
            if anchor and there.suffix == ".html" and page.parts[len(site.parts)] != "_modules":
                held = text if there == page else there.read_text()
                assert f'id="{anchor}"' in held, f"{page.relative_to(site)}: {target}"


def test_every_page_reads_well_on_a_phone_in_light_and_dark(site: Path) -> None:
    """No horizontal scroll at 390 pixels, no picture without a text, no faint letter, no error."""
    probe = site / "probe.html"
    probe.unlink(missing_ok=True)
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    code = (ROOT / "tests" / "site" / "probe.html").read_text()
    probe.write_text(code.replace("all(PAGES)", f"all({json.dumps(pages)})"))
    try:
        text, errors = browse(
            probe.as_uri(), "--allow-file-access-from-files", patience=2000 * len(pages)
        )
    finally:
        probe.unlink()
    (found,) = re.findall(r"<title>found (\[.*?\])</title>", text, re.DOTALL)
    assert not json.loads(html.unescape(found))
    assert not errors


@pytest.mark.parametrize(
    ("query", "page"), [("pareto", "trust.html"), ("certify", "ppl_mm.evaluation.html")]
)
def test_the_search_finds_a_page_without_a_network(site: Path, query: str, page: str) -> None:
    text, _ = browse(f"{(site / 'search.html').as_uri()}?q={query}", patience=10_000)
    (results,) = re.findall(r'<ul[^>]*class="search"[^>]*>(.*?)</ul>', text, re.DOTALL)
    assert page in results


def test_signatures_have_types_and_every_tutorial_is_a_notebook(site: Path) -> None:
    front = (site / "reference" / "ppl_mm.html").read_text()
    (signature,) = re.findall(r'<dt[^>]*id="ppl_mm.log_likelihood">(.*?)</dt>', front, re.DOTALL)
    plain = html.unescape(re.sub(r"<[^>]+>", "", signature))
    assert re.search(r"num_samples:\s*int\s*=\s*1000", plain)
    assert re.search(r"→\s*LogLikelihood", plain)
    names = {page.stem for page in (ROOT / "docs" / "tutorials").glob("*.md")}
    for name in names:
        text = (site / "tutorials" / f"{name}.html").read_text()
        (notebook,) = re.findall(r'href="([^"]+\.ipynb)"', text)
        cells = json.loads((site / "tutorials" / notebook).read_text())["cells"]
        assert sum(cell["cell_type"] == "code" for cell in cells) >= 4
