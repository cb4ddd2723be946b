"""Rows of two `Spectra` are of the same stars, or it is said which are not."""

import numpy as np
import pytest

from specxfer import Spectra
from specxfer._rows import check_rows


def test_stars_that_differ_are_named_as_they_are_written():
    X, y = (
        Spectra(np.ones((2, 3)), wave=None, medium=None, ids=ids)
        for ids in (["a", "b"], ["a", "c"])
    )
    with pytest.raises(ValueError, match=r"in 1 rows, first in row 1 \(b and c\)"):
        check_rows(X, y)
