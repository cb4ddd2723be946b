import numpy as np
import pytest
from astropy.table import Table

from specxfer import Spectra
from specxfer.metrics import (
    coverage,
    giants_and_dwarfs,
    line_table,
    mse,
    paired_difference,
    slope_table,
)

WAVE = np.arange(5000.0, 5050)
LINES = [(5010, 5019), (5030, 5039)]


def observed(n=300, sigma=0.03, ivar=True, seed=0):
    rng = np.random.default_rng(seed)
    truth = 1 - 0.2 * rng.random((n, 50))
    flux = truth + sigma * rng.standard_normal(truth.shape)
    giant = np.arange(n) % 3 == 0
    meta = Table({"TEFF": np.where(giant, 4700.0, 5900), "LOGG": np.where(giant, 2, 4)})
    y = Spectra(
        flux,
        np.full(flux.shape, sigma**-2) if ivar else None,
        wave=WAVE,
        medium="air",
        meta=meta,
    )
    return y, truth, giant


def test_errors_by_line_domain_and_model():
    y, truth, giant = observed(n=900)
    models = {
        "good": truth + 0.005,
        "poor": truth + np.where(giant[:, None], 0.04, 0.02) * (WAVE > 5020),
    }
    table = line_table(y, models, LINES)
    assert table["line"].tolist() == [
        name for name in ("all", "5010.00-5019.00", "5030.00-5039.00") for _ in "gd"
    ]
    assert table["domain"].tolist() == ["giant", "dwarf"] * 3
    assert table["n_stars"].tolist() == [300, 600] * 3
    assert table["poor"][4] == pytest.approx(0.04, abs=0.002)
    assert table["poor"][5] == pytest.approx(0.02, abs=0.002)
    assert abs(table["good"][0]) < 0.009
    assert table["d_poor"][4] == pytest.approx(0.04**2 - 0.005**2, abs=1e-4)
    assert (table["d_poor_lo"] < table["d_poor"]).all()
    assert table["d_poor_hi"][2] < 0 < table["d_poor_lo"][4]
    assert table.meta["reference"] == "good"
    swapped = line_table(y, models, LINES, reference="poor")
    np.testing.assert_allclose(swapped["d_good"], -table["d_poor"])


def test_intervals_cover_the_truth_as_often_as_they_say():
    hits, paired_hits = [], []
    for seed in range(200):
        y, truth, _ = observed(n=40, seed=seed)
        a, b = truth + 0.01, truth + 0.02
        everyone = {"all": np.ones(40, dtype=bool)}
        row = line_table(y, {"a": a}, [LINES[0]], domains=everyone)[1]
        hits.append(row["a_lo"] < 0.01 < row["a_hi"])
        row = paired_difference(y, b, a, LINES[0])[0]
        paired_hits.append(row["lo"] < 0.02**2 - 0.01**2 < row["hi"])
    assert 0.89 < np.mean(hits) <= 0.99
    assert 0.89 < np.mean(paired_hits) <= 0.99


def test_paired_difference_needs_no_noise_and_is_sharper():
    y, truth, _ = observed(sigma=0.05)
    blind, *_ = observed(sigma=0.05, ivar=False)
    models = {"a": truth + 0.01, "b": truth + 0.02}
    with_ivar = paired_difference(y, models["a"], models["b"], LINES)
    without = paired_difference(blind, models["a"], models["b"], LINES)
    np.testing.assert_allclose(with_ivar["difference"], without["difference"])
    assert without["difference"] == pytest.approx(-3e-4, abs=1e-4)
    assert (without["hi"] < 0).all()
    table = line_table(y, models, LINES)
    unpaired = table["a_hi"] ** 2 - table["a"] ** 2
    assert (with_ivar["hi"] - with_ivar["difference"] < unpaired[2::2]).all()


def test_repeats_of_a_star_are_one_draw():
    y, truth, _ = observed(n=50)
    twice = np.repeat(np.arange(50), 4)
    many = y[twice].replace(ids=twice)
    rows = [
        paired_difference(some, truth[which] + 0.02, truth[which], LINES[0])[0]
        for some, which in ((y, slice(None)), (many, twice))
    ]
    assert rows[1]["n_stars"] == 50
    for name in ("difference", "lo", "hi"):
        assert rows[1][name] == pytest.approx(rows[0][name])
    apart = paired_difference(
        many, truth[twice] + 0.02, truth[twice], LINES[0], groups=np.arange(200)
    )[0]
    assert apart["hi"] < rows[1]["hi"]


def test_equivalent_width_errors():
    y, truth, _ = observed(n=600, sigma=0.01)
    table = line_table(y, {"off": truth - 0.01}, LINES, quantity="ew")
    assert "all" not in table["line"]
    np.testing.assert_allclose(table["off"], 90, rtol=0.1)  # 9 Å × 0.01
    coherent = truth + 0.01 * np.where(WAVE % 2, 1, -1)
    table = line_table(y, {"cancels": coherent}, LINES, quantity="ew")
    assert (table["cancels_lo"] < 15).all()
    assert table.meta["unit"] == "mÅ"
    paired = paired_difference(y, truth, truth - 0.01, LINES, quantity="ew")
    assert (paired["hi"] < 0).all()


