"""read_apogee on mwmStar files of SDSS-V: the combined spectra of two telescopes."""

import numpy as np
import pytest

from specxfer.io import apogee_wave, read_apogee


def test_two_telescopes(write, tmp_path):
    path = write.mwmstar(tmp_path / "a.fits", obj="2M12345678-1234567")
    X, report = read_apogee(path)
    assert list(X.ids) == ["2M12345678-1234567"] * 2
    assert list(X.meta["telescope"]) == ["apo25m", "lco25m"]
    assert list(report["format"]) == ["mwmStar"] * 2
    assert list(report["status"]) == ["read"] * 2
    assert list(report["n_good"]) == [7514] * 2
    flux, on_chip = write.apogee_flux()
    np.testing.assert_array_equal(X.valid()[1], on_chip)
    np.testing.assert_allclose(X.flux[1, on_chip], flux[on_chip], atol=0.01)
    signal = (X.flux * np.sqrt(X.ivar))[:, on_chip]
    np.testing.assert_allclose(signal, 100, rtol=1e-4)


@pytest.mark.parametrize(
    ("n_rows", "telescopes"),
    [((1, 0), ["apo25m"]), ((0, 1), ["lco25m"]), ((2, 0), ["apo25m"] * 2)],
)
def test_rows_that_are_there(write, tmp_path, n_rows, telescopes):
    X, report = read_apogee(write.mwmstar(tmp_path / "a.fits", n_rows))
    assert list(X.meta["telescope"]) == telescopes
    assert len(report) == len(telescopes)


def test_labels(write, tmp_path):
    X, _ = read_apogee(write.mwmstar(tmp_path / "a.fits"))
    meta = dict(zip(X.meta.colnames, X.meta[0]))
    expected = {
        "survey": "APOGEE",
        "release": "SDSS5",
        "row": "combined",
        "n_visits": 3,
        "mjd": -1,
        "fiber": -1,
        "snr": 120,
        "rv_com": -12.5,
        "rv_scatter": 0.125,
        "starflag": 512,
        "normalised_by": "specxfer",
    }
    for name, value in expected.items():
        assert meta[name] == value, name
    assert X.resolution.tolist() == [[22_500] * 3] * 2


def test_a_star_without_a_2mass_name(write, tmp_path):
    X, _ = read_apogee(write.mwmstar(tmp_path / "a.fits", obj=""))
    assert list(X.ids) == ["54392544"] * 2


@pytest.mark.parametrize(
    ("gaia", "found"),
    [
        (3335074476514836608, "3335074476514836608"),  # every digit
        ("3335074476514836609", "3335074476514836609"),
        (None, ""),
        (-1, ""),
        (0, ""),
        (-9999, ""),
        (3.3e18, ""),  # rounded: that of another star
    ],
)
def test_other_identifiers(write, tmp_path, gaia, found):
    X, _ = read_apogee(write.mwmstar(tmp_path / "a.fits", gaia=gaia, sdss_id=7))
    assert list(X.meta["gaia_id"]) == [found] * 2
    assert list(X.meta["sdss_id"]) == [7] * 2
    assert list(X.ids) == ["2M00000000+0000001"] * 2


def test_files_without_them(write, tmp_path):
    X, _ = read_apogee(write.aspcapstar(tmp_path / "a.fits"))
    assert list(X.meta["gaia_id"]) == [""]
    assert list(X.meta["sdss_id"]) == [-1]


def test_masks(write, tmp_path):
    def mark(hdus):
        flags = hdus[3].data["pixel_flags"]
        flags[0, 1000:1017] = 2.0 ** np.arange(17)
        flags[0, 1100], flags[0, 1101] = np.nan, 0.5
        hdus[3].data["ivar"][0, 1200:1204] = 0, np.nan, 1e-20, -1

    X, _ = read_apogee(write.mwmstar(tmp_path / "a.fits", edit=mark))
    bad = np.flatnonzero(~X.valid()[0] & X.valid()[1])
    expected = [*range(1000, 1008), 1012, 1014, 1100, 1101, *range(1200, 1204)]
    assert bad.tolist() == expected


def no_spectrum(hdus):
    hdus[3:5] = [hdus[2], hdus[2]]


def other_wavelengths(hdus):
    hdus[3].data["wavelength"] = apogee_wave() * 1.00001


def other_grid(hdus):
    hdus[4].header["CRVAL"] = 4.18


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (no_spectrum, "no APOGEE spectrum, only optical"),
        (other_wavelengths, "another grid"),
        (other_grid, "expected 4.179"),
    ],
)
def test_refused(write, tmp_path, edit, reason):
    X, report = read_apogee(write.mwmstar(tmp_path / "a.fits", edit=edit))
    assert len(X) == 0
    assert len(report) == 1
    assert report["status"][0] == "refused"
    assert reason in report["reason"][0]
