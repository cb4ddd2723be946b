"""Nulls: what a translator must beat."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, UnpairedWarning, predict_std, sample, translate
from specxfer.baselines import NullTranslator
from specxfer.linear import PCARidge
from specxfer.metrics import paired_difference
from specxfer.preprocessing import Rebinner

N, Q = 200, 6


def pairs(rng, noise=0.01, n=N):
    teff, feh = rng.uniform(4000, 6000, n), rng.normal(0, 0.3, n)
    t = (teff - 5000) / 1000
    depth = 0.3 - 0.1 * t + 0.05 * t**2 + 0.2 * feh
    truth = 1 - depth[:, None] * np.linspace(0.1, 1, Q)
    meta = {"teff": teff, "feh": feh}
    flux = 1 - 0.1 * np.column_stack([t, feh, t + feh])
    flux += 0.001 * rng.standard_normal((n, 3))
    X = Spectra(flux, wave=[1e4, 2e4, 3e4], medium="vacuum", meta=meta)
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
    with pytest.raises(ValueError, match=r"X has none: give\s+Spectra"):
        NullTranslator("labels", labels=["teff"]).fit(X.flux, y)


WAVY = {"labels": ["teff"]}


def wavy(rng, n=600, noise=0.01):
    """A target that no polynomial of degree 3 follows."""
    teff = rng.uniform(4000, 6000, n)
    truth = 1 - 0.3 * (1 + np.sin(teff[:, None] / 120)) * np.linspace(0.2, 1, Q)
    X = Spectra(np.ones((n, 3)), wave=[1e4, 2e4, 3e4], medium="vacuum",
                meta={"teff": teff})  # fmt: skip
    flux = truth + noise * rng.standard_normal(truth.shape)
    ivar = np.full(truth.shape, noise**-2)
    return X, Spectra(flux, ivar, wave=6000 + np.arange(Q), medium="air"), truth


def rms(a):
    return float(np.sqrt(np.mean(np.square(a))))


def test_labels_follow_what_no_polynomial_does(rng):
    X, y, truth = wavy(rng)
    cubic = NullTranslator("labels", degree=3, **WAVY).fit(X, y)
    assert rms(cubic.predict(X) - truth) > 0.1
    flexible = NullTranslator("labels", **WAVY).fit(X, y)
    assert rms(flexible.predict(X) - truth) < 0.01
    assert "kernel" in str(flexible.terms_)


def test_a_simple_function_gets_simple_terms(rng):
    X, y, truth = pairs(rng)
    null = NullTranslator("labels", labels=["teff", "feh"]).fit(X, y)
    terms = len(null._ridge.coef)
    assert rms(null.predict(X) - truth) < 2 * 0.01 * np.sqrt(6 / N)  # 6 coefficients
    assert terms >= 5


@pytest.mark.parametrize("strategy", ["mean", "labels", "neighbors"])
def test_the_flux_of_the_source_is_not_looked_at(rng, strategy):
    X, y, _ = pairs(rng)
    null = NullTranslator(strategy, labels=["teff", "feh"]).fit(X, y)
    other = X.replace(flux=rng.random(X.shape).astype(X.dtype))
    np.testing.assert_array_equal(null.predict(X), null.predict(other))
    again = NullTranslator(strategy, labels=["teff", "feh"]).fit(other, y)
    np.testing.assert_array_equal(null.predict(X), again.predict(X))


@pytest.mark.parametrize("strategy", ["labels", "neighbors", "shuffled"])
def test_errors_hold_the_truth(rng, strategy):
    """Of a scatter that no label tells, a tenth of a line, in other stars."""
    X, y, truth = pairs(rng, n=800)
    own = 0.1 * rng.standard_normal((800, 1)) * (1 - truth)
    y, truth = y.replace(flux=y.flux + own), truth + own
    null = NullTranslator(strategy, labels=["teff", "feh"], bin_size=5)
    flux, std = null.fit(X[:400], y[:400]).predict(X[400:], return_std=True)
    z = (flux - truth[400:]) / std
    assert 0.6 < np.mean(np.abs(z) < 1) < 0.8
    draws = sample(null, X[400:402], 300, 0)
    np.testing.assert_allclose(draws.std(axis=0), std[:2], rtol=0.2)
    assert translate(null, X[400:]).has_noise


def test_neighbors_of_everybody_are_the_mean(rng):
    X, y, _ = pairs(rng)
    all_of_them = NullTranslator("neighbors", labels=["teff"], n_neighbors=N).fit(X, y)
    mean = NullTranslator("mean").fit(X, y).predict(X)
    np.testing.assert_allclose(all_of_them.predict(X), mean, atol=1e-3)


def test_neighbors_are_the_nearest_stars_weighed_by_their_noise(rng):
    X, y, _ = pairs(rng)
    ivar = rng.uniform(0.5, 2, y.shape) * 1e4
    ivar[5, :3] = 0
    y = y.replace(ivar=ivar)
    null = NullTranslator("neighbors", labels=["teff"], n_neighbors=4).fit(X, y)
    teff = np.asarray(X.meta["teff"])
    near = np.argsort(np.abs(teff - teff[7]))[:4]
    weight = 1 / (1 / np.where(ivar > 0, ivar, 1e-30) + null._neighbors.scatter)
    expected = np.average(y.flux[near], axis=0, weights=weight[near])
    np.testing.assert_allclose(null.predict(X[7])[0], expected, rtol=1e-5)


def test_a_neighbor_without_noise_is_still_another_star(rng):
    """Of 20 stars that scatter by 0.05 the mean is known to 0.05 / √20."""
    n, k = 2000, 20
    teff, snr = rng.uniform(4, 6, n), np.exp(rng.uniform(np.log(15), np.log(300), n))
    mean = (1 - 0.1 * teff)[:, None]
    flux = mean + 0.05 * rng.standard_normal((n, Q))
    flux += rng.standard_normal((n, Q)) / snr[:, None]
    X = Spectra(np.ones((n, 2)), wave=[1e4, 2e4], medium="vacuum", meta={"teff": teff})
    y = Spectra(flux, np.repeat(snr[:, None] ** 2, Q, axis=1),
                wave=6000 + np.arange(Q), medium="air")  # fmt: skip
    null = NullTranslator("neighbors", labels=["teff"], n_neighbors=k)
    error = null.fit(X[:1500], y[:1500]).predict(X[1500:]) - mean[1500:]
    assert rms(error) < 1.3 * 0.05 / np.sqrt(k)


@pytest.mark.parametrize("strategy", ["mean", "labels", "neighbors", "shuffled"])
def test_stars_of_no_weight_do_not_count(rng, strategy):
    X, _, _ = pairs(rng)
    half = np.arange(N) < N // 2
    flux = np.where(half, 0.9, 0.5)[:, None] + 0.01 * rng.standard_normal((N, Q))
    y = Spectra(flux, np.full((N, Q), 1e4), wave=6000 + np.arange(Q), medium="air")
    model = make_pipeline(Rebinner(1), PCARidge(n_components=1))
    null = NullTranslator(strategy, labels=["teff"], n_neighbors=N, estimator=model)
    null.fit(X, y, np.where(half, 1, 1e-8))
    np.testing.assert_allclose(null.predict(X).mean(), 0.9, atol=0.02)


def test_shuffled_targets_keep_the_shape_of_their_lsf(rng):
    X, y, _ = pairs(rng)
    y = y.replace(resolution=rng.normal(25_000, 1000, N),
                  meta={"lsf_boxiness": rng.uniform(2.4, 2.6, N)})  # fmt: skip
    null = NullTranslator("shuffled", labels=["teff"], estimator=PCARidge(2)).fit(X, y)
    assert null.estimator_.translate(X[:1]).meta["lsf_boxiness"][0] > 2.3
    np.testing.assert_allclose(null.estimator_.resolution_, null.resolution_)


def test_a_star_is_not_its_own_neighbor_when_errors_are_measured(rng):
    """Else repeats of a star would say that neighbours leave next to nothing."""
    X, y, _ = pairs(rng, noise=0.001)
    own = np.repeat(0.05 * rng.standard_normal(N // 2), 2)[:, None]
    meta = X.meta[np.repeat(np.arange(0, N, 2), 2)]
    X = X.replace(ids=np.arange(N) // 2, meta=meta)
    y = Spectra(0.8 + own + np.zeros((N, Q)), y.ivar, wave=y.wave, medium="air",
                ids=X.ids)  # fmt: skip
    null = NullTranslator("neighbors", labels=["teff", "feh"], n_neighbors=2)
    assert null.fit(X, y).scatter_.mean() > 0.045


def carried(rng, n=400):
    """Pairs whose source shows both the labels and a signal of the star's own."""
    meta = {"teff": rng.uniform(4000, 6000, n)}
    z = (meta["teff"] - 5000) / 1000
    own = rng.standard_normal(n)
    flux = 1 - 0.1 * np.column_stack([z, own, z + own, z - own])
    X = Spectra(flux + 0.001 * rng.standard_normal(flux.shape), wave=1e4 + np.arange(4),
                medium="vacuum", meta=meta, ids=np.arange(n))  # fmt: skip
    truth = 1 - 0.2 * np.column_stack([np.cos(2 * z), own])
    y = truth + 0.01 * rng.standard_normal(truth.shape)
    y = Spectra(y, np.full(y.shape, 1e4), wave=[6e3, 6001], medium="air", ids=X.ids)
    return X, y, truth


