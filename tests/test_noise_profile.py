import numpy as np

from specxfer import Spectra
from specxfer._noise_profile import NoiseProfile

N, P = 60, 40


def spectra(ivar, flux=None):
    flux = np.ones(ivar.shape, ivar.dtype) if flux is None else flux
    return Spectra(flux, ivar, wave=None, medium=None)


def outer(rng, dtype="f4"):
    star, pixel = 10 ** rng.uniform(2, 5, N), rng.uniform(0.1, 3, P)
    ivar = np.outer(star, pixel)
    ivar[rng.random((N, P)) < 0.3] = 0
    return ivar.astype(dtype)


def test_star_times_pixel_times_mask_is_recognised(rng):
    ivar = outer(rng)
    ivar[5] = 0  # a star without any pixel
    profile = NoiseProfile.of(spectra(ivar))
    a = profile.amplitude(spectra(ivar))
    known = ivar > 0
    np.testing.assert_allclose(
        (a[:, None] * profile.pixel)[known], ivar[known], rtol=2e-5
    )
    assert a[5] == 0
    assert (np.delete(a, 5) > 0).all()


def test_unknown_flux_is_a_mask_too(rng):
    ivar = outer(rng)
    flux = np.ones_like(ivar)
    flux[rng.random((N, P)) < 0.2] = np.nan
    profile = NoiseProfile.of(spectra(ivar, flux))
    assert (profile.amplitude(spectra(ivar, flux)) > 0).all()


def test_stars_of_another_noise_are_told_apart(rng):
    ivar = outer(rng)
    odd = rng.permutation(N)[:10]
    ivar[odd] *= rng.uniform(0.99, 1.01, (10, P)).astype("f4")
    profile = NoiseProfile.of(spectra(ivar))
    a = profile.amplitude(spectra(ivar))
    np.testing.assert_array_equal(np.flatnonzero(a == 0), np.sort(odd))


def test_noise_without_structure_has_no_profile(rng):
    assert NoiseProfile.of(spectra(rng.uniform(1, 2, (N, P)))) is None
