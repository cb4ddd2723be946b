"""What the guide shows is what happens, or at least what there is."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import specxfer

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [DOCS / "index.rst", *sorted((DOCS / "guide").glob("*.rst"))]
AT_A_PROMPT = [page for page in PAGES if ">>> " in page.read_text()]
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?: {3}.*\n|\n)+)", re.M)
LITERAL = re.compile(r"[^:]::\n\n((?: {4}.*\n|\n)+)")


def public():
    """Every public class and function, by its own name."""
    found = {}
    for module in pkgutil.walk_packages(specxfer.__path__, "specxfer."):
        if "._" not in module.name and not module.name.endswith("__main__"):
            there = importlib.import_module(module.name)
            found |= {n: getattr(there, n) for n in getattr(there, "__all__", ())}
    return found


PUBLIC = public()


def blocks(page):
    """The parsed blocks of Python in a page."""
    text = page.read_text()
    for found in [*BLOCK.finditer(text), *LITERAL.finditer(text)]:
        yield ast.parse(textwrap.dedent(found[1]))


@pytest.mark.parametrize("page", AT_A_PROMPT, ids=lambda page: page.stem)
def test_a_page_at_a_prompt_runs(page):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(
        str(page), module_relative=False, optionflags=flags, encoding="utf-8"
    )
    assert tried > 10
    assert not failed


def test_the_first_steps_are_at_a_prompt():
    assert "first" in {page.stem for page in AT_A_PROMPT}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_blocks_import_is_there(page):
    for node in (n for block in blocks(page) for n in ast.walk(block)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("specxfer"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module}.{name.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_blocks_pass_to_functions_is_taken(page):
    for node in (n for block in blocks(page) for n in ast.walk(block)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", None))
        if name not in PUBLIC:
            continue
        taken = inspect.signature(PUBLIC[name]).parameters
        if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            continue
        given = {keyword.arg for keyword in node.keywords} - {None}
        assert given <= set(taken), f"{name} does not take {given - set(taken)}"
        plain = [p for p in taken.values() if p.kind is not p.KEYWORD_ONLY]
        if not any(p.kind is p.VAR_POSITIONAL for p in plain):
            assert len(node.args) <= len(plain), f"{name} takes {len(plain)} by place"


def test_blocks_are_found():
    assert sum(1 for page in PAGES for _ in blocks(page)) > 30
