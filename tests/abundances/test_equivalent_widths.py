"""Line strengths as features."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from specxfer import Spectra
from specxfer.abundances import EquivalentWidths
from specxfer.covariance import LowRankCovariance
from specxfer.linear import SpectralRidge
from specxfer.lines import load_lines
from specxfer.metrics import equivalent_width

N, P = 6, 40
WAVE = 5000 + 0.1 * np.arange(P)
LINES = [(5000.52, 5001.03), (5002.0, 5003.0)]


@pytest.fixture
def spectra(rng):
    flux = 1 - 0.3 * rng.random((N, P))
    covariance = LowRankCovariance(
        np.tile(1e-4 * np.eye(2), (N, 1, 1)),
        rng.standard_normal((2, P)),
        np.full((N, P), 1e-4),
    )
    ivar = 1 / covariance.variance()
    return Spectra(flux, ivar, wave=WAVE, medium="air", covariance=covariance)


def test_widths_and_errors_are_those_of_the_metric(spectra):
    found = EquivalentWidths(LINES).fit_transform(spectra)
    ew, error = equivalent_width(spectra, LINES)
    np.testing.assert_array_equal(found, ew)
    variance = np.diagonal(found.covariance, axis1=1, axis2=2)
    np.testing.assert_allclose(variance, error**2)


def test_lines_of_a_translated_spectrum_err_together(spectra):
    """As draws of its errors do."""
    found = EquivalentWidths(LINES).fit_transform(spectra)
    draws = spectra.covariance.draw(0, 20_000, np.random.default_rng(0))
    widths, _ = equivalent_width(Spectra(1 - draws, wave=WAVE, medium="air"), LINES)
    np.testing.assert_allclose(found.covariance[0], np.cov(widths.T), rtol=0.06)


def test_without_a_covariance_lines_err_apart(spectra):
    white = EquivalentWidths(LINES).fit_transform(spectra.replace(covariance=None))
    assert (white.covariance[:, 0, 1] == 0).all()
    unknown = spectra.replace(covariance=None, ivar=None)
    assert EquivalentWidths(LINES).fit_transform(unknown).covariance is None


def test_a_masked_line_is_unknown(spectra):
    flux = spectra.flux.copy()
    flux[2, 20:25] = np.nan
    found = EquivalentWidths(LINES).fit_transform(spectra.replace(flux=flux))
    assert np.isnan(found[2, 1])
    assert np.isfinite(np.delete(found, 2, axis=0)).all()
    assert np.isnan(found.covariance[2, 1]).all()
    assert np.isfinite(found.covariance[2, 0, 0])


def test_features_carry_their_errors_to_a_ridge(spectra, rng):
    y = spectra.flux[:, :3]
    model = make_pipeline(EquivalentWidths(LINES), SpectralRidge()).fit(spectra, y)
    assert model.predict(spectra).shape == (N, 3)


def test_names_are_those_of_the_lines():
    lines = load_lines("galah", "Ba")
    wave = np.arange(5800, 6600, 0.05)
    X = Spectra(np.ones((2, len(wave))), wave=wave, medium="air")
    names = EquivalentWidths(lines).fit(X).get_feature_names_out()
    assert names.tolist() == ["Ba II 5854", "Ba II 6497"]


def test_a_line_beyond_the_grid_is_an_error(spectra):
    with pytest.raises(ValueError, match=r"covers less than 80%"):
        EquivalentWidths((5010, 5011)).fit(spectra)
    with pytest.raises(ValueError, match=r"no wavelengths|wavelengths"):
        EquivalentWidths(LINES).fit(spectra.flux)
