"""read_apogee and apogee_from_pixels."""

import numpy as np
import pytest

from specxfer.io import (
    ReadError,
    ReadWarning,
    apogee_chips,
    apogee_from_pixels,
    apogee_wave,
    read_apogee,
)


def on_chips(release="DR17"):
    return np.concatenate([np.arange(*chip) for chip in apogee_chips(release)])


# ---------------------------------------------------------------------- aspcapStar
def test_aspcapstar(write, tmp_path):
    path = write.aspcapstar(tmp_path / "anything.fits", obj="2M12345678-1234567")
    X, report = read_apogee(path)
    flux, on_chip = write.apogee_flux()
    assert X.shape == (1, 8575)
    assert X.dtype == np.dtype("=f4")
    assert X.ivar.dtype == np.dtype("=f4")
    assert X.medium == "vacuum"
    np.testing.assert_array_equal(X.wave, apogee_wave())
    np.testing.assert_array_equal(X.flux[0, on_chip], flux[on_chip])
    np.testing.assert_allclose(X.ivar[0, on_chip], 1e4, rtol=1e-5)
    assert np.isnan(X.flux[0, ~on_chip]).all()
    assert (X.ivar[0, ~on_chip] == 0).all()
    assert list(X.ids) == ["2M12345678-1234567"]
    assert X.resolution.tolist() == [[22_500] * 3]
    assert dict(zip(report.colnames, report[0])) == {
        "file": str(path),
        "id": "2M12345678-1234567",
        "format": "aspcapStar",
        "status": "read",
        "reason": "",
        "n_good": 7514,
    }


def test_aspcapstar_labels(write, tmp_path):
    meta = read_apogee(write.aspcapstar(tmp_path / "a.fits"))[0].meta[0]
    assert meta["snr"] == 120.5
    assert meta["rv_com"] == -42.5
    assert meta["n_visits"] == 3
    assert meta["release"] == "DR13"
    assert meta["starflag"] == 512
    assert meta["aspcapflag"] == 2**31
    assert [meta[k] for k in ("teff", "logg", "fe_h", "alpha_fe")] == pytest.approx(
        [4500, 2.1, -0.3, 0.15]
    )


def test_bad_pixels_of_aspcapstar(write, tmp_path):
    flux, on_chip = write.apogee_flux()
    error = np.where(on_chip, 0.01, 0).astype("f4")
    flux[1000] = 0
    error[1001] = 0
    error[1002] = 1.01
    error[1003] = np.nan
    flux[1004] = np.nan
    error[1005] = 0.001
    flux[1100] = 3.0
    flux[1200] = -0.5
    flux[3400] = error[3400] = 0.5  # in a gap
    X, report = read_apogee(
        write.aspcapstar(tmp_path / "a.fits", flux=flux, error=error)
    )
    expected = [1000, 1001, 1002, 1003, 1004, *range(1097, 1104), 1200]
    bad = np.flatnonzero(~X.valid()[0] & on_chip)
    np.testing.assert_array_equal(bad, expected)
    assert np.isnan(X.flux[0, bad]).all()
    assert (X.ivar[0, bad] == 0).all()
    assert not X.valid()[0, 3400]
    assert X.ivar[0, 1005] == pytest.approx(1 / 0.005**2)  # the floor
    assert report["n_good"][0] == 7514 - len(expected)


def test_rules_can_be_changed(write, tmp_path):
    flux, on_chip = write.apogee_flux()
    flux[1100] = 3.0
    error = np.where(on_chip, 0.002, 0)
    path = write.aspcapstar(tmp_path / "a.fits", flux=flux, error=error)
    X, _ = read_apogee(path, max_flux=None, error_floor=0.0)
    assert X.flux[0, 1100] == 3
    assert X.ivar[0, 1100] == pytest.approx(1 / 0.002**2)
    X, report = read_apogee(path, max_error=0.001)
    assert len(X) == 0
    assert "no good pixel" in report["reason"][0]


def test_no_table_is_partial(write, tmp_path):
    X, report = read_apogee(write.aspcapstar(tmp_path / "a.fits", table=False))
    assert report["status"][0] == "partial"
    assert "no table" in report["reason"][0]
    assert X.ids[0] == "2M00000000+0000001"
    assert np.isnan(X.meta["teff"][0])
    assert X.meta["starflag"][0] == -1


