"""The contract every translator keeps, and what it says to bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
from astropy.units import Unit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

import specxfer
from specxfer import Spectra
from specxfer.baselines import NullTranslator
from specxfer.linear import PCARidge

N, P, Q = 60, 20, 12
X_WAVE, Y_WAVE = 15000 + 0.2 * np.arange(P), 6490 + 0.1 * np.arange(Q)


def pairs(rng):
    u = rng.standard_normal((N, 2))
    x = 1 + 0.1 * u @ rng.normal(size=(2, P)) + 0.01 * rng.normal(size=(N, P))
    y = 1 + 0.1 * u @ rng.normal(size=(2, Q)) + 0.01 * rng.normal(size=(N, Q))
    ids = np.array([f"star {i}" for i in range(N)])
    teff = np.linspace(4000, 6000, N)
    return (
        Spectra(
            x.astype("f4"),
            np.full((N, P), 1e4),
            wave=X_WAVE,
            medium="vacuum",
            ids=ids,
            meta={"teff": teff},
        ),
        Spectra(
            y.astype("f4"), np.full((N, Q), 1e4), wave=Y_WAVE, medium="air", ids=ids
        ),
    )


TRANSLATORS = [
    PCARidge(n_components=2),
    NullTranslator("mean"),
    NullTranslator("labels", labels=["teff"]),
]
every = pytest.mark.parametrize("translator", TRANSLATORS, ids=lambda t: str(t)[:40])


@every
def test_translate_gives_spectra_with_noise_covariance_and_support(translator, rng):
    X, y = pairs(rng)
    out = translator.fit(X, y).translate(X[:5])
    flux, std = translator.predict(X[:5], return_std=True)
    np.testing.assert_array_equal(out.flux, flux)
    np.testing.assert_allclose(out.ivar, 1 / std**2, rtol=1e-4)
    np.testing.assert_allclose(out.covariance.variance(), std**2, rtol=1e-5)
    np.testing.assert_array_equal(out.wave, y.wave)
    assert out.medium == "air"
    assert out.ids.tolist() == X.ids[:5].tolist()
    assert set(out.meta.colnames) == {"teff", "support", "supported"}
    assert X.meta.colnames == ["teff"]


@every
def test_samples_have_the_stated_mean_and_variance(translator, rng):
    X, y = pairs(rng)
    flux, std = translator.fit(X, y).predict(X[:3], return_std=True)
    draws = translator.sample(X[:3], n_samples=4000, random_state=1)
    assert draws.shape == (4000, 3, Q)
    assert draws.dtype == flux.dtype
    np.testing.assert_allclose(draws.mean(axis=0), flux, atol=0.1 * std.max())
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.1)


@every
def test_a_stars_draws_do_not_depend_on_its_company(translator, rng):
    X, y = pairs(rng)
    translator.fit(X, y)
    together = translator.sample(X[:6], n_samples=3, random_state=7)
    alone = translator.sample(X[4:5], n_samples=3, random_state=7)
    np.testing.assert_array_equal(together[:, 4:5], alone)
    assert not np.array_equal(alone, translator.sample(X[4:5], 3, random_state=8))
    fresh = [translator.sample(X[:1], 1) for _ in range(2)]
    assert not np.array_equal(*fresh)


@every
def test_a_negative_seed_is_refused(translator, rng):
    X, y = pairs(rng)
    translator.fit(X, y)
    with pytest.raises(ValueError, match="random_state is -1"):
        translator.sample(X, random_state=-1)


def test_identical_sources_get_identical_translations(rng):
    X, y = pairs(rng)
    twins = X[[3, 8, 3]]
    flux = PCARidge(n_components=2).fit(X, y).predict(twins)
    np.testing.assert_array_equal(flux[0], flux[2])


def test_score_is_zero_for_the_mean_and_one_for_the_truth(rng):
    X, y = pairs(rng)
    assert NullTranslator().fit(X, y).score(X, y) == pytest.approx(0, abs=1e-6)
    model = PCARidge(n_components=2, alpha=1e-6).fit(X, y)
    assert model.score(X, y) > 0.95
    exact = Spectra(model.predict(X), wave=y.wave, medium="air")
    assert model.score(X, exact) == 1


def test_score_weighs_pixels_by_their_noise(rng):
    X, y = pairs(rng)
    model = PCARidge(n_components=2).fit(X, y)
    flux, ivar = y.flux.copy(), y.ivar.copy()
    flux[:, 0] = 9
    assert model.score(X, y.replace(flux=flux)) < 0.1
    ivar[:, 0] = 0
    junk = y.replace(flux=flux, ivar=ivar)
    assert model.score(X, junk) == pytest.approx(model.score(X, y), abs=0.02)


class Brighten(TransformerMixin, BaseEstimator):
    """A step that changes the flux and keeps the rest."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X.replace(flux=X.flux * np.float32(1.1))


