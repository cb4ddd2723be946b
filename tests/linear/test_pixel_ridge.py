"""The ridge of every pixel: turned features, learnt penalties."""

from dataclasses import replace

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.linear._penalties import turned as _turn
from specxfer.linear._pixel_ridge import _with_one, fit_pixel_ridge
from specxfer.linear._scatter import LineScatter

N, K, P = 500, 40, 300
WAVE = 5000.0 + np.arange(P)


def world(rng, n_heard=3):
    """Features of which pixels hear a few combinations, each pixel its own mix."""
    features = rng.standard_normal((N, K)) * rng.uniform(0.5, 2, K) + rng.normal(size=K)
    heard = np.linalg.qr(rng.standard_normal((K, n_heard)))[0]
    coef = heard @ rng.normal(0, 0.01, (n_heard, P))
    coef[:, ::3] = 0  # silent pixels
    return features, coef, 0.9 + (features - features.mean(0)) @ coef


def fitted(features, truth, rng, alpha, noise=0.02, wave=WAVE, resampled=0.0):
    white = rng.standard_normal((len(truth), P + 1)) / np.hypot(1, resampled)
    y = truth + noise * (white[:, 1:] + resampled * white[:, :-1])
    medium = None if wave is None else "air"
    y = Spectra(y, np.full(y.shape, noise**-2), wave=wave, medium=medium)
    no_spread = np.zeros((features.shape[1], features.shape[1]))
    seed = np.random.RandomState(0)
    stars = np.arange(N)
    return fit_pixel_ridge(features, no_spread, y, np.ones(N), stars, alpha, 0, seed)[0]


def rms(a):
    return float(np.sqrt(np.mean(np.square(a))))


def test_learnt_penalties_come_near_the_error_of_the_true_directions(rng):
    """Had one known which combinations count, each would cost noise / sqrt(N).

    So does the intercept, which is all that a silent pixel should pay for.
    """
    features, _, truth = world(rng)
    error = fitted(features, truth, rng, "auto").predict(features) - truth
    silent, known, all_of_them = (0.02 * np.sqrt(k / N) for k in (1, 4, K + 1))
    assert rms(error) < 1.4 * known
    assert rms(error[:, ::3]) < 1.4 * silent
    plain = fitted(features, truth, rng, 1e-6).predict(features) - truth
    assert rms(plain) == pytest.approx(all_of_them, rel=0.1)


def test_coefficients_are_those_of_the_features_as_given(rng):
    features, coef, truth = world(rng)
    ridge = fitted(features, truth, rng, "auto", noise=1e-4)
    np.testing.assert_allclose(ridge.coef, coef, atol=3e-5)
    shifted = fitted(features + 7, truth, rng, "auto", noise=1e-4)
    np.testing.assert_allclose(shifted.coef, coef, atol=3e-5)


def test_turned_features_are_white_and_the_first_are_heard(rng):
    features, coef, _ = world(rng)
    u, weight = _with_one(features), rng.uniform(0.5, 2, N)
    turn = _turn(u, weight, np.vstack([coef, np.zeros(P)]), np.full(P, 0.02))
    v = u @ turn
    np.testing.assert_array_equal(v[:, -1], 1)
    gram = (v * weight[:, None]).T @ v / weight.sum()
    np.testing.assert_allclose(gram, np.eye(K + 1), atol=0.02)
    loud = np.linalg.norm(np.linalg.solve(turn[:-1, :-1], coef), axis=1)
    assert loud[3:].max() < 1e-6 * loud[:3].min()


def test_features_that_are_alike_or_constant_do_no_harm(rng):
    features, _, truth = world(rng)
    features[:, 1] = features[:, 0]
    features[:, 2] = 5.0
    truth = truth * 0 + 0.9 + 0.01 * features[:, :1]
    error = fitted(features, truth, rng, "auto").predict(features) - truth
    assert rms(error) < 2 * 0.02 * np.sqrt(2 / N)


