"""scikit-learn's common checks for every public estimator that is not a transformer."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.baselines import NullTranslator
from specxfer.linear import PCARidge, PCARidgeCV

# {class name: {check: reason}}: none so far
EXCEPTIONS = {}


@pytest.fixture
def _global_random_state_untouched():
    """The checks seed numpy's global state themselves."""


@parametrize_with_checks(
    [
        PCARidge(),
        PCARidge(alpha=1.0, n_products=0),
        PCARidgeCV((2, 9), ("auto", 1.0), n_products=(0, 2), cv=2),
        PCARidgeCV((1, 9), (0.1, 1.0), n_products=0, cv=2),
        NullTranslator(),
    ],
    expected_failed_checks=lambda e: EXCEPTIONS.get(type(e).__name__, {}),
)
def test_common_checks(estimator, check):
    check(estimator)
