"""Nulls: what a translator must beat."""

import numpy as np
import pytest

from specxfer import Spectra, UnpairedWarning
from specxfer.baselines import NullTranslator

N, Q = 200, 6


def pairs(rng, noise=0.01):
    teff, feh = rng.uniform(4000, 6000, N), rng.normal(0, 0.3, N)
    t = (teff - 5000) / 1000
    depth = 0.3 - 0.1 * t + 0.05 * t**2 + 0.2 * feh
    truth = 1 - depth[:, None] * np.linspace(0.1, 1, Q)
    meta = {"teff": teff, "feh": feh}
    X = Spectra(np.ones((N, 3)), wave=[1e4, 2e4, 3e4], medium="vacuum", meta=meta)
    y = truth + noise * rng.standard_normal(truth.shape)
    return X, Spectra(y, np.full(y.shape, noise**-2), wave=6000 + np.arange(Q),
                      medium="air"), truth  # fmt: skip


def test_mean_is_the_weighted_mean_spectrum(rng):
    X, y, _ = pairs(rng)
    flux = y.flux.copy()
    flux[:50, 2:] = 7
    ivar = y.ivar.copy()
    ivar[:50, 2:] = 0
    null = NullTranslator("mean").fit(X, y.replace(flux=flux, ivar=ivar))
    expected = np.r_[y.flux[:, :2].mean(0), y.flux[50:, 2:].mean(0)]
    np.testing.assert_allclose(null.predict(X)[0], expected, rtol=1e-3)
    assert np.ptp(null.predict(X), axis=0).max() == 0


def test_mean_states_the_scatter_of_the_stars_without_their_noise(rng):
    X, y, truth = pairs(rng, noise=0.02)
    std = NullTranslator("mean").fit(X, y).predict(X, return_std=True)[1][0]
    np.testing.assert_allclose(std[1:], truth.std(0)[1:], rtol=0.15)


def test_labels_is_a_polynomial_of_the_labels(rng):
    X, y, truth = pairs(rng)
    null = NullTranslator("labels", labels=["teff", "feh"], alpha=1e-3).fit(X, y)
    assert np.sqrt(((null.predict(X) - truth) ** 2).mean()) < 0.003
    line = NullTranslator("labels", labels=["teff"], degree=1).fit(X, y)
    assert np.sqrt(((line.predict(X) - truth) ** 2).mean()) > 0.01


def test_a_star_with_an_unknown_label_is_nan_and_left_out(rng):
    X, y, _ = pairs(rng)
    meta = X.meta.copy()
    meta["teff"][3] = np.nan
    gappy = X.replace(meta=meta)
    null = NullTranslator("labels", labels=["teff", "feh"])
    with pytest.warns(UserWarning, match=r"1 of 200 stars lack one of the labels"):
        null.fit(gappy, y)
    flux, std = null.predict(gappy, return_std=True)
    assert np.isnan(flux[3]).all()
    assert np.isnan(std[3]).all()
    assert np.isfinite(np.delete(flux, 3, axis=0)).all()


def test_stars_without_a_target_are_left_out(rng):
    X, y, _ = pairs(rng)
    flux = y.flux.copy()
    flux[:7] = np.nan
    with pytest.warns(UnpairedWarning, match=r"7 of 200 stars have nothing on one"):
        null = NullTranslator("mean").fit(X, y.replace(flux=flux))
    other = NullTranslator("mean").fit(X[7:], y[7:], source=X)
    np.testing.assert_array_equal(null.predict(X), other.predict(X))


def test_labels_that_are_not_there(rng):
    X, y, _ = pairs(rng)
    with pytest.raises(ValueError, match=r"needs labels=\[\.\.\.\].*'teff', 'feh'"):
        NullTranslator("labels").fit(X, y)
    with pytest.raises(ValueError, match=r"lacks \['logg'\]; it has \['teff', 'feh'\]"):
        NullTranslator("labels", labels=["logg"]).fit(X, y)
    with pytest.raises(ValueError, match=r"X has none: give Spectra"):
        NullTranslator("labels", labels=["teff"]).fit(X.flux, y)
