"""The examples of the gallery run, draw, and leave nothing behind."""

import ast
import re
import runpy
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the gallery draws figures")

GALLERY = Path(__file__).resolve().parents[2] / "examples" / "gallery"
EXAMPLES = sorted(GALLERY.glob("plot_*.py"))
# They fit many models. The build of the documentation runs them, too.
SLOW = {
    "abundances",
    "comparison",
    "learning_curve",
    "line_gallery",
    "null_case",
    "velocity",
}


def name(path):
    return path.stem.removeprefix("plot_")


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_an_example_has_a_title_and_explains_itself(path):
    title, rule, text = ast.get_docstring(ast.parse(path.read_text())).split("\n", 2)
    assert len(rule) == len(title)
    assert set(rule) == {"="}
    assert len(text.split()) > 15
    assert path.read_text().count("# %%\n# ") >= 2


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_a_figure_is_finished_in_the_block_that_begins_it(path):
    """Sphinx-Gallery takes what is there at the end of a block."""
    for block in path.read_text().split("# %%\n"):
        begun = re.search(r"plt\.(subplots|figure)\(|\.plot\($", block, flags=re.M)
        assert bool(begun) <= ("plt.show()" in block)


def test_every_example_has_its_place_in_the_gallery():
    order = runpy.run_path(str(GALLERY.parents[1] / "docs" / "gallery_order.py"))
    assert sorted(order["ORDER"]) == sorted(map(name, EXAMPLES))


@pytest.mark.parametrize("path", [p for p in EXAMPLES if name(p) not in SLOW], ids=name)
def test_an_example_draws(path, monkeypatch, tmp_path):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    try:
        runpy.run_path(str(path), run_name="__main__")
        assert all(shown)
        assert shown
        for number in plt.get_fignums():
            figure = plt.figure(number)
            assert 4 <= figure.get_figwidth() <= 9  # inches: legible on a page
            figure.canvas.draw()
    finally:
        plt.close("all")
    assert not list(tmp_path.iterdir())


def test_every_display_is_drawn_in_an_example():
    from specxfer import plotting

    text = "".join(path.read_text() for path in EXAMPLES)
    drawn = set(re.findall(r"\b\w+Display\b|plot_history", text))
    assert {name for name in plotting.__all__ if name not in drawn} <= {
        "HistoryDisplay"
    }


def test_slow_ones_are_examples():
    assert {name(path) for path in EXAMPLES} >= SLOW