def compositions():
    grid = {"pcaridge__n_components": [1, 2]}
    pipe = make_pipeline(Brighten(), "passthrough", PCARidge())
    search = GridSearchCV(pipe, grid, cv=2)
    return {
        "pipeline": make_pipeline(Brighten(), PCARidge(n_components=2)),
        "search": GridSearchCV(PCARidge(), {"n_components": [1, 2]}, cv=2),
        "search of pipeline": search,
        "pipeline of search": make_pipeline(Brighten(), search),
        "pipeline of pipeline": Pipeline([("first", Brighten()), ("rest", pipe)]),
    }


@pytest.mark.parametrize("name", list(compositions()))
def test_functions_see_through_compositions(name, rng):
    X, y = pairs(rng)
    model = compositions()[name].fit(X, y)
    flux, std = specxfer.predict_std(model, X)
    np.testing.assert_array_equal(flux, model.predict(X))
    assert std.shape == flux.shape
    out = specxfer.translate(model, X)
    np.testing.assert_array_equal(out.flux, flux)
    assert out.ids.tolist() == X.ids.tolist()
    assert specxfer.sample(model, X, 2, random_state=0).shape == (2, N, Q)
    assert (specxfer.support(model, X) <= 1).mean() > 0.9


def test_functions_refuse_what_is_no_translator(rng):
    X, y = pairs(rng)
    model = make_pipeline(LinearRegression()).fit(X, y)
    with pytest.raises(TypeError, match=r"found a LinearRegression.*expected a fitted"):
        specxfer.translate(model, X)


def test_a_pickle_of_another_version_warns(rng):
    X, y = pairs(rng)
    model = PCARidge(n_components=2).fit(X, y)
    model.version_ = "0.0.1"
    with pytest.warns(UserWarning, match=r"fitted by specxfer 0\.0\.1"):
        pickle.loads(pickle.dumps(model))


# ------------------------------------------------------------------ bad input
def test_rows_that_do_not_match(rng):
    X, y = pairs(rng)
    with pytest.raises(ValueError, match=r"\[60, 59\].*same stars"):
        PCARidge().fit(X, y[:-1])
    with pytest.raises(ValueError, match=r"different stars in 2 rows, first in row 0"):
        PCARidge().fit(X, y[np.r_[1, 0, 2:N]])


def test_other_grid_or_medium_at_predict(rng):
    X, y = pairs(rng)
    model = PCARidge(n_components=2).fit(X, y)
    with pytest.raises(ValueError, match=r"X is in air and the training source in vac"):
        model.predict(X.to_medium("air"))
    with pytest.raises(ValueError, match=r"differ by up to 0\.1 Å"):
        model.predict(X.replace(wave=X.wave + 0.1))
    with pytest.raises(ValueError, match=r"X has 19 features.*expecting 20"):
        model.predict(X[:, :-1])
    np.testing.assert_array_equal(
        model.predict(X.replace(ivar=None)), model.predict(X.flux)
    )


