import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.preprocessing import GapMasker

NAN = np.nan


def spectra(flux, ivar=None, wave=None, **more):
    flux = np.asarray(flux, dtype=float)
    wave = 5000.0 + np.arange(flux.shape[1]) if wave is None else wave
    return Spectra(flux, ivar, wave=wave, medium="air", **more)


def random_spectra(rng, n=40, p=30):
    flux = rng.normal(1, 0.2, (n, p))
    ivar = rng.uniform(1, 9, (n, p)) * (rng.uniform(size=(n, p)) < np.linspace(0, 1, p))
    flux[rng.uniform(size=(n, p)) < 0.1] = np.nan
    return spectra(flux, ivar)


@pytest.mark.parametrize("min_fraction", [0.0, 0.3, 0.9])
def test_pixels_are_kept_by_the_fraction_of_stars_that_have_them(rng, min_fraction):
    X = random_spectra(rng)
    masker = GapMasker(min_fraction).fit(X)
    fraction = X.valid().mean(axis=0)
    assert_allclose(masker.fraction_, fraction)
    expected = (fraction >= min_fraction) & (fraction > 0)
    assert_array_equal(masker.pixels_, expected)
    assert not masker.pixels_[0]  # a pixel that nobody has


def test_median_fill_is_the_median_of_the_valid_stars(rng):
    X = random_spectra(rng)
    masker = GapMasker(0.2).fit(X)
    known = np.where(X.valid(), X.flux, np.nan)[:, masker.pixels_]
    assert_allclose(masker.fill_, np.nanmedian(known, axis=0), rtol=1e-14)
    out = masker.transform(X)
    expected = np.where(np.isnan(known), masker.fill_, known)
    assert_array_equal(out.flux, expected)
    assert_array_equal(out.ivar > 0, np.isfinite(known))


def test_mean_fill_is_weighted_by_ivar():
    X = spectra([[1.0, NAN], [2.0, 1.0], [9.0, 3.0]], [[1, 0], [3, 2], [0, 6]])
    masker = GapMasker(fill="mean").fit(X)
    assert_allclose(masker.fill_, [1.75, 2.5])
    out = masker.transform(X)
    assert_allclose(out.flux, [[1, 2.5], [2, 1], [1.75, 3]])


def test_interpolation_stays_on_the_chip():
    wave = np.r_[5000.0, 5001, 5002, 5003, 5004, 5100, 5101, 5102, 5103, 5104]
    X = spectra(
        [
            [1, NAN, NAN, 4, NAN, NAN, 7, 8, 9, 9],
            [2, 2, 2, 2, 2, NAN, NAN, NAN, NAN, NAN],
            [5, 5, 5, 5, 5, 6, 6, 6, 6, 6],
            [5, 5, 5, 5, 5, 6, 6, 6, 6, 8],
        ],
        wave=wave,
    )
    out = GapMasker(fill="interpolate").fit_transform(X)
    assert_allclose(out.flux[0], [1, 2, 3, 4, 4, 7, 7, 8, 9, 9])
    # Nothing known on the second chip: the training mean.
    assert_allclose(out.flux[1, 5:], [6, 19 / 3, 20 / 3, 7, 23 / 3])


def test_interpolation_goes_by_wavelength_across_a_dropped_pixel():
    flux = np.array([[0.0, NAN, NAN, 3.0], [0, NAN, 2, 3], [0, NAN, 2, 3]])
    out = GapMasker(fill="interpolate").fit_transform(spectra(flux))
    assert_allclose(out.flux[0], [0, 2, 3])
    assert_allclose(GapMasker(fill="interpolate").fit_transform(flux)[0], [0, 2, 3])


def test_a_flux_without_weight_is_replaced():
    X = spectra([[0.9, 55.0], [0.9, 0.5]], [[1, 0], [1, 1]])
    out = GapMasker().fit_transform(X)
    assert_array_equal(out.flux, [[0.9, 0.5], [0.9, 0.5]])
    assert_array_equal(out.ivar, [[1, 0], [1, 1]])
    assert_array_equal(GapMasker().fit_transform(out).flux, out.flux)


def test_a_masked_star_becomes_the_typical_star(rng):
    X = random_spectra(rng)
    masker = GapMasker(0.5).fit(X)
    gone = spectra(np.full((1, 30), NAN), np.zeros((1, 30)))
    out = masker.transform(gone)
    assert_array_equal(out.flux[0], masker.fill_)
    assert (out.ivar == 0).all()


def test_fill_none_leaves_nan(rng):
    X = random_spectra(rng)
    masker = GapMasker(0.5, fill=None).fit(X)
    assert_array_equal(masker.transform(X).flux, X.flux[:, masker.pixels_])
    assert not hasattr(masker, "fill_")


def test_inverse_transform_restores_the_grid(rng):
    X = random_spectra(rng)
    X = X.replace(resolution=np.full((40, 1), 2e4))
    masker = GapMasker(0.5).fit(X)
    back = masker.inverse_transform(masker.transform(X))
    assert_array_equal(back.wave, X.wave)
    assert_array_equal(back.chip, X.chip)
    assert back.medium == "air"
    kept = X.valid() & masker.pixels_
    assert_array_equal(back.flux[kept], X.flux[kept])
    assert_array_equal(back.ivar, np.where(kept, X.ivar, 0))
    assert np.isnan(back.flux[:, ~masker.pixels_]).all()
    plain = masker.inverse_transform(masker.transform(X.flux))
    assert np.isnan(plain[:, ~masker.pixels_]).all()
    with pytest.raises(ValueError, match="30 pixels; this GapMasker keeps"):
        masker.inverse_transform(X)
    kept = masker.transform(X)
    with pytest.raises(ValueError, match="differ by"):
        masker.inverse_transform(kept.replace(wave=kept.wave + 1))
    masker.fit(X.flux)
    kept = X[:, masker.pixels_]
    with pytest.raises(ValueError, match="fitted without wavelengths"):
        masker.inverse_transform(kept)


def test_nothing_left_is_an_error():
    with pytest.raises(ValueError, match="no pixel is valid in 50% of the 3 stars"):
        GapMasker().fit(np.where(np.eye(3, 5) > 0, 1.0, NAN))
    with pytest.raises(ValueError, match="check the masks"):
        GapMasker(0).fit(np.full((3, 5), NAN))


@pytest.mark.parametrize("bad", [{"min_fraction": 1.5}, {"fill": "zero"}])
def test_bad_parameters(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        GapMasker(**bad).fit(np.ones((2, 2)))