def test_shuffled_pairs_keep_what_labels_say_and_nothing_else(rng):
    X, y, truth = carried(rng)
    translator = PCARidge(n_components=3)
    null = NullTranslator("shuffled", labels=["teff"], estimator=translator)
    null.fit(X[:300], y[:300])
    error = null.predict(X[300:]) - truth[300:]
    assert rms(error[:, 0]) < 0.03  # of a variation of 0.13, from the source by labels
    assert rms(error[:, 1]) > 0.9 * truth[300:, 1].std()  # the star's own
    whole = translator.fit(X[:300], y[:300]).predict(X[300:]) - truth[300:]
    assert rms(whole[:, 1]) < 0.01
    blind = NullTranslator("shuffled", estimator=translator).fit(X[:300], y[:300])
    assert rms(blind.predict(X[300:])[:, 0] - truth[300:, 0]) > 0.9 * truth[:, 0].std()


def test_shuffled_takes_any_composition(rng):
    X, y, _ = carried(rng)
    model = make_pipeline(Rebinner(2), PCARidge(n_components=2))
    null = NullTranslator("shuffled", labels=["teff"], estimator=model)
    null.set_params(estimator__pcaridge__n_components=1)
    null.fit(X, y)
    assert null.estimator_[-1].n_components_ == 1
    flux, std = predict_std(null, X[:3])
    inner, inner_std = predict_std(null.estimator_, X[:3])
    np.testing.assert_array_equal(flux, inner)
    np.testing.assert_allclose(std, inner_std, rtol=1e-5)


