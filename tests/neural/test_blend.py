"""Blend: networks count as far as they have proved."""

import numpy as np
import pytest

from specxfer.neural._blend import Blend

N, K = 2000, 3


def world(rng, noise=0.1):
    """A linear part of the coefficients, one that is not, and parts of the stars."""
    features = rng.standard_normal((N, 4))
    linear = features @ np.random.default_rng(5).normal(size=(4, K))
    rest = rng.standard_normal((N, K))
    values = linear + rest + noise * rng.standard_normal((N, K))
    observed = values, np.full((N, K), 1 / noise**2)
    return features, linear, rest, observed, np.array_split(rng.permutation(N), 4)


def blended(rng, networks, wander=0.0):
    features, linear, rest, observed, parts = world(rng)
    networks = networks(linear, rest)
    wander = np.full((N, K), wander)
    found, mean = Blend.of(features, parts, observed, networks, wander, np.ones(N))
    return found, mean, linear + rest, networks, features


def test_noise_has_no_share(rng):
    found, mean, truth, _, _ = blended(
        rng,
        lambda linear, rest: (
            linear + 5 * np.random.default_rng(1).normal(size=rest.shape)
        ),
    )
    np.testing.assert_allclose(found.share, 0, atol=0.03)
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 1.05


def test_networks_that_run_the_wrong_way_have_none_at_all(rng):
    found, *_ = blended(rng, lambda linear, rest: linear - rest)
    assert (found.share == 0).all()


def test_perfect_networks_have_all(rng):
    found, mean, truth, networks, features = blended(
        rng, lambda linear, rest: linear + rest
    )
    np.testing.assert_allclose(found.share, 1, atol=0.01)
    np.testing.assert_allclose(mean, truth, atol=0.1)
    np.testing.assert_allclose(found.mean(features, networks), networks, atol=0.1)


def test_in_between_as_least_squares_says(rng):
    """Noise of the variance of what there is to gain: half."""
    noise = np.random.default_rng(1).normal(size=(N, K))
    found, *_ = blended(rng, lambda linear, rest: linear + rest + noise)
    np.testing.assert_allclose(found.share, 0.5, atol=0.05)


def test_scatter_that_averaging_removes_is_forgiven(rng):
    noise = np.random.default_rng(1).normal(size=(N, K))
    found, *_ = blended(rng, lambda linear, rest: linear + rest + noise, wander=0.5)
    np.testing.assert_allclose(found.share, 1 / 1.5, atol=0.07)
    found, *_ = blended(rng, lambda linear, rest: linear + rest + noise, wander=3.0)
    # within reason: 0.3 of the squared distance, 2
    np.testing.assert_allclose(found.share, 1 / (2 * 0.7), atol=0.07)


def test_mean_by_hand(rng):
    found, _, _, networks, features = blended(rng, lambda linear, rest: linear)
    linear = found.ridge.predict(features)
    some = Blend(found.ridge, np.array([0.0, 0.3, 1.0]))
    expected = linear * [1, 0.7, 0] + networks * [0, 0.3, 1]
    np.testing.assert_allclose(some.mean(features, networks), expected, atol=1e-12)


def test_spread_of_equal_covariances_is_theirs(rng):
    """In each coefficient; shares that differ mix no covariance in."""
    found, *_ = blended(rng, lambda linear, rest: linear)
    root = rng.normal(size=(5, 4, 4))
    of_features = root @ root.transpose(0, 2, 1)
    coef = found.ridge.coef_.astype(float)
    same = coef.T @ of_features @ coef
    even = Blend(found.ridge, np.full(K, 0.3))
    np.testing.assert_allclose(even.spread(of_features, same), same)
    uneven = Blend(found.ridge, np.array([0.0, 0.3, 1.0]))
    mixed = uneven.spread(of_features, same)
    variance = np.diagonal(mixed, axis1=1, axis2=2)
    np.testing.assert_allclose(variance, np.diagonal(same, axis1=1, axis2=2))
    assert np.linalg.eigvalsh(mixed).min() > -1e-9


def test_all_or_nothing_has_the_spread_of_one(rng):
    found, *_ = blended(rng, lambda linear, rest: linear)
    of_features, of_networks = np.eye(4)[None], 7 * np.eye(K)[None]
    coef = found.ridge.coef_.astype(float)
    none, whole = Blend(found.ridge, np.zeros(K)), Blend(found.ridge, np.ones(K))
    np.testing.assert_allclose(none.spread(of_features, of_networks)[0], coef.T @ coef)
    np.testing.assert_allclose(whole.spread(of_features, of_networks), of_networks)
    assert none.share.sum() == pytest.approx(0)
