"""Ridge of every pixel with its own noise, behind any feature step."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from specxfer import Spectra, predict_std, sample, translate
from specxfer.linear import PCARidge, SpectralPCA, SpectralRidge

N, K, P = 400, 6, 50


@pytest.fixture
def features(rng):
    return rng.normal(size=(N, K))


def target(rng, features, noise=0.01, masked=0.0):
    coef = 0.03 * rng.normal(size=(features.shape[1], P))
    truth = 0.9 + features @ coef
    sigma = noise * rng.uniform(0.5, 2, truth.shape)
    ivar = np.where(rng.random(truth.shape) < masked, 0, sigma**-2)
    flux = truth + sigma * rng.normal(size=truth.shape)
    wave = 5000.0 + np.arange(P)
    return Spectra(flux, ivar, wave=wave, medium="air"), truth


def test_equals_scikit_learn_without_noise_or_gaps(rng, features):
    y = target(rng, features)[0].flux
    ours = SpectralRidge(alpha=3.0).fit(features, y)
    theirs = Ridge(alpha=3.0).fit(features, y)
    np.testing.assert_allclose(
        ours.predict(features), theirs.predict(features), atol=1e-7
    )


def test_every_pixel_solves_its_own_weighted_equations(rng, features):
    y, _ = target(rng, features, masked=0.2)
    model = SpectralRidge(alpha=2.0).fit(features, y)
    from specxfer.linear._pixel_ridge import Problem

    scatter = Problem.of(features, y, np.ones(N), 2.0).scatter
    u = np.column_stack([features, np.ones(N)])
    for j in range(0, P, 7):
        w = y.ivar[:, j] / (1 + scatter[j] * y.ivar[:, j])
        w *= (w > 0).sum() / w.sum()
        A = (u * w[:, None]).T @ u + np.diag([2.0] * K + [0.0])
        b = np.linalg.solve(A, u.T @ (w * np.where(w > 0, y.flux[:, j], 0)))
        np.testing.assert_allclose(model.coef_[:, j], b[:-1], rtol=1e-6, atol=1e-9)
        assert model.intercept_[j] == pytest.approx(b[-1], abs=1e-8)


def test_units_do_not_matter_where_noise_is_unknown(rng, features):
    y, _ = target(rng, features)
    gappy = np.where(rng.random((N, P)) < 0.1, np.nan, y.flux)
    one, other = (SpectralRidge().fit(features, f * gappy) for f in (1, 1000.0))
    np.testing.assert_allclose(1000 * one.coef_, other.coef_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("masked", [0.0, 0.05, 0.6])
def test_star_by_pixel_noise_gives_what_general_noise_does(rng, features, masked):
    y, _ = target(rng, features)
    ivar = np.outer(rng.uniform(0.2, 3, N), rng.uniform(0.5, 2, P)) / 0.01**2
    ivar[rng.random(ivar.shape) < masked] = 0
    shared = y.replace(ivar=ivar)
    apart = y.replace(ivar=ivar * rng.uniform(1 - 1e-4, 1 + 1e-4, ivar.shape))
    one, other = (SpectralRidge(1.0).fit(features, t) for t in (shared, apart))
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-5)
    np.testing.assert_allclose(one.scatter_, other.scatter_, atol=1e-4)


@pytest.mark.parametrize("select", ["loo", "gcv"])
@pytest.mark.parametrize("noise", ["none", "known"])
def test_the_best_alpha_is_that_of_stars_left_out(rng, select, noise):
    """Against leaving every star out in turn."""
    features = rng.normal(size=(60, 30))
    y, _ = target(rng, features, noise=0.3)
    if noise == "none":
        y = y.flux
    alphas = [0.1, 1.0, 10.0, 100.0, 1000.0]
    model = SpectralRidge(alphas, select=select, n_factors=0).fit(features, y)
    errors = []
    for alpha in alphas:
        left = 0.0
        for i in range(60):
            kept = np.arange(60) != i
            some = y[kept] if noise == "none" else y[np.flatnonzero(kept)]
            fit = SpectralRidge(alpha, n_factors=0).fit(features[kept], some)
            error = np.asarray(y)[i] - fit.predict(features[[i]])[0]
            left += (error**2 * (1 if noise == "none" else y.ivar[i])).sum()
        errors.append(left)
    assert model.alpha_ == alphas[int(np.argmin(errors))]


def test_pixels_may_choose_for_themselves(rng, features):
    y, _ = target(rng, features, noise=0.1)
    flat = np.arange(P) < 25
    flux = np.where(flat, 0.9 + 0.1 * rng.normal(size=(N, P)), y.flux)
    y = y.replace(flux=flux, ivar=np.full((N, P), 100.0))
    model = SpectralRidge([0.1, 1e5], alpha_per_pixel=True).fit(features, y)
    assert (model.alpha_[flat] == 1e5).mean() > 0.7
    assert (model.alpha_[~flat] == 0.1).mean() > 0.7


@pytest.mark.parametrize(
    "step",
    [
        PCA(K, whiten=True),
        PolynomialFeatures(2, include_bias=False),
        Nystroem(n_components=40, gamma=0.02, random_state=0),
    ],
    ids=lambda s: type(s).__name__,
)
def test_works_behind_any_feature_step(rng, features, step):
    y, truth = target(rng, features, masked=0.1)
    model = make_pipeline(step, SpectralRidge()).fit(features, y)
    flux, std = predict_std(model, features)
    assert np.sqrt(np.mean((flux - truth) ** 2)) < 0.35 * np.std(truth)
    assert sample(model, features[:3], n_samples=2, random_state=0).shape == (2, 3, P)
    assert translate(model, features).shape == (N, P)
    z = (flux - truth) / std
    assert 0.6 < np.mean(np.abs(z) < 1) < 0.9  # scatter near 0 is not found to be 0


def test_scores_bring_their_errors_through_a_pipeline(rng):
    """The two steps in a Pipeline are what PCARidge is without products."""
    u = rng.normal(size=(N, 3))
    X = 0.9 + 0.05 * u @ rng.normal(size=(3, 80)) + 0.02 * rng.normal(size=(N, 80))
    X = Spectra(
        X, np.full(X.shape, 0.02**-2), wave=1e4 + np.arange(80), medium="vacuum"
    )
    y, _ = target(rng, u)
    steps = make_pipeline(SpectralPCA(3), SpectralRidge(1.0)).fit(X, y)
    whole = PCARidge(3, 1.0, n_products=0, max_iter=30, tol=1e-6).fit(X, y)
    noisy = X.replace(ivar=X.ivar / 25)
    for spectra in (X, noisy):
        for a, b in zip(predict_std(steps, spectra), predict_std(whole, spectra)):
            np.testing.assert_allclose(a, b, rtol=1e-4)
    assert predict_std(steps, noisy)[1].mean() > 1.5 * predict_std(steps, X)[1].mean()


def test_alpha_0_with_features_that_repeat_each_other(rng, features):
    y, truth = target(rng, features)
    twice = np.column_stack([features, features, np.ones(N)])
    error = SpectralRidge(0.0).fit(twice, y).predict(twice) - truth
    assert np.sqrt(np.mean(error**2)) < 1.5 * 0.012 * np.sqrt((K + 1) / N)


def test_more_features_than_stars(rng):
    features = rng.normal(size=(20, 50))
    y, _ = target(rng, features)
    flux, std = SpectralRidge().fit(features, y).predict(features, return_std=True)
    assert np.isfinite(flux).all()
    assert np.isfinite(std).all()


def test_pixels_of_few_stars_or_none(rng, features):
    y, truth = target(rng, features)
    ivar = y.ivar.copy()
    ivar[:, 3] = 0
    ivar[8:, 4] = 0  # more features than stars, nearly
    model = SpectralRidge().fit(features, y.replace(ivar=ivar))
    flux, std = model.predict(features, return_std=True)
    assert np.isnan(flux[:, 3]).all()
    rest = np.delete(np.arange(P), 3)
    assert np.isfinite(flux[:, rest]).all()
    inside = np.abs(flux - truth)[:, 4] < 3 * std[:, 4]
    assert inside.mean() > 0.6


def test_features_must_be_known(rng, features):
    y, _ = target(rng, features)
    model = SpectralRidge().fit(features, y)
    features[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.predict(features)
    with pytest.raises(ValueError, match="NaN"):
        SpectralRidge().fit(features, y)


def test_gappy_spectra_are_no_features(rng, features):
    y, _ = target(rng, features, masked=0.1)
    with pytest.raises(ValueError, match="put SpectralPCA before it"):
        SpectralRidge().fit(y, y)


@pytest.mark.parametrize("alpha", [[], [-1.0, 2.0], [[1.0], [2.0]]])
def test_alpha_that_is_none(rng, features, alpha):
    y, _ = target(rng, features)
    with pytest.raises(ValueError, match="alpha"):
        SpectralRidge(alpha).fit(features, y)


def test_torch_computes_the_same(rng, features):
    torch = pytest.importorskip("torch")
    y, _ = target(rng, features, masked=0.1)
    X = 0.9 + 0.02 * features @ rng.normal(size=(K, 90))
    here = PCARidge(K).fit(X, y)
    there = PCARidge(K, device=torch.device("cpu")).fit(X, y)
    for a, b in zip(
        here.predict(X, return_std=True), there.predict(X, return_std=True)
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    with pytest.raises(ValueError, match="is not to be had"):
        PCARidge(K, device="nowhere").fit(X, y)
