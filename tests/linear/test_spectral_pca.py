"""Principal components of noisy spectra with gaps, and scores that always exist."""

import pickle

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from specxfer import Spectra
from specxfer.linear import SpectralPCA
from specxfer.linear._score_array import Scores

N, K = 500, 5


def world(rng, p, noise=0.003):
    """Spectra of K components of falling strength, and their noise-free form."""
    loadings = 0.03 * rng.normal(size=(K, p)) * 0.7 ** np.arange(K)[:, None]
    truth = 0.9 + rng.normal(size=(N, K)) @ loadings
    return truth + noise * rng.normal(size=truth.shape), truth, loadings


def angle(a, b):
    return subspace_angles(np.asarray(a, float).T, np.asarray(b, float).T).max()


def on_grid(flux, ivar=None):
    return Spectra(flux, ivar, wave=15000.0 + np.arange(flux.shape[1]), medium="vacuum")


@pytest.mark.parametrize("p", [60, 1500])  # decomposed whole; searched
def test_equals_scikit_learn_on_complete_data_of_equal_noise(rng, p):
    X, _, _ = world(rng, p)
    theirs = PCA(K, svd_solver="full").fit(X)
    plain = SpectralPCA(K).fit(X)
    told = SpectralPCA(K).fit(on_grid(X, np.full(X.shape, 0.003**-2)))
    for ours in (plain, told):
        assert angle(ours.components_, theirs.components_) < 1e-4
        np.testing.assert_allclose(ours.mean_, X.mean(axis=0), atol=1e-6)
    # what noise adds to their variance is taken off where it is known
    excess = theirs.explained_variance_ * (1 - 1 / N) - told.explained_variance_
    np.testing.assert_allclose(excess, 0.003**2, rtol=0.1)


def test_scores_are_those_of_a_whitened_pca(rng):
    X, _, _ = world(rng, 60, noise=1e-5)
    theirs = PCA(K, whiten=True).fit(X)
    ours = SpectralPCA(K).fit(X)
    turned = np.abs(theirs.transform(X).T @ ours.transform(X)) / N
    np.testing.assert_allclose(turned, np.eye(K), atol=0.01)


def test_gaps_cost_little_and_are_filled(rng):
    X, truth, loadings = world(rng, 400)
    gappy = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    gappy[7, 3:] = np.nan  # three good pixels
    pca = SpectralPCA(K).fit(gappy)
    assert angle(pca.components_, loadings) < 2 * angle(
        PCA(K).fit(X).components_, loadings
    )
    filled = pca.inverse_transform(pca.transform(gappy))
    rest = np.arange(N) != 7
    error = np.sqrt(np.mean((filled - truth)[rest] ** 2))
    # K numbers from 320 pixels each, K components and a mean from 400 stars each
    assert error < 1.1 * 0.003 * np.sqrt(K / 320 + (K + 1) / 400)
    assert np.isfinite(filled).all()


def test_masked_and_noisy_pixels_hold_nothing(rng):
    X, _, _ = world(rng, 120)
    bad = rng.random(X.shape) < 0.1
    ivar = np.where(bad, 0, 0.003**-2)
    one = SpectralPCA(K).fit(on_grid(np.where(bad, 7.0, X), ivar))
    other = SpectralPCA(K).fit(on_grid(np.where(bad, np.nan, X), ivar))
    np.testing.assert_allclose(one.components_, other.components_, atol=1e-12)


def test_the_posterior_is_that_of_the_dense_formula(rng):
    X, _, _ = world(rng, 80)
    ivar = rng.uniform(0.5, 2, X.shape) / 0.003**2
    ivar[rng.random(X.shape) < 0.1] = 0
    spectra = on_grid(X, ivar)
    pca = SpectralPCA(K).fit(spectra)
    scores = pca.transform(spectra)
    L = pca.components_ * np.sqrt(pca.explained_variance_)[:, None]
    for i in range(0, N, 50):
        W = np.where(ivar[i] > 0, 1 / (1 / np.maximum(ivar[i], 1e-9) + pca.misfit_), 0)
        S = np.linalg.inv(L * W @ L.T + np.eye(K))
        np.testing.assert_allclose(scores.covariance[i], S, rtol=1e-9, atol=1e-12)
        u = S @ (L @ (W * (X[i] - pca.mean_)))
        np.testing.assert_allclose(np.asarray(scores[i]), u, rtol=1e-7, atol=1e-9)


