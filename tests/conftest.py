"""Fixtures shared by all tests, and a guard of global state."""

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared():
    """The folder of real and synthetic survey files; skips where there is none."""
    folder = Path(os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared"))
    if not (folder / "real").is_dir():
        pytest.skip(f"no survey files: set SPECXFER_SHARED (looked for {folder.name}/)")
    return folder


@pytest.fixture
def rng():
    """A random generator with a fixed seed."""
    return np.random.default_rng(20260101)


@pytest.fixture(autouse=True)
def _global_random_state_untouched():
    """No code of ours may move numpy's global random state."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert (np.random.get_state()[1] == before).all(), "global random state moved"  # noqa: NPY002
