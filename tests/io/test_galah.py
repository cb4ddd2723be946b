"""read_galah."""

import shutil

import numpy as np
import pytest

from specxfer.io import ReadError, ReadWarning, galah_wave, read_galah
from specxfer.resampling import resample

C = 299_792.458  # km/s
DR4, DR3 = 210115000101001, 131216002601003


def centroid(X, row, centre, half_width=0.6):
    """Centre of the line near `centre`, in km/s from it."""
    near = np.abs(X.wave - centre) < half_width
    depth = 1 - X.flux[row, near].astype(float)
    return (np.sum(depth * X.wave[near]) / depth.sum() / centre - 1) * C


# ------------------------------------------------------------------------ wavelengths
@pytest.mark.parametrize("rv", [-250.0, 0.0, 37.0])
def test_dr4_is_put_at_rest(write, tmp_path, rv):
    write.galah_dr4(tmp_path, DR4, rv=rv)
    X, report = read_galah(tmp_path)
    assert X.shape == (1, 16384)
    assert X.medium == "air"
    assert X.dtype == np.dtype("=f4")
    assert list(report["status"]) == ["read"]
    assert X.meta["rv_com"][0] == pytest.approx(rv)
    for ccd in (1, 2, 3, 4):
        assert centroid(X, 0, write.line_centre(ccd)) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("pixel", [1.0, 2048.0])
def test_dr3_has_rest_wavelengths_of_its_own(write, tmp_path, pixel):
    write.galah_dr3(tmp_path, DR3, rv=-120.0, pixel=pixel)
    X, report = read_galah(tmp_path)
    assert list(report["format"]) == ["GALAH DR3"]
    for ccd in (1, 2, 3, 4):
        assert centroid(X, 0, write.line_centre(ccd)) == pytest.approx(0, abs=0.02)
    assert X.meta["rv_com"][0] == pytest.approx(-120, abs=0.01)
    assert np.isnan(X.resolution).all()


def test_equivalent_width_survives(write, tmp_path):
    write.galah_dr4(tmp_path, DR4)
    X, _ = read_galah(tmp_path)
    for ccd in (1, 2, 3, 4):
        near = np.abs(X.wave - write.line_centre(ccd)) < 1
        width = np.sum((1 - X.flux[0, near].astype(float)) * np.gradient(X.wave)[near])
        assert width == pytest.approx(0.5 * 0.12 * np.sqrt(2 * np.pi), rel=2e-3)


def test_error_is_relative_error_times_normalised_flux(write, tmp_path):
    write.galah_dr4(tmp_path, DR4, error=0.02)
    write.galah_dr3(tmp_path, DR3, error=0.02)
    X, _ = read_galah(tmp_path)
    for row in range(2):
        good = X.valid()[row]
        assert good.mean() > 0.98
        # averaging over parts of two pixels leaves between half and all the variance
        sigma = X.ivar[row, good] ** -0.5
        assert sigma.max() < 0.0202
        assert sigma.min() > 0.0138
        assert 0.0140 < np.median(sigma) < 0.0190


def test_another_grid(write, tmp_path):
    write.galah_dr4(tmp_path, DR4)
    wave = np.arange(6590.0, 6610.0, 0.2)
    X, report = read_galah(tmp_path, wave=wave)
    assert X.shape == (1, len(wave))
    assert X.resolution.shape == (1, 1)  # only CCD3 is left
    assert X.resolution[0, 0] == pytest.approx(23_000, rel=1e-3)
    assert report["n_good"][0] == len(wave)
    assert centroid(X, 0, write.line_centre(3)) == pytest.approx(0, abs=0.1)
    for wrong in (wave[::-1], wave[:1], wave[None]):
        with pytest.raises(ValueError, match="wave must be"):
            read_galah(tmp_path, wave=wrong)


def test_ends_are_unknown_and_ccds_never_bridged(write, tmp_path):
    write.galah_dr4(tmp_path, DR4)
    X, _ = read_galah(tmp_path)
    known = X.wave[X.valid()[0]]
    assert known[0] > 4713.5 / (1 + 37 / C) - 0.05
    bridge = np.concatenate(
        [galah_wave(1), np.arange(4902.2, 5648, 0.5), galah_wave(2)]
    )
    between = read_galah(tmp_path, wave=bridge)[0]
    inside = (bridge > 4903) & (bridge < 5646)
    assert np.isnan(between.flux[0, inside]).all()


