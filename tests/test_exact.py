"""Products that do not depend on the order of summation."""

import numpy as np
import pytest

from specxfer._exact import exact_matmul


@pytest.mark.parametrize("slices", [1, 2])
def test_bits_do_not_depend_on_place_or_company(rng, slices):
    a, b = rng.normal(size=(97, 300)), rng.normal(size=(300, 41)) ** 5
    whole = exact_matmul(a, b, slices)
    order = rng.permutation(97)
    np.testing.assert_array_equal(exact_matmul(a[order], b, slices), whole[order])
    np.testing.assert_array_equal(exact_matmul(a[5:6], b, slices), whole[5:6])
    shuffled = rng.permutation(300)
    np.testing.assert_array_equal(
        exact_matmul(a[:, shuffled], b[shuffled], slices), whole
    )


@pytest.mark.parametrize(("slices", "error"), [(1, 2**-20), (2, 2**-40)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_error_is_as_stated(rng, slices, error, scale):
    a, b = scale * rng.normal(size=(20, 1000)), rng.normal(size=(1000, 30))
    bound = error * 1000 * np.abs(a).max(1)[:, None] * np.abs(b).max(0)
    assert (np.abs(exact_matmul(a, b, slices) - a @ b) < bound).all()


def test_zero_rows_and_unknown_rows():
    a = np.array([[0.0, 0.0], [np.nan, 1.0], [1.0, 2.0]])
    out = exact_matmul(a, np.array([[1.0], [1.0]]))
    np.testing.assert_array_equal(out, [[0.0], [np.nan], [3.0]])


def test_vanishing_entries_do_not_overflow():
    a = np.array([[1e-310, 0.0], [1.0, 1e-310]])
    np.testing.assert_array_equal(exact_matmul(a, np.eye(2), 2), [[0, 0], [1, 0]])
