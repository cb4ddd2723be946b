"""Samplers: exact for Gaussians, of second order, and densities that are right."""

import numpy as np
import pytest

from specxfer.neural._latents import Information
from specxfer.neural._posterior import given_gaussian, posterior_draws
from specxfer.neural._samplers import SOLVERS, log_density, solve


def gaussian(mean, covariance):
    """F of latents that are N(mean, covariance), and its derivatives."""
    d = len(mean)

    def with_slopes(x, angle):
        sine, cosine = np.sin(angle), np.cos(angle)
        sine, cosine = (np.broadcast_to(a, (len(x), 1)) for a in (sine, cosine))
        total = cosine[:, :, None] ** 2 * covariance + sine[:, :, None] ** 2 * np.eye(d)
        # D = mean + cos θ S T⁻¹ (x − cos θ mean); sin θ F = D − cos θ x
        by = covariance - np.eye(d)
        slopes = sine[:, :, None] * cosine[:, :, None] * by @ np.linalg.inv(total)
        value = sine * mean
        value = value + np.einsum("nij,nj->ni", slopes, x - cosine * mean)
        return value, slopes.transpose(0, 2, 1)

    return with_slopes


MEAN = np.array([0.5, -1.0])
COVARIANCE = np.array([[0.5, 0.3], [0.3, 2.0]])


@pytest.mark.parametrize("solver", SOLVERS)
def test_standard_gaussians_do_not_move(rng, solver):
    x = rng.standard_normal((100, 3))
    if solver == "heun":
        np.testing.assert_array_equal(solve(lambda x, a: 0 * x, x, 5, solver), x)
    found = solve(lambda x, a: 0 * x, x, 200, solver)
    np.testing.assert_allclose(found, x, atol=0.02)


@pytest.mark.parametrize("solver", SOLVERS)
def test_gaussians_have_their_moments(rng, solver):
    both = gaussian(MEAN, COVARIANCE)
    x = rng.standard_normal((40_000, 2))
    found = solve(lambda x, a: both(x, a)[0], x, 40, solver)
    np.testing.assert_allclose(found.mean(axis=0), MEAN, atol=0.03)
    np.testing.assert_allclose(np.cov(found.T), COVARIANCE, atol=0.05)


@pytest.mark.parametrize("solver", SOLVERS)
def test_errors_fall_with_the_square_of_the_step(rng, solver):
    both = gaussian(MEAN, COVARIANCE)
    x = rng.standard_normal((200, 2))
    exact = solve(lambda x, a: both(x, a)[0], x, 2000)
    coarse, fine = (
        np.abs(solve(lambda x, a: both(x, a)[0], x, n, solver) - exact).max()
        for n in (20, 80)
    )
    assert 8 < coarse / fine < 30


def test_density_of_a_gaussian(rng):
    u = rng.standard_normal((50, 2)) + MEAN
    left = u - MEAN
    square = (left * np.linalg.solve(COVARIANCE, left.T).T).sum(axis=1)
    expected = -0.5 * square - np.log(2 * np.pi)
    expected -= 0.5 * np.linalg.slogdet(COVARIANCE)[1]
    both = gaussian(MEAN, COVARIANCE)
    found = log_density(both, u, np.zeros((50, 1)), 60)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_density_of_noisy_latents(rng):
    """From θ on it is that of x = cos θ u + sin θ ε."""
    both, angle = gaussian(MEAN, COVARIANCE), 0.7
    x = rng.standard_normal((50, 2))
    total = np.cos(angle) ** 2 * COVARIANCE + np.sin(angle) ** 2 * np.eye(2)
    left = x - np.cos(angle) * MEAN
    square = (left * np.linalg.solve(total, left.T).T).sum(axis=1)
    expected = -0.5 * square - np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(total)[1]
    found = log_density(both, x, np.full((50, 1), angle), 60)
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("known", [False, True], ids=["start", "diffusion"])
def test_posterior_draws_of_gaussian_latents(rng, known):
    """With a Gaussian prior the posterior is known in closed form."""
    prior = COVARIANCE if known else np.eye(2)
    precision = np.array([[[4.0, 1.0], [1.0, 9.0]], [[0.0, 0.0], [0.0, 2.0]]])
    information = Information(np.array([[2.0, -3.0], [0.0, 1.0]]), precision)
    with_slopes = gaussian(np.zeros(2), COVARIANCE) if known else None
    draws = posterior_draws(with_slopes, information, 20_000, 32, rng)
    mean, covariance = given_gaussian(information, prior)
    expected = np.linalg.inv(np.linalg.inv(prior) + precision)
    np.testing.assert_allclose(covariance, expected, atol=1e-10)
    for i in range(2):
        np.testing.assert_allclose(draws[i].mean(axis=0), mean[i], atol=0.04)
        np.testing.assert_allclose(np.cov(draws[i].T), covariance[i], atol=0.07)