# ------------------------------------------------------------------------------ masks
def test_bad_pixels(write, tmp_path):
    (path,) = write.galah_dr4(tmp_path, DR4, rv=0.0, ccds=[3])
    from astropy.io import fits

    with fits.open(path, mode="update") as hdus:
        flux, error, telluric = (hdus[i].data for i in (1, 2, 4))
        flux[100] = np.nan
        error[200] = np.nan
        flux[300] = 4.0
        error[400] = 2.0
        flux[500], error[500] = -0.02, -0.5
        telluric[600] = 0.3
        flux[700] = np.inf
    wave = 6477.20 + 0.06316 * np.arange(4096)  # its own pixels
    X, _ = read_galah(path, wave=wave)
    expected = [100, 200, *range(297, 304), 400, 500, 600, 700]
    np.testing.assert_array_equal(np.flatnonzero(~X.valid()[0]), expected)
    X, _ = read_galah(path, wave=wave, min_transmission=0.0, max_flux=None)
    assert X.flux[0, 300] == pytest.approx(4, rel=1e-5)
    assert X.valid()[0, 600]


# ----------------------------------------------------------------------------- labels
def test_labels(write, tmp_path):
    cards = {"2MASS_ID": "05505952+0759226", "GAIA_ID": "33350744765", "LOGG_R": 4.4}
    write.galah_dr4(tmp_path, DR4, **cards)
    write.galah_dr4(tmp_path, DR4 + 1, GAIA_ID="77")
    write.galah_dr4(tmp_path, DR4 + 2)
    X, report = read_galah(tmp_path)
    assert list(X.ids) == ["2M05505952+0759226", "77", str(DR4 + 2)]
    assert list(report["id"]) == [str(DR4 + i) for i in range(3)]
    assert list(X.meta["sobject_id"]) == [DR4, DR4 + 1, DR4 + 2]
    assert list(X.meta["tmass_id"]) == ["05505952+0759226", "", ""]
    np.testing.assert_allclose(X.resolution, 23_000, rtol=1e-3)
    np.testing.assert_allclose(X.meta["lsf_boxiness"], 2.5)
    np.testing.assert_allclose(X.meta["snr_ccd"][0], [100, 200, 300, 400])
    assert X.meta["snr"][0] == 250
    assert X.meta["teff"][0] == 5777
    assert X.meta["logg"][0] == 4.4
    assert np.isnan(X.meta["fe_h"][0])
    assert X.meta["rv_ok"][0] == 1
    assert X.meta["wave_ok"][0] == -1
    assert set(X.meta["release"]) == {"DR4"}


def test_snr_of_dr3_is_measured(write, tmp_path):
    write.galah_dr3(tmp_path, DR3, error=0.02)
    meta = read_galah(tmp_path)[0].meta
    np.testing.assert_allclose(meta["snr_ccd"][0], 50, rtol=1e-3)
    assert set(meta["release"]) == {"DR3"}


# ------------------------------------------------------------------------- incomplete
@pytest.mark.parametrize("survey", ["galah_dr3", "galah_dr4"])
def test_missing_ccd(write, tmp_path, survey):
    getattr(write, survey)(tmp_path, 181221000101001, ccds=(1, 2, 3))
    X, report = read_galah(tmp_path, on_error="raise")  # missing is not broken
    assert report["status"][0] == "partial"
    assert report["reason"][0] == "no CCD 4"
    assert report["file"][0].endswith("181221000101001[123].fits")
    assert np.isnan(X.flux[0, X.chip == 3]).all()
    assert (X.ivar[0, X.chip == 3] == 0).all()
    assert X.valid()[0, X.chip < 3].mean() > 0.98
    assert np.isnan(X.resolution[0, 3])


def test_broken_ccd(write, tmp_path):
    paths = write.galah_dr4(tmp_path, DR4)
    paths[1].write_bytes(paths[1].read_bytes()[:60_000])
    X, report = read_galah(tmp_path)
    assert report["status"][0] == "partial"
    assert f"{DR4}2.fits: it is damaged or truncated" in report["reason"][0]
    assert report["reason"][0].endswith("no CCD 2")
    assert np.isnan(X.flux[0, X.chip == 1]).all()
    with pytest.raises(ReadError, match=f"{DR4}2.fits"):
        read_galah(tmp_path, on_error="raise")


def test_dr3_without_normalised_flux(write, tmp_path):
    write.galah_dr3(tmp_path, DR3, hdu4=False)
    X, report = read_galah(tmp_path)
    assert len(X) == 0
    assert X.shape == (0, 16384)
    assert report["status"][0] == "refused"
    assert report["format"][0] == "GALAH DR3"
    assert "no normalised flux (HDU4)" in report["reason"][0]
    assert report["id"][0] == str(DR3)


def test_dr4_without_velocity(write, tmp_path):
    write.galah_dr4(tmp_path, DR4, RVCOM=None)
    write.galah_dr4(tmp_path, DR4 + 1, RVCOM="None")
    write.galah_dr4(tmp_path, DR4 + 2, rv=9_999.0)
    with pytest.warns(ReadWarning, match=r"nothing was read: 2 of 3 .*RVCOM"):
        X, report = read_galah(tmp_path)
    assert len(X) == 0
    assert all("RVCOM" in reason for reason in report["reason"])