def test_score_on_another_grid(rng):
    X, y = pairs(rng)
    model = PCARidge(n_components=2).fit(X, y)
    with pytest.raises(ValueError, match=r"y and the training target differ"):
        model.score(X, y.replace(wave=y.wave + 0.1))


def test_masked_arrays_quantities_and_frames(rng):
    X, y = pairs(rng)
    mask = rng.random(X.shape) < 0.1
    reference = PCARidge(n_components=2).fit(np.where(mask, np.nan, X.flux), y.flux)
    expected = reference.predict(np.where(mask, np.nan, X.flux))
    for convert in (np.ma.MaskedArray, lambda f, m: np.where(m, np.nan, f) * Unit("")):
        model = PCARidge(n_components=2).fit(convert(X.flux, mask), y.flux)
        np.testing.assert_array_equal(model.predict(convert(X.flux, mask)), expected)
    frame = pd.DataFrame(np.where(mask, np.nan, X.flux)).rename(columns=str)
    model = PCARidge(n_components=2).fit(frame, pd.DataFrame(y.flux))
    np.testing.assert_array_equal(model.predict(frame), expected)
    assert model.feature_names_in_[0] == "0"


def test_nothing_to_learn_from(rng):
    X, y = pairs(rng)
    nothing = y.replace(flux=np.full((N, Q), np.nan))
    with pytest.raises(ValueError, match="none of the 60 stars has a weight"):
        PCARidge().fit(X, nothing)
    with pytest.raises(ValueError, match="at least 2 spectra"):
        PCARidge().fit(X[:1], y[:1])
    with pytest.raises(
        ValueError, match=r"at least one non-zero|none of the 60 stars has a weight"
    ):
        PCARidge().fit(X, y, sample_weight=np.zeros(N))
    with pytest.raises(ValueError, match="infinity"):
        PCARidge().fit(X, np.full((N, Q), np.inf))


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">f8", "i4"])
def test_number_formats_of_plain_arrays(rng, dtype):
    X, y = pairs(rng)
    x = (100 * X.flux).astype(dtype)
    model = PCARidge(n_components=2).fit(x, y)
    reference = PCARidge(n_components=2).fit(x.astype("f8"), y)
    np.testing.assert_allclose(model.predict(x), reference.predict(x), atol=1e-4)


def test_what_is_masked_and_what_was_swapped_is_said(rng):
    X = Spectra(
        rng.normal(1, 0.1, (9, 5)), wave=15000.0 + np.arange(5), medium="vacuum"
    )
    y = Spectra(rng.normal(1, 0.1, (9, 4)), wave=5000.0 + np.arange(4), medium="air")
    with pytest.raises(ValueError, match=r"9 have one in X, 0 in y .* 9 a weight"):
        PCARidge(2).fit(X, y.replace(ivar=np.zeros((9, 4))))
    model = PCARidge(2).fit(X, y)
    told = "which is 15000 to 15004 Å in vacuum, X is 5000 to 5003 Å in air"
    with pytest.raises(ValueError, match=told):
        model.predict(y)


def partly_fitted(rng):
    X, y = pairs(rng)
    flux = y.flux.copy()
    flux[:, :5] = np.nan
    return PCARidge(2).fit(X, y.replace(flux=flux)), X, y


def test_a_score_of_nothing_says_that_nothing_was_seen(rng):
    model, X, y = partly_fitted(rng)
    for masked in (
        y.replace(flux=np.full(y.shape, np.nan)),
        y.replace(ivar=np.zeros(y.shape)),
    ):
        with pytest.raises(ValueError, match="all pixels of the 60 spectra of y are"):
            model.score(X, masked)


def test_a_score_where_training_stars_had_nothing(rng):
    model, X, y = partly_fitted(rng)
    ivar = y.ivar.copy()
    ivar[:, 5:] = 0
    with pytest.raises(ValueError, match="known at 5 pixels, and the training"):
        model.score(X, y.replace(ivar=ivar))
