"""to_specutils and from_specutils: units, media, uncertainties, masks."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import (
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.table import Table

from specxfer import Spectra, air_to_vacuum
from specxfer.io import from_specutils, to_specutils

specutils = pytest.importorskip("specutils")
pytestmark = pytest.mark.filterwarnings("ignore")  # of specutils itself
WAVE = np.linspace(6490, 6500, 30)


@pytest.fixture
def spectra(rng):
    flux = rng.normal(1, 0.1, (4, 30)).astype(np.float32)
    ivar = rng.uniform(50, 200, (4, 30)).astype(np.float32)
    flux[1, 3] = np.nan
    ivar[2, 5] = 0
    return Spectra(
        flux,
        ivar,
        wave=WAVE,
        medium="air",
        ids=["a", "a", "b", "c"],
        resolution=[[25e3, 26e3], [24e3, 23e3], [25e3, np.nan], [22e3, 21e3]],
        chip=np.repeat([0, 1], 15),
        meta=Table({"teff": [4500.0, 4500, 5900, 5000], "n": [1, 2, 3, 4]}),
    )


def test_there_and_back(spectra):
    again = from_specutils(to_specutils(spectra))
    np.testing.assert_array_equal(again.valid(), spectra.valid())
    good = spectra.valid()
    np.testing.assert_array_equal(again.flux[good], spectra.flux[good])
    np.testing.assert_array_equal(again.weights()[good], spectra.ivar[good])
    np.testing.assert_array_equal(again.wave, spectra.wave)
    np.testing.assert_array_equal(again.resolution, spectra.resolution)
    np.testing.assert_array_equal(again.chip, spectra.chip)
    assert again.dtype == np.float32
    assert again.medium == "air"
    assert list(again.ids) == ["a", "a", "b", "c"]
    assert again.meta.colnames == ["teff", "n"]
    assert (again.meta["n"] == spectra.meta["n"]).all()
    bare = from_specutils(
        to_specutils(Spectra(np.ones((2, 30)), wave=WAVE, medium="air"))
    )
    assert not bare.has_noise
    assert bare.ids is None
    assert bare.meta is None
    assert bare.resolution is None


def test_specutils_measures_the_same_line(rng):
    """An equivalent width by their code is that of the line drawn."""
    from specutils.analysis import equivalent_width

    flux = 1 - 0.5 * np.exp(-0.5 * ((WAVE - 6495) / 0.6) ** 2)
    one = to_specutils(Spectra(flux[None], wave=WAVE, medium="air"))[0]
    width = equivalent_width(one, continuum=1 * u.one)
    assert width.to_value(u.AA) == pytest.approx(0.5 * 0.6 * np.sqrt(2 * np.pi), 1e-3)


def test_masks_are_true_where_pixels_are_bad(spectra):
    made = to_specutils(spectra)
    for i, one in enumerate(made):
        np.testing.assert_array_equal(one.mask, ~spectra.valid()[i])
        assert (one.uncertainty.array[one.mask] == 0).all()
    made[0].mask[7] = True
    assert not from_specutils(made).valid()[0, 7]


def test_the_medium_is_converted_and_kept(spectra):
    made = to_specutils(spectra, medium="vacuum")
    np.testing.assert_allclose(
        made[0].spectral_axis.to_value("AA"), air_to_vacuum(WAVE)
    )
    again = from_specutils(made)
    assert again.medium == "vacuum"
    np.testing.assert_allclose(again.to_medium("air").wave, WAVE, atol=1e-6)
    with pytest.raises(ValueError, match="is in vacuum by its meta"):
        from_specutils(made, medium="air")


@pytest.mark.parametrize(
    "make",
    [
        lambda e: StdDevUncertainty(e),
        lambda e: VarianceUncertainty(e**2),
        lambda e: InverseVariance(e**-2),
        lambda e: StdDevUncertainty(100 * e, unit="%"),
        lambda e: VarianceUncertainty(1e4 * e**2, unit=u.percent**2),
    ],
)
def test_kinds_of_uncertainty(rng, make):
    error = rng.uniform(0.01, 0.1, 30)
    one = specutils.Spectrum(np.ones(30) * u.one, WAVE * u.AA, uncertainty=make(error))
    np.testing.assert_allclose(
        from_specutils(one, medium="air").ivar, [error**-2], rtol=1e-12
    )


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty])
def test_no_uncertainty_at_a_pixel_is_no_weight(kind):
    error = np.ones(30)
    error[[3, 4, 5]] = 0, np.inf, np.nan
    one = specutils.Spectrum(np.ones(30) * u.one, WAVE * u.AA, uncertainty=kind(error))
    weight = from_specutils(one, medium="air").ivar[0]
    assert list(np.flatnonzero(weight == 0)) == [3, 4, 5]


def test_units_of_the_axis(rng):
    flux = rng.normal(1, 0.1, 30)
    error = rng.uniform(0.1, 1, 30)
    for axis in (WAVE * u.AA, WAVE / 10 * u.nm, WAVE / 1e4 * u.um):
        found = from_specutils(specutils.Spectrum(flux * u.one, axis), medium="air")
        np.testing.assert_allclose(found.wave, WAVE, rtol=1e-14)
    light = 299_792_458.0
    for axis in (
        light / (WAVE * 1e-10) * u.Hz,
        (light / (WAVE * 1e-10)) / 1e12 * u.THz,
        1e8 / WAVE / u.cm,
        (WAVE * u.AA).to(u.eV, u.spectral()),
    ):
        one = specutils.Spectrum(
            flux * u.one, axis, uncertainty=StdDevUncertainty(error)
        )
        found = from_specutils(one)
        assert found.medium == "vacuum"
        np.testing.assert_allclose(found.wave, WAVE, rtol=1e-12)
        np.testing.assert_allclose(found.flux[0], flux)
        np.testing.assert_allclose(found.ivar[0], error**-2)
        with pytest.raises(ValueError, match="in vacuum, not in air"):
            from_specutils(one, medium="air")


def test_descending_wavelengths_are_turned_round(rng):
    flux, mask = rng.normal(1, 0.1, 30), np.arange(30) == 4
    one = specutils.Spectrum(flux * u.one, WAVE[::-1] * u.AA, mask=mask)
    found = from_specutils(one, medium="air")
    np.testing.assert_array_equal(found.wave, WAVE)
    np.testing.assert_array_equal(found.flux[0, ::-1][~mask], flux[~mask])
    assert list(np.flatnonzero(~found.valid()[0])) == [25]


def test_a_moving_star_is_put_at_rest():
    z = 1 + 100 / 299_792.458
    for option in (
        {"redshift": z - 1},
        {"radial_velocity": u.Quantity(100.0, "km/s")},
    ):
        one = specutils.Spectrum(np.ones(30) * u.one, z * WAVE * u.AA, **option)
        found = from_specutils(one, medium="air").wave
        np.testing.assert_allclose(found, WAVE, rtol=1e-6)


def test_two_dimensions_and_collections(rng):
    flux = rng.normal(1, 0.1, (3, 30))
    two = specutils.Spectrum(flux * u.one, WAVE * u.AA)
    found = from_specutils(two, medium="air", ids=["a", "b", "b"])
    np.testing.assert_array_equal(found.flux, flux)
    assert list(found.ids) == ["a", "b", "b"]
    both = from_specutils([two, two[0]], medium="air")
    assert both.shape == (4, 30)
    grids = np.tile(WAVE, (3, 1))
    many = specutils.SpectrumCollection(flux * u.one, grids * u.AA)
    np.testing.assert_array_equal(from_specutils(many, medium="air").flux, flux)
    grids[1] += 0.1
    many = specutils.SpectrumCollection(flux * u.one, grids * u.AA)
    with pytest.raises(ValueError, match="a wavelength grid for each"):
        from_specutils(many, medium="air")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flux": np.ones(30) * u.Jy}, "divide by the continuum"),
        ({"flux": np.ones((2, 2, 30)) * u.one}, "has flux of shape"),
        (
            {"spectral_axis": np.linspace(-9, 9, 30) * u.km / u.s},
            "expected wavelengths",
        ),
        ({"uncertainty": UnknownUncertainty(np.ones(30))}, "unknown kind"),
        ({"uncertainty": StdDevUncertainty(-np.ones(30))}, "negative uncertainties"),
    ],
)
def test_what_is_refused(change, message):
    parts = {"flux": np.ones(30) * u.one, "spectral_axis": WAVE * u.AA, **change}
    with pytest.raises(ValueError, match=message):
        from_specutils(specutils.Spectrum(**parts), medium="vacuum")


def test_what_is_no_spectrum():
    one = specutils.Spectrum(np.ones(30) * u.one, WAVE * u.AA)
    with pytest.raises(ValueError, match='give "air" or "vacuum"'):
        from_specutils(one)
    with pytest.raises(ValueError, match="the list is empty"):
        from_specutils([])
    with pytest.raises(TypeError, match="ndarray"):
        from_specutils(np.ones(3))
    with pytest.raises(TypeError, match="expected Spectra"):
        to_specutils(one)
    other = specutils.Spectrum(np.ones(30) * u.one, (WAVE + 1) * u.AA)
    with pytest.raises(ValueError, match="put both on one grid"):
        from_specutils([one, other], medium="air")
