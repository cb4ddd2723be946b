"""Sphinx configuration. Builds without a network."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import specxfer

project = "specxfer"
author = "The specxfer developers"
copyright = f"2026, {author}"
version = release = specxfer.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
html_static_path = ["_static"]
default_role = "code"

autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
numpydoc_show_class_members = False  # the class pages list them themselves
numpydoc_validation_checks = set()

html_theme = "pydata_sphinx_theme"
html_title = "specxfer"
html_show_sourcelink = False


def escape_shapes(app, what, name, obj, options, lines):
    """In "shape (n_features_in_,)" the last underscore is no link."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(
            r"shape \([^)]*\)", lambda m: re.sub(r"_\b", r"\\_", m[0]), line
        )


def setup(app):
    app.connect("autodoc-process-docstring", escape_shapes, priority=100)
