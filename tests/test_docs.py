"""The documentation builds without a warning, and its links lead somewhere."""

import re
import shutil
import subprocess
import sys
from html import unescape as html_unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "sphinx -q -W --keep-going -D plot_gallery=0 docs html"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The built site. `test_gallery` runs the examples."""
    for needed in ("sphinx", "sphinx_gallery", "numpydoc", "pydata_sphinx_theme"):
        pytest.importorskip(needed, reason='pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("docs")
    # building writes pages of reference and gallery beside the sources
    written = shutil.ignore_patterns("_build", "generated", "backreferences", "gallery")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=written)
    shutil.copytree(ROOT / "examples", folder / "examples")
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND.split()],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_pages_are_there(html):
    pages = {page.stem for page in html.rglob("*.html")}
    assert {"user_guide", "specxfer.linear.PCARidge", "plot_one_line"} <= pages


def test_no_link_within_the_site_is_dead(html):
    ids = {}
    for page in html.rglob("*.html"):
        text = page.read_text()
        ids[page] = set(re.findall(r'\bid="([^"]+)"', text))
        ids[page, "links"] = re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text)
    pages = [page for page in ids if isinstance(page, Path)]
    dead = []
    for page in pages:
        for link in ids[page, "links"]:
            address, _, anchor = unquote(html_unescape(link)).partition("#")
            if re.match(r"\w+:", address):
                continue
            to = (page.parent / address).resolve() if address else page
            missing = not to.exists() or (
                anchor and anchor not in ids.get(to, {anchor})
            )
            if missing:
                dead.append(f"{page.relative_to(html)}: {link}")
    assert len(pages) > 100
    assert not dead
