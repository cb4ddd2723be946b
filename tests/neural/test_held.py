"""Held: stated covariances within those that are found, in each kind of star."""

import numpy as np

from specxfer.neural._held import Held, held_within

K = 4


def covariance(rng, scale=1.0):
    root = rng.normal(size=(K, 2 * K))
    return scale * root @ root.T


def test_held_within_leaves_what_is_less(rng):
    most = covariance(rng)
    kept = held_within(0.5 * most, most)
    np.testing.assert_allclose(kept @ most @ kept.T, most, rtol=1e-4, atol=1e-4)


def test_held_within_brings_what_is_more_to_the_most(rng):
    most = covariance(rng)
    spread = most + covariance(rng)
    kept = held_within(spread, most)
    np.testing.assert_allclose(kept @ spread @ kept.T, most, rtol=1e-4, atol=1e-4)


def test_held_within_direction_by_direction():
    spread, most = np.diag([1.0, 4.0]), np.diag([2.0, 1.0])
    kept = held_within(spread, most)
    np.testing.assert_allclose(kept @ spread @ kept.T, np.eye(2), atol=1e-4)


def test_each_kind_of_star_is_held_within_what_is_found_in_it(rng):
    """In giants stated errors are twice too large, in dwarfs they are right."""
    n, giant = 4000, np.arange(4000) % 2 == 0
    mean = rng.standard_normal((n, K)) + np.where(giant, 8, -8)[:, None]
    spread = np.eye(K) * np.where(giant, 4.0, 1.0)[:, None, None]
    missed = rng.standard_normal((n, K))

    def spread_of(weights):
        return (
            np.tensordot(weights, spread, axes=1) / weights.sum(axis=1)[:, None, None]
        )

    def found_of(weight):
        return (missed.T * weight) @ missed / weight.sum()

    held, usual = Held.of(mean, np.ones(n), spread_of, found_of)
    found = held(mean, spread)
    np.testing.assert_allclose(found[giant], found[:1].repeat(n // 2, 0), atol=1e-6)
    for star in (0, 1):
        np.testing.assert_allclose(found[star], np.eye(K), atol=0.1)
    np.testing.assert_allclose(usual, np.eye(K), atol=0.1)


def test_few_stars_of_a_kind_are_held_as_all_are(rng):
    """One star among many says nothing of its kind."""
    mean = np.zeros((500, K))
    mean[7] = 100
    all_of_them = held_within(2 * np.eye(K), np.eye(K))
    held, _ = Held.of(
        mean,
        np.ones(500),
        lambda weights: np.stack([2 * np.eye(K)] * 2),
        lambda weight: np.eye(K) if weight[0] == 1 else 1e-3 * np.eye(K),
    )
    kind = int(held.kinds(mean)[7].round())
    np.testing.assert_allclose(held.factors[kind], all_of_them, rtol=1e-3)
