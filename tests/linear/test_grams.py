"""Sums that many pixels share are those that each would have had alone."""

import numpy as np
import pytest

from specxfer.linear._grams import SmoothGrams, packed_products, taken_off, unpacked

N, K = 300, 7


def direct(v, weight):
    return (v * weight[:, None]).T @ v


def test_packing_and_unpacking(rng):
    v = rng.normal(size=(N, K))
    full = unpacked(packed_products(v), K)
    np.testing.assert_allclose(full, v[:, :, None] * v[:, None], atol=1e-15)


@pytest.mark.parametrize("decades", [0, 1, 6, 12])
def test_interpolated_sums_are_exact_whatever_the_range(rng, decades):
    """Stars and scatters over many orders of magnitude, and scatter 0."""
    v = rng.normal(size=(N, K))
    a = 10 ** rng.uniform(0, max(decades, 1e-9), N)
    a[:20] = 0  # left out
    s = rng.uniform(0.5, 2, N)
    c = np.r_[0, 10 ** rng.uniform(-decades - 1, 1, 30)]
    found = unpacked(SmoothGrams(v, a, s, c).packed(c), K)
    for gram, at in zip(found, c):
        expected = direct(v, s * a / (1 + at * a))
        np.testing.assert_allclose(gram, expected, atol=1e-6 * np.abs(expected).max())


def test_what_is_masked_is_taken_off(rng):
    v = rng.normal(size=(N, K))
    weight = rng.uniform(1, 2, (5, N))
    masked = rng.random((5, N)) < np.array([0, 0.05, 0.5, 0.95, 1])[:, None]
    packed = np.array([direct(v, w)[np.triu_indices(K)] for w in weight])
    taken_off(packed, lambda j: masked[j], v, lambda j, rows: weight[j, rows])
    for gram, w, mask in zip(unpacked(packed, K), weight, masked):
        np.testing.assert_allclose(gram, direct(v, w * ~mask), atol=1e-9)
