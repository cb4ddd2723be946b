"""The documentation builds without a warning."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_it_builds(tmp_path):
    pytest.importorskip("sphinx", reason='no sphinx: pip install -e ".[docs]"')
    # building writes the pages of the reference beside the sources
    ignored = shutil.ignore_patterns("_build", "generated")
    shutil.copytree(DOCS, tmp_path / "docs", ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "docs", "html"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pages = {page.stem for page in (tmp_path / "html").rglob("*.html")}
    assert {"index", "user_guide", "specxfer.linear.PCARidge"} <= pages
