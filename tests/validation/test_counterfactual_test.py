"""Simulated stars with one abundance changed: which lines follow is known."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from specxfer import Spectra
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.preprocessing import VelocityCheck
from specxfer.validation import counterfactual_test

LINES = load_lines("galah", names=["Ba II 6497", "Ce II 4774", "La II 4749"])
SETTINGS = {"size": "small", "random_state": 2}
TEST = {"size": "small", "random_state": 3}


@pytest.fixture(scope="module")
def model():
    X, y, _ = make_paired_spectra(600, **SETTINGS)
    return make_pipeline(VelocityCheck(), PCARidge(20)).fit(X, y)


def changed(model, shift, **options):
    pairs = []
    for step in ({}, shift):
        X, _, truth = make_paired_spectra(100, **TEST, shift=step)
        pairs.append((X, truth))
    table = counterfactual_test(model, *pairs, LINES, **options)
    return {(row["line"], row["domain"]): row for row in table}


def test_barium_alone_is_not_seen_in_the_source(model):
    found = changed(model, {"ba_fe": 0.3})
    for domain in ("giant", "dwarf"):
        row = found["Ba II 6497", domain]
        assert row["rms_true"] > 5 * u.mAA
        assert row["slope"] == 0
        assert row["rms_predicted"] == 0
        assert np.isnan(found["Ce II 4774", domain]["slope"])  # it did not change


def test_cerium_alone_moves_its_own_line_in_giants_and_pulls_its_sisters(model):
    table = changed(model, {"ce_fe": 0.3})
    assert table["Ce II 4774", "giant"]["slope_lo"] > 0.1
    found = table["La II 4749", "giant"]
    assert np.isnan(found["slope"])  # lanthanum is where it was
    assert found["rms_predicted"] > 0.5 * u.mAA  # and predicted to have moved


def test_the_s_process_moves_them_all(model):
    found = changed(model, {"s_process": 0.3})
    for line in ("Ba II 6497", "Ce II 4774", "La II 4749"):
        row = found[line, "giant"]
        assert 0.1 < row["slope_lo"] < row["slope"] < row["slope_hi"] < 1.2
        assert row["slope"] > found[line, "dwarf"]["slope"]  # few lines in dwarfs


WAVE = np.arange(5000.0, 5010.0)


def linear_pairs(n=100, step=0.05, repeats=1):
    """One line that the source tells to half its depth."""
    rng = np.random.default_rng(0)
    depth = np.repeat(rng.uniform(0.2, 0.4, n), repeats)
    pairs = []
    for d in (depth, depth + step * np.linspace(0.5, 1.5, len(depth))):
        flux = np.ones((len(d), len(WAVE)))
        flux[:, 3:6] -= d[:, None]
        truth = Spectra(
            flux, wave=WAVE, medium="air", ids=np.repeat(np.arange(n), repeats)
        )
        pairs.append((d[:, None], truth))
    return pairs


class Half(LinearRegression):
    def predict(self, X):
        flux = np.ones((len(X), len(WAVE)))
        flux[:, 3:6] -= 0.5 * X
        return flux


def test_slope_and_changes_where_they_are_exact():
    before, after = linear_pairs()
    table = counterfactual_test(Half(), before, after, [(5002.5, 5005.5), (5007, 5009)])
    step = 3000 * 0.05 * np.sqrt(np.mean(np.linspace(0.5, 1.5, 100) ** 2))
    assert_allclose(table["rms_true"].value, [step, 0], atol=1e-9)
    assert_allclose(table["rms_predicted"].value, [step / 2, 0], atol=1e-9)
    assert_allclose([table[name][0] for name in ("slope", "slope_lo", "slope_hi")], 0.5)
    assert np.isnan(table["slope"][1])
    assert_array_equal(table["n_stars"], 100)


def test_spectra_of_a_star_are_one_draw():
    (X, t), (X2, t2) = linear_pairs(repeats=3)
    table = counterfactual_test(Half(), (X, t), (X2, t2), (5002.5, 5005.5))
    assert table["n_stars"][0] == 100


def test_what_is_not_the_same_stars_is_refused():
    before, after = linear_pairs()
    X, truth = after
    with pytest.raises(ValueError, match="the same stars"):
        counterfactual_test(Half(), before, (X[1:], truth[1:]), (5003, 5006))
    other = truth.replace(ids=np.arange(100) + 1)
    with pytest.raises(ValueError, match="different stars"):
        counterfactual_test(Half(), before, (X, other), (5003, 5006))


def test_what_is_not_predicted_is_not_judged():
    class Gappy(Half):
        def predict(self, X):
            flux = super().predict(X)
            flux[:, 4] = np.nan
            return flux

    with pytest.raises(ValueError, match="lacks pixels"):
        counterfactual_test(Gappy(), *linear_pairs(), (5002.5, 5005.5))
