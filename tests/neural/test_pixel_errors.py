"""Errors of pixels and what noisy targets tell of them, against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest

from specxfer.covariance import LowRankCovariance
from specxfer.neural._pixel_errors import TOLD, PixelErrors, Told
from specxfer.neural._pixel_posterior import pixel_draws

P = 24


def covariances(rng, n):
    """Two shared directions, one that each star scales, and what lines share."""
    basis = np.stack([np.cos(k * np.arange(P) / 8) for k in (1, 2, 3)])
    root = rng.normal(0, 0.05, (n, 3, 3))
    return LowRankCovariance(
        root @ root.transpose(0, 2, 1),
        basis,
        np.full((n, P), 1e-3),
        rng.uniform(0.5, 2, (n, P)),
        np.array([False, False, True]),
        np.full(P, 0.02),
        np.repeat(np.arange(3), P // 3),
    )


def correlation(covariance):
    dense = covariance.dense()
    std = np.sqrt(np.einsum("npp->np", dense))
    return dense / std[:, :, None] / std[:, None]


@pytest.mark.parametrize("with_lines", [True, False])
def test_errors_have_the_covariance(rng, with_lines):
    """Exactly: unit vectors in place of random numbers give a root of it."""
    covariance = covariances(rng, 3)
    if not with_lines:
        covariance = replace(covariance, amplitude=None, scaled=None, line=None)
    errors = PixelErrors.of(covariance)
    root = errors.spread(
        np.broadcast_to(np.eye(errors.n_white), (3,) + (errors.n_white,) * 2)
    )
    expected = correlation(covariance)
    np.testing.assert_allclose(root.transpose(0, 2, 1) @ root, expected, atol=1e-5)
    np.testing.assert_allclose(errors.unit**2, covariance.variance(), rtol=1e-5)
    along = errors.directions(1)
    shared = along.T @ along + np.diag(errors.own[1] ** 2)
    np.testing.assert_allclose(shared, expected[1], atol=1e-5)


def test_pixels_without_errors_stay_without(rng):
    covariance = covariances(rng, 2)
    covariance.basis[:, 3], covariance.line_std[3], covariance.diagonal[:, 3] = 0, 0, 0
    errors = PixelErrors.of(covariance)
    drawn = errors.spread(rng.standard_normal((2, 5, errors.n_white)))
    assert np.isfinite(drawn).all()
    assert (drawn[:, :, 3] * errors.unit[:, None, 3] == 0).all()


@pytest.fixture
def told(rng):
    covariance = covariances(rng, 4)
    ivar = rng.uniform(200, 800, (4, P))
    ivar[:, 5:9] = 0
    ivar[3] = 0
    left = rng.normal(0, 0.1, (4, P))
    left[:, 5:9] = np.nan
    return covariance, ivar, left, Told.of(PixelErrors.of(covariance), ivar, left)


def test_sums_are_independent_and_of_unit_noise(told):
    covariance, ivar, left, told = told
    dense = correlation(covariance)
    for i in range(3):
        look, unit = told.look[i].astype(float), told.errors.unit[i]
        variance = np.divide(1, ivar[i] * unit**2, out=np.zeros(P), where=ivar[i] > 0)
        noise = (look * variance) @ look.T
        np.testing.assert_allclose(
            noise, np.eye(TOLD) * (told.strength[i] > 0), atol=1e-4
        )
        np.testing.assert_allclose(
            look @ dense[i] @ look.T, np.diag(told.strength[i]), atol=2e-4
        )
        np.testing.assert_allclose(told.gain[i], look @ dense[i], atol=1e-4)
        seen = look @ (np.where(ivar[i] > 0, left[i], 0) / unit)
        np.testing.assert_allclose(told.seen[i], seen, rtol=1e-4, atol=1e-4)
        assert not look[:, 5:9].any()
    assert not told.look[3].any()  # a star that is masked tells nothing


def test_draws_of_gaussian_errors_have_the_posterior_covariance(rng, told):
    """Against matrices of pixels × pixels; where nothing is seen, the prior's."""
    told = told[-1]
    draws = pixel_draws(None, told, 20_000, rng)
    for i in (0, 3):
        look = told.look[i].astype(float)
        dense = told.errors.directions(i).T @ told.errors.directions(i)
        dense += np.diag(told.errors.own[i] ** 2)
        gain = dense @ look.T @ np.linalg.inv(look @ dense @ look.T + np.eye(TOLD))
        expected = dense - gain @ look @ dense
        np.testing.assert_allclose(
            draws[i].mean(axis=0), gain @ told.seen[i], atol=0.03
        )
        np.testing.assert_allclose(np.cov(draws[i].T), expected, atol=0.04)