def test_no_star_keeps_its_own_target(rng):
    from specxfer.baselines._shuffle import label_bins, shuffled_rows

    stars = np.sort(rng.integers(0, 60, 150))
    stars = np.unique(stars, return_inverse=True)[1]
    z = rng.standard_normal((60, 2))[stars]
    given = shuffled_rows(z, stars, 5, np.random.RandomState(0))
    assert (stars[given] != stars).all()
    bins = label_bins(z, 5)
    assert sorted(np.concatenate(bins)) == list(range(150))
    assert {len(b) for b in bins} <= set(range(5, 10))


def test_errors_of_catalogue_labels_make_a_null_too_weak(rng):
    """The target follows the true label alone: there is nothing else to learn."""
    X, y, truth = carried(rng, 600)
    noisy = X.meta.copy()
    noisy["teff"] += rng.normal(0, 400, len(X))
    X = X.replace(meta=noisy)
    y, truth = y[:, :1], truth[:, :1]
    train, test = slice(0, 400), slice(400, 600)
    model = PCARidge(n_components=3).fit(X[train], y[train]).predict(X[test])
    found = {}
    for cross_fit in (False, True):
        null = NullTranslator("labels", labels=["teff"], cross_fit=cross_fit)
        null.fit(X[train], y[train])
        found[cross_fit] = paired_difference(y[test], model, null.predict(X[test]))[
            "difference"
        ][0]
        error = rms(null.predict(X[test]) - truth[test])
    assert found[False] < -(0.05**2)
    assert abs(found[True]) < 0.2 * abs(found[False])
    assert error < 0.03


def test_cross_fitted_labels_need_not_be_known_for_all(rng):
    X, y, _ = carried(rng)
    X.meta["teff"][:50] = np.nan
    null = NullTranslator("labels", labels=["teff"], cross_fit=True).fit(X, y)
    assert np.isfinite(null.predict(X)).all()


@pytest.mark.parametrize("strategy", ["labels", "neighbors", "shuffled"])
def test_nulls_know_the_spectrograph(rng, strategy):
    """A line whose depth goes with R: the null writes it at the R asked for."""
    n, wave = 300, 6000 + 0.05 * np.arange(80)
    power = rng.normal(25_000, 2000, n)
    sigma = 6002 / power[:, None] / 2.3548
    truth = 1 - 0.06 / sigma / 2.5066 * np.exp(-0.5 * ((wave - 6002) / sigma) ** 2)
    X = Spectra(1 + 0.01 * rng.standard_normal((n, 4)), wave=1e4 + np.arange(4),
                medium="vacuum", meta={"teff": rng.uniform(4000, 6000, n)})  # fmt: skip
    y = Spectra(truth + 0.001 * rng.standard_normal(truth.shape),
                np.full(truth.shape, 0.001**-2), wave=wave, medium="air",
                resolution=power)  # fmt: skip
    null = NullTranslator(
        strategy, labels=["teff"], estimator=PCARidge(n_components=2)
    ).fit(X, y)
    told = null.predict(X, resolution=power) - truth
    untold = null.predict(X) - truth
    assert rms(told) < 0.25 * rms(untold)