# ------------------------------------------------------------------- pixels on chips
@pytest.mark.parametrize(("n_pixels", "release"), [(7514, "DR14"), (7214, "DR12")])
def test_pixels_npz(write, tmp_path, n_pixels, release):
    X, report = read_apogee(write.pixels_npz(tmp_path / "s.npz", n_pixels=n_pixels))
    good = np.zeros(8575, bool)
    good[on_chips(release)] = True
    np.testing.assert_array_equal(X.valid()[0], good)
    np.testing.assert_allclose(X.flux[0, good], 0.9, rtol=1e-6)
    assert list(report["format"]) == ["APOGEE pixels"]
    assert X.ids[0] == "s"


def test_mask_bits(write, tmp_path):
    mask = np.zeros(7514, np.uint16)
    mask[:17] = [*(1 << np.arange(16)), 0b11]
    path = write.pixels_npz(tmp_path / "s.npz", pixel_or_mask=mask)
    good = read_apogee(path)[0].valid()[0, on_chips()]
    np.testing.assert_array_equal(np.flatnonzero(~good), [*range(8), 14, 16])


def test_npz_with_inverse_variance_and_good_pixels(tmp_path):
    good = np.ones(7514, bool)
    good[5] = False
    ivar = np.full(7514, 400.0)
    ivar[6] = 0
    path = tmp_path / "2M12345678+1234567.npz"
    np.savez(path, flux=np.ones(7514), ivar=ivar, good_pixel_mask=good)
    X, _ = read_apogee(path)
    assert X.ids[0] == "2M12345678+1234567"
    np.testing.assert_array_equal(np.flatnonzero(~X.valid()[0, on_chips()]), [5, 6])
    assert X.ivar[0, 246] == pytest.approx(400)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"a": np.ones(3)}, "archive of a; expected"),
        ({"flux": np.ones(7514)}, "expected normalized_flux, and"),
        ({"flux": np.ones(50), "ivar": np.ones(50)}, "50 pixels; expected 7514"),
        ({"flux": np.ones(7514), "ivar": np.ones(7513)}, "shapes"),
        ({"flux": np.ones((2, 7514)), "ivar": np.ones((2, 7514))}, "from_pixels"),
        ({"flux": np.full(7514, "a"), "ivar": np.ones(7514)}, "no real numbers"),
        ({"flux": np.array([{}] * 7514), "ivar": np.ones(7514)}, "damaged npz"),
    ],
)
def test_npz_refused(tmp_path, arrays, reason):
    np.savez(tmp_path / "s.npz", **arrays)
    X, report = read_apogee(tmp_path / "s.npz")
    assert len(X) == 0
    assert report["status"][0] == "refused"
    assert reason in report["reason"][0]


def test_from_pixels(rng):
    flux = rng.uniform(0.5, 1, (3, 7514)).astype(">f4")
    mask = np.zeros((3, 7514), np.int16)
    mask[1, 7] = 1 << 14
    X = apogee_from_pixels(flux, np.full(flux.shape, 400.0), mask=mask, ids=list("abc"))
    assert X.shape == (3, 8575)
    assert X.dtype == np.dtype("=f4")
    good = X.valid()
    assert good.sum() == 3 * 7514 - 1
    assert not good[1, on_chips()[7]]
    np.testing.assert_array_equal(X.flux[0, on_chips()], flux[0])
    np.testing.assert_allclose(X.ivar[0, on_chips()], 400, rtol=1e-5)
    assert list(X.ids) == ["a", "b", "c"]
    again = apogee_from_pixels(flux, error=np.full(flux.shape, 0.05), mask=mask != 0)
    np.testing.assert_allclose(again.ivar, X.ivar, rtol=1e-5)
    whole = apogee_from_pixels(np.ones(8575), np.ones(8575), release="DR12")
    assert whole.valid().sum() == 7214


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flux": np.ones(7514)}, "ivar or error"),
        ({"flux": np.ones(99), "error": np.ones(99)}, "99 pixels"),
        ({"flux": np.ones(7514), "error": np.ones(7513)}, "its noise"),
        ({"flux": np.ones(7514), "ivar": -np.ones(7514)}, "negative"),
        (
            {"flux": np.ones(7514), "error": np.ones(7514), "release": "DR12"},
            "DR12 has 7214",
        ),
        (
            {"flux": np.ones(7514), "error": np.ones(7514), "mask": np.ones(7514)},
            "dtype float64",
        ),
        (
            {"flux": np.ones(7514), "error": np.ones(7514), "mask": np.ones(3, int)},
            "mask has shape",
        ),
    ],
)
def test_from_pixels_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        apogee_from_pixels(**arguments)


