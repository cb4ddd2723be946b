"""The quickstart runs, and what it reports is so."""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the quickstart draws a figure")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def quickstart():
    return runpy.run_path(str(ROOT / "examples" / "quickstart.py"))


@pytest.fixture(scope="module")
def run(quickstart, tmp_path_factory):
    """Table, text and figure of a quick run."""
    out = tmp_path_factory.mktemp("quickstart") / "new"
    with pytest.MonkeyPatch.context() as patch:
        text = []
        patch.setitem(
            quickstart["main"].__globals__,
            "print",
            lambda *args, sep=" ", flush=False: text.append(sep.join(args)),
        )
        table = quickstart["main"](["--quick", "--out", str(out)])
    return table, "\n".join(text), out / "quickstart.png"


def test_giants_beat_their_labels_where_the_source_shows_the_element(run):
    """Cerium has lines of its own in the infrared."""
    table, _, _ = run
    cerium = table[(table["line"] == "Ce II 4774") & (table["domain"] == "giant")][0]
    assert cerium["n_stars"] > 30
    assert cerium["d_translator_hi"] < 0
    assert cerium["verdict"] == "better"
    assert cerium["translator"] < cerium["labels"] < cerium["mean"]


def test_every_line_and_domain_is_judged(quickstart, run):
    table, text, _ = run
    names = quickstart["KEY_LINES"]
    assert sorted(table["line"]) == sorted(2 * names)
    assert np.isfinite(table["skill"]).all()
    skill = 1 - table["translator"] ** 2 / table["labels"] ** 2
    np.testing.assert_allclose(table["skill"], skill, atol=1e-9)
    for name in names:
        assert text.count(name) == 3  # giants, dwarfs, and the star that is shown
    better = [(table["domain"] == d) & (table["verdict"] == "better")
              for d in ("giant", "dwarf")]  # fmt: skip
    assert f"at {better[0].sum()} of the 8 lines in giants" in text
    assert f"at {better[1].sum()} in dwarfs" in text


def test_the_figure_is_where_it_says(run):
    from matplotlib.image import imread

    _, text, figure = run
    assert f"Figure: {figure}" in text
    pixels = imread(figure)
    assert min(pixels.shape[:2]) > 700
    assert pixels[..., :3].std() > 0.05
