"""scikit-learn's common checks for every public estimator that is not a transformer."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.baselines import NullTranslator
from specxfer.linear import PCARidge, PCARidgeCV
from specxfer.neural import AlignmentTranslator, CNNTranslator, DiffusionTranslator

EQUIVALENCE = "check_sample_weight_equivalence_on_dense_data"


def exceptions(estimator):
    """{check: reason}"""
    if getattr(estimator, "strategy", None) == "shuffled":
        return {EQUIVALENCE: "pairs are drawn anew"}
    networks = AlignmentTranslator | CNNTranslator | DiffusionTranslator
    if isinstance(estimator, networks):
        return {EQUIVALENCE: "rows are divided among members, and into batches"}
    return {}


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
        CNNTranslator(5, width=8, max_epochs=3, device="cpu"),
        CNNTranslator(
            encoder="both", base=None, n_members=2, max_epochs=2, device="cpu"
        ),
        AlignmentTranslator(
            4, n_components=5, width=8, max_epochs=3, space_epochs=2, device="cpu"
        ),
        DiffusionTranslator(n_components=5, width=8, max_epochs=2, device="cpu"),
        DiffusionTranslator(
            space="pixel", n_components=5, width=8, max_epochs=2, device="cpu"
        ),
    ],
    expected_failed_checks=exceptions,
)
def test_common_checks(estimator, check):
    check(estimator)