def test_stars_of_common_noise_take_the_short_way_to_the_same_scores(rng):
    X, _, _ = world(rng, 80)
    ivar = np.outer(rng.uniform(0.1, 3, N), rng.uniform(0.5, 2, 80)) / 0.003**2
    ivar[rng.random(X.shape) < 0.1] = 0
    pca = SpectralPCA(K).fit(on_grid(X, ivar))
    assert pca._model.profile is not None
    short = pca.transform(on_grid(X, ivar))
    odd = ivar * rng.uniform(1 - 1e-4, 1 + 1e-4, X.shape)  # no longer star × pixel
    long = pca.transform(on_grid(X, odd))
    np.testing.assert_allclose(short, long, atol=2e-3)
    np.testing.assert_allclose(short.covariance, long.covariance, atol=1e-4)


def test_ivar_over_twelve_orders_of_magnitude(rng):
    X, _, loadings = world(rng, 300)
    ivar = 10 ** rng.uniform(-6, 6, X.shape) / 0.003**2
    flux = 0.9 + (X - 0.9) + rng.normal(size=X.shape) * np.minimum(ivar**-0.5, 1e3)
    for dtype in ("f8", "f4"):
        pca = SpectralPCA(K).fit(on_grid(flux.astype(dtype), ivar.astype(dtype)))
        assert angle(pca.components_[:2], loadings) < 0.2
        scores = pca.transform(on_grid(flux.astype(dtype), ivar.astype(dtype)))
        assert np.isfinite(scores).all()
        assert np.isfinite(scores.covariance).all()


def test_never_more_components_than_there_can_be(rng):
    X, _, _ = world(rng, 30)
    assert SpectralPCA(200).fit(X).n_components_ == 30
    assert SpectralPCA(200).fit(X[:10]).n_components_ == 9
    exact = 0.9 + rng.normal(size=(N, 2)) @ rng.normal(size=(2, 30))
    assert SpectralPCA(10).fit(exact).n_components_ == 2


def test_a_pixel_no_star_has_is_unknown(rng):
    X, _, _ = world(rng, 30)
    X[:, 4] = np.nan
    pca = SpectralPCA(K).fit(X)
    assert (pca.components_[:, 4] == 0).all()
    X[:, 4] = 99.0  # where there was none in the fit
    full = pca.inverse_transform(pca.transform(X))
    assert np.isnan(full[:, 4]).all()
    assert np.isfinite(np.delete(full, 4, axis=1)).all()


def test_weights_count_as_copies(rng):
    X, _, _ = world(rng, 40)
    weight = rng.integers(0, 3, N)
    weighed = SpectralPCA(K).fit(X, sample_weight=weight)
    copied = SpectralPCA(K).fit(np.repeat(X, weight, axis=0))
    assert angle(weighed.components_, copied.components_) < 1e-6


def test_spectra_come_back_on_their_grid(rng):
    X, _, _ = world(rng, 40)
    pca = SpectralPCA(K).fit(on_grid(X))
    filled = pca.inverse_transform(pca.transform(on_grid(X[:3])))
    assert isinstance(filled, Spectra)
    np.testing.assert_array_equal(filled.wave, pca.wave_)
    assert filled.medium == "vacuum"
    with pytest.raises(ValueError, match="expected scores on 5 components"):
        pca.inverse_transform(np.zeros((2, 3)))


def test_scores_keep_their_covariance_in_a_pickle_only_whole():
    scores = Scores(np.ones((4, 2)), np.ones((4, 2, 2)))
    again = pickle.loads(pickle.dumps(scores))
    np.testing.assert_array_equal(again.covariance, scores.covariance)
    assert scores[:2].covariance is None
    assert (scores + 1).covariance is None


def test_no_spectrum_to_learn_from():
    with pytest.raises(ValueError, match="1 sample"):
        SpectralPCA().fit([[1.0, 2.0], [np.nan, np.nan]])