# -------------------------------------------------------------------------- refusals
def test_other_formats_are_named(write, tmp_path):
    files = {
        "mwmVisit": write.mwmstar(tmp_path / "a.fits", visit=True),
        "GALAH DR4": write.galah_dr4(tmp_path, 210101001001001, ccds=[1])[0],
        "GALAH DR3": write.galah_dr3(tmp_path, 131216002601003, ccds=[1])[0],
        "GALAH DR4 fit": write.galah_fit(tmp_path / "fit.fits"),
    }
    with pytest.warns(ReadWarning, match="nothing was read: 1 of 4 are refused, as a"):
        X, report = read_apogee(list(files.values()))
    assert len(X) == 0
    assert X.shape == (0, 8575)
    assert list(report["format"]) == [name.strip() for name in files]
    assert "give the mwmStar" in report["reason"][0]
    assert all("use read_galah" in reason for reason in report["reason"][1:3])


def test_one_call_reads_all_formats(write, tmp_path):
    """One star in five forms: the same rows of one `Spectra`, after their continuum."""
    obj = "2M12345678-1234567"
    paths = [
        write.aspcapstar(tmp_path / "a.fits", obj=obj),
        write.apstar(tmp_path / "b.fits", obj=obj),
        write.apvisit(tmp_path / "c.fits", obj=obj),
        write.mwmstar(tmp_path / "d.fits", obj=obj),
    ]
    flux, on_chip = write.apogee_flux()
    pixels = dict.fromkeys(["normalized_flux", "normalized_error"], flux[on_chip])
    paths.append(write.pixels_npz(tmp_path / f"{obj}.npz", **pixels))
    X, report = read_apogee(paths)
    assert set(X.ids) == {obj}
    assert list(report["format"]) == [
        *("aspcapStar", "apStar", "apVisit", "mwmStar", "mwmStar", "APOGEE pixels")
    ]
    assert X.resolution.shape == (6, 3)
    assert list(X.meta["normalised_by"] == "survey") == [True, *[False] * 4, True]
    seen = X.valid().all(axis=0)
    assert seen[on_chip].mean() > 0.98
    # a hundredth of a pixel of the continuum is all that may differ, and sampling
    assert np.ptp(X.flux[:, seen], axis=0).max() < 0.012
    assert len(X[X.ids == obj].concatenate([X[:2], X[2:]])) == 6


def test_another_grid_is_refused(write, tmp_path):
    path = write.aspcapstar(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes().replace(b"4.179", b"4.279"))
    assert "expected 4.179" in read_apogee(path)[1]["reason"][0]


def test_one_bad_file_is_reported_and_skipped(write, tmp_path):
    for i in range(4):
        write.aspcapstar(tmp_path / f"{i}.fits", obj=f"2M0000000{i}+0000000")
    (tmp_path / "2.fits").write_bytes((tmp_path / "2.fits").read_bytes()[:50_000])
    X, report = read_apogee(tmp_path)
    assert len(X) == 3
    assert list(report["status"]) == ["read", "read", "refused", "read"]
    assert "truncated" in report["reason"][2]
    read = report[report["status"] != "refused"]
    assert list(read["id"]) == list(X.ids)
    assert list(read["file"]) == list(X.meta["file"])
    with pytest.raises(ReadError, match=r"2\.fits.*truncated") as caught:
        read_apogee(tmp_path, on_error="raise")
    assert caught.value.path == str(tmp_path / "2.fits")
    assert isinstance(caught.value, ValueError)


def test_what_is_no_spectrum_file(tmp_path):
    (tmp_path / "empty.fits").write_bytes(b"")
    (tmp_path / "notes.fits").write_text("not a spectrum at all")
    (tmp_path / "folder").mkdir()
    names = ("empty.fits", "notes.fits", "folder", "none-*.fits")
    with pytest.warns(ReadWarning, match="nothing was read"):
        _, report = read_apogee([tmp_path / name for name in names])
    assert list(report["status"]) == ["refused"] * 4
    for reason, words in zip(
        report["reason"], ("empty", "no FITS file", "folder", "cannot be opened")
    ):
        assert words in reason