def test_a_velocity_of_one_ccd_serves_the_others(write, tmp_path):
    write.galah_dr4(tmp_path, DR4, rv=50.0, ccds=(1, 2, 3))
    write.galah_dr4(tmp_path, DR4, rv=50.0, ccds=(4,), RVCOM="None")
    X, report = read_galah(tmp_path)
    assert report["status"][0] == "read"
    assert centroid(X, 0, write.line_centre(4)) == pytest.approx(0, abs=0.02)


def test_velocities_that_disagree(write, tmp_path):
    write.galah_dr4(tmp_path, DR4, rv=50.0, ccds=(1, 2, 3))
    write.galah_dr4(tmp_path, DR4, rv=50.0, ccds=(4,), RVCOM=-900.0)
    X, report = read_galah(tmp_path)
    assert report["status"][0] == "partial"
    assert "RVCOM differs" in report["reason"][0]
    assert X.meta["rv_com"][0] == 50


@pytest.mark.parametrize("survey", ["galah_dr3", "galah_dr4"])
@pytest.mark.parametrize("card", ["CRVAL1", "CDELT1"])
@pytest.mark.parametrize("hdu", [0, -1])
def test_wavelengths_that_disagree(write, tmp_path, survey, card, hdu):
    """A wrong digit of a wavelength is noticed: another part says it too."""
    from astropy.io import fits

    (path,) = getattr(write, survey)(tmp_path, DR4, ccds=[3])
    hdu = hdu if hdu == 0 or survey == "galah_dr3" else 1
    with fits.open(path, mode="update") as hdus:
        hdus[hdu].header[card] *= 1 + (1e-5 if card == "CRVAL1" else 1e-3)
    X, report = read_galah(path)
    assert len(X) == 0
    assert "disagree about their wavelengths" in report["reason"][0]


def test_names_that_lie(write, tmp_path):
    one, two = write.galah_dr4(tmp_path, DR4, ccds=(1, 2))
    shutil.copy(one, tmp_path / f"{DR4}3.fits")
    _, report = read_galah(tmp_path)
    assert "name says CCD 3, its wavelengths CCD 1" in report["reason"][0]
    other = tmp_path / "renamed.fits"
    shutil.copy(two, other)
    X, report = read_galah(other)
    assert report["status"][0] == "partial"
    assert list(X.ids) == ["renamed.fits"]
    assert X.valid()[0, X.chip == 1].mean() > 0.98


