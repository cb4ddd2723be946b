"""The grids of the surveys."""

import numpy as np
import pytest

from specxfer._grids import (
    apogee_chip,
    apogee_chips,
    apogee_wave,
    galah_chip,
    galah_wave,
)


def test_apogee_grid_is_the_surveys():
    wave = apogee_wave()
    assert wave.shape == (8575,)
    assert wave[0] == pytest.approx(15100.8015416)
    np.testing.assert_allclose(np.diff(np.log10(wave)), 6e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("release", "n_pixels"), [("DR11", 7214), ("DR12", 7214), ("dr13", 7514)]
)
def test_apogee_chips_by_release(release, n_pixels):
    chips = apogee_chips(release)
    assert sum(stop - start for start, stop in chips) == n_pixels
    for (start, stop), (outer_start, outer_stop) in zip(chips, apogee_chips()):
        assert outer_start <= start < stop <= outer_stop


def test_unknown_release_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'DR99'.*DR17"):
        apogee_chips("DR99")


def test_apogee_chip_of_each_pixel():
    chip = apogee_chip()
    for number, (start, stop) in enumerate(apogee_chips()):
        assert (chip[start:stop] == number).all()
    assert (np.diff(chip) >= 0).all()


def test_galah_grid():
    wave = galah_wave()
    assert wave.shape == (16384,)
    assert (np.diff(wave) > 0).all()
    np.testing.assert_array_equal(np.bincount(galah_chip()), 4096)
    np.testing.assert_array_equal(galah_wave(2), wave[4096:8192])
    with pytest.raises(ValueError, match="CCDs 1 to 4"):
        galah_wave(5)


def test_galah_grid_is_that_of_the_synthetic_pairs(shared):
    with np.load(shared / "lte" / "pairs_dev.npz") as pairs:
        np.testing.assert_allclose(galah_wave(), pairs["y_wave_air"], rtol=1e-9)
        np.testing.assert_array_equal(galah_chip(), pairs["y_ccd"] - 1)
        np.testing.assert_allclose(apogee_wave(), pairs["x_wave_vac"], rtol=1e-12)


def test_apogee_grid_is_that_of_the_stored_wavelengths(shared):
    wave = np.load(shared / "real" / "apogee_wavelength.npz")["wavelength"]
    on = np.concatenate([np.arange(*chip) for chip in apogee_chips("DR12")])
    np.testing.assert_allclose(apogee_wave()[on], wave, rtol=1e-9)