def test_files_patterns_and_folders(write, tmp_path):
    (tmp_path / "field" / "deep").mkdir(parents=True)
    paths = [
        write.aspcapstar(tmp_path / "a.fits"),
        write.aspcapstar(tmp_path / "field" / "b.fits"),
        write.aspcapstar(tmp_path / "field" / "deep" / "c.fits"),
    ]
    (tmp_path / "README.txt").write_text("a folder has other files too")
    for given in (
        tmp_path,
        paths,
        str(tmp_path / "**" / "*.fits"),
        [tmp_path, paths[0]],
    ):
        assert set(read_apogee(given)[1]["file"]) == set(map(str, paths))
    assert len(read_apogee(str(paths[0]))[0]) == 1


def test_nothing_to_read():
    X, report = read_apogee([])
    assert X.shape == (0, 8575)
    assert len(report) == 0


def test_unknown_on_error():
    with pytest.raises(ValueError, match="on_error is 'ignore'"):
        read_apogee([], on_error="ignore")


def test_in_parallel_and_in_order(write, tmp_path, capsys):
    for i in range(6):
        flux, _ = write.apogee_flux()
        write.aspcapstar(
            tmp_path / f"{i}.fits",
            obj=f"2M0000000{i}+0000000",
            flux=flux * (1 - i / 20),
        )
    (tmp_path / "3.fits").write_bytes(b"SIMPLE  = nonsense")
    one, report = read_apogee(tmp_path)
    two, other = read_apogee(tmp_path, n_jobs=2, verbose=1)
    assert "6/6" in capsys.readouterr().err
    np.testing.assert_array_equal(one.flux, two.flux)
    assert list(one.ids) == list(two.ids)
    assert (report == other).all()
    with pytest.raises(ReadError, match=r"3\.fits"):
        read_apogee(tmp_path, n_jobs=2, on_error="raise")


# ------------------------------------------------------------------------ real files
def test_real_aspcapstar(shared):
    X, report = read_apogee(str(shared / "real" / "apogee_dr13" / "aspcapStar*"))
    assert list(report["status"]) == ["read"] * 12
    row = list(X.ids).index("2M17334253-1654573")
    assert X.meta["snr"][row] == pytest.approx(186.493)
    assert X.meta["rv_com"][row] == pytest.approx(-72.9519)
    assert X.meta["teff"][row] == pytest.approx(3788.4, abs=0.1)
    assert np.isnan(X.meta["teff"][list(X.ids).index("2M22400144+0532162")])  # -9999
    assert {*X.meta["release"]} == {"DR13"}
    good = X.valid()
    assert good[row].sum() == 6984
    assert (good[:, on_chips()].sum(1) == report["n_good"]).all()
    assert X.ivar.max() == pytest.approx(1 / 0.005**2)
    assert 0.9 < np.nanmedian(X.flux[row]) < 1.02


def test_real_pixels(shared):
    path = shared / "real" / "apogee_dr14" / "apogee_dr14_example.npz"
    X, _ = read_apogee(path)
    with np.load(path) as archive:
        flux, error = archive["normalized_flux"], archive["normalized_error"]
        index = archive["apstar_pixel"]
        np.testing.assert_allclose(archive["wavelength_nm"] * 10, X.wave[index])
    good = X.valid()[0]
    assert np.isin(np.flatnonzero(good), index).all()
    assert 0.9 < good.sum() / 7514 < 0.98
    np.testing.assert_allclose(
        X.flux[0, index][good[index]], flux[good[index]], rtol=1e-6
    )
    np.testing.assert_allclose(
        X.ivar[0, index][good[index]], error[good[index]] ** -2.0, rtol=1e-5
    )


def test_everything_else_real_is_refused_with_a_reason(shared):
    X, report = read_apogee(shared / "real")
    refused = report["status"] == "refused"
    assert len(X) == (~refused).sum() == 13 + 6 + 1
    assert all(report["reason"][refused])
    galah = [f.startswith("GALAH DR") and "fit" not in f for f in report["format"]]
    assert sum(galah) == 28
    assert all("use read_galah" in r for r in report["reason"][galah])


def test_a_folder_of_another_survey_says_so_where_it_is_seen(write, tmp_path):
    folder = tmp_path / "a folder with a name that fills the width of a terminal"
    folder.mkdir()
    write.galah_dr4(folder, 210101001001001)
    with pytest.warns(ReadWarning, match=r"4 of 4 .* looks like GALAH DR4: use read_g"):
        _, report = read_apogee(folder)
    shown = "\n".join(report.pformat(max_width=80))
    assert "refused looks like GALAH DR4: use read_galah" in shown