def test_all_is_told_where_errors_run_along_few_directions(rng):
    """The posterior is then that of the whole target."""
    covariance = covariances(rng, 1)
    covariance.diagonal[:] = 0
    ivar, left = np.full((1, P), 400.0), rng.normal(0, 0.1, (1, P))
    told = Told.of(PixelErrors.of(covariance), ivar, left)
    unit = told.errors.unit[0]
    dense, noise = correlation(covariance)[0], np.diag(1 / ivar[0] / unit**2)
    gain = dense @ np.linalg.inv(dense + noise)
    draws = pixel_draws(None, told, 20_000, rng)[0]
    np.testing.assert_allclose(draws.mean(axis=0), gain @ (left[0] / unit), atol=0.03)
    np.testing.assert_allclose(np.cov(draws.T), dense - gain @ dense, atol=0.04)


def one_direction(strength, seen):
    """Stars whose errors run along one direction alone, seen with noise."""
    n, look = len(seen), np.full(P, P**-0.5)
    covariance = LowRankCovariance(
        np.full((n, 1, 1), 1e-4), P**0.5 * look[None], np.zeros((n, P))
    )
    ivar = np.full((n, P), strength / 1e-4 / P)
    noisy = seen[:, None] * np.full(P, 0.01)
    return Told.of(PixelErrors.of(covariance), ivar, noisy)


CENTRES, WIDTH, SHARE = np.array([-0.57, 1.71]), 0.2, np.array([0.75, 0.25])


def two_kinds(x, angle):
    """F of errors that are the same in all pixels, of one kind or the other."""
    sine, cosine = np.sin(angle), np.cos(angle)
    x = x.mean(axis=1, keepdims=True).astype(float)
    total = cosine**2 * WIDTH**2 + sine**2
    left = x - cosine * CENTRES
    odds = SHARE * np.exp(-(left**2) / 2 / total)
    odds /= odds.sum(axis=1, keepdims=True)
    mean = (odds * (CENTRES + cosine * WIDTH**2 / total * left)).sum(axis=1)
    return np.repeat((mean - cosine * x[:, 0])[:, None] / sine, P, axis=1).astype("f4")


@pytest.mark.parametrize("strength", [0.3, 2.0, 20.0])
def test_draws_of_two_kinds_given_a_noisy_target(rng, strength):
    """The posterior of a mixture is known: how many of each kind, and how wide."""
    seen = np.array([0.3, 0.8])
    told = one_direction(strength, seen)
    draws = pixel_draws(two_kinds, told, 4000, rng)
    assert np.ptp(draws, axis=2).max() < 1e-3
    noise = 1 / strength
    total = WIDTH**2 + noise
    odds = SHARE * np.exp(-((seen[:, None] - CENTRES) ** 2) / 2 / total)
    odds = odds[:, 1] / odds.sum(axis=1)
    many = draws[:, :, 0] > 0.57
    np.testing.assert_allclose(many.mean(axis=1), odds, atol=0.04)
    std = np.sqrt(WIDTH**2 * noise / total)
    for i, kind in ((0, ~many), (1, many)):
        np.testing.assert_allclose(draws[i, kind[i], 0].std(), std, rtol=0.12)
