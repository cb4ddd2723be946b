"""The statistics against limits that can be computed."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from specxfer.validation import _statistics
from specxfer.validation._statistics import (
    benjamini_hochberg,
    bootstrap_skill,
    bootstrap_sums,
    sign_flip_p,
)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("block", [2**22, 50])
def test_sign_flips_against_all_the_signs_of_ten_stars(block, monkeypatch):
    monkeypatch.setattr(_statistics, "BLOCK", block)
    d = generator(1).normal(0.3, 1, (10, 4))
    signs = np.array(list(product([-1, 1], repeat=10)))
    exact = (signs @ d >= d.sum(axis=0) - 1e-12).mean(axis=0)
    n = 20_000
    found = sign_flip_p(d, n, generator())
    assert (np.abs(found - exact) < 5 * np.sqrt(exact * (1 - exact) / n)).all()


def test_sign_flips_of_the_sum_are_those_of_the_studentised_mean():
    d = generator(2).exponential(1, (12, 1)) - 0.7
    signs = np.array(list(product([-1, 1], repeat=12)))
    flipped = signs[:, :, None] * d
    t = stats.ttest_1samp(flipped, 0, axis=1).statistic[:, 0]
    by_t = (t >= t[-1] - 1e-9).mean()  # the last has all signs +
    by_sum = (signs @ d >= d.sum() - 1e-9).mean()
    assert by_t == by_sum


def test_the_smallest_p_and_the_largest():
    d = np.column_stack([np.ones(60), -np.ones(60), np.zeros(60)])
    assert_allclose(sign_flip_p(d, 99, generator()), [0.01, 1, 1])


def test_p_is_uniform_where_neither_is_better():
    rng = generator(3)
    noise = rng.standard_t(5, (80, 300))  # 300 nulls
    p = sign_flip_p(noise, 999, rng)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    skewed = rng.exponential(1, (400, 300)) - 1
    assert (sign_flip_p(skewed, 999, rng) < 0.05).mean() < 0.09


def test_benjamini_hochberg_against_scipy():
    p = generator(4).uniform(0, 1, 50) ** 3
    assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    with_unknown = np.r_[np.nan, p, np.nan]
    assert_allclose(benjamini_hochberg(with_unknown)[1:-1], benjamini_hochberg(p))
    assert np.isnan(benjamini_hochberg([np.nan])).all()


def test_bootstrap_sums_have_the_mean_and_variance_of_draws(monkeypatch):
    values = generator(5).normal(1, 1, (40, 2))
    drawn = bootstrap_sums(values, 4000, generator())
    spread = np.sqrt(40) * values.std(axis=0)
    error = spread / np.sqrt(4000)
    assert (np.abs(drawn.mean(axis=0) - values.sum(axis=0)) < 5 * error).all()
    assert_allclose(drawn.std(axis=0), spread, rtol=0.06)
    together = bootstrap_sums(np.hstack([values, values]), 10, generator())
    assert_allclose(together[:, :2], together[:, 2:])


def test_the_interval_of_the_skill_covers_it():
    rng, covered = generator(6), []
    for _ in range(200):
        null = rng.exponential(1, (150, 1))
        top = 0.6 * null * rng.exponential(1, (150, 1))
        _, lo, hi = bootstrap_skill(top, null, 400, 0.9, rng)
        covered.append(lo[0] < 0.4 < hi[0])
    # 90%, within what 200 trials and the bootstrap of 150 stars allow
    assert 0.82 < np.mean(covered) < 0.97


def test_skill_where_it_is_exact():
    top = np.array([[1.0, 0.0], [3.0, 0.0]])
    skill, lo, hi = bootstrap_skill(
        top, np.array([[2.0, 1], [6, 1]]), 50, 0.9, generator()
    )
    assert_allclose([skill, lo, hi], [[0.5, 1]] * 3)
