"""The site is built without a warning, and reads well in a browser, on a phone too.

Tutorials run when ``make docs`` builds the site and in ``test_tutorials.py``; here they are read.
"""

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
PROBE = """
<script>addEventListener("load", () => setTimeout(() => { document.title = "probe " +
  JSON.stringify([document.documentElement.scrollWidth, innerWidth,
    [...document.images].filter(i => !i.alt).map(i => i.src)]) }, 300));</script></body>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, with the tutorials as they are written."""
    pytest.importorskip("myst_nb", reason="needs the extra: pip install 'ppl-mm[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    unrun = ["-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer"]
    command += [*unrun, str(ROOT / "docs"), str(out)]
    subprocess.run(command, check=True, cwd=ROOT)
    return out


def test_every_link_leads_somewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if not target.startswith(("http", "mailto:", "data:")):
                assert (page.parent / target).exists(), f"{page.relative_to(site)}: {target}"


def test_every_page_fits_a_phone_and_says_what_its_pictures_are(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        probe = page.with_name(f"probe-{page.name}")
        probe.write_text(page.read_text().replace("</body>", PROBE))
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += ["--window-size=500,900", "--virtual-time-budget=3000", probe.as_uri()]
        seen = subprocess.run(
            [*command, "--enable-logging=stderr"], capture_output=True, text=True, timeout=120
        )
        probe.unlink()
        name = page.relative_to(site)
        (found,) = re.findall(r"<title>probe \[(\d+),(\d+),\[(.*?)\]\]</title>", seen.stdout)
        width, window, nameless = found
        assert int(width) <= int(window), f"{name} is {width} pixels wide, the window {window}"
        assert not nameless, f"{name}: pictures without an alternative text: {nameless}"
        errors = re.findall(r"CONSOLE.*?Uncaught.*", seen.stderr)
        assert not errors, f"{name}: {errors}"
