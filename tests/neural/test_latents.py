"""Latents: of unit variance where errors are Gaussian, and known through noise."""

from dataclasses import replace

import numpy as np

from specxfer.covariance import LowRankCovariance
from specxfer.neural._latents import Information, Latents
from specxfer.neural._posterior import given_gaussian
from specxfer.neural._shape import Shape

P = 40


def errors(rng, n):
    """Covariances of n stars: two shared directions, one that each star scales."""
    basis = np.stack([np.cos(k * np.arange(P) / 8) for k in (1, 2, 3)])
    root = rng.normal(0, 0.05, (n, 3, 3))
    return LowRankCovariance(
        root @ root.transpose(0, 2, 1),
        basis,
        np.full((n, P), 1e-5),
        rng.uniform(0.5, 2, (n, P)),
        np.array([False, False, True]),
        np.full(P, 0.02),
        np.repeat(np.arange(8), 5),
    )


def test_latents_of_gaussian_errors_have_unit_variance(rng):
    covariance = errors(rng, 30)
    ivar = np.full((30, P), 1e4)
    latents = Latents.of(covariance, ivar, 2, [np.r_[10:15]])
    covariance = latents.extended(covariance)
    read, gain = latents.whitening(covariance)
    core = covariance.core
    np.testing.assert_allclose(
        read @ core @ read.transpose(0, 2, 1),
        np.broadcast_to(np.eye(3), (30, 3, 3)),
        atol=1e-3,
    )
    np.testing.assert_allclose(gain, core @ read.transpose(0, 2, 1), atol=1e-10)


def test_a_line_with_a_latent_is_the_same_error_as_before(rng):
    covariance = errors(rng, 4)
    latents = Latents.of(covariance, np.full((4, P), 1e4), 2, [np.r_[10:15]])
    np.testing.assert_array_equal(latents.own, [2])
    extended = latents.extended(covariance)
    assert extended.core.shape == (4, 4, 4)
    np.testing.assert_allclose(extended.dense(), covariance.dense(), atol=1e-12)


def test_information_is_what_the_exact_posterior_has_beyond_the_prior(rng):
    """Against matrices of pixels × pixels; masked pixels say nothing."""
    covariance = errors(rng, 6)
    covariance = LowRankCovariance(
        covariance.core,
        covariance.basis,
        covariance.diagonal,
        covariance.amplitude,
        covariance.scaled,
    )
    ivar = np.full((6, P), 400.0)
    ivar[:, 5:9] = 0
    left = rng.normal(0, 0.1, (6, P))
    left[:, 5:9] = np.nan
    latents = Latents.of(covariance, ivar, 2)
    found = latents.information(covariance, ivar, left)
    mean, variance = given_gaussian(found)
    read = latents.whitening(covariance).read
    good = ivar[0] > 0
    for i in range(6):
        basis = covariance.basis * np.where(
            covariance.scaled[:, None], covariance.amplitude[i], 1
        )
        total = basis.T @ covariance.core[i] @ basis + np.diag(np.full(P, 1e-5))
        total += np.diag(np.divide(1, ivar[i], out=np.ones(P), where=good))
        with_latents = read[i] @ covariance.core[i] @ basis[:, good]
        gain = with_latents @ np.linalg.inv(total[np.ix_(good, good)])
        np.testing.assert_allclose(mean[i], gain @ left[i, good], rtol=0.01, atol=1e-3)
        expected = np.eye(2) - gain @ with_latents.T
        np.testing.assert_allclose(variance[i], expected, rtol=0.01, atol=1e-3)


def test_the_covariance_of_latents_is_found_through_noise(rng):
    truth = np.array([[2.0, 0.8], [0.8, 0.5]])
    n = 4000
    u = rng.multivariate_normal(np.zeros(2), truth, n)
    precision = np.array([[3.0, 0.5], [0.5, 1.0]])
    noise = np.linalg.inv(precision)
    seen = u + rng.multivariate_normal(np.zeros(2), noise, n)
    information = Information(
        seen @ precision, np.broadcast_to(precision, (n, 2, 2)).copy()
    )
    latents = Latents(np.eye(2), np.array([], int))
    shape = Shape.of(latents, information, np.ones(n), 2, 1)
    np.testing.assert_allclose(shape.turn @ shape.turn.T, truth, atol=0.15)
    # told of the turned latents, a star is known as well as before
    mean, _ = given_gaussian(shape.leading(information))
    expected, _ = given_gaussian(information, shape.turn @ shape.turn.T)
    np.testing.assert_allclose(mean @ shape.turn.T, expected, atol=1e-4)


def test_a_core_that_rounding_made_indefinite(rng):
    """As of stars whose source spectra tell all but one direction, in float32."""
    covariance = errors(rng, 50)
    latents = Latents.of(covariance, np.full((50, P), 1e4), 2)
    root = rng.normal(size=(50, 3, 1))
    core = (root @ root.transpose(0, 2, 1)).astype("f4")
    covariance = replace(covariance, core=core)
    assert np.linalg.eigvalsh(covariance.core.astype(float)).min() < 0
    read, gain = latents.whitening(covariance)
    assert np.isfinite(read).all()
    assert np.isfinite(gain).all()
