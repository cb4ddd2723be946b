"""The ridge of every pixel: turned features, learnt penalties."""

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.linear._pixel_ridge import _turn, _with_one, fit_pixel_ridge

N, K, P = 500, 40, 300


def world(rng, n_heard=3):
    """Features of which pixels hear a few combinations, each pixel its own mix."""
    features = rng.standard_normal((N, K)) * rng.uniform(0.5, 2, K) + rng.normal(size=K)
    heard = np.linalg.qr(rng.standard_normal((K, n_heard)))[0]
    coef = heard @ rng.normal(0, 0.01, (n_heard, P))
    coef[:, ::3] = 0  # silent pixels
    return features, coef, 0.9 + (features - features.mean(0)) @ coef


def fitted(features, truth, rng, alpha, noise=0.02):
    y = truth + noise * rng.standard_normal(truth.shape)
    y = Spectra(
        y, np.full(y.shape, noise**-2), wave=5000.0 + np.arange(P), medium="air"
    )
    no_spread = np.zeros((K, K))
    seed = np.random.RandomState(0)
    return fit_pixel_ridge(features, no_spread, y, np.ones(N), alpha, 0, seed)


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
