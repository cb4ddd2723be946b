"""read_galah on the fit product of DR4."""

import re

import numpy as np
import pytest

from specxfer.io import galah_wave, read_galah

C = 299_792.458  # km/s
DR4 = 210115000101001
NAME = f"{DR4}_allstar_fit_spectrum.fits"


def test_the_spectrum_is_on_the_grid_and_at_rest(write, tmp_path):
    X, report = read_galah(write.galah_fit(tmp_path / NAME))
    assert X.shape == (1, 16384)
    assert X.medium == "air"
    assert list(report["format"]) == ["GALAH DR4 fit"]
    assert list(report["status"]) == ["read"]
    assert list(report["id"]) == [str(DR4)]
    assert list(X.ids) == [str(DR4)]
    for ccd in (1, 2, 3, 4):
        near = np.abs(X.wave - write.line_centre(ccd)) < 0.6
        depth = 1 - X.flux[0, near].astype(float)
        centre = np.sum(depth * X.wave[near]) / depth.sum()
        assert (centre / write.line_centre(ccd) - 1) * C == pytest.approx(0, abs=0.02)
        width = depth.sum() * np.gradient(X.wave)[near].mean()
        assert width == pytest.approx(0.5 * 0.12 * np.sqrt(2 * np.pi), rel=2e-3)


def test_the_same_star_by_its_ccd_files(write, tmp_path):
    """Same pixels, same shift: the same flux and noise where both have them."""
    own = write.galah_dr4(tmp_path, DR4)
    fit = write.galah_fit(tmp_path / NAME)
    X, report = read_galah(tmp_path)
    assert len(own) == 4
    assert len(X) == 2
    assert sorted(report["file"])[-1] == str(fit)
    assert list(report["id"]) == [str(DR4)] * 2
    both = X.valid().all(axis=0) & ((X.chip < 3) | (X.wave > 7680))  # not the cut one
    np.testing.assert_allclose(X.flux[0, both], X.flux[1, both], rtol=1e-6)
    np.testing.assert_allclose(X.ivar[0, both], X.ivar[1, both], rtol=1e-5)
    row = list(report["format"]).index("GALAH DR4 fit")
    cut = X.wave[X.valid()[row] & (X.chip == 3)][0]
    assert 7678.9 < cut < 7679.1
    only, _ = read_galah(tmp_path, ids=[DR4])
    assert len(only) == 2


def test_its_own_pixels_are_returned_as_they_are(write, tmp_path):
    path = write.galah_fit(tmp_path / NAME, ccds=[3])
    wave = (6477.20 + 0.06316 * np.arange(4096)) / (1 + 37 / C)
    X, report = read_galah(path, wave=wave)
    assert report["status"][0] == "partial"
    assert report["reason"][0] == "no CCD 1, 2, 4"
    np.testing.assert_allclose(
        X.flux[0], 1 - 0.5 * np.exp(-0.5 * ((wave - 6600) / 0.12) ** 2), rtol=1e-6
    )
    np.testing.assert_allclose(X.ivar[0], 1e4, rtol=1e-6)


def test_what_the_file_does_not_say_is_unknown(write, tmp_path):
    X, _ = read_galah(write.galah_fit(tmp_path / NAME, error=0.02))
    assert np.isnan(X.resolution).all()
    meta = X.meta[0]
    assert meta["sobject_id"] == DR4
    assert meta["release"] == "DR4 fit"
    for name in ("rv_com", "rv_error", "teff", "logg", "fe_h"):
        assert np.isnan(meta[name])
    assert meta["rv_ok"] == meta["wave_ok"] == -1
    np.testing.assert_allclose(meta["snr_ccd"], 50, rtol=1e-6)
    assert meta["fit_chi2"] == pytest.approx(1)
    X, _ = read_galah(write.galah_fit(tmp_path / "renamed.fits"))
    assert X.meta["sobject_id"][0] == -1
    assert list(X.ids) == ["renamed.fits"]


def test_bad_pixels(write, tmp_path):
    def spoil(columns):
        columns["sob"][100] = np.nan
        columns["uob"][200] = 0
        columns["uob"][300] = -1
        columns["sob"][400] = 50.0
        columns["uob"][500] = 2.0
        columns["mob"][600] = False  # left out by the model, and a good pixel

    path = write.galah_fit(tmp_path / NAME, ccds=[3], change=spoil)
    wave = (6477.20 + 0.06316 * np.arange(4096)) / (1 + 37 / C)
    X, _ = read_galah(path, wave=wave)
    expected = [100, 200, 300, *range(397, 404), 500]
    np.testing.assert_array_equal(np.flatnonzero(~X.valid()[0]), expected)


@pytest.mark.parametrize("rv", [-900.0, 900.0])
def test_a_fast_star_is_read(write, tmp_path, rv):
    _, report = read_galah(write.galah_fit(tmp_path / NAME, rv=rv))
    assert report["status"][0] == "read"


@pytest.mark.parametrize("rv", [-2_500.0, 2_500.0])
def test_a_velocity_that_no_star_has_is_refused(write, tmp_path, rv):
    X, report = read_galah(write.galah_fit(tmp_path / NAME, rv=rv))
    assert len(X) == 0
    assert "not at rest" in report["reason"][0]
    seen = float(re.search(r"about (-?\d+) km/s", report["reason"][0])[1])
    assert seen == pytest.approx(rv, abs=100)  # a CCD starts up to ±2 Å elsewhere


@pytest.mark.parametrize(
    ("column", "change", "reason"),
    [
        ("wave", lambda wave: wave[::-1], "do not increase"),
        ("wave", lambda wave: np.where(wave > 6500, wave + 0.05, wave), "not evenly"),
        ("wave", lambda wave: np.full_like(wave, np.nan), "do not increase"),
        ("sob", lambda flux: flux * np.nan, "no good pixel"),
    ],
)
def test_damaged_columns(write, tmp_path, column, change, reason):
    def spoil(columns):
        columns[column] = change(columns[column])

    X, report = read_galah(write.galah_fit(tmp_path / NAME, change=spoil))
    assert len(X) == 0
    assert reason in report["reason"][0]


# ------------------------------------------------------------------------- real files
def test_real_stars(shared):
    X, report = read_galah(shared / "real" / "galah_dr4_fit")
    assert list(report["status"]) == ["refused", "read", "read", "read"]
    assert "about 2551 km/s" in report["reason"][0]
    assert X.valid().sum(axis=1).min() > 14_800
    np.testing.assert_array_equal(X.wave, galah_wave())
    # Hα is the deepest line near its wavelength; the third star has it in emission
    near = np.abs(X.wave - 6562.8) < 4
    deepest = X.wave[near][np.nanargmin(X.flux[:2, near], axis=1)]
    np.testing.assert_allclose(deepest, 6562.8, atol=0.25)
    emission, _ = read_galah(X.meta["file"][2], max_flux=None)
    assert emission.wave[np.nanargmax(emission.flux[0])] == pytest.approx(6562.8, abs=1)
