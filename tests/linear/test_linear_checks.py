"""scikit-learn's common checks for the parts of the linear translators."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.linear import MatchedScores, SpectralPCA, SpectralRidge

# {class: {check: reason}}
LEFT_OUT = "fit_transform leaves each star out of its filters, transform cannot"
EXCEPTIONS = {
    "MatchedScores": {
        "check_transformer_data_not_an_array": LEFT_OUT,
        "check_transformer_general": LEFT_OUT,
    }
}


@pytest.fixture
def _global_random_state_untouched():
    """The checks seed numpy's global state themselves."""


@parametrize_with_checks(
    [
        MatchedScores(n_components=2, cv=2),
        SpectralPCA(),
        SpectralPCA(n_components=1),
        SpectralRidge(),
        SpectralRidge(alpha=1.0),
        SpectralRidge(alpha=[0.1, 1.0], select="loo", alpha_per_pixel=True),
    ],
    expected_failed_checks=lambda e: EXCEPTIONS.get(type(e).__name__, {}),
)
def test_common_checks(estimator, check):
    check(estimator)
