"""`null_test` against stars whose lines are known to be told by the source, or not."""

import numpy as np
import pytest
from astropy.table import QTable, Table
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from specxfer import Spectra
from specxfer.baselines import NullTranslator
from specxfer.metrics import line_table
from specxfer.model_selection import StarKFold
from specxfer.validation import null_test

WAVE = np.arange(6000.0, 6020.0)
TOLD, UNTOLD, FLAT = (6001.5, 6004.5), (6007.5, 6010.5), (6015.5, 6018.5)
LINES = [TOLD, UNTOLD, FLAT]


def pairs(n=600, noise=0.02, seed=0, repeats=1):
    """Two lines follow a label; the first also an abundance that the source shows.

    The third window has no line. The source is the label and the abundance.
    """
    rng = np.random.default_rng(seed)
    label, abundance = rng.standard_normal((2, n))
    deep = np.zeros((n, len(WAVE)))
    for lo, own in ((6001.5, 1), (6007.5, 0)):
        here = (lo < WAVE) & (lo + 3 > WAVE)
        deep[:, here] = (0.3 + 0.03 * label + own * 0.02 * abundance)[:, None]
    deep = np.repeat(deep, repeats, axis=0)
    ids = np.repeat(np.arange(n), repeats)
    flux = 1 - deep + noise * rng.standard_normal(deep.shape)
    ivar = np.full(flux.shape, noise**-2.0)
    source = np.repeat(np.column_stack([label, abundance]), repeats, axis=0)
    X = Spectra(
        source, wave=[15000, 15001], medium="vacuum", ids=ids,
        meta=Table({"label": source[:, 0]}),
    )  # fmt: skip
    return X, Spectra(flux, ivar, wave=WAVE, medium="air", ids=ids)


SETTINGS = {"labels": ["label"], "n_flips": 999, "n_bootstrap": 500, "cv": 3}


@pytest.fixture(scope="module")
def table():
    X, y = pairs()
    return null_test(LinearRegression(), X, y, LINES, **SETTINGS)


def test_skill_is_found_where_it_is_and_nowhere_else(table):
    assert isinstance(table, QTable)
    told, untold, flat = table
    assert told["skilful"]
    assert told["q"] <= 0.01
    assert told["skill_lo"] < told["skill"] < told["skill_hi"]
    assert told["skill"] == pytest.approx(1, abs=0.05)  # all of what the null lacks
    assert told["rms_null"] == pytest.approx(0.02, rel=0.15)
    assert not untold["skilful"]
    assert not flat["skilful"]
    # a null without an error leaves nothing to explain
    assert np.isnan(flat["skill"])
    assert np.isnan(untold["skill"])


def test_errors_are_those_of_the_line_table():
    X, y = pairs(200)
    halves = [
        (np.arange(100), np.arange(100, 200)),
        (np.arange(100, 200), np.arange(100)),
    ]
    found = null_test(LinearRegression(), X, y, LINES, **SETTINGS | {"cv": halves})
    predicted = {"model": np.empty(y.shape), "null": np.empty(y.shape)}
    for train, test in halves:
        null = NullTranslator("labels", labels=["label"]).fit(X[train], y[train])
        predicted["null"][test] = null.predict(X[test])
        model = LinearRegression().fit(X[train], y[train])
        predicted["model"][test] = model.predict(X[test])
    expected = line_table(y, predicted, LINES)[1:]  # without "all"
    assert_array_equal(found["line"], expected["line"])
    assert_allclose(found["rms"], expected["model"], rtol=1e-6)
    assert_allclose(found["rms_null"], expected["null"], rtol=1e-6)
    assert_array_equal(found["n_stars"], 200)


def test_equivalent_widths_are_in_milliangstrom():
    X, y = pairs(300)
    found = null_test(LinearRegression(), X, y, TOLD, quantity="ew", **SETTINGS)
    assert str(found["rms"].unit) == "mAngstrom"
    assert found["skilful"][0]
    # three pixels of 1 Å and 0.02 of the abundance
    assert found["rms_null"].value[0] == pytest.approx(60, rel=0.2)


def test_the_same_again_and_in_other_processes():
    X, y = pairs(150)
    first = null_test(LinearRegression(), X, y, LINES, **SETTINGS)
    for options in ({}, {"n_jobs": 2}, {"n_jobs": 2, "cv": StarKFold(3)}):
        again = null_test(LinearRegression(), X, y, LINES, **SETTINGS | options)
        for name in ("rms", "rms_null", "skill", "skill_lo", "p", "q"):
            # the BLAS may use other threads in another process
            assert_allclose(first[name], again[name], rtol=1e-9)
    other = null_test(LinearRegression(), X, y, LINES, **SETTINGS, random_state=1)
    assert_array_equal(first["rms"], other["rms"])
    assert first["skill_lo"][0] != other["skill_lo"][0]


