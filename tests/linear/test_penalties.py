"""affordable_axes: few stars cannot pay for many products."""

import numpy as np
import pytest

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.linear._penalties import affordable_axes


@pytest.mark.parametrize(
    ("n_components", "n_stars", "expected"),
    [
        (20, 20_000, 10),
        (20, 660, 10),  # 55 products, 12 stars for each
        (20, 659, 9),
        (20, 72, 3),
        (20, 40, 0),  # two stars for each component, and none for products
        (50, 105, 1),
        (4, 20_000, 4),  # no more than there are components
    ],
)
def test_stars_for_each_product_and_feature(n_components, n_stars, expected):
    assert affordable_axes(10, n_components, n_stars) == expected


def test_few_stars_are_told_nothing_wrong_by_products():
    X, y, truth = make_paired_spectra(280, size="small", random_state=0)
    truth, resolution = np.asarray(truth)[80:], y[80:].resolution

    def error(rows, **settings):
        model = PCARidge(20, **settings).fit(X[rows], y[rows])
        return np.sqrt(
            np.nanmean((model.predict(X[80:], resolution=resolution) - truth) ** 2)
        )

    linear = error(np.arange(80), n_products=0)
    assert error(np.arange(80)) < 1.05 * linear
    # the same spectra twice are no more stars
    assert error(np.tile(np.arange(80), 2)) < 1.1 * linear