def test_copies_in_two_folders_are_two_spectra(write, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write.galah_dr4(tmp_path / name, DR4)
    X, report = read_galah(tmp_path)
    assert len(X) == 2
    assert list(report["status"]) == ["read", "read"]
    files = sorted((tmp_path / "a").iterdir())
    shutil.copy(files[0], tmp_path / "a" / f"{DR4}1.fit")
    assert "second file of CCD 1" in read_galah(tmp_path / "a")[1]["reason"][0]


# -------------------------------------------------------------------------- selection
def test_ids_select(write, tmp_path):
    for i in range(3):
        write.galah_dr4(tmp_path, DR4 + i)
    X, report = read_galah(tmp_path, ids=[DR4 + 2, str(DR4), 999])
    assert list(X.meta["sobject_id"]) == [DR4 + 2, DR4]
    assert list(report["status"]) == ["read", "read", "refused"]
    assert "no file of this sobject_id" in report["reason"][2]


def test_other_formats_are_named(write, tmp_path):
    files = {
        "aspcapStar": write.aspcapstar(tmp_path / "2M00000000+0000001.fits"),
        "apStar": write.apstar(tmp_path / "b.fits"),
        "npz": write.pixels_npz(tmp_path / "p.npz"),
    }
    with pytest.warns(ReadWarning, match="looks like"):
        X, report = read_galah(list(files.values()))
    assert len(X) == 0
    assert list(report["format"]) == list(files)
    assert "use read_apogee" in report["reason"][0]
    assert "use read_apogee" in report["reason"][2]


def test_one_bad_star_among_others(write, tmp_path):
    for i in range(3):
        write.galah_dr4(tmp_path, DR4 + i)
    for ccd in (1, 2, 3, 4):
        (tmp_path / f"{DR4 + 1}{ccd}.fits").write_bytes(b"")
    X, report = read_galah(tmp_path)
    assert list(report["status"]) == ["read", "refused", "read"]
    assert "empty" in report["reason"][1]
    assert list(X.meta["sobject_id"]) == [DR4, DR4 + 2]
    with pytest.raises(ReadError, match="empty"):
        read_galah(tmp_path, on_error="raise")


# ------------------------------------------------------------------------- real files
@pytest.fixture(scope="module")
def real(shared):
    return read_galah([shared / "real" / "galah_dr3", shared / "real" / "galah_dr4"])


def test_real_stars(real):
    X, report = real
    assert list(report["status"]) == ["read"] * 7 + ["refused"]
    assert "table" in report["reason"][-1]  # dr6.0.fits, the reduction's catalogue
    assert list(X.meta["release"]) == ["DR3"] + ["DR4"] * 6
    assert list(X.ids)[:2] == ["131216002601003", "2M05505952+0759226"]
    assert X.meta["object"][-1] == "Vesta/Sun"
    assert X.meta["rv_com"][-1] == pytest.approx(-21.3799, abs=1e-3)
    assert ((X.resolution[1:] > 19_000) & (X.resolution[1:] < 24_500)).all()
    assert X.valid().mean(axis=1).min() > 0.95
    assert np.nanmax(X.flux) < 2.6


def test_the_spike_of_mu_leo_is_masked(real):
    X, _ = real
    spike = np.abs(X.wave - 7835.05) < 0.2
    assert np.isnan(X.flux[0, spike]).all()
    assert np.isfinite(X.flux[0, np.abs(X.wave - 7837) < 1]).all()


@pytest.mark.parametrize(
    ("sobject_id", "labels", "tolerance"),
    [
        (210115002201239, (5777, 4.44, 0.0), 0.3),
        (131216002601003, (4540, 2.4, 0.3), 1.0),
    ],
    ids=["Sun", "mu Leo"],
)
def test_real_stars_are_at_rest(real, shared, sobject_id, labels, tolerance):
    X, _ = real
    row = list(X.meta["sobject_id"]).index(sobject_id)
    with np.load(shared / "lte" / "pairs_dev.npz") as pairs:
        stars = pairs["labels"]
        distance = sum(
            ((stars[name] - value) / scale) ** 2
            for name, value, scale in zip(
                ("teff", "logg", "feh"), labels, (100, 0.1, 0.1)
            )
        )
        coef = pairs["coef"][np.argsort(distance)[:10]].mean(axis=0)
        template = pairs["mean"][7514:] + coef @ pairs["basis"][:, 7514:].astype("f4")
        wave = pairs["y_wave_air"]
    left_out = (  # cores of the Balmer lines, oxygen of our own atmosphere
        (np.abs(X.wave - 6562.8) < 5)
        | (np.abs(X.wave - 4861.3) < 4)
        | ((X.wave > 7580) & (X.wave < 7700))
    )
    for ccd in range(4):
        use = X.valid()[row] & (X.chip == ccd) & ~left_out
        velocity = shift_against(X.flux[row, use], X.wave[use], template, wave)
        assert abs(velocity) < tolerance, f"CCD{ccd + 1}: {velocity:.2f} km/s"


def shift_against(flux, wave, template, template_wave):
    """Velocity (km/s) at which the template, times a straight line, fits best."""
    velocity = np.arange(-8, 8.01, 0.25)
    chi2 = []
    for v in velocity:
        model = np.interp(wave, template_wave * (1 + v / C), template)
        terms = np.stack([model, model * (wave - wave.mean()) / 100], axis=1)
        factors = np.linalg.lstsq(terms, flux, rcond=None)[0]
        chi2.append(np.sum((flux - terms @ factors) ** 2))
    near = slice(max(np.argmin(chi2) - 3, 0), np.argmin(chi2) + 4)
    a, b, _ = np.polyfit(velocity[near], chi2[near], 2)
    return -b / (2 * a)


def test_resampling_loses_nothing_on_real_lines(real, shared):
    """Equivalent widths on the stated grid are those on the star's own pixels."""
    from astropy.io import fits

    X, _ = real
    for row, name, hdu in ((-1, "2101150022012393", 1), (0, "1312160026010033", 4)):
        folder = "galah_dr4" if hdu == 1 else "galah_dr3"
        with fits.open(shared / "real" / folder / f"{name}.fits") as hdus:
            header = hdus[hdu].header
            own = header["CRVAL1"] + header["CDELT1"] * np.arange(4096)
            own /= 1 + hdus[0].header.get("RVCOM", 0) / C
            flux = hdus[hdu].data.astype(float)
        lo, hi = 6490.0, 6500.0  # Ca, Ba and Fe lines
        coarse = np.array([lo - 10, (lo + hi) / 2, hi + 10])
        on_grid, _ = resample(X.flux[row], X.wave, coarse)
        on_own, _ = resample(flux, own, coarse)
        assert on_grid[1] == pytest.approx(on_own[1], abs=2e-5)
