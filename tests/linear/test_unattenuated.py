"""What noise takes from slopes, given back where there is information to do so."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, translate
from specxfer.baselines import NullTranslator
from specxfer.compose import TargetWindow
from specxfer.linear import PCARidge, unattenuated
from specxfer.linear._products import spread_of, with_products
from specxfer.linear._unattenuated import stretched
from specxfer.metrics import slope_table

P, Q = 30, 7
PROFILE = np.array([0, 0.2, 0.7, 1.0, 0.7, 0.2, 0])
LINE = (6497.05, 6497.55)


def pairs(sigma, n=3000, seed=0, curved=0.0):
    """Stars with one number `u`: the source tells it, and half of what y varies by."""
    rng = np.random.default_rng(seed)
    u, own = rng.standard_normal((2, n))
    shape = np.random.default_rng(7).standard_normal(P)
    x = 1 + 0.05 * u[:, None] * shape + sigma * rng.standard_normal((n, P))
    depth = 0.3 + 0.02 * u + 0.02 * own + curved * (u**2 - 1)
    X = Spectra(
        x, np.full(x.shape, sigma**-2), wave=15000 + np.arange(P), medium="vacuum"
    )
    wave = 6497 + 0.1 * np.arange(Q)
    y = Spectra(1 - depth[:, None] * PROFILE, wave=wave, medium="air")
    noise = 0.01 * rng.standard_normal(y.shape)
    return X, y, y.replace(flux=y.flux + noise, ivar=np.full(y.shape, 1e4)), u


@pytest.fixture(scope="module")
def fitted():
    X, _, y, _ = pairs(0.1, seed=1)
    return PCARidge(1, n_products=0).fit(X, y)


NOISE = [0.02, 0.1, 0.25]  # information 0.99, 0.88, 0.55 or so


def test_slopes_at_any_noise(fitted):
    """The source tells half of the variance: 0.5 is all that there is to give back."""
    for sigma in NOISE:
        X, truth, _, u = pairs(sigma)
        told = 1 - np.mean(fitted._source.posterior(X)[1])
        models = {"best": translate(fitted, X), "wide": unattenuated(fitted, X)}
        best, wide = slope_table(truth, models, LINE, noise="none")
        assert best["predicted_on_truth"] == pytest.approx(0.5 * told, abs=0.03)
        assert best["observed_on_predicted"] == pytest.approx(1, abs=0.06)
        assert wide["predicted_on_truth"] == pytest.approx(0.5, abs=0.03)
        assert wide["observed_on_predicted"] == pytest.approx(told, abs=0.06)
        assert wide["rms"] >= best["rms"]
        depth = 1 - models["wide"].flux[:, 3]
        slope = np.polyfit(u, depth, 1)[0]  # of each star, given what it is
        assert slope == pytest.approx(0.02, rel=0.06)


def test_its_errors_are_those_it_states(fitted):
    for sigma in NOISE:
        X, truth, _, _ = pairs(sigma)
        wide = unattenuated(fitted, X)
        pull = (wide.flux - truth.flux) * np.sqrt(wide.ivar)
        assert_allclose(np.std(pull[:, 2:5]), 1, atol=0.06)
        # scatter follows the lines' strength and the kind of star, and a few that are
        # wide are weaker or more of the other kind
        ratio = wide.ivar / translate(fitted, X).ivar
        assert np.quantile(ratio, 0.99) < 1.01
        assert ratio.max() < 1.06


def test_what_has_no_information_stays_at_the_mean(fitted):
    X, _, _, _ = pairs(0.1, n=50)
    flux = X.flux.copy()
    flux[0] = np.nan
    X = X.replace(flux=flux, ivar=np.where(np.arange(50)[:, None] == 1, 1e-9, X.ivar))
    wide, best = unattenuated(fitted, X), translate(fitted, X)
    assert_allclose(wide.flux[:2], best.flux[:2], atol=1e-6)
    assert_allclose(wide.ivar[:2], best.ivar[:2], rtol=1e-4)


def test_a_direction_is_stretched_by_no_more_than_asked_for():
    told = np.array([0.9, 0.5, 0.1])
    scores, covariance = np.ones((1, 3)), np.diag(1 - told)[None]
    features, spread = stretched(scores, covariance, np.zeros((3, 0)), 0.5)
    assert_allclose(features[0], [1 / 0.9, 2, 2])
    # variance of the noise, and of what is still missing
    missing = (1 - 0.2) ** 2
    assert_allclose(np.diag(spread[0]), [0.1 / 0.9, 1, 4 * 0.09 + missing])
    axes = np.eye(3)[:, :2]
    same, posterior = stretched(scores, covariance, axes, 1.0)
    and_covariance = spread_of(scores, covariance, axes)
    assert_allclose(same, with_products(scores, covariance, axes))
    assert_allclose(posterior[:, :3, :3], covariance, atol=1e-12)
    assert_allclose(posterior, and_covariance, atol=1e-12)


def test_products_are_unbiased_given_the_star(rng):
    """Averaged over noise, features are those of the true scores."""
    told = np.array([0.9, 0.6])
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    u = np.array([1.2, -0.7])
    n = 200_000
    noise = rng.standard_normal((n, 2)) * np.sqrt(told * (1 - told))
    scores = (told * (turn.T @ u) + noise) @ turn.T
    covariance = np.tile(turn @ np.diag(1 - told) @ turn.T, (n, 1, 1))
    features, spread = stretched(scores, covariance, np.eye(2), 0.5)
    expected = [*u, u[0] ** 2 - 1, u[0] * u[1], u[1] ** 2 - 1]
    assert_allclose(features.mean(axis=0), expected, atol=0.02)
    assert_allclose(np.cov(features[:, :2].T), spread[0, :2, :2], atol=0.01)


def test_curved_lines_are_followed():
    X, _, y, _ = pairs(0.1, seed=1, curved=0.01)
    model = PCARidge(1, n_products=1).fit(X, y)
    X, _, _, u = pairs(0.15, curved=0.01)
    told = 1 - np.mean(model._source.posterior(X)[1])
    for form, shrinks in ((translate, True), (unattenuated, False)):
        curve = np.polyfit(u, 1 - form(model, X).flux[:, 3], 2)
        known = told**2 if shrinks else 1
        assert curve[0] == pytest.approx(0.01 * known, rel=0.15)


def test_it_sees_through_compositions_and_leaves_the_model_alone(fitted):
    X, _, y, _ = pairs(0.1, n=300)
    before = fitted.predict(X)
    flux = unattenuated(fitted, X).flux
    assert_array_equal(fitted.predict(X), before)
    assert_array_equal(unattenuated(fitted, X, min_information=1).flux, before)
    assert_array_equal(unattenuated(make_pipeline(fitted), X).flux, flux)
    inside = TargetWindow(PCARidge(1, n_products=0), LINE).fit(X, y)
    wide = unattenuated(inside, X)
    direct = unattenuated(PCARidge(1, n_products=0).fit(X, y), X)
    # but for what pixels at the window's ends learn from those beyond
    apart = np.abs(wide.flux - direct.flux)[:, 1:6] * np.sqrt(direct.ivar[:, 1:6])
    assert apart.max() < 0.3
    assert np.isnan(wide.flux[:, 0]).all()
    assert {"support", "supported"} <= set(wide.meta.colnames)


def test_what_it_refuses(fitted):
    X, _, y, _ = pairs(0.1, n=50)
    for share in (0, 1.1, -1, np.nan):
        with pytest.raises(ValueError, match="min_information"):
            unattenuated(fitted, X, min_information=share)
    other = NullTranslator().fit(X, y)
    with pytest.raises(TypeError, match="found a NullTranslator"):
        unattenuated(other, X)
    with pytest.raises(TypeError, match="found a LinearRegression"):
        unattenuated(LinearRegression().fit(X.flux, y.flux), X)
