"""scikit-learn's common checks for the parts of the linear translators."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.linear import SpectralPCA, SpectralRidge


@pytest.fixture
def _global_random_state_untouched():
    """The checks seed numpy's global state themselves."""


@parametrize_with_checks(
    [
        SpectralPCA(),
        SpectralPCA(n_components=1),
        SpectralRidge(),
        SpectralRidge(alpha=1.0),
        SpectralRidge(alpha=[0.1, 1.0], select="loo", alpha_per_pixel=True),
    ],
    expected_failed_checks=lambda e: {},
)
def test_common_checks(estimator, check):
    check(estimator)