@pytest.mark.parametrize("noise", [0.02, 0.002])
def test_strong_pixels_keep_their_strength_among_silent_features(rng, noise):
    """No pixel may be much worse off than with a plain penalty."""
    features, _, truth = world(rng, n_heard=6)
    features = np.column_stack([features, rng.standard_normal((N, 20))])
    y = truth + noise * rng.standard_normal(truth.shape)
    y = Spectra(
        y, np.full(y.shape, noise**-2), wave=5000.0 + np.arange(P), medium="air"
    )
    errors = {}
    for alpha in ("auto", 1.0):
        ridge, _ = fit_pixel_ridge(
            features, np.zeros((60, 60)), y, np.ones(N), np.arange(N), alpha, 0,
            np.random.RandomState(0),
        )  # fmt: skip
        errors[alpha] = np.sqrt(np.mean((ridge.predict(features) - truth) ** 2, axis=0))
    assert (errors["auto"] / errors[1.0]).max() < 1.1
    assert rms(errors["auto"]) < 0.7 * rms(errors[1.0])


def test_scatter_that_pixels_share_is_not_explained_away(rng):
    """Scatter of one element looks like signal to many pixels alike."""
    features = rng.standard_normal((100, K))
    element = rng.standard_normal((100, 1)) * np.linspace(0.01, 0.05, P)
    y = 0.9 + element + 0.005 * rng.standard_normal(element.shape)
    y = Spectra(
        y, np.full(y.shape, 0.005**-2), wave=np.arange(5000.0, 5000 + P), medium="air"
    )
    ridge, _ = fit_pixel_ridge(
        features, np.zeros((K, K)), y, np.ones(100), np.arange(100), "auto", 5,
        np.random.RandomState(0),
    )  # fmt: skip
    new = rng.standard_normal((400, K))
    stated = ridge.covariance(new).variance().mean(axis=0)
    error = ridge.predict(new) - 0.9 - rng.standard_normal((400, 1)) * element.std(0)
    ratio = np.sqrt((error**2).mean(axis=0) / stated)
    assert np.median(ratio) == pytest.approx(1, abs=0.15)


def test_rows_of_one_star_are_left_out_together(rng):
    """Copies of a star do not make the scatter look smaller."""
    features, _, truth = world(rng)
    few = slice(60)
    observed = truth[few] + 0.02 * rng.standard_normal((60, P))
    unknown = 0.03 * rng.standard_normal((60, P))

    def scatter(n_copies, stars):
        y = np.tile(observed + unknown, (n_copies, 1))
        y = Spectra(y, np.full(y.shape, 0.02**-2), wave=np.arange(5000.0, 5000 + P),
                    medium="air")  # fmt: skip
        u = np.tile(features[few, :20], (n_copies, 1))
        weight = np.full(len(u), 1 / n_copies)
        seed = np.random.RandomState(0)
        ridge, _ = fit_pixel_ridge(
            u, np.zeros((20, 20)), y, weight, stars, 1.0, 0, seed
        )
        return np.sqrt(ridge.scatter.mean())

    once = scatter(1, np.arange(60))
    assert scatter(4, np.tile(np.arange(60), 4)) == pytest.approx(once, rel=0.02)
    assert scatter(4, np.arange(240)) < 0.9 * once


def test_errors_of_coefficients_run_together_where_scatter_does(rng):
    """So that few stars do not make widths look well known."""
    n, k = 60, 12
    features = rng.standard_normal((n, k))
    pattern = np.linspace(0.01, 0.05, P)
    y = 0.9 + rng.standard_normal((n, 1)) * pattern
    y = y + 0.002 * rng.standard_normal(y.shape)
    y = Spectra(
        y, np.full(y.shape, 0.002**-2), wave=np.arange(5000.0, 5000 + P), medium="air"
    )
    ridge, _ = fit_pixel_ridge(
        features, np.zeros((k, k)), y, np.ones(n), np.arange(n), 1.0, 5,
        np.random.RandomState(0),
    )  # fmt: skip
    far = 2 * np.sqrt(k) * np.eye(k)[:1]
    near, far = ridge.covariance(0 * far), ridge.covariance(far)
    width = np.ones((P, 1))
    gained = far.functional_variance(width) - near.functional_variance(width)
    alone = (far.variance() - near.variance()).sum()
    assert gained > 50 * alone


