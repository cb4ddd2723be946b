"""The same star by the readers of DR3 and of DR4."""

import numpy as np
import pytest
from astropy.io import fits

from specxfer import Spectra
from specxfer.io import galah_wave, read_galah
from specxfer.preprocessing import ContinuumNormalizer

C = 299_792.458  # km/s
STEPS = (0.04595, 0.05469, 0.06316, 0.07357)
STARTS = (4713.50, 5648.10, 6477.20, 7584.10)
N_LINES = 100  # on each CCD


@pytest.fixture(scope="module")
def line_list():
    rng = np.random.default_rng(3)
    ends = [(s + 8, s + 4096 * d - 8) for s, d in zip(STARTS, STEPS)]
    centres = np.concatenate([np.sort(rng.uniform(*e, N_LINES)) for e in ends])
    return centres, rng.uniform(0.03, 0.4, centres.size)


def star(wave, line_list, strength=1.0, velocity=0.0):
    """Flux of a star at rest: Gaussian lines of R = 23,000 and 4 km/s more."""
    tau = np.zeros(wave.shape)
    for centre, depth in zip(*line_list):
        at, width = centre * (1 + velocity / C), 7.0 / C * centre
        near = slice(*np.searchsorted(wave, [at - 8 * width, at + 8 * width]))
        tau[near] += depth * np.exp(-0.5 * ((wave[near] - at) / width) ** 2)
    return np.exp(-strength * tau)


def observe(line_list, ccd, rv, error, tilt, rng):
    """The wavelengths of a CCD, and its noisy flux with a wrong continuum."""
    wave = STARTS[ccd - 1] + STEPS[ccd - 1] * np.arange(4096)
    x = np.linspace(-1, 1, 4096)
    flux = star(wave / (1 + rv / C), line_list) + error * rng.standard_normal(4096)
    return flux * (1 + tilt * x - tilt / 2 * x**2)


def write_dr3(path, ccd, flux, error, rv):
    start, step, z = STARTS[ccd - 1], STEPS[ccd - 1], 1 + rv / C
    observed = {"CRVAL1": start, "CDELT1": step, "CRPIX1": 1.0}
    rest = {"CRVAL1": start / z, "CDELT1": step / z, "CRPIX1": 1.0}
    relative = error / flux
    parts = [800 * flux, relative, flux, relative]
    hdus = [fits.PrimaryHDU(parts[0].astype("f4"))]
    hdus += [fits.ImageHDU(part.astype("f4")) for part in parts[1:]]
    hdus.append(fits.ImageHDU(flux))
    for hdu, name in zip(hdus[1:], ("input_sigma", "no_sky", "no_sky_sigma", "")):
        hdu.header["EXTNAME"] = name
    for hdu in hdus:
        hdu.header.update(rest if hdu is hdus[-1] else observed)
    fits.HDUList(hdus).writeto(path)


def write_dr4(path, ccd, flux, error, rv):
    names = ("normalized", "relative_error", "sky", "teluric", "resolution_profile")
    ones = np.ones(4096)
    parts = (flux, error / flux, 0 * ones, ones, 0.28 * ones)
    hdus = [fits.PrimaryHDU((1200 * flux).astype("f4"))]
    hdus += [fits.ImageHDU(a.astype("f4"), name=n) for n, a in zip(names, parts)]
    for hdu in hdus:
        hdu.header["CRVAL1"], hdu.header["CDELT1"] = STARTS[ccd - 1], STEPS[ccd - 1]
        hdu.header["CRPIX1"] = 1.0
    hdus[0].header["RVCOM"] = rv
    fits.HDUList(hdus).writeto(path)


@pytest.fixture(scope="module")
def both(line_list, tmp_path_factory):
    """DR3 and DR4 of one star, with other noise, continuum and velocity."""
    folder, rng = tmp_path_factory.mktemp("releases"), np.random.default_rng(4)
    # the sobject_id of a star is its own in each release's year
    for write, id, rv, error, tilt in (
        (write_dr3, 131216002601003, -63.7, 0.02, 0.04),
        (write_dr4, 210115000101001, 21.3, 0.03, -0.06),
    ):
        for ccd in (1, 2, 3, 4):
            flux = observe(line_list, ccd, rv, error, tilt, rng)
            write(folder / f"{id}{ccd}.fits", ccd, flux, error, rv)
    X, report = read_galah(folder)
    assert list(report["format"]) == ["GALAH DR3", "GALAH DR4"]
    wave = galah_wave()
    training = [star(wave, line_list, strength) for strength in (0.7, 0.9, 1.1, 1.3)]
    normalizer = ContinuumNormalizer(degree=2)
    normalizer.fit(Spectra(np.array(training), wave=wave, medium="air"))
    return X, normalizer.transform(X)


def test_they_agree_within_the_noise(both):
    """chi² a pixel of the difference is 1, as it is for noise alone.

    Its mean does not know that resampling makes neighbours correlated (each pixel's
    ivar is its own), its scatter does: with a correlation of at most 1/2 between
    neighbours, in both spectra, var(chi²) = 2 n (1 + 2/4).
    """
    raw, y = both
    good = y.valid().all(axis=0)
    difference = y.flux[0, good].astype(float) - y.flux[1, good]
    variance = 1 / y.ivar[0, good].astype(float) + 1 / y.ivar[1, good]
    chi2 = difference**2 / variance
    assert good.sum() > 16_000
    assert chi2.mean() == pytest.approx(1, abs=5 * np.sqrt(3 / good.sum()))
    for ccd in range(4):
        on = y.chip[good] == ccd
        assert chi2[on].mean() == pytest.approx(1, abs=5 * np.sqrt(3 / on.sum()))
    # and is not without the same continuum
    plain = raw.flux[0, good] - raw.flux[1, good]
    assert (plain**2 / variance).mean() > 1.5


def test_lines_are_at_the_same_place(both, line_list):
    """Least-squares shift against the star itself: 0, and 0.1 km/s apart at most."""
    _, y = both
    slope = star(y.wave, line_list, velocity=0.5) - star(
        y.wave, line_list, velocity=-0.5
    )
    flux = star(y.wave, line_list)
    shift, sigma = [], []
    for row in range(2):
        weight = y.weights()[row].astype(float)
        residual = np.nan_to_num(y.flux[row]) - flux
        information = np.sum(weight * slope**2)
        shift.append(np.sum(weight * slope * residual) / information)
        sigma.append(information**-0.5)
    assert max(sigma) < 0.03  # so that 0.1 km/s is something
    assert abs(shift[0] - shift[1]) < 0.1
    np.testing.assert_allclose(shift, 0, atol=0.1)
