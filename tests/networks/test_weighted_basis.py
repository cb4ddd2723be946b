"""`weighted_basis`: the SVD where all is known alike, and better than it elsewhere."""

import numpy as np
import pytest

from specxfer.networks import weighted_basis


def low_rank(n=300, n_pixels=80, k=3, seed=0):
    """Residuals of rank k: coefficients, and orthonormal spectra."""
    rng = np.random.default_rng(seed)
    spectra = np.linalg.qr(rng.normal(size=(n_pixels, k)))[0].T
    return rng.normal(size=(n, k)) * 0.5 ** np.arange(k), spectra


def overlap(found, spectra):
    """Share of the spectra's power within the span of what was found."""
    axes = np.linalg.qr(found.T.astype(float))[0]
    return ((spectra @ axes) ** 2).sum() / len(spectra)


def aligned(found, expected):
    return found * np.sign((found * expected).sum(axis=1, keepdims=True))


def test_equal_weights_give_the_svd():
    rng = np.random.default_rng(1)
    residuals = rng.normal(size=(200, 60)) * 0.7 ** np.arange(60)
    residuals = residuals @ np.linalg.qr(rng.normal(size=(60, 60)))[0]
    _, s, vt = np.linalg.svd(residuals, full_matrices=False)
    expected = s[:4, None] * vt[:4] / np.sqrt(200)
    found = weighted_basis([(residuals, np.full_like(residuals, 25.0))], 4, tol=1e-8)
    assert found.dtype == np.float32
    np.testing.assert_allclose(aligned(found, expected), expected, atol=1e-4)


def test_stars_weigh_as_their_inverse_variance():
    rng = np.random.default_rng(1)
    residuals = rng.normal(size=(200, 20)) * 0.5 ** np.arange(20)
    weight = rng.uniform(0.1, 10, (200, 1))
    _, s, vt = np.linalg.svd(residuals * np.sqrt(weight), full_matrices=False)
    expected = s[:3, None] * vt[:3] / np.sqrt(weight.sum())
    ivar = np.broadcast_to(weight, residuals.shape)
    found = weighted_basis([(residuals, ivar)], 3, tol=1e-8)
    np.testing.assert_allclose(aligned(found, expected), expected, atol=1e-4)


def test_gaps_are_seen_through():
    coefs, spectra = low_rank()
    residuals = coefs @ spectra
    ivar = np.random.default_rng(2).choice([0.0, 1.0], residuals.shape, p=[0.4, 0.6])
    options = {"max_iter": 300, "tol": 1e-7}
    found = weighted_basis([(residuals, ivar)], 3, **options)
    assert overlap(found, spectra) > 0.999
    unknown = np.where(ivar > 0, residuals, np.nan)
    same = weighted_basis([(unknown, ivar)], 3, **options)
    np.testing.assert_array_equal(same, found)


def test_noise_is_weighed_down():
    coefs, spectra = low_rank(600)
    rng = np.random.default_rng(3)
    noise = np.full((600, 80), 0.02)
    noise[::2] = 1.0  # every second star
    noise[:, :10] *= 5  # and the edge of the chip
    residuals = coefs @ spectra + rng.normal(0, noise)
    options = {"max_iter": 300, "tol": 1e-7}
    told = weighted_basis([(residuals, noise**-2)], 3, **options)
    told = overlap(told, spectra)
    untold = overlap(weighted_basis([(residuals, np.ones_like(noise))], 3), spectra)
    assert told > 0.99
    assert 1 - told < 0.2 * (1 - untold)


def test_noise_within_a_star_is_weighed_down():
    coefs, spectra = low_rank(600)
    rng = np.random.default_rng(3)
    noise = rng.choice([0.02, 0.5], (600, 80))
    residuals = coefs @ spectra + rng.normal(0, noise)
    told = weighted_basis([(residuals, noise**-2)], 3, max_iter=300, tol=1e-7)
    assert overlap(told, spectra) > 0.99
    by_star = np.broadcast_to(noise.mean(axis=1, keepdims=True) ** -2, noise.shape)
    untold = weighted_basis([(residuals, by_star)], 3, max_iter=300, tol=1e-7)
    assert overlap(untold, spectra) < 0.97


def test_a_floor_evens_weights_out():
    rng = np.random.default_rng(4)
    residuals = rng.normal(size=(100, 30))
    ivar = 10 ** rng.uniform(2, 8, residuals.shape)
    even = weighted_basis([(residuals, np.ones_like(ivar))], 2, tol=1e-7)
    floored = weighted_basis([(residuals, ivar)], 2, tol=1e-7, floor=100.0)
    np.testing.assert_allclose(floored, even, atol=1e-3)


def test_blocks_are_one_table():
    coefs, spectra = low_rank()
    residuals = coefs @ spectra + np.random.default_rng(5).normal(0, 0.1, (300, 80))
    ivar = np.random.default_rng(6).choice([0.0, 50.0, 100.0], residuals.shape)
    whole = weighted_basis([(residuals, ivar)], 3)
    rows = [slice(0, 7), slice(7, 200), slice(200, 300)]
    parts = weighted_basis([(residuals[r], ivar[r]) for r in rows], 3)
    np.testing.assert_allclose(parts, whole, atol=1e-4)


def test_there_are_no_more_components_than_the_residuals_have():
    coefs, spectra = low_rank(k=2)
    residuals = coefs @ spectra
    found = weighted_basis([(residuals, np.ones_like(residuals))], 10)
    assert found.shape == (2, 80)
    strength = np.linalg.norm(coefs @ spectra) / np.sqrt(300)
    assert np.linalg.norm(found) == pytest.approx(strength, rel=1e-4)


def test_it_repeats_itself_and_leaves_global_randomness_alone():
    coefs, spectra = low_rank()
    blocks = [(coefs @ spectra, np.ones((300, 80)))]
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = weighted_basis(blocks, 2), weighted_basis(blocks, 2)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_strongest_pixel_of_a_component_is_positive():
    coefs, spectra = low_rank()
    found = weighted_basis([(coefs @ spectra, np.ones((300, 80)))], 3)
    assert (np.abs(found).max(axis=1) == found.max(axis=1)).all()


def test_nothing_known_is_refused():
    with pytest.raises(ValueError, match="no pixel is known: every ivar is 0"):
        weighted_basis([(np.ones((3, 4)), np.zeros((3, 4)))], 1)
