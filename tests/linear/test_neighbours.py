"""What coefficients learn from neighbouring pixels, against what can be computed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer.linear._neighbours import (
    correlation,
    learnt_from_neighbours,
    runs,
)

P, K = 1200, 15
ONE_RUN = np.zeros(P, int)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def blurred(rng, reach=8.0):
    """Signals of unit variance with the correlation that is assumed."""
    lags = np.abs(np.arange(P)[:, None] - np.arange(P))
    root = np.linalg.cholesky(correlation(lags, reach) + 1e-8 * np.eye(P))
    return (root @ rng.standard_normal((P, K))).T


def test_correlation_has_no_negative_power():
    lags = np.abs(np.arange(60)[:, None] - np.arange(60))
    for reach in (3, 8, 17):
        assert np.linalg.eigvalsh(correlation(lags, reach)).min() > 0
        assert_array_equal(correlation([0, reach, 99], reach), [1, 0, 0])


def test_the_error_is_what_theory_says(rng):
    """The mean squared error is the posterior variance, far from the ends."""
    signal, one = blurred(rng), np.ones((K, P))
    coef = signal + rng.standard_normal((K, P))
    found, left, _ = learnt_from_neighbours(coef, one, one, 0 * one, ONE_RUN)
    error = ((found - signal) ** 2).mean()
    lags = np.abs(np.arange(81)[:, None] - np.arange(81))
    alike = correlation(lags, 8.0)
    kernel = np.linalg.solve(alike + np.eye(81), alike[40])
    assert error == pytest.approx(1 - kernel @ alike[40], rel=0.05)
    assert error < 0.6 * 0.5  # what is left of the variance without neighbours
    assert left.mean() == pytest.approx((1 - kernel @ alike[40]) / 0.5, rel=0.03)


def test_pixels_that_have_nothing_in_common_are_left_alone(rng):
    one = np.ones((K, P))
    coef = rng.standard_normal((K, P)) * 2**0.5
    found, left, _ = learnt_from_neighbours(coef, one, one, 0 * one, ONE_RUN)
    assert_allclose(found, coef / 2, atol=1e-12)
    assert_array_equal(left, 1)


def test_nothing_is_learnt_across_gaps_or_without_an_order(rng):
    signal, one = blurred(rng), np.ones((K, P))
    coef = signal + rng.standard_normal((K, P))
    run = np.repeat([0, 1], P // 2)
    found, *_ = learnt_from_neighbours(coef, one, one, 0 * one, run)
    changed = coef.copy()
    changed[:, P // 2 :] = rng.standard_normal((K, P // 2))
    again, *_ = learnt_from_neighbours(changed, one, one, 0 * one, run)
    assert_allclose(again[:, : P // 2], found[:, : P // 2], rtol=1e-9)
    lonely, left, _ = learnt_from_neighbours(coef, one, one, 0 * one, np.arange(P))
    assert_allclose(lonely, coef / 2)
    assert_array_equal(left, 1)


def test_strong_signals_keep_their_strength(rng):
    signal, one = 1e3 * blurred(rng), np.ones((K, P))
    found, *_ = learnt_from_neighbours(signal, 1e6 * one, one, 0 * one, ONE_RUN)
    assert np.abs(found - signal).max() < 2


def test_runs_end_at_chips_gaps_and_pixels_without_data():
    wave = np.r_[5000 + 0.1 * np.arange(6), 5003 + 0.1 * np.arange(4)]
    chip, seen = np.zeros(10, int), np.ones(10, bool)
    chip[8:], seen[2] = 1, False
    assert_array_equal(runs(wave, chip, seen), [0, 0, 1, 2, 2, 2, 3, 3, 4, 4])
    assert_array_equal(runs(None, chip, seen), np.arange(10))


def test_noise_that_neighbours_share_is_not_taken_for_signal(rng):
    """Nor its average for better than it is, as in spectra that were resampled."""
    signal, one = blurred(rng), np.ones((K, P))
    white = rng.standard_normal((K, P + 1))
    noise = white[:, 1:] + 0.5 * white[:, :-1]
    noise /= np.sqrt(1.25)  # neighbours have a correlation of 0.4
    found, left, of_sums = learnt_from_neighbours(
        signal + noise, one, one, 0 * one, ONE_RUN
    )
    assert ((found - signal) ** 2).mean() == pytest.approx(left.mean() / 2, rel=0.1)
    assert of_sums == pytest.approx(1 + 2 * 0.4, rel=0.1)
    *_, of_white = learnt_from_neighbours(
        signal + rng.standard_normal((K, P)), one, one, 0 * one, ONE_RUN
    )
    assert of_white == 1
