"""Networks are plain torch: what they import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import specxfer.networks

FILES = sorted(Path(specxfer.networks.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_imports_torch_numpy_and_its_own_room(file):
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    for name in imported:
        assert name.split(".")[0] in {"torch", "numpy", "specxfer"}
        if name.startswith("specxfer"):
            assert name.startswith(("specxfer.networks", "specxfer._"))


def test_neither_skorch_nor_matplotlib_comes_along():
    code = "import sys, specxfer.networks; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "torch" in modules
    assert not modules & {"skorch", "matplotlib"}
