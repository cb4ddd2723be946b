"""Canonical: both covariances diagonal, and the nearest is the likeliest."""

import numpy as np
import pytest

from specxfer.neural._canonical import Canonical


@pytest.fixture
def sides(rng):
    predicted = rng.standard_normal((20000, 4)) @ rng.standard_normal((4, 4)) + 3
    miss = rng.standard_normal((4, 4)) / 5
    return predicted, predicted + rng.standard_normal((20000, 4)) @ miss


def test_both_covariances_are_diagonal(sides):
    predicted, observed = sides
    canonical = Canonical.of(predicted, observed, np.ones(len(predicted)))
    x, y = (canonical.coordinates(c) for c in sides)
    unit = np.eye(4)
    np.testing.assert_allclose(np.cov((y - x).T) * canonical.size**2, unit, atol=2e-3)
    of_x = np.cov(x.T)
    np.testing.assert_allclose(of_x - np.diag(np.diag(of_x)), 0, atol=2e-3)
    np.testing.assert_allclose(y.var(axis=0), 1, atol=0.05)
    assert (np.diff(canonical.size) < 0).all()
    back = x @ canonical.back + canonical.mean
    np.testing.assert_allclose(back, predicted, atol=1e-9)


def test_a_weight_of_two_is_a_star_given_twice(sides, rng):
    predicted, observed = (side[:2000] for side in sides)
    weight = rng.integers(0, 3, len(predicted)).astype(float)
    twice = np.repeat(np.arange(len(weight)), weight.astype(int))
    expected = Canonical.of(predicted[twice], observed[twice], np.ones(len(twice)))
    found = Canonical.of(predicted, observed, weight)
    np.testing.assert_allclose(found.mean, expected.mean)
    np.testing.assert_allclose(found.size, expected.size, rtol=1e-2)


def test_fewer_stars_than_coefficients(rng):
    predicted = rng.standard_normal((6, 10))
    observed = predicted + 0.1 * rng.standard_normal((6, 10))
    canonical = Canonical.of(predicted, observed, np.ones(6))
    assert np.isfinite(canonical.turn).all()
    assert (canonical.size >= 1).all()
    np.testing.assert_allclose(canonical.turn @ canonical.back, np.eye(10), atol=1e-6)


def test_where_nothing_is_told_nothing_stands_out(rng):
    observed = rng.standard_normal((5000, 3))
    canonical = Canonical.of(np.zeros((5000, 3)), observed, np.ones(5000))
    np.testing.assert_allclose(canonical.size, 1, atol=1e-6)
