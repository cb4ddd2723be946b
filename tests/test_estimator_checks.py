"""scikit-learn's common checks for every public estimator that is not a transformer."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.baselines import NullTranslator
from specxfer.linear import PCARidge, PCARidgeCV

# {strategy: {check: reason}}
EXCEPTIONS = {
    "shuffled": {
        "check_sample_weight_equivalence_on_dense_data": "pairs are drawn anew"
    }
}


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
        NullTranslator("shuffled", estimator=PCARidge(n_components=2), bin_size=2),
    ],
    expected_failed_checks=lambda e: EXCEPTIONS.get(getattr(e, "strategy", None), {}),
)
def test_common_checks(estimator, check):
    check(estimator)