def test_all_pixels_are_shown_only_if_all_are_predicted():
    y, truth, _ = observed()
    windowed = np.where((WAVE >= 5010) & (WAVE <= 5019), truth, np.nan)
    models = {"window": windowed, "full": truth}
    table = line_table(y, models, [LINES[0]])
    assert set(table["line"]) == {"5010.00-5019.00"}
    with pytest.raises(ValueError, match=r"5030\.00-5039\.00"):
        line_table(y, models, LINES)
    alone = line_table(y, {"full": truth})
    assert alone["line"].tolist() == ["all", "all"]
    with pytest.raises(ValueError, match="all pixels"):
        line_table(y, models)


def test_models_are_compared_on_the_pixels_that_both_have():
    y, truth, _ = observed()
    a, b = truth + 0.01, truth + 0.01
    a[:2, 7], b[:2, 8] = np.nan, 0.0  # fewer than 1% missing; b errs elsewhere
    b[:2, 7] = 1e3  # where a does not commit itself
    same = paired_difference(y[2:], a[2:], b[2:])
    assert same["difference"][0] == 0
    found = paired_difference(y, a, b)
    assert 0 > found["difference"][0] > -1e-3
    table = line_table(y, {"a": a, "b": b}, domains={"all": np.ones(300, bool)})
    assert table["b"][0] < 0.05
    a[:, 7] = np.nan  # 2% of the pixels
    with pytest.raises(ValueError, match="all pixels"):
        paired_difference(y, a, b)


def test_a_star_of_unknown_kind_is_in_neither_domain():
    giant = np.ma.array([True, False, True], mask=[False, False, True])
    domains = giants_and_dwarfs(Table({"giant": giant}, masked=True))
    assert domains["giant"].tolist() == [True, False, False]
    assert domains["dwarf"].tolist() == [False, True, False]


def test_domains():
    labels = Table(
        {
            "teff": np.ma.MaskedArray([4800, 5600, 4000, 4800.0], [0, 0, 0, 1]),
            "logg": [2.0, 2.0, 4.6, 2.0],
        }
    )
    found = giants_and_dwarfs(labels)
    assert found["giant"].tolist() == [True, False, False, False]
    assert found["dwarf"].tolist() == [False, True, True, False]
    flags = giants_and_dwarfs(Table({"giant": [True, False]}))
    assert flags["dwarf"].tolist() == [False, True]
    with pytest.raises(ValueError, match="teff and logg"):
        giants_and_dwarfs(Table({"feh": [0.0]}))
    y, truth, giant = observed()
    mine = line_table(y, {"m": truth}, LINES[0], domains={"mine": giant})
    assert set(mine["domain"]) == {"mine"}
    assert mine["n_stars"][0] == 100
    from_table = line_table(y.replace(meta=None), {"m": truth}, domains=y.meta)
    assert from_table["domain"].tolist() == ["giant", "dwarf"]
    assert line_table(y.replace(meta=None), {"m": truth})["domain"].tolist() == ["all"]
    with pytest.raises(ValueError, match="domain 'mine'"):
        line_table(y, {"m": truth}, domains={"mine": np.arange(300)})


def test_an_empty_domain_or_a_single_star_has_no_interval():
    y, truth, _ = observed(n=4)
    one = np.arange(4) == 1
    table = line_table(y, {"m": truth}, domains={"none": one & False, "one": one})
    assert table["n_stars"].tolist() == [0, 1]
    assert np.isnan(table["m"][0])
    assert np.isfinite(table["m"][1])
    assert np.isnan(table["m_lo"]).all()


def test_bad_models_are_errors():
    y, truth, _ = observed()
    with pytest.raises(ValueError, match="no predictions"):
        line_table(y, {}, LINES)
    with pytest.raises(ValueError, match="reference 'x'"):
        line_table(y, {"m": truth}, LINES, reference="x")
    with pytest.raises(ValueError, match="no ivar"):
        line_table(y.flux, {"m": truth}, LINES, wave=WAVE, medium="air")
    with pytest.raises(ValueError, match="quantity is 'depth'"):
        line_table(y, {"m": truth}, LINES, quantity="depth")


def test_a_star_whose_labels_say_unknown_is_in_no_domain():
    found = giants_and_dwarfs(Table({"teff": [4800, -9999.0], "logg": [-999.0, 4.4]}))
    assert not found["giant"].any()
    assert not found["dwarf"].any()


@pytest.mark.parametrize("metric", [line_table, slope_table, coverage, mse])
def test_predictions_of_other_stars_are_refused(rng, metric):
    flux = 1 - 0.1 * rng.random((6, 8))
    y = Spectra(
        flux,
        np.full(flux.shape, 1e4),
        wave=5000.0 + np.arange(8),
        medium="air",
        ids=list("abcdef"),
    )
    given = {
        line_table: lambda p: line_table(y, {"m": p}, [(5002, 5005)]),
        slope_table: lambda p: slope_table(y, {"m": p}, [(5002, 5005)]),
        coverage: lambda p: coverage(y, p, np.full(p.shape, 0.1), [(5002, 5005)]),
        mse: lambda p: mse(y, p),
    }[metric]
    with pytest.raises(ValueError, match="different stars, first in row 0: f and a"):
        given(y[::-1])
    given(y[::-1].flux)
    given(y)
