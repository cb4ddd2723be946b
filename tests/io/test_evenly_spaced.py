"""resample_detectors against resample, which knows nothing of even spacing."""

import numpy as np
import pytest

from specxfer.io import galah_wave
from specxfer.io._evenly_spaced import resample_detectors
from specxfer.resampling import pixel_edges, resample


def detectors(rng, shift=1.0, unknown=0.1):
    found = []
    for ccd in (1, 2, 3, 4):
        wave = galah_wave(ccd) * shift
        flux = rng.uniform(0.2, 1.1, wave.size)
        ivar = rng.uniform(100, 1e4, wave.size)
        flux[rng.random(wave.size) < unknown] = np.nan
        ivar[rng.random(wave.size) < unknown] = 0
        found.append((wave, flux, ivar))
    return found


@pytest.mark.parametrize("shift", [1.0, 1 + 1e-9, 1.0003, 0.9991])
@pytest.mark.parametrize(
    "grid",
    [
        galah_wave(),
        galah_wave(2),
        np.arange(4600.0, 8000.0, 0.01)[:100_000],
        np.arange(4600.0, 8000.0, 0.7),
        10 ** np.arange(3.66, 3.9, 1.1e-5),
        np.array([6500.0, 6500.3, 6600.0]),
        np.array([100.0, 200.0]),
    ],
    ids=["galah", "ccd2", "finer", "coarser", "logarithmic", "few", "elsewhere"],
)
def test_it_is_the_same(rng, shift, grid):
    parts = detectors(rng, shift)
    wave, flux, ivar = (np.concatenate(p) for p in zip(*parts))
    expected_flux, expected_ivar = resample(flux, wave, grid, ivar)
    new_flux, new_ivar = resample_detectors(parts, pixel_edges(grid))
    np.testing.assert_allclose(new_flux, expected_flux, rtol=1e-9)
    np.testing.assert_allclose(new_ivar, expected_ivar, rtol=1e-9)


def test_onto_its_own_pixels_it_is_the_identity(rng):
    parts = detectors(rng)
    flux, ivar = resample_detectors(parts, pixel_edges(galah_wave()))
    own, noise = (np.concatenate(p) for p in list(zip(*parts))[1:])
    known = np.isfinite(own) & (noise > 0)
    np.testing.assert_array_equal(np.isfinite(flux), known)
    np.testing.assert_allclose(flux[known], own[known], rtol=1e-8)
    np.testing.assert_allclose(ivar[known], noise[known], rtol=1e-8)


def test_nothing_is_known_of_no_detectors():
    flux, ivar = resample_detectors([], pixel_edges(galah_wave()))
    assert np.isnan(flux).all()
    assert (ivar == 0).all()
