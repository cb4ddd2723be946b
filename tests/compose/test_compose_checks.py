import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.compose import Augmented, ConformalTranslator, TargetWindow
from specxfer.linear import PCARidge


@pytest.fixture
def _global_random_state_untouched():
    """scikit-learn's own checks move the global state."""


# What plain arrays without wavelengths can have.
ON_ARRAYS = {"velocity": 0, "resolution": 0, "line_strength": 0, "missing_lines": 0}
BY_ROW_NUMBER = {
    "check_sample_weight_equivalence_on_dense_data": "a repeated row is perturbed anew"
}
SPLIT_BY_ROW = {
    "check_sample_weight_equivalence_on_dense_data": "a repeated row is another star"
}


@parametrize_with_checks(
    [
        Augmented(PCARidge(), **ON_ARRAYS, continuum=0),
        Augmented(PCARidge(), **ON_ARRAYS, snr=50.0, bad_pixels=0.01),
        Augmented(LinearRegression(), **ON_ARRAYS),
        ConformalTranslator(PCARidge(), levels=0.5),
        ConformalTranslator(TargetWindow(PCARidge()), levels=[0.1, 0.2]),
        TargetWindow(LinearRegression()),
        TargetWindow(make_pipeline(LinearRegression())),
        TargetWindow(PCARidge()),
    ],
    expected_failed_checks=lambda e: (
        SPLIT_BY_ROW
        if isinstance(e, ConformalTranslator)
        else BY_ROW_NUMBER
        if isinstance(e, Augmented) and e.continuum
        else {}
    ),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
