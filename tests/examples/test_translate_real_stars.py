"""A quick run of the real stars leaves what the full one promises."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from specxfer.lines import KEY_LINES

EXAMPLE = Path(__file__).parents[2] / "examples" / "translate_real_stars.py"


@pytest.fixture(scope="module")
def run(shared, tmp_path_factory):
    pytest.importorskip("matplotlib")
    if not (shared / "lte/pairs_dev.npz").is_file():
        pytest.skip("no synthetic pairs: lte/pairs_dev.npz is missing")
    out = tmp_path_factory.mktemp("real_stars")
    printed = []
    script = runpy.run_path(str(EXAMPLE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *a, **_: printed.extend(map(str, a)))
        script["main"](["--data", str(shared), "--out", str(out), "--quick"])
    return out, "\n".join(printed)


def test_a_fits_file_per_star(run):
    stars = {path.stem: path for path in run[0].glob("*.fits")}
    assert set(stars) == {"Sun", "2M17334253-1654573", "apogee_dr14_example"}
    for name, path in stars.items():
        table = Table.read(path)
        header = fits.getheader(path, 1)
        assert header["OBJECT"] == name
        assert header["MEDIUM"] == "air"
        assert 20_000 < header["R_CCD1"] < 30_000
        assert len(table) == 16_384
        assert np.isfinite(table["flux"]).all()
        assert (table["std"] > 0).all()


def test_stars_unlike_the_grid_are_flagged(run):
    """One is beyond the grid; one rises 10% above its continuum at 16,044 Å."""
    supported = {
        path.stem: fits.getheader(path, 1)["SUPPORTD"] for path in run[0].glob("*.fits")
    }
    assert supported == {
        "Sun": True,
        "2M17334253-1654573": False,
        "apogee_dr14_example": False,
    }


def test_the_sun_is_nearer_than_the_mean_dwarf(run):
    figures = _figures(run[1])
    assert len(figures["translator"]) == 4
    assert all(figures["translator"] < figures["null: mean dwarf"])
    assert all(figures["null: labels, degree 2"] < figures["null: mean dwarf"])


def test_it_says_what_it_is(run):
    assert "CONSISTENCY CHECK" in run[1]
    assert "tuned on the Sun" in run[1]


def test_every_line_of_the_sun(run):
    table = Table.read(run[0] / "sun_lines.ecsv")
    assert set(table["line"][table["key"]]) == set(KEY_LINES)
    assert "Li I 6708" in table["line"]
    for name in ("flux_rms", "ew", "ew_err", "ew_observed", "ew_observed_err"):
        assert np.isfinite(table[name]).all()
    assert (table["ew_err"] > 0).all()
    barium = table[table["line"] == "Ba II 6497"][0]
    assert barium["ew_observed"] == pytest.approx(101, abs=2)
    assert abs(barium["sigma"]) < 3


def test_the_figure(run):
    assert (run[0] / "real_stars.png").stat().st_size > 50_000


def _figures(printed):
    """The last table of four figures, by row."""
    after = printed.rsplit("same continuum rule", 1)[1]
    rows = {}
    for line in after.splitlines()[2:]:
        parts = line.rsplit(maxsplit=4)
        if len(parts) < 5 or not line.startswith("  "):
            break
        rows[parts[0].strip()] = np.array(parts[1:], float)
    return rows