def test_spectra_of_a_star_are_one_draw():
    X, y = pairs(150)
    # of a fixed penalty: a learnt one takes four spectra for more than one
    null = NullTranslator("labels", labels=["label"], degree=2, alpha=0.01)
    settings = SETTINGS | {"null": null}
    once = null_test(LinearRegression(), X, y, LINES, **settings)
    four = np.repeat(np.arange(150), 4)  # the same spectrum four times tells no more
    found = null_test(LinearRegression(), X[four], y[four], LINES, **settings)
    assert_array_equal(found["n_stars"], 150)
    for name in ("rms", "skill", "skill_lo", "skill_hi", "p"):
        assert_allclose(found[name], once[name], rtol=1e-3)
    rows = {"groups": np.arange(600)}
    by_row = null_test(LinearRegression(), X[four], y[four], LINES, **settings | rows)
    wide = [(t["skill_hi"] - t["skill_lo"])[0] for t in (by_row, found)]
    assert wide[0] < 0.7 * wide[1]


def test_p_is_right_where_the_translator_knows_no_more_than_its_null():
    """Each is the truth plus its own error of the same size."""
    rng = np.random.default_rng(1)
    X, y = pairs(120)
    p = []
    for _ in range(40):
        both = [Guess(int(seed)) for seed in rng.integers(0, 2**31, 2)]
        table = null_test(
            both[0], X, y, TOLD, null=both[1], cv=2, n_flips=199, n_bootstrap=2
        )
        p.append(table["p"][0])
    assert 0.35 < np.mean(p) < 0.65  # 0.5 ± 3.3 × 0.29/√40
    assert np.mean(np.array(p) <= 0.1) < 0.25


class Guess(RegressorMixin, BaseEstimator):
    """The flux that a star has on average, and a random error for each star."""

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, X, y):
        self.mean_ = np.asarray(y).mean(axis=0)
        return self

    def predict(self, X):
        keys = (1e6 * np.abs(np.asarray(X)[:, 0])).astype(int)
        error = [np.random.default_rng([self.seed, key]).normal() for key in keys]
        return self.mean_ + 0.02 * np.array(error)[:, None]


def test_giants_and_dwarfs_by_the_labels_of_either_side():
    X, y = pairs(200)
    rng = np.random.default_rng(0)
    meta = X.meta.copy()
    meta["giant"] = rng.random(200) < 0.5
    tables = [
        null_test(LinearRegression(), X.replace(meta=meta), y, TOLD, **SETTINGS),
        null_test(
            LinearRegression(), X, y.replace(meta=meta[["giant"]]), TOLD, **SETTINGS
        ),
    ]
    for table in tables:
        assert_array_equal(table["domain"], ["giant", "dwarf"])
        assert_array_equal(
            table["n_stars"], [meta["giant"].sum(), (~meta["giant"]).sum()]
        )
    assert_array_equal(tables[0]["p"], tables[1]["p"])
    meta["giant"] = True  # no dwarfs: no row of theirs
    table = null_test(LinearRegression(), X.replace(meta=meta), y, TOLD, **SETTINGS)
    assert_array_equal(table["domain"], ["giant"])


def test_stars_that_the_null_cannot_predict_are_left_out_of_both():
    X, y = pairs(200)
    meta = X.meta.copy()
    meta["label"][:10] = np.nan
    X = X.replace(meta=meta)
    with (
        pytest.warns(UserWarning, match="10 of 200 spectra are left out"),
        pytest.warns(UserWarning, match="lack one of the labels"),
    ):
        table = null_test(LinearRegression(), X, y, LINES, **SETTINGS)
    assert_array_equal(table["n_stars"], 190)


def test_what_cannot_be_tested_says_so():
    X, y = pairs(60)
    model = LinearRegression()
    with pytest.raises(ValueError, match="give Spectra"):
        null_test(model, X, y.flux, TOLD, **SETTINGS)
    with pytest.raises(ValueError, match="no ivar"):
        null_test(model, X, y.replace(ivar=None), TOLD, **SETTINGS)
    with pytest.raises(ValueError, match="more than once"):
        null_test(model, X, y, [TOLD, TOLD], **SETTINGS)
    with pytest.raises(ValueError, match="lacks"):
        null_test(model, X, y, TOLD)
    with pytest.raises(ValueError, match=r"lacks \['lable'\]; it has \['label'\]"):
        null_test(None, X, y, TOLD, labels=["lable"])  # before anything is fitted
    with pytest.raises(ValueError, match=r"lacks \['lable'\]"):
        null_test(None, X, y, TOLD, null=NullTranslator("labels", labels=["lable"]))
    domains = {"hot": np.zeros(60, bool)}
    with pytest.raises(ValueError, match="no spectrum of domain 'hot'"):
        null_test(model, X, y, TOLD, **SETTINGS, domains=domains)
