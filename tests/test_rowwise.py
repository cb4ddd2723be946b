"""Products of rows that keep to themselves."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from specxfer import _rowwise
from specxfer._rowwise import rowwise_matmul


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n_columns", [5, 90, 700])
@pytest.mark.parametrize("unsound", [0, 1, 2, 3])  # ways whose rows are not alike
def test_a_row_of_a_product_is_its_own(rng, monkeypatch, dtype, n_columns, unsound):
    real = _rowwise._alike_in_all_rows
    ways = list(_rowwise._ways(np.dtype(dtype), _rowwise.blas_threads()))

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
    other = np.asfortranarray(b)
    np.testing.assert_allclose(rowwise_matmul(a, other), whole, atol=2e-5)


@pytest.mark.parametrize("shape", [(37, 90), (71, 3000), (2000, 70), (3, 9000)])
def test_order_of_rows_does_not_matter(rng, shape):
    """As the trial with five rows says, when all rows differ."""
    a, b = rng.normal(size=(1000, shape[0])), rng.normal(size=shape).astype("f4")
    whole = rowwise_matmul(a, b)
    for shift in (1, 6, 499):
        rolled = rowwise_matmul(np.roll(a, shift, axis=0), b)
        np.testing.assert_array_equal(np.roll(rolled, -shift, axis=0), whole)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_rows_keep_to_themselves_whatever_the_threads(rng, n_threads):
    a, b = rng.normal(size=(1500, 71)), rng.normal(size=(71, 2000)).astype("f4")
    with threadpool_limits(n_threads, user_api="blas"):
        whole = rowwise_matmul(a, b)
        for rows in (slice(3, 4), slice(100, 1100)):
            np.testing.assert_array_equal(rowwise_matmul(a[rows], b), whole[rows])
