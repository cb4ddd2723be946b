"""Products of rows that keep to themselves."""

from threading import Thread

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from specxfer import _rowwise
from specxfer._rowwise import rowwise_matmul
from specxfer._threads import in_parallel


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n_columns", [5, 90, 700])
@pytest.mark.parametrize("unsound", [0, 1, 2, 3])  # ways whose rows are not alike
def test_a_row_of_a_product_is_its_own(rng, monkeypatch, dtype, n_columns, unsound):
    real = _rowwise._alike_in_all_rows
    ways = list(_rowwise._ways(np.dtype(dtype)))

    def alike(way, *how):
        return ways.index(way) >= unsound and real(way, *how)

    monkeypatch.setattr(_rowwise, "_alike_in_all_rows", alike)
    a = rng.normal(size=(2600, 37)).astype(dtype)
    b = rng.normal(size=(37, n_columns)).astype(dtype)
    whole = rowwise_matmul(a, b)
    assert whole.dtype == dtype
    np.testing.assert_allclose(whole, a.astype(float) @ b, atol=2e-5)
    for rows in (slice(0, 1), slice(2599, 2600), slice(100, 2500), slice(7, 207)):
        np.testing.assert_array_equal(rowwise_matmul(a[rows], b), whole[rows])
    out = np.empty_like(whole)
    assert rowwise_matmul(a, b, out) is out
    np.testing.assert_array_equal(out, whole)
    for other in (np.asfortranarray(b), np.repeat(b, 2, axis=1)[:, ::2]):
        found = rowwise_matmul(a, other)
        np.testing.assert_allclose(found, whole, atol=2e-5)
        np.testing.assert_array_equal(rowwise_matmul(a[7:207], other), found[7:207])


@pytest.mark.parametrize("shape", [(37, 90), (71, 3000), (2000, 70), (3, 9000)])
def test_order_of_rows_does_not_matter(rng, shape):
    """As the trial with five rows says, when all rows differ."""
    a, b = rng.normal(size=(1000, shape[0])), rng.normal(size=shape).astype("f4")
    whole = rowwise_matmul(a, b)
    for shift in (1, 6, 499):
        rolled = rowwise_matmul(np.roll(a, shift, axis=0), b)
        np.testing.assert_array_equal(np.roll(rolled, -shift, axis=0), whole)


@pytest.mark.parametrize("n_rows", [0, 1, 30, 1500])
@pytest.mark.parametrize("shape", [(71, 2000), (3000, 40), (5, 3)])
def test_bits_do_not_depend_on_the_number_of_threads(rng, n_rows, shape):
    a, b = rng.normal(size=(1500, shape[0])), rng.normal(size=shape).astype("f4")
    with threadpool_limits(1, user_api="blas"):
        whole = rowwise_matmul(a, b)
    for n_threads in (2, 3, 8):
        with threadpool_limits(n_threads, user_api="blas"):
            found = rowwise_matmul(a[:n_rows], b)
        np.testing.assert_array_equal(found, whole[:n_rows])


def test_calls_beside_and_inside_each_other_agree(rng):
    a, b = rng.normal(size=(700, 90)), rng.normal(size=(90, 4000)).astype("f4")
    whole, found = rowwise_matmul(a, b), []

    def work():
        found.extend(rowwise_matmul(a, b) for _ in range(3))
        found.extend(in_parallel(lambda _: rowwise_matmul(a, b), range(3)))

    with threadpool_limits(2, user_api="blas"):
        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(10):  # by the BLAS's own threads
            a @ b
        for thread in threads:
            thread.join()
    assert len(found) == 24
    for other in found:
        np.testing.assert_array_equal(other, whole)
