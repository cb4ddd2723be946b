"""The README does what it says."""

import os
import re
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from specxfer import Spectra

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def block(mark):
    """The fenced block after a mark."""
    found = re.findall(rf"^{mark}\n```\w+\n(.*?)^```$", README, flags=re.M | re.S)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("mark", ["<!-- quickstart -->", "<!-- test -->"])
def test_commands_are_one_line_that_needs_only_python(mark):
    command = block(mark)
    assert command.count("\n") == 1
    steps = command.strip().split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert all(step.startswith(".venv/bin/") for step in steps[1:])
    extra = re.search(r'install -e "\.\[(\w+)\]"$', steps[1])
    assert f"\n{extra[1]} = [" in (ROOT / "pyproject.toml").read_text()


def test_the_quickstart_exists():
    script = block("<!-- quickstart -->").split()[-1]
    assert (ROOT / script).is_file()


def test_the_example_runs():
    scope = {}
    exec(block("## Ten lines\n"), scope)
    spectra = scope["spectra"]
    assert isinstance(spectra, Spectra)
    assert len(spectra) == 100
    assert spectra.medium == "air"
    seen = np.isfinite(spectra.flux).all(axis=0)
    assert 0 < seen.sum() < len(seen)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_its_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())
    assert len(links) >= 3
    assert not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.skipif(os.name != "posix", reason=".ci/run is a shell script")
def test_ci_runs_the_test_command_and_fails_with_it(tmp_path):
    """On a stand-in README, so that the suite does not run itself."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text(script.read_text())
    (tmp_path / ".venv").mkdir()

    def run(readme):
        (tmp_path / "README.md").write_text(readme)
        return subprocess.run(
            ["bash", ".ci/run"], cwd=tmp_path, capture_output=True, text=True
        )

    stand_in = "test ! -e .venv && echo 3 passed && exit 7"
    done = run(README.replace(block("<!-- test -->"), stand_in + "\n"))
    assert done.stdout == f"+ {stand_in}\n3 passed\n"
    assert done.returncode == 7
    done = run("no command here\n")
    assert done.returncode == 2
    assert "expected one command line" in done.stderr
