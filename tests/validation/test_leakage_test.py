"""Skill that comes from an element's lines goes with them; what was not there does not.

The two bars of the suite on the simulator, in small: `benchmarks/tests_of_the_tests.py`
has them with 50 seeds and all labels.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from specxfer.datasets import make_paired_spectra
from specxfer.datasets._population import TRENDS
from specxfer.linear import PCARidge, SpectralRidge
from specxfer.lines import load_lines, window_pixels
from specxfer.preprocessing import GapMasker
from specxfer.validation import leakage_test, null_test
from specxfer.validation._leakage_test import hidden_windows

LABELS = ["teff", "logg", "fe_h", "alpha_fe", "vmic", "vmac"]
LABELS += [f"{element.lower()}_fe" for element in TRENDS]  # the light elements
LINES = load_lines("galah", names=["Ce II 4774", "Ba II 6497", "La II 4749"])
SETTINGS = {"cv": 2, "n_flips": 499, "n_bootstrap": 300}


def all_labels(X):
    labels = np.column_stack([X.meta[name] for name in LABELS])
    return np.hstack([labels, labels[:, :3] ** 2])


#: Over giants alone, all that is not a heavy element says what iron-peak lines do.
NULL = make_pipeline(FunctionTransformer(all_labels), StandardScaler(), SpectralRidge())


def giants(n, seed, **options):
    X, y, _ = make_paired_spectra(
        n, size="small", giant_fraction=1, random_state=seed, **options
    )
    return X, y[:, window_pixels(LINES, y.wave, y.medium)]


@pytest.fixture(scope="module")
def scattered():
    return giants(600, 1)


@pytest.fixture(scope="module")
def refitted(scattered):
    return leakage_test(PCARidge(20), *scattered, LINES, null=NULL, **SETTINGS)


def test_skill_is_lost_with_the_lines_of_the_sisters(refitted):
    assert refitted["skilful"].all()
    assert not refitted["skilful_masked"].any()
    assert (refitted["fall_lo"] > 0.1).all()
    assert (refitted["q"] <= 0.01).all()
    assert (refitted["rms_masked"] > refitted["rms"]).all()
    assert refitted["skill"] - refitted["skill_masked"] == pytest.approx(
        refitted["fall"]
    )


def test_a_model_that_has_the_lines_misses_them_more(scattered, refitted):
    predicted = leakage_test(
        PCARidge(20), *scattered, LINES, null=NULL, mode="predict", **SETTINGS
    )
    for name in ("rms", "rms_null", "skill", "n_stars"):
        assert_array_equal(predicted[name], refitted[name])
    assert not predicted["skilful_masked"].any()
    # the best without the windows is one that was fitted without them
    assert (predicted["rms_masked"] > 0.97 * refitted["rms_masked"]).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_no_skill_where_heavy_elements_follow_from_light_ones(seed):
    X, y = giants(600, seed, heavy_scatter=False)
    table = null_test(PCARidge(20), X, y, LINES, null=NULL, **SETTINGS)
    assert not table["skilful"].any()


def test_hiding_windows_that_carry_nothing_changes_nothing(scattered):
    X, y = scattered
    quiet = (15775.0, 15776.0)
    table = leakage_test(
        PCARidge(20), X, y, LINES, windows=quiet, null=NULL, **SETTINGS
    )
    assert (np.abs(table["fall"]) < 0.1).all()
    assert table["skilful_masked"].all()
    assert table.meta["hidden"] == [quiet]


def test_scikit_learn_behind_a_gap_masker(scattered):
    X, y = scattered
    model = make_pipeline(GapMasker(), LinearRegression())
    y = y.replace(flux=np.nan_to_num(y.flux, nan=1.0))  # it takes no NaN
    for mode in ("refit", "predict"):
        table = leakage_test(
            model, X, y, LINES, null="mean", mode=mode, **SETTINGS, n_jobs=2
        )
        assert (table["fall"] > 0).any()


def test_all_lines_of_the_elements_are_hidden(scattered):
    X, _ = scattered
    pad = 0.8
    found = hidden_windows(X, None, ["Ce", "Yb"], pad)
    inside = window_pixels(found, X.wave, X.medium)
    on_grid = 0
    for line in load_lines("apogee", ["Ce", "Yb"], measurable=False):
        near = np.abs(X.wave - line.to_medium("vacuum").wave) < pad
        assert inside[near].all()
        on_grid += near.any()
        if line.has_window and near.any():
            assert inside[window_pixels(line, X.wave, X.medium)].all()
    assert len(found) == on_grid
    in_air = X.to_medium("air")
    moved = hidden_windows(in_air, None, ["Ce", "Yb"], pad)
    assert_array_equal(window_pixels(moved, in_air.wave, "air"), inside)


def test_what_cannot_be_hidden_says_so(scattered):
    X, y = scattered
    model = PCARidge(5)
    with pytest.raises(ValueError, match="mode is"):
        leakage_test(model, X, y, LINES, mode="drop")
    with pytest.raises(ValueError, match="no wavelengths"):
        leakage_test(model, X.flux, y, LINES)
    with pytest.raises(ValueError, match="shows none"):
        leakage_test(model, X, y, LINES, elements=["Rb"])
    with pytest.raises(ValueError, match="no pixel in"):
        leakage_test(model, X, y, LINES, windows=(5000, 5001))
    with pytest.raises(ValueError, match="pad is"):
        leakage_test(model, X, y, LINES, pad=0)
