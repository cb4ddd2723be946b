"""Mixture: Gaussians behind noise, how many they are, and what a star may be."""

import numpy as np
import pytest

from specxfer.neural._latents import Information
from specxfer.neural._mixture import Mixture

N = 3000


def seen(rng, numbers, low=0.2, high=0.8):
    """Through noise of another size in each star and number, (n, d)."""
    n, d = numbers.shape
    noise = rng.uniform(low, high, numbers.shape)
    precision = np.zeros((n, d, d))
    precision[:, range(d), range(d)] = noise**-2
    return Information(
        (numbers + noise * rng.standard_normal((n, d))) / noise**2, precision
    )


def two_kinds(rng, n=N):
    """In one star of four the first two numbers are large, all of variance 1."""
    rich = rng.random(n) < 0.25
    numbers = rng.standard_normal((n, 3))
    numbers[:, :2] *= 0.4
    numbers[:, :2] += np.where(rich, 1.59, -0.53)[:, None]
    return numbers, rich


def test_two_kinds_are_found_through_noise(rng):
    numbers, _ = two_kinds(rng)
    information = seen(rng, numbers)
    mixture = Mixture.of(information[: N // 2], np.ones(N // 2), information[N // 2 :])
    assert len(mixture.share) == 2
    order = np.argsort(mixture.share)
    np.testing.assert_allclose(mixture.share[order], [0.25, 0.75], atol=0.04)
    means = mixture.mean[order]
    np.testing.assert_allclose(means, [[1.59, 1.59, 0], [-0.53, -0.53, 0]], atol=0.15)
    for covariance in mixture.covariance:
        np.testing.assert_allclose(covariance, np.diag([0.16, 0.16, 1]), atol=0.15)


def test_stars_of_no_weight_teach_nothing(rng):
    numbers, rich = two_kinds(rng)
    information = seen(rng, numbers)
    mixture = Mixture.of(information, 1.0 * ~rich, information[~rich])
    np.testing.assert_allclose(
        mixture.share @ mixture.mean, [-0.53, -0.53, 0], atol=0.1
    )


def test_gaussians_are_one(rng):
    information = seen(rng, rng.standard_normal((N, 4)))
    gain = [
        mixture.log_likelihood(information[N // 2 :]).mean()
        for mixture in (
            Mixture.of(information[: N // 2], np.ones(N // 2), information[N // 2 :]),
            Mixture.standard(4),
        )
    ]
    assert abs(gain[0] - gain[1]) < 0.01


def test_draws_are_of_the_posterior(rng):
    """A star of which one number is seen, and one that nobody saw."""
    mixture = Mixture(
        np.array([0.75, 0.25]),
        np.array([[-0.5, 0.0], [1.5, 0.0]]),
        np.stack([0.16 * np.eye(2)] * 2),
    )
    precision = np.zeros((2, 2, 2))
    precision[0, 0, 0] = 4.0
    information = Information(np.array([[4.0 * 0.8, 0], [0, 0]]), precision)
    draws = mixture.draws(information, 20000, rng)
    u = np.linspace(-3, 4, 7001)
    prior = np.exp(-((u[:, None] - mixture.mean[:, 0]) ** 2) / 0.32) @ mixture.share
    density = prior * np.exp(-4.0 * (u - 0.8) ** 2 / 2)
    for of_star, weight in zip(draws, (density, prior)):
        mean = np.average(u, weights=weight)
        std = np.sqrt(np.average((u - mean) ** 2, weights=weight))
        np.testing.assert_allclose(of_star[:, 0].mean(), mean, atol=0.03)
        np.testing.assert_allclose(of_star[:, 0].std(), std, rtol=0.03)
        np.testing.assert_allclose(of_star[:, 1].std(), 0.4, rtol=0.03)


def test_axes_tell_kinds_apart_even_if_much_is_unseen(rng):
    """The third number nobody sees; it takes no part in the first axis."""
    mixture = Mixture(
        np.array([0.75, 0.25]),
        np.array([[-0.5, -0.5, 0.3], [1.5, 1.5, -0.9]]),
        np.stack([np.diag([0.25, 0.25, 1])] * 2),
    )
    heard = np.diag([0.9, 0.9, 1e-6])
    first = np.sqrt(heard) @ mixture.axes(heard)[:, 0]
    first /= np.linalg.norm(first)
    np.testing.assert_allclose(np.abs(first), [0.5**0.5, 0.5**0.5, 0], atol=0.01)


@pytest.mark.parametrize("n", [1, 5, 9, 40])
def test_few_stars_are_of_one_gaussian(rng, n):
    """Fewer than numbers say nothing of kinds, and must not stop a fit."""
    numbers = rng.standard_normal((n, 24))
    mixture = Mixture.of(seen(rng, numbers), np.ones(n), seen(rng, numbers))
    assert len(mixture.share) == 1
