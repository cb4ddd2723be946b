"""match_continuum: known tilts are undone, lines are left alone."""

import numpy as np
import pytest
from numpy.polynomial.legendre import legval
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.metrics import (
    line_ew_scorer,
    line_flux_scorer,
    line_table,
    match_continuum,
    mse,
    mse_per_pixel,
    mse_per_star,
    paired_difference,
)

WAVE = np.concatenate([np.linspace(5000, 5050, 1001), np.linspace(5200, 5260, 1201)])
CHIP = np.repeat([0, 1], [1001, 1201])
AT = np.concatenate([np.linspace(-1, 1, 1001), np.linspace(-1, 1, 1201)])
LINES = [(5024.0, 5026.0), (5229.0, 5231.0)]


def make_stars(n=6, snr=None):
    rng = np.random.default_rng(5)
    centre = np.r_[5001:5050:3.0, 5201:5260:3.0]
    depth = rng.uniform(0.1, 0.6, (n, len(centre)))
    flux = 1 - depth @ np.exp(-0.5 * ((WAVE - centre[:, None]) / 0.1) ** 2)
    ivar = np.full(flux.shape, 1e4 if snr is None else float(snr) ** 2)
    return Spectra(flux, ivar, wave=WAVE, medium="air")


def tilt(*coefficients):
    return np.where(CHIP == 0, 1 + legval(AT, coefficients), 0.9)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_known_tilt_is_undone_to_rounding(degree):
    y = make_stars()
    level = tilt(*[0.1, -0.2, 0.05][: degree + 1])
    assert_allclose(match_continuum(y, y.flux / level, degree), y.flux, rtol=1e-9)
    if degree:
        left = match_continuum(y, y.flux / level, degree - 1) - y.flux
        assert np.abs(left).max() > 0.01


def test_every_metric_can_do_it():
    y = make_stars()
    flat = y.flux / tilt(0.1, -0.2, 0.05)
    options = {"noise": "none", "continuum_degree": 2}
    for lines in (None, LINES):
        assert (mse(y, flat, lines, noise="none") > 1e-3).all()
        assert (mse(y, flat, lines, **options) < 1e-18).all()
        assert (mse_per_star(y, flat, lines, **options) < 1e-18).all()
    assert (mse_per_pixel(y, flat, **options) < 1e-18).all()
    models = {"flat": flat, "deep": 1 - 1.2 * (1 - flat)}
    for quantity in ("flux", "ew"):
        table = line_table(y, models, LINES, quantity=quantity, **options)
        assert (table["flat"] < 1e-6).all()
        assert (table["deep"] > 1e-3).all()
        found = paired_difference(
            y, flat, models["deep"], LINES, quantity=quantity, continuum_degree=2
        )
        assert (found["hi"] < 0).all()

    class Model:
        def predict(self, X):
            return flat

    for scorer in (line_flux_scorer, line_ew_scorer):
        assert scorer(LINES, **options)(Model(), None, y) > -1e-12
        assert scorer(LINES, noise="none")(Model(), None, y) < -1e-4


def test_lines_are_not_eaten():
    """The level moves by no more than (degree + 1)² W / L, and 2.25 W / L midway."""
    predicted = make_stars(1)
    for centre in (5001.5, 5025.0, 5049.0):
        extra = 0.4 * np.exp(-0.5 * ((WAVE - centre) / 0.1) ** 2)
        width = extra.sum() * 0.05  # Å
        y = predicted.replace(flux=predicted.flux - extra, ivar=None)
        for degree in (0, 1, 2):
            level = match_continuum(y, predicted.flux, degree) / predicted.flux
            moved = np.abs(level[0] - 1)
            # flux below 1 counts a little less than continuum
            assert moved[CHIP == 0].max() < 1.3 * (degree + 1) ** 2 * width / 50
            assert moved[CHIP == 1].max() < 1e-9
            if centre == 5025.0 and degree == 2:
                assert moved[500] == pytest.approx(2.25 * width / 50, rel=0.3)
                assert moved[500] * 2.0 < 0.12 * width  # of the window's width


def test_the_degrees_of_freedom_it_takes():
    rng = np.random.default_rng(0)
    y = np.ones((600, 40)) + 0.01 * rng.standard_normal((600, 40))
    ivar = np.full(y.shape, 1e4)
    for degree in (None, 0, 2):
        found = mse(y, np.ones(y.shape), ivar=ivar, continuum_degree=degree)[0]
        lost = 0 if degree is None else degree + 1
        # of Σ (difference² − σ²) the fit takes σ² for each degree of freedom
        scatter = 1e-4 * np.sqrt(2 / y.size)
        assert abs(found + 1e-4 * lost / 40) < 4 * scatter


def test_masks_and_what_they_leave():
    y = make_stars()
    rng = np.random.default_rng(1)
    mask = rng.uniform(size=y.shape) < 0.2
    mask[0, CHIP == 0] = True
    mask[0, :3] = False
    level = tilt(0.1, -0.2, 0.05)
    flat = y.flux / level
    expected = None
    for junk in (0.0, 1e5, np.nan):
        masked = y.replace(
            flux=np.where(mask, junk, y.flux), ivar=np.where(mask, 0, y.ivar)
        )
        out = match_continuum(masked, flat, 2)
        expected = out if expected is None else expected
        assert_array_equal(out, expected)
    assert np.isnan(expected[0, CHIP == 0]).all()  # three pixels for a quadratic
    assert_allclose(expected[1:], y.flux[1:], rtol=1e-9)
    assert np.isfinite(expected[0, CHIP == 1]).all()
    gaps = np.where(mask, np.nan, flat)
    out = match_continuum(y, gaps, 2)
    assert_array_equal(np.isnan(out[1:]), mask[1:])
    assert_allclose(out[1:][~mask[1:]], y.flux[1:][~mask[1:]], rtol=1e-9)


def test_spectra_stay_spectra_and_rows_are_independent():
    y = make_stars(snr=50)
    level = tilt(0.1, -0.2)
    predicted = y.replace(flux=y.flux / level)
    out = match_continuum(y, predicted, 1)
    assert isinstance(out, Spectra)
    assert_allclose(out.ivar, predicted.ivar / level**2, rtol=1e-6)
    for i in range(len(y)):
        one = match_continuum(y[[i]], predicted[[i]], 1)
        assert_array_equal(one.flux[0], out.flux[i])
    assert match_continuum(y, predicted.flux.astype("f4"), 1).dtype == np.float32
    plain = match_continuum(
        y.flux, predicted.flux, 1, wave=WAVE, medium="air", ivar=y.ivar
    )
    assert_array_equal(plain, out.flux)


def test_what_does_not_fit():
    y = make_stars()
    with pytest.raises(ValueError, match="degree is -1"):
        match_continuum(y, y.flux, -1)
    with pytest.raises(ValueError, match=r"degree is 0\.5"):
        mse(y, y.flux, continuum_degree=0.5)
    with pytest.raises(ValueError, match="y_pred has shape"):
        match_continuum(y, y.flux[:, 1:])
