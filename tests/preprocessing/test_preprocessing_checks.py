import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specxfer.preprocessing import (
    ContinuumNormalizer,
    GapMasker,
    Rebinner,
    ResolutionMatcher,
    VelocityCheck,
    VelocityShifter,
    WindowCropper,
    WindowMasker,
)


@pytest.fixture
def _global_random_state_untouched():
    """scikit-learn's own checks move the global state."""


class ResolutionMatcherOnAnyGrid(ResolutionMatcher):
    """The checks give arrays of any width, and no wavelengths."""

    def __init__(self, resolution=1_000, *, resolution_in=np.inf, min_coverage=0.5):
        super().__init__(
            resolution, resolution_in=resolution_in, min_coverage=min_coverage
        )

    def _check_X(self, X, reset):
        X = super()._check_X(X, reset)
        if reset:
            self.wave_, self.medium_ = 5000.0 + np.arange(X.shape[1]), "air"
            X = X.replace(wave=self.wave_, medium="air")
        return X


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
        WindowMasker(),
        Rebinner(),
        Rebinner(factor=3),
        ResolutionMatcherOnAnyGrid(),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
