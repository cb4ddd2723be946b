"""Sphinx configuration. Builds without a network.

With one, ``-t online`` links to the documentation of other packages.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # gallery_order
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import specxfer

project = "specxfer"
author = "The specxfer developers"
copyright = f"2026, {author}"
version = release = specxfer.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
html_static_path = ["_static"]
default_role = "code"
nitpicky = True

autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
numpydoc_show_class_members = False  # the class pages list them themselves
numpydoc_validation_checks = set()

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "within_subsection_order": "gallery_order.GalleryOrder",
    "doc_module": "specxfer",
    "reference_url": {"specxfer": None},
    "backreferences_dir": "api/backreferences",
    "inspect_global_variables": False,
    "remove_config_comments": True,
    "min_reported_time": 1e9,  # how long an example takes is of no interest to a reader
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
}

plot_formats = [("png", 144)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = False

if tags.has("online"):  # noqa: F821 (Sphinx defines it)
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "astropy": ("https://docs.astropy.org/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }

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
