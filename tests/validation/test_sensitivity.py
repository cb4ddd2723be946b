"""What errors of velocity, resolution, continuum and noise must do."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from specxfer import Spectra
from specxfer._grids import SPEED_OF_LIGHT
from specxfer.baselines import NullTranslator
from specxfer.lines import window_pixels
from specxfer.validation import (
    attenuation_curve,
    continuum_sensitivity,
    resolution_sensitivity,
    velocity_sensitivity,
)

N, P, R = 300, 200, 25_000.0
WAVE = 6000 + 0.05 * np.arange(P)
SIGMA = 6005 / R / 2.3548
LINE = [(6004.7, 6005.3)]
ALL = {"all": np.ones(N, dtype=bool)}


class Same(RegressorMixin, BaseEstimator):
    """The target is the source."""

    def fit(self, X=None, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.array(X)


@pytest.fixture
def truth(rng):
    """A line as narrow as the line-spread function, of random depth."""
    depth = 0.4 + 0.05 * rng.standard_normal((N, 1))
    flux = 1 - depth * np.exp(-0.5 * ((WAVE - 6005) / SIGMA) ** 2)
    return Spectra(flux, wave=WAVE, medium="air", resolution=np.full(N, R))


def in_window(flux):
    return flux[:, window_pixels(LINE, WAVE, "air")]


def found_by(function, truth, values, model=None, **options):
    model = Same().fit() if model is None else model
    options = {"noise": "none", "domains": ALL, **options}
    return function(model, truth, truth, LINE, values, **options)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_velocity_moves_flux_by_its_gradient(truth, side):
    table = found_by(velocity_sensitivity, truth, [-0.1, 0, 0.1, 3], side=side)
    gradient = (1 - truth.flux) * (WAVE - 6005) * WAVE / SIGMA**2  # in ln λ
    expected = np.sqrt((in_window(gradient) ** 2).mean()) * 0.1 / SPEED_OF_LIGHT
    np.testing.assert_allclose(table["rms"][[0, 2]], expected, rtol=0.05)
    assert table["rms"][1] == 0
    assert table["rms"][3] > 10 * expected
    width = table["ew_rms"].to_value("mAngstrom")
    assert width[0] < 0.05  # hardly anything leaves the window
    assert (table["d_mse"][[0, 2, 3]] > 0).all()


@pytest.mark.parametrize("side", ["source", "target"])
def test_resolution_changes_depths_and_not_widths(truth, side):
    table = found_by(resolution_sensitivity, truth, [-0.05, 0, 0.05], side=side)
    at = np.abs(WAVE - 6005).argmin()
    core = [(WAVE[at] - 0.02, WAVE[at] + 0.02)]
    options = {"noise": "none", "domains": ALL, "side": side}
    deep = resolution_sensitivity(Same().fit(), truth, truth, core, [0.05], **options)
    np.testing.assert_allclose(
        deep["rms"], 0.05 * np.sqrt((1 - truth.flux[:, at]) ** 2).mean(), rtol=0.05
    )
    assert table["rms"][1] == 0
    assert table["rms"][0] == pytest.approx(table["rms"][2])
    assert (table["ew_rms"].to_value("mAngstrom") < 2).all()


def test_a_continuum_error_is_taken_off_by_a_polynomial_of_its_degree(truth):
    args = (continuum_sensitivity, truth, [0, 0.02])
    level = found_by(*args, degree=0, side="target")
    expected = 0.02 * np.sqrt((in_window(truth.flux) ** 2).mean())
    np.testing.assert_allclose(level["rms"], [0, expected], atol=1e-6)
    matched = found_by(*args, degree=0, side="target", continuum_degree=0)
    np.testing.assert_allclose(matched["rms"], 0, atol=1e-6)
    tilt = found_by(*args, degree=1, side="target")
    assert 0 < tilt["rms"][1] < 0.1 * expected  # the line is in the middle
    np.testing.assert_allclose(
        found_by(*args, degree=1, side="source")["rms"], tilt["rms"], rtol=1e-3
    )


def test_a_null_does_not_care_about_the_source(truth):
    null = NullTranslator("mean").fit(truth, truth)
    for function, values in (
        (velocity_sensitivity, [0, 5.0]),
        (continuum_sensitivity, [0, 0.1]),
        (resolution_sensitivity, [0, 0.1]),
    ):
        table = found_by(function, truth, values, null)
        assert table["rms"][0] == table["rms"][1] > 0.01
        assert table["d_mse"][1] == 0


def test_attenuation_is_what_noise_must_do(truth, rng):
    """The source's width p = o + e of variance V and v: slopes 1 and V / (V + v)."""
    good = truth.replace(ivar=np.full(truth.shape, 1e12))
    table = attenuation_curve(
        Same().fit(), good, truth, LINE, [10, 30, np.inf], noise="none", domains=ALL
    )
    widths = 50 * (1 - in_window(truth.flux)).sum(axis=1)
    n_pixels = in_window(truth.flux).shape[1]
    for row, snr in zip(table, (10, 30, np.inf)):
        noise = n_pixels * (50 / snr * np.median(truth.flux)) ** 2
        expected = widths.var() / (widths.var() + noise)
        assert row["snr"] == snr
        assert row["predicted_on_truth"] == pytest.approx(1, abs=0.15)
        assert row["observed_on_predicted"] == pytest.approx(expected, rel=0.2)
    assert (np.diff(table["rms"]) < 0).all()


def test_noise_is_not_taken_away(truth, rng):
    ivar = np.full(truth.shape, 100.0**2)
    ivar[:100] = 20.0**2
    noisy = truth.replace(ivar=ivar)
    table = attenuation_curve(
        Same().fit(), noisy, truth, LINE, [15, 50], noise="none", domains=ALL
    )
    assert table["n_stars"].tolist() == [300, 200]
    with pytest.raises(ValueError, match=r"no spectrum of X has .* of 500; the best"):
        attenuation_curve(Same().fit(), noisy, truth, LINE, [500], noise="none")
    with pytest.raises(ValueError, match=r"X has no ivar"):
        attenuation_curve(Same().fit(), truth, truth, LINE, noise="none")


def test_what_is_asked_for_is_checked(truth):
    with pytest.raises(ValueError, match=r"side is 'both'"):
        found_by(velocity_sensitivity, truth, [0], side="both")
    with pytest.raises(ValueError, match=r"same stars"):
        velocity_sensitivity(Same().fit(), truth[:5], truth, LINE, noise="none")
