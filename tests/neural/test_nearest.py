"""nearest: exact, whatever the blocks, ties and signs."""

import numpy as np
import pytest

from specxfer.neural import _nearest
from specxfer.neural._nearest import nearest


def directions(rng, n, k=6):
    x = rng.standard_normal((n, k))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_sorting(queries, library, k):
    square = np.square(queries[:, None] - library[None]).sum(axis=2)
    order = np.argsort(square, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(square, order, axis=1)), order


@pytest.mark.parametrize("n", [1, 2, 70])
@pytest.mark.parametrize(("m", "k"), [(5, 5), (64, 3), (65, 10), (700, 10), (700, 100)])
def test_as_a_sort_of_all_distances(rng, monkeypatch, n, m, k):
    monkeypatch.setattr(_nearest, "ROWS", 32)
    monkeypatch.setattr(_nearest, "BLOCK", 64)
    queries, library = directions(rng, n), directions(rng, m)
    expected, order = by_sorting(queries, library, k)
    for given in (library, np.asarray(library, np.float32)):
        distances, indices = nearest(queries, given, k)
        np.testing.assert_allclose(distances, expected, atol=1e-6)
        assert (indices == order).all()


def test_closer_than_float32_can_tell(rng):
    """Neighbours that differ in the ninth digit come in the right order."""
    query = directions(rng, 1)
    across = directions(rng, 1)
    across -= (across @ query.T) * query
    steps = 1e-5 + 1e-9 * rng.permutation(3000)
    library = query + steps[:, None] * across / np.linalg.norm(across)
    _, indices = nearest(query, library, 50)
    assert (indices[0] == np.argsort(steps)[:50]).all()


def test_equal_ones_in_the_order_of_the_library(rng, monkeypatch):
    monkeypatch.setattr(_nearest, "BLOCK", 16)
    library = np.repeat(directions(rng, 3), 40, axis=0)
    distances, indices = nearest(library[40:41], library, 5)
    assert (indices == np.arange(40, 45)).all()
    np.testing.assert_allclose(distances, 0, atol=1e-12)


def test_a_memory_map_is_read_as_it_is(rng, tmp_path):
    queries, library = directions(rng, 9), directions(rng, 500).astype("f4")
    np.save(tmp_path / "library.npy", library)
    mapped = np.load(tmp_path / "library.npy", mmap_mode="r")
    for found, expected in zip(
        nearest(queries, mapped, 4), nearest(queries, library, 4)
    ):
        np.testing.assert_array_equal(found, expected)
