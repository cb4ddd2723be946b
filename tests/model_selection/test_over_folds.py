"""Folds are fitted and judged block by block, and found again."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from specxfer import Spectra
from specxfer.model_selection import StarKFold, StarShuffleSplit
from specxfer.model_selection._over_folds import BLOCK_ROWS, over_folds

N = 40


class Memory(RegressorMixin, BaseEstimator):
    """Knows the mean of its training stars, and how often it was fitted."""

    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        self.trained_on_ = set(np.asarray(X)[:, 0].tolist())
        return self

    def predict(self, X):
        return np.array([x in self.trained_on_ for x in np.asarray(X)[:, 0]])


@dataclass
class Judge:
    most: int = 0

    def __call__(self, model, X, y):
        self.most = max(self.most, len(X))
        return {"predicted": np.asarray(model.predict(X)).reshape(len(X), -1)}


def pairs(rng, n=N):
    X = Spectra(rng.random((n, 3)), wave=[1.5e4, 1.6e4, 1.7e4], medium="vacuum",
                ids=np.arange(n) // 2)  # fmt: skip
    return X, X.replace(flux=X.flux * 2)


def test_no_star_is_judged_by_a_model_that_saw_it_or_its_repeat(rng):
    X, y = pairs(rng)
    flux = np.repeat(X.flux[::2], 2, axis=0)  # repeats are alike
    judged, folds = over_folds({"m": Memory()}, X.replace(flux=flux), y, Judge(), cv=4)
    assert not judged["m"]["predicted"].any()
    assert sorted(np.concatenate([f.test for f in folds["m"]])) == list(range(N))


def test_rows_come_back_in_order_from_blocks(rng, monkeypatch):
    monkeypatch.setattr("specxfer.model_selection._over_folds.BLOCK_ROWS", 3)
    X, y = pairs(rng)
    judge = Judge()
    judged, folds = over_folds({"line": LinearRegression()}, X, y, judge, cv=3)
    np.testing.assert_allclose(judged["line"]["predicted"], y.flux, atol=1e-6)
    assert judge.most == 3
    assert all(f.fit_time >= 0 and f.size > 0 for f in folds["line"])
    assert BLOCK_ROWS >= 64


def test_rows_that_no_fold_tests_are_unknown(rng):
    X, y = pairs(rng)
    cv = StarShuffleSplit(1, test_size=0.25)
    judged, folds = over_folds({"mean": DummyRegressor()}, X, y, Judge(), cv=cv)
    untested = np.setdiff1d(np.arange(N), folds["mean"][0].test)
    assert np.isnan(judged["mean"]["predicted"][untested]).all()
    assert np.isfinite(judged["mean"]["predicted"][folds["mean"][0].test]).all()


def test_a_row_must_not_be_tested_twice(rng):
    X, y = pairs(rng)
    with pytest.raises(ValueError, match=r"of 40 rows are in the test set of more"):
        over_folds({"m": DummyRegressor()}, X, y, Judge(), cv=StarShuffleSplit(5))


def test_what_was_done_is_found_again(rng, tmp_path):
    X, y = pairs(rng)
    options = {"cv": StarKFold(4), "resume": tmp_path}
    Memory.fits = 0
    first, _ = over_folds({"m": Memory()}, X, y, Judge(), **options)
    assert Memory.fits == 4
    for kept in sorted(tmp_path.glob("*.pkl"))[:1]:
        kept.unlink()  # as if interrupted
    again, folds = over_folds({"m": Memory()}, X, y, Judge(), **options)
    assert Memory.fits == 5
    assert len(folds["m"]) == 4
    np.testing.assert_array_equal(first["m"]["predicted"], again["m"]["predicted"])
    other = X.replace(flux=X.flux + 1)
    over_folds({"m": Memory()}, other, y, Judge(), **options)
    assert Memory.fits == 9


def test_plain_arrays(rng):
    X, y = pairs(rng)
    judged, _ = over_folds({"line": LinearRegression()}, X.flux, y.flux, Judge(), cv=3)
    np.testing.assert_allclose(judged["line"]["predicted"], y.flux, atol=1e-6)
