import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.preprocessing import (
    ContinuumNormalizer,
    GapMasker,
    Rebinner,
    VelocityCheck,
    VelocityShifter,
    WindowCropper,
)


@pytest.fixture
def _global_random_state_untouched():
    """scikit-learn's own checks move the global state."""


def expected_failures(estimator):
    if isinstance(estimator, ContinuumNormalizer):
        reason = "flux is positive on average, but its noise may go below 0"
        return {"check_positive_only_tag_during_fit": reason}
    return {}


@parametrize_with_checks(
    [
        ContinuumNormalizer(),
        ContinuumNormalizer(degree=0, fraction=1.0),
        ContinuumNormalizer(degree=0, reference=None),
        GapMasker(),
        GapMasker(fill="mean"),
        GapMasker(fill="interpolate"),
        GapMasker(fill=None),
        VelocityCheck(),
        VelocityShifter(),
        WindowCropper(),
        WindowCropper(pixels=[0]),
        Rebinner(),
        Rebinner(factor=3),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
