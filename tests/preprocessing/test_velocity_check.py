"""VelocityCheck: residual shifts against the mean spectrum, in meta."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.preprocessing import VelocityCheck
from specxfer.velocity import measure_velocity

from .test_velocity_shifter import WAVE, star

NAMES = ["velocity_residual", "velocity_error", "velocity_ok"]


def spectra(velocity, snr=100, seed=1, **more):
    flux = star(velocity)
    flux = flux + np.random.default_rng(seed).standard_normal(flux.shape) / snr
    ivar = np.full(flux.shape, float(snr) ** 2)
    return Spectra(flux, ivar, wave=WAVE, medium="air", **more)


@pytest.fixture(scope="module")
def training():
    return spectra(np.random.default_rng(3).normal(0, 0.3, 200), seed=2)


def test_shifted_stars_are_found(training):
    velocity = np.array([0.0, 0.5, -0.9, 1.2, -5.0, 30.0])
    X = spectra(velocity, meta={"teff": np.arange(6.0)}, ids=list("abcdef"))
    check = VelocityCheck().fit(training)
    assert_allclose(check.template_, training.flux.mean(axis=0))
    out = check.transform(X)
    assert list(out.meta.colnames) == ["teff", *NAMES]
    assert X.meta.colnames == ["teff"]
    assert_array_equal(out.flux, X.flux)
    assert str(out.meta["velocity_residual"].unit) == "km / s"
    error = out.meta["velocity_residual"] - velocity
    # the training set's own mean velocity is 0 ± 0.3 / sqrt(200)
    assert (np.abs(error) < 4 * out.meta["velocity_error"] + 0.06).all()
    assert_array_equal(out.meta["velocity_ok"], np.abs(velocity) < 1)
    wide = VelocityCheck(threshold=6.0).fit(training).transform(X)
    assert_array_equal(wide.meta["velocity_ok"], np.abs(velocity) < 6)
    again = check.transform(out)
    assert_array_equal(again.meta["velocity_ok"], out.meta["velocity_ok"])


def test_rows_that_tell_nothing_are_not_ok(training):
    X = spectra(np.zeros(3))
    flux = X.flux.copy()
    flux[0] = np.nan
    flux[1] = 1 + 0.01 * np.random.default_rng(0).standard_normal(len(WAVE))
    out = VelocityCheck().fit(training).transform(X.replace(flux=flux))
    assert_array_equal(out.meta["velocity_ok"], [False, False, True])
    assert np.isnan(out.meta["velocity_residual"][0])


def test_excluded_windows_have_no_say(training):
    window = (5030.0, 5040.0)
    inside = (WAVE >= 5030) & (WAVE <= 5040)
    check = VelocityCheck(exclude=window).fit(training)
    assert_array_equal(np.isnan(check.template_), inside)
    X = spectra(np.zeros(2))
    junk = X.replace(flux=np.where(inside, star([9.0, 9.0]), X.flux))
    for a, b in zip(check.measure(X), check.measure(junk)):
        assert_array_equal(a, b)
    plain = VelocityCheck().fit(training)
    assert np.abs(plain.measure(junk).velocity - plain.measure(X).velocity).min() > 0.3


def test_a_template_of_ones_own_and_plain_arrays(training):
    template = star([0.0])[0]
    check = VelocityCheck(template=template, degree=1, max_velocity=20).fit(training)
    X = spectra(np.array([0.0, 3.0]))
    expected = measure_velocity(X, template, degree=1, max_velocity=20)
    for got, wanted in zip(check.measure(X), expected):
        assert_array_equal(got, wanted)
    plain = VelocityCheck(template=template, wave=WAVE, medium="air").fit(X.flux)
    assert_array_equal(plain.transform(X.flux), X.flux)
    assert_allclose(plain.measure(X.flux).velocity, [0, 3], atol=0.3)
    with pytest.raises(ValueError, match="template has 3 pixels"):
        VelocityCheck(template=np.ones(3)).fit(X)
    with pytest.raises(ValueError, match="needs wavelengths"):
        VelocityCheck().fit(X.flux).measure(X.flux)


def test_memory_maps_stay_on_disk(training, tmp_path):
    np.save(tmp_path / "flux.npy", training.flux)
    np.save(tmp_path / "ivar.npy", training.ivar)
    maps = [np.load(tmp_path / f"{n}.npy", mmap_mode="r") for n in ("flux", "ivar")]
    lazy = training.replace(flux=maps[0], ivar=maps[1])
    out = VelocityCheck().fit_transform(lazy)
    assert out.is_lazy
    expected = VelocityCheck().fit_transform(training)
    for name in NAMES:
        assert_array_equal(out.meta[name], expected.meta[name])


def test_the_mean_of_giants_serves_all_giants(shared):
    """Of other stars, blends bias the velocity by no more than 0.2 km/s."""
    with np.load(shared / "lte/pairs_dev.npz") as stored:
        giants = np.flatnonzero(stored["labels"]["giant"] > 0)[::100]
        flux = stored["mean"] + stored["coef"][giants] @ stored["basis"].astype("f4")
        X = Spectra(flux[:, -16384:], wave=stored["y_wave_air"], medium="air")
    out = VelocityCheck().fit_transform(X)
    assert out.meta["velocity_ok"].all()
    assert np.abs(out.meta["velocity_residual"]).max() < 0.2
