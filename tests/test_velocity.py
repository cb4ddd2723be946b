"""Removing and measuring velocities: known shifts, known errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.resampling import resample
from specxfer.velocity import measure_velocity, remove_velocity

C = 299_792.458
STEP = 0.05  # Å: 3.0 km/s
WAVE = np.concatenate([5000 + STEP * np.arange(1200), 5200 + STEP * np.arange(1000)])
CHIP = np.repeat([0, 1], [1200, 1000])
PIXEL = C * STEP / 5030  # km/s


def star(velocity=0.0, fwhm=4.2, strength=1.0, wave=WAVE):
    """Lines of several depths, `fwhm` pixels wide, observed at a velocity."""
    rng = np.random.default_rng(8)
    centre = np.r_[rng.uniform(5000, 5060, 40), rng.uniform(5200, 5250, 30)]
    depth = rng.uniform(0.05, 0.5, 70)
    sigma = fwhm * STEP / np.sqrt(8 * np.log(2))
    rest = np.asarray(wave) / (1 + np.atleast_1d(velocity)[:, None] / C)
    lines = np.zeros(rest.shape)
    for c, d in zip(centre, depth):
        lines += d * np.exp(-0.5 * ((rest - c) / sigma) ** 2)
    return 1 - strength * lines


def spectra(flux, **more):
    return Spectra(flux, wave=WAVE, medium="air", **more)


# --- removing -------------------------------------------------------------------------


@pytest.mark.parametrize(("fwhm", "allowed"), [(3.2, 5e-4), (4.2, 6e-5)])
@pytest.mark.parametrize("shift", [0.37, -0.5, 12.3])
def test_lines_go_where_they_belong(fwhm, allowed, shift):
    velocity = shift * PIXEL
    rest = remove_velocity(spectra(star(velocity, fwhm)), velocity)
    inner = np.isfinite(rest.flux[0])
    assert (~inner).sum() <= 2 * np.ceil(abs(shift)) + 2
    error = np.abs(rest.flux - star(0, fwhm))[0, inner]
    assert error.max() < 0.01  # where the end of a chip cuts a line
    ends = [np.flatnonzero(CHIP[inner] == c)[[0, -1]] for c in (0, 1)]
    far = np.abs(np.arange(len(error)) - np.reshape(ends, (4, 1))).min(axis=0) > 5
    assert error[far].max() < allowed
    other, _ = resample(star(velocity, fwhm), WAVE / (1 + velocity / C), WAVE)
    if abs(shift) < 1:  # what conserves flux widens lines
        assert np.nanmax(np.abs(other - star(0, fwhm))) > 20 * allowed


def test_a_positive_velocity_shifts_to_the_blue():
    flux = np.ones(100)
    flux[50] = 0.5
    wave = 5000 * np.exp(np.arange(100) * 1e-5)
    out = remove_velocity(flux[None], 5e-5 * C, wave=wave, medium="vacuum")
    assert np.nanargmin(out) == 45


def test_there_and_back():
    flux = star(0, 3.2)
    there = remove_velocity(spectra(flux), 0.37 * PIXEL)
    back = remove_velocity(there, -0.37 * PIXEL)
    inner = np.isfinite(back.flux)
    assert np.abs(back.flux - flux)[inner].max() < 1e-3


def test_no_velocity_no_change_and_nan_is_unknown():
    X = spectra(star([0, 5, 9]), ivar=np.full((3, 2200), 1e4))
    out = remove_velocity(X, [0.0, np.nan, 9.0])
    assert_array_equal(out.flux[0], X.flux[0])
    assert_array_equal(out.ivar[0], X.ivar[0])
    assert np.isnan(out.flux[1]).all()
    assert (out.ivar[1] == 0).all()
    assert_array_equal(out.ivar[2] > 0, np.isfinite(out.flux[2]))


def test_rows_chips_and_dtype():
    velocity = np.array([3.0, -7.7, 12.0])
    X = spectra(star(velocity).astype("f4"), ivar=np.full((3, 2200), 1e4, "f4"))
    out = remove_velocity(X, velocity)
    assert out.dtype == out.ivar.dtype == np.float32
    for i in range(3):
        one = remove_velocity(X[[i]], velocity[i])
        assert_array_equal(one.flux[0], out.flux[i])
        assert_array_equal(one.ivar[0], out.ivar[i])
    alone = remove_velocity(X[:, CHIP == 1], velocity)
    assert_array_equal(alone.flux, out.flux[:, CHIP == 1])
    plain = remove_velocity(X.flux, velocity, wave=WAVE, medium="air")
    assert_array_equal(plain, out.flux)


def test_masked_pixels_do_not_spread(rng):
    velocity = 0.37 * PIXEL
    mask = rng.uniform(size=(1, 2200)) < 0.03
    mask[0, 300:340] = True
    results = []
    for junk in (0.0, 1e6, np.nan):
        flux = np.where(mask, junk, star(velocity))
        X = spectra(flux, ivar=np.where(mask, 0, 1e4))
        results.append(remove_velocity(X, velocity))
    for other in results[1:]:
        assert_array_equal(other.flux, results[0].flux)
        assert_array_equal(other.ivar, results[0].ivar)
    out = results[0]
    known = np.isfinite(out.flux)
    assert_array_equal(out.ivar > 0, known)
    # a new pixel lies between two old ones: both are good, or it is masked
    lost = mask.copy()
    lost[:, :-1] |= mask[:, 1:]
    lost[:, [1199, 2199]] = True
    assert_array_equal(~known, lost)
    error = np.abs(out.flux - star(0))[known]
    assert error.max() < 0.02  # beside a bridge across a line
    assert np.sqrt(np.mean(error**2)) < 1e-3


def test_ivar_and_correlation_are_those_of_the_noise():
    sigma = np.linspace(0.01, 0.03, 2200)
    noise = np.random.default_rng(4).standard_normal((400, 2200)) * sigma
    X = spectra(1 + noise, ivar=np.full(noise.shape, sigma**-2))
    out = remove_velocity(X, 0.5 * PIXEL)
    inner = np.isfinite(out.flux[0]) & (np.abs(WAVE - 5030) < 25)
    pull = (out.flux - 1)[:, inner] * np.sqrt(out.ivar[:, inner])
    assert pull.std() == pytest.approx(1, abs=0.01)
    assert_allclose(out.ivar[0, inner] * sigma[inner] ** 2, 1 / 0.836, rtol=0.01)
    assert np.mean(pull[:, 1:] * pull[:, :-1]) == pytest.approx(0.18, abs=0.01)
    assert np.mean(pull[:, 2:] * pull[:, :-2]) == pytest.approx(-0.13, abs=0.01)


def test_short_chips_and_few_good_pixels():
    wave = np.r_[5000.0, 5000.05, 5100 + STEP * np.arange(20)]
    flux = np.ones((1, 22))
    flux[0, [3, 4, *range(7, 22)]] = np.nan
    out = remove_velocity(flux, 0.3, wave=wave, medium="air")
    assert_allclose(out[np.isfinite(out)], 1)
    assert_array_equal(np.flatnonzero(np.isfinite(out[0])), [0, 5])


def test_what_cannot_be_shifted():
    with pytest.raises(ValueError, match="needs wavelengths"):
        remove_velocity(np.ones((1, 5)), 3.0)
    with pytest.raises(ValueError, match="velocity has shape"):
        remove_velocity(spectra(star()), [1.0, 2.0])
    with pytest.raises(ValueError, match="beyond the speed of light"):
        remove_velocity(spectra(star()), 4e5)


# --- measuring ------------------------------------------------------------------------


def noisy(velocity, snr, n=400, seed=5, **more):
    unit = np.random.default_rng(seed).standard_normal((n, len(WAVE)))
    flux = star(velocity, **more) + unit / snr
    return spectra(flux, ivar=np.full(flux.shape, float(snr) ** 2))


def test_shifts_are_found_to_rounding_without_noise():
    velocity = np.array([0.0, 0.4, -1.7, 23.4, -48.0])
    X = spectra(star(velocity), ivar=np.full((5, 2200), 1e4))
    measured = measure_velocity(X, star(0.0))
    assert_allclose(measured.velocity, velocity, atol=1e-3)
    # removed and measured again
    again = measure_velocity(remove_velocity(X, measured.velocity), star(0.0))
    assert_allclose(again.velocity, 0, atol=2e-3)


@pytest.mark.parametrize("snr", [100, 15])
@pytest.mark.parametrize("known", [True, False])
def test_errors_are_calibrated_and_there_is_no_bias(snr, known):
    X = noisy(4.4, snr)
    X = X if known else X.replace(ivar=None)
    velocity, error, significance = measure_velocity(X, star(0.0))
    assert (significance > 7).all()
    pull = (velocity - 4.4) / error
    assert pull.std() == pytest.approx(1, abs=0.07)
    assert abs(pull.mean()) < 4 / np.sqrt(400)


def test_the_error_is_the_photon_limit():
    """With nothing else free it would be (Σ (df/dv)² / σ²)^-1/2, and is hardly more."""
    limit = np.sum(((star(0.01) - star(-0.01)) / 0.02) ** 2 * 100.0**2) ** -0.5
    error = measure_velocity(noisy(0, 100, n=1), star(0), max_velocity=5).error
    assert limit < error[0] < 1.05 * limit


def test_strength_and_continuum_are_free():
    tilt = np.where(CHIP == 0, np.linspace(0.8, 1.1, 2200), 1.2)
    for strength in (0.3, 1.0, 1.9):
        X = spectra(star(-3.0, strength=strength) * tilt, ivar=np.full((1, 2200), 1e4))
        velocity, error, _ = measure_velocity(X, star(0))
        assert abs(velocity[0] + 3) < max(0.05, 2 * error[0])


def test_what_lies_under_a_mask_does_not_matter(rng):
    mask = rng.uniform(size=(3, 2200)) < 0.2
    measured = []
    for junk in (0.0, 1e6, np.nan):
        X = noisy(2.0, 50, n=3)
        X = spectra(np.where(mask, junk, X.flux), ivar=np.where(mask, 0, X.ivar))
        measured.append(measure_velocity(X, star(0)))
    for other in measured[1:]:
        assert_array_equal(other, measured[0])
    assert (np.abs(measured[0].velocity - 2) < 5 * measured[0].error).all()


def test_rows_are_independent_and_arrays_and_one_chip_will_do():
    X = noisy(2.0, 50, n=4)
    together = np.array(measure_velocity(X, star(0)))
    for i in range(4):
        assert_array_equal(np.array(measure_velocity(X[[i]], star(0)))[:, 0],
                           together[:, i])  # fmt: skip
    one = measure_velocity(X[:, CHIP == 1], star(0)[:, CHIP == 1])
    assert (np.abs(one.velocity - 2) < 5 * one.error).all()
    plain = measure_velocity(
        X.flux[:, CHIP == 1], star(0)[0, CHIP == 1], wave=WAVE[CHIP == 1], medium="air"
    )
    assert_allclose(plain.velocity, one.velocity, atol=1e-6)
    assert_allclose(plain.error, one.error, rtol=0.1)  # its noise is estimated


def test_rows_without_information():
    rng = np.random.default_rng(2)
    flux = np.ones((5, 2200)) + 0.01 * rng.standard_normal((5, 2200))
    flux[0] = 1.0
    flux[1] = np.nan
    flux[2, 4:] = np.nan
    velocity, error, significance = measure_velocity(
        spectra(flux, ivar=np.full(flux.shape, 1e4)), star(0)
    )
    assert np.isnan(velocity[:3]).all()
    assert np.isnan(error[:3]).all()
    assert not (significance >= 7).any()


def test_noise_alone_is_not_significant():
    flux = 1 + 0.01 * np.random.default_rng(3).standard_normal((400, 2200))
    X = spectra(flux, ivar=np.full(flux.shape, 1e4))
    assert np.nanmax(measure_velocity(X, star(0)).significance) < 5.5


def test_a_shift_beyond_the_search_is_unknown_or_insignificant():
    X = spectra(star(200.0), ivar=np.full((1, 2200), 1e4))
    velocity, _, significance = measure_velocity(X, star(0), max_velocity=20)
    assert np.isnan(velocity[0]) or significance[0] < 20


def test_impossible_templates():
    X = spectra(star())
    with pytest.raises(ValueError, match="template has shape"):
        measure_velocity(X, np.ones(7))
    with pytest.raises(ValueError, match="no known pixels"):
        measure_velocity(X, np.full(2200, np.nan))
    with pytest.raises(ValueError, match="no lines"):
        measure_velocity(X, np.ones(2200))
    with pytest.raises(ValueError, match="no lines"):
        measure_velocity(X, star(0), max_velocity=3000)
    with pytest.raises(ValueError, match="needs wavelengths"):
        measure_velocity(X.flux, star(0))
    vacuum = Spectra(star(), wave=WAVE, medium="vacuum")
    with pytest.raises(ValueError, match="vacuum"):
        measure_velocity(X, vacuum)
