"""Twins that differ as we made them, and simulated giants."""

import numpy as np
import pytest
from astropy.table import Table
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from specxfer import Spectra
from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.validation import identical_twins, twins_test
from specxfer.validation._twins_test import _nearest_pairs

WAVE = np.arange(6000.0, 6010.0)
LINE = (6001.5, 6004.5)
SETTINGS = {"labels": ["label"], "n_flips": 999, "cv": 2}


def pairs(n=1200, noise=0.02, seed=0, information=0.6):
    """A line that follows a label and an abundance; the source knows part of the last.

    Its depth varies by 0.03 with the label and by 0.02 with the abundance.
    """
    rng = np.random.default_rng(seed)
    label, abundance = rng.standard_normal((2, n))
    told = abundance + np.sqrt(1 / information - 1) * rng.standard_normal(n)
    depth = 0.3 + 0.03 * label + 0.02 * abundance
    flux = np.ones((n, len(WAVE)))
    flux[:, 2:5] -= depth[:, None]
    flux += noise * rng.standard_normal(flux.shape)
    X = Spectra(
        np.column_stack([label, told]), wave=[15000, 15001], medium="vacuum",
        ids=np.arange(n), meta=Table({"label": label}),
    )  # fmt: skip
    ivar = np.full(flux.shape, noise**-2.0)
    return X, Spectra(flux, ivar, wave=WAVE, medium="air", ids=np.arange(n))


class Gain(LinearRegression):
    """The best linear guess with its spread about the label's prediction doubled."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain

    def fit(self, X, y):
        super().fit(np.asarray(X), np.asarray(y))
        self.coef_[:, 1] *= self.gain
        return self

    def predict(self, X):
        return super().predict(np.asarray(X))


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_slope_and_correlation_are_those_of_the_stars(gain):
    X, y = pairs()
    row = twins_test(Gain(gain), X, y, LINE, **SETTINGS)[0]
    assert row["n_pairs"] == 300
    assert row["slope_lo"] < 1 / gain < row["slope_hi"]
    assert row["correlation"] == pytest.approx(np.sqrt(0.6), abs=0.12)
    assert row["follows"]
    # the difference of two stars, three pixels of 1 Å
    assert row["rms_observed"].value == pytest.approx(85, rel=0.15)
    assert row["rms_predicted"].value == pytest.approx(gain * 66, rel=0.15)


def test_noise_of_y_takes_nothing_off_slope_or_correlation():
    X, y = pairs(n=3000, noise=0.05)
    row = twins_test(Gain(), X, y, LINE, **SETTINGS)[0]
    assert row["slope"] == pytest.approx(1, abs=0.25)
    assert row["correlation"] == pytest.approx(np.sqrt(0.6), abs=0.2)


def test_a_guess_from_the_label_does_not_follow():
    X, y = pairs()
    found = []
    for seed in range(3):
        X, y = pairs(seed=seed)
        found.append(twins_test(_FromLabel(), X, y, LINE, **SETTINGS)["p"][0])
    assert min(found) > 0.01
    # though its error is small
    null = NullTranslator("labels", labels=["label"], degree=1)
    assert not twins_test(null, X, y, LINE, **SETTINGS)["follows"][0]


class _FromLabel(RegressorMixin, BaseEstimator):
    """The label, by way of what a cubic makes of it."""

    def fit(self, X, y):
        self.coef_ = np.polyfit(np.asarray(X)[:, 0], np.asarray(y), 3)
        return self

    def predict(self, X):
        return np.vander(np.asarray(X)[:, 0], 4) @ self.coef_


def test_twins_in_the_source_have_nothing_left_to_tell():
    X, y = pairs()
    row = twins_test(Gain(), X, y, LINE, **SETTINGS, match="source", n_components=2)[0]
    by_label = twins_test(Gain(), X, y, LINE, **SETTINGS)[0]
    assert row["rms_predicted"] < 0.4 * by_label["rms_predicted"]
    # they still differ by what the source cannot tell
    unexplained = 3000 * 0.02 * np.sqrt(2 * 0.4)
    assert row["rms_observed"].value == pytest.approx(unexplained, rel=0.25)


def test_giants_alike_in_labels_tell_by_their_cerium():
    X, y, _ = make_paired_spectra(500, size="small", giant_fraction=1, random_state=0)
    lines = load_lines("galah", names=["Ce II 4774", "Ba II 6497"])
    table = twins_test(PCARidge(20), X, y, lines, cv=2, n_flips=999)
    assert table["follows"].all()
    assert ((table["slope"] > 0.7) & (table["slope"] < 1.4)).all()
    assert (table["correlation"] > 0.6).all()
    labels = ["teff", "logg", "fe_h", "alpha_fe"]
    null = NullTranslator("labels", labels=labels, degree=2)
    guessed = twins_test(null, X, y, lines, cv=2, n_flips=999)
    assert (guessed["rms_observed"] == table["rms_observed"]).all()
    assert (guessed["rms_predicted"] < 0.4 * table["rms_predicted"]).all()
    assert (guessed["correlation"] < 0.4).all()


def test_pairs_are_the_nearest_and_no_star_is_in_two():
    at = np.array([[0.0], [0.1], [1.0], [1.05], [5.0], [5.5], [9.0]])
    found = _nearest_pairs(at, np.arange(7), 3, "all")
    assert_array_equal(np.sort(found, axis=1), [[2, 3], [0, 1], [4, 5]])
    found = _nearest_pairs(at, np.array([0, 2, 3, 6]), None, "all")
    assert_array_equal(np.sort(found, axis=1), [[2, 3]])


def test_masked_lines_and_repeats_are_left_out():
    X, y = pairs(n=400)
    ids = np.repeat(np.arange(200), 2)
    X, y = X.replace(ids=ids), y.replace(ids=ids)
    table = twins_test(Gain(), X, y, LINE, **SETTINGS)
    assert table["n_pairs"][0] == 50  # of 200 stars
    ivar = y.ivar.copy()
    ivar[::4, 3] = 0  # the first spectrum of every other star
    table = twins_test(Gain(), X, y.replace(ivar=ivar), LINE, **SETTINGS)
    assert 0 < table["n_pairs"][0] < 30


def test_what_cannot_be_matched_says_so():
    X, y = pairs(n=40)
    with pytest.raises(ValueError, match="match is"):
        twins_test(Gain(), X, y, LINE, match="colour")
    with pytest.raises(ValueError, match="meta lacks"):
        twins_test(Gain(), X, y, LINE)
    with pytest.raises(ValueError, match="too few for"):
        twins_test(Gain(), X, y, LINE, **SETTINGS, domains={"few": np.arange(40) < 3})
    with pytest.raises(ValueError, match="no ivar"):
        twins_test(Gain(), X, y.replace(ivar=None), LINE, **SETTINGS)
    quiet = twins_test(Gain(), X, y.replace(ivar=None), LINE, **SETTINGS, noise="none")
    assert np.isfinite(quiet["slope"][0])


def test_identical_twins():
    X, y = pairs(n=80)
    assert identical_twins(PCARidge(2).fit(X, y), X[:20]) == 0
    assert identical_twins(make_pipeline(PCARidge(2)).fit(X.flux, y), X.flux[:20]) == 0

    class Company(Gain):
        def predict(self, X):
            flux = super().predict(X)
            return flux + 0.01 * np.mean(flux)

    assert identical_twins(Company().fit(X, y), X[:20]) > 1e-5

    class Gone(Gain):
        def predict(self, X):
            flux = super().predict(X)
            flux[3:] = np.nan
            return flux

    assert identical_twins(Gone().fit(X, y), X[:20]) == np.inf