def test_scatter_does_not_hang_on_how_features_are_correlated(rng):
    """A polynomial's terms are; a ridge of fixed penalty keeps them as they are."""
    x = rng.uniform(1, 2, N)
    features = np.column_stack([x**k for k in range(1, 9)])  # > 20 stars each
    features /= features.std(axis=0)
    scatter = 0.01 * rng.standard_normal((N, P))
    truth = 0.9 + 0.05 * (x[:, None] - 1.5) ** 2 + scatter
    ridge = fitted(features, truth, rng, 1e-3, noise=0.005)
    np.testing.assert_allclose(np.sqrt(ridge.scatter.mean()), 0.01, rtol=0.05)


def blurred_world(rng, n):
    """Lines that a spectrograph has blurred over a few pixels; every star has its own.

    Coefficients of all features, their photon noise aside, are alike in neighbours.
    """
    features = rng.standard_normal((n, K))
    own = np.random.default_rng(7).normal(0, 0.02, (K, P))
    kernel = np.exp(-0.5 * (np.arange(-9, 10) / 2.5) ** 2)
    coef = np.array([np.convolve(row, kernel / kernel.sum(), "same") for row in own])
    lines = 0.1 * np.cos(2 * np.pi * np.arange(P) / 12)
    return features, 0.8 + lines + features @ coef


GAINS = [(0.0, 0.75), (0.5, 0.85), (1.0, 0.9)]


@pytest.mark.parametrize(("resampled", "gain"), GAINS)
def test_blurred_lines_are_learnt_from_neighbouring_pixels(rng, resampled, gain):
    """And the errors stated of pixels, and of the sums over lines, are the true ones.

    A sum gains far less than a pixel does: its noise is what neighbours share, the more
    so where the target was resampled and its noise is no longer white.
    """
    features, truth = blurred_world(rng, N)
    ridge, alone = (
        fitted(features, truth, rng, "auto", wave=wave, resampled=resampled)
        for wave in (WAVE, None)
    )
    others, truth = blurred_world(rng, 2000)
    error = ridge.predict(others) - truth
    assert rms(error) < gain * rms(alone.predict(others) - truth)
    none = np.zeros(P)  # nothing scatters here, but so few stars cannot tell
    ridge = replace(
        ridge, scatter=none, line_scatter=LineScatter(none, np.stack([none, none]))
    )
    covariance = ridge.covariance(others)
    variance = covariance.variance()
    np.testing.assert_allclose(
        variance, np.outer(ridge.leverage(others), ridge.coef_variance), rtol=1e-5
    )
    assert np.mean(error**2) == pytest.approx(variance.mean(), rel=0.25)
    line = np.abs(np.arange(P)[:, None] - np.arange(18, P, 12)) < 6.0
    stated = covariance.functional_variance(line)
    assert np.mean((error @ line) ** 2) == pytest.approx(stated.mean(), rel=0.3)
    assert stated.mean() > 1.5 * (variance @ line).mean()


def test_an_order_that_means_nothing_changes_nothing(rng):
    """Where pixels stand in any order, each is left to itself."""
    features, truth = blurred_world(rng, N)
    truth = truth[:, rng.permutation(P)]
    ridge, alone = (
        fitted(features, truth, np.random.default_rng(5), "auto", wave=wave)
        for wave in (WAVE, None)
    )
    np.testing.assert_allclose(ridge.coef, alone.coef, atol=1e-9)
    np.testing.assert_array_equal(ridge.coef_variance, alone.coef_variance)
