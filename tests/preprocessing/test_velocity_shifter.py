"""VelocityShifter: the velocity of a column, or one for all."""

import numpy as np
import pytest
from astropy.units import Quantity
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline

from specxfer import Spectra
from specxfer.preprocessing import VelocityCheck, VelocityShifter
from specxfer.velocity import remove_velocity

C = 299_792.458
WAVE = 5000 + 0.05 * np.arange(1500)
VELOCITY = np.array([0.0, 12.0, -30.0, 4.5])


def star(velocity):
    rest = WAVE / (1 + np.asarray(velocity, dtype=float)[:, None] / C)
    return 1 - 0.5 * np.exp(-0.5 * (((rest + 0.7 * np.sin(rest)) % 4 - 2) / 0.15) ** 2)


def spectra(velocity=VELOCITY, **meta):
    flux = star(velocity)
    return Spectra(
        flux, np.full(flux.shape, 1e4), wave=WAVE, medium="air", meta=meta or None
    )


def test_a_column_a_quantity_and_a_number():
    expected = remove_velocity(spectra(), VELOCITY)
    X = spectra(rv=VELOCITY, rv_m=Quantity(1000 * VELOCITY, "m/s"))
    for name in ("rv", "rv_m"):
        out = VelocityShifter(name).fit_transform(X)
        assert_allclose(out.flux, expected.flux, atol=1e-9)
        assert list(out.meta.colnames) == ["rv", "rv_m"]
    rest = np.isfinite(expected.flux)
    assert np.abs(expected.flux - star(np.zeros(4)))[rest].max() < 0.01
    one = VelocityShifter(12.0).fit_transform(spectra())
    assert_array_equal(one.flux[1], expected.flux[1])
    assert one.resolution is None


def test_masked_entries_of_a_column_are_unknown():
    X = spectra(rv=np.ma.array(VELOCITY, mask=[0, 1, 0, 0]))
    out = VelocityShifter("rv").fit_transform(X)
    assert_array_equal(np.isnan(out.flux).all(axis=1), [False, True, False, False])
    assert (out.ivar[1] == 0).all()


def test_residual_shifts_are_found_and_removed():
    X = spectra()
    model = make_pipeline(
        VelocityCheck(template=star([0.0])[0]), VelocityShifter("velocity_residual")
    )
    out = model.fit_transform(X)
    assert_allclose(out.meta["velocity_residual"], VELOCITY, atol=0.01)
    assert_array_equal(out.meta["velocity_ok"], [True, False, False, False])
    left = VelocityCheck(template=star([0.0])[0]).fit_transform(out)
    assert_allclose(left.meta["velocity_residual"], 0, atol=0.01)
    assert left.meta["velocity_ok"].all()


def test_plain_arrays():
    X = spectra()
    plain = VelocityShifter(12.0, wave=WAVE, medium="air").fit_transform(X.flux)
    assert_array_equal(plain, VelocityShifter(12.0).fit_transform(X).flux)
    with pytest.raises(ValueError, match="needs wavelengths"):
        VelocityShifter(12.0).fit(X.flux)
    with pytest.raises(ValueError, match="not in the meta"):
        VelocityShifter("rv", wave=WAVE, medium="air").fit(X.flux)
    with pytest.raises(ValueError, match=r"\['teff'\]"):
        VelocityShifter("rv").fit(spectra(teff=VELOCITY))
    with pytest.raises(ValueError, match="velocity"):
        VelocityShifter(3e5).fit(X)
