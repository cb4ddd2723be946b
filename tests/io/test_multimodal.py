"""read_multimodal, on files laid out as the MultimodalUniverse's builder does."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from specxfer.io import ReadError, apogee_wave, galah_wave, read_apogee, read_galah
from specxfer.io import read_multimodal as read

pytest.importorskip("h5py")
C = 299_792.458  # km/s


def centre(X, row, line):
    """Centre of the line at `line` Å, in km/s from it."""
    near = np.abs(X.wave - line) < 0.6
    depth = 1 - X.flux[row, near].astype(float)
    return (np.sum(depth * X.wave[near]) / depth.sum() / line - 1) * C


# ---------------------------------------------------------------------------- GALAH
@pytest.mark.parametrize("rv", [-120.0, 0.0, 45.0])
def test_a_line_comes_out_where_it_was(write, tmp_path, rv):
    path = write.mmu_galah(tmp_path / "001-of-001.hdf5", rv=rv)
    X, report = read(path, "galah")
    assert X.shape == (2, 16384)
    assert X.medium == "air"
    assert list(report["status"]) == ["read"] * 2
    uncorrected, _ = read(path, "galah", pixels_off=0)
    for ccd in (1, 2, 3, 4):
        line = write.line_centre(ccd)
        assert centre(X, 0, line) == pytest.approx(0, abs=0.02)
        # two pixels, as the builder has it
        assert 5.6 < centre(uncorrected, 0, line) < 5.9
    np.testing.assert_allclose(X.meta["rv_com"], rv, atol=0.01)


def test_the_same_star_from_the_surveys_own_files(write, tmp_path):
    write.galah_dr3(tmp_path, 131216002601003, rv=-20.0)
    own, _ = read_galah(tmp_path)
    X, _ = read(write.mmu_galah(tmp_path / "a.hdf5", n=1, rv=-20.0), "galah")
    np.testing.assert_array_equal(X.valid(), own.valid())
    good = own.valid()
    # single precision: 0.0002 Å, on the steepest flank 2 a Å
    np.testing.assert_allclose(X.flux[good], own.flux[good], atol=1e-5)
    np.testing.assert_allclose(X.ivar[good], own.ivar[good], rtol=2e-3)
    assert list(X.ids) == list(own.ids) == ["131216002601003"]
    assert X.meta["sobject_id"][0] == 131216002601003
    assert X.meta["release"][0] == own.meta["release"][0] == "DR3"
    assert X.meta["rv_com"][0] == pytest.approx(own.meta["rv_com"][0], abs=0.01)


def test_the_last_pixel_of_a_ccd_belongs_to_it(write, tmp_path):
    """Ends are inclusive; a line at the very end keeps all its pixels."""
    path = write.mmu_galah(tmp_path / "a.hdf5", n=1, rv=0.0)
    wave = 4713.50 + 0.04595 * np.arange(4096)
    X, report = read(path, "galah", wave=wave)
    assert report["n_good"][0] == 4096
    np.testing.assert_allclose(X.ivar[0], 1e4, rtol=1e-3)


def test_padding_and_missing_ccds(write, tmp_path):
    path = write.mmu_galah(tmp_path / "a.hdf5", ccds=(1, 3))
    X, report = read(path, "galah")
    assert list(report["status"]) == ["partial"] * 2
    assert report["reason"][0] == "no CCD 2, 4"
    assert not X.valid()[:, (X.chip == 1) | (X.chip == 3)].any()
    assert centre(X, 1, write.line_centre(3)) == pytest.approx(0, abs=0.02)


def test_infinite_and_impossible_noise(write, tmp_path):
    def spoil(ivar):
        ivar[0, 10:14] = np.inf, 0, np.nan, -4
        return ivar

    def dark(flux):
        flux[0, 20] = 0
        return flux

    def infinite(ivar):
        ivar = spoil(ivar)
        ivar[0, 20] = np.inf  # of a flux of 0
        return ivar

    path = write.mmu_galah(
        tmp_path / "a.hdf5",
        rv=0.0,
        spectrum_norm_ivar=infinite,
        spectrum_norm_flux=dark,
    )
    wave = 4713.50 + 0.04595 * np.arange(4096)
    X, _ = read(path, "galah", wave=wave)
    bad = np.flatnonzero(~X.valid()[0])
    np.testing.assert_array_equal(bad, [10, 11, 12, 13, 20])
    assert X.valid()[1].all()
    assert np.isfinite(X.ivar).all()


def test_labels_of_galah(write, tmp_path):
    X, _ = read(write.mmu_galah(tmp_path / "a.hdf5"), "galah", columns=["Li_fe"])
    meta = X.meta
    assert list(meta["teff"]) == [4540] * 2
    assert np.isnan(meta["alpha_fe"]).all()
    assert list(meta["flag_sp"]) == [0, 0]
    assert list(meta["ra"]) == [10, 20]
    assert list(meta["rv_error"]) == [0.1] * 2
    assert list(meta["li_fe"]) == [0, 1]
    np.testing.assert_array_equal(meta["snr_ccd"], [[30, 60, 90, 120]] * 2)
    assert list(meta["snr"]) == [75, 75]
    assert np.isnan(X.resolution).all()
    assert X.resolution.shape == (2, 4)
    assert set(meta["tmass_id"]) == {""}


def test_a_wrong_wavelength_is_a_refusal(write, tmp_path):
    def bend(wave):
        wave[0, 5000] += 0.01
        return wave

    path = write.mmu_galah(tmp_path / "a.hdf5", spectrum_norm_lambda=bend)
    X, report = read(path, "galah")
    assert list(report["status"]) == ["refused", "read"]
    assert "row 0: the wavelengths of its band G are not evenly" in report["reason"][0]
    assert report["id"][0] == "131216002601003"
    path = write.mmu_galah(
        tmp_path / "a.hdf5", spectrum_I_ind_end=lambda end: end - 3000
    )
    assert "those of no HERMES CCD" in read(path, "galah")[1]["reason"][0]
    path = write.mmu_galah(
        tmp_path / "a.hdf5", ccds=(1, 2, 3), spectrum_I_ind_end=lambda end: end + 4096
    )
    assert "not all there" in read(path, "galah")[1]["reason"][0]
    assert len(X) == 1


# --------------------------------------------------------------------------- APOGEE
def test_apogee(write, tmp_path):
    X, report = read(write.mmu_apogee(tmp_path / "001-of-001.hdf5"), "apogee")
    flux, on_chip = write.apogee_flux()
    assert list(report["status"]) == ["read"] * 2
    np.testing.assert_array_equal(X.wave, apogee_wave())
    assert X.medium == "vacuum"
    np.testing.assert_array_equal(X.flux[1, on_chip], flux[on_chip])
    np.testing.assert_allclose(X.ivar[1, on_chip], 1e4, rtol=1e-5)
    assert not X.valid()[:, ~on_chip].any()
    assert list(X.ids) == ["2M00000000+0000001", "2M00000001+0000001"]
    assert (X.resolution == 22_500).all()


def test_apogee_is_as_of_the_aspcapstar_file(write, tmp_path):
    own, _ = read_apogee(
        write.aspcapstar(tmp_path / "a.fits", obj="2M00000000+0000001")
    )
    X, _ = read(write.mmu_apogee(tmp_path / "a.hdf5", n=1), "apogee")
    np.testing.assert_array_equal(X.flux, own.flux)
    np.testing.assert_allclose(X.ivar, own.ivar, rtol=1e-6)
    np.testing.assert_array_equal(X.wave, own.wave)
    assert list(X.ids) == list(own.ids)
    for name in ("snr", "rv_com", "n_visits", "starflag"):
        assert X.meta[name][0] == own.meta[name][0]


def test_bad_pixels_of_apogee(write, tmp_path):
    def flux(flux):
        flux[0, 100] = 0
        flux[0, 300] = np.nan
        return flux

    def ivar(ivar):
        ivar[0, [100, 200, 201, 202]] = np.inf, 0, 1e-20, 0.5
        return ivar

    def mask(mask):
        mask[0, 400] = True
        return mask

    path = write.mmu_apogee(
        tmp_path / "a.hdf5",
        spectrum_pseudo_continuum_flux=flux,
        spectrum_pseudo_continuum_ivar=ivar,
        spectrum_mask=mask,
    )
    on_chip = write.apogee_flux()[1]
    bad = [100, 200, 201, 202, 300]
    good = read(path, "apogee")[0].valid()[:, on_chip]
    np.testing.assert_array_equal(np.flatnonzero(~good[0]), bad)
    good = read(path, "apogee", use_mask=True)[0].valid()[:, on_chip]
    np.testing.assert_array_equal(np.flatnonzero(~good[0]), [*bad, 400])
    assert good[1].all()


def test_labels_of_apogee(write, tmp_path):
    path = write.mmu_apogee(tmp_path / "a.hdf5")
    meta = read(path, "apogee", columns=("HEALPIX", "apogee_id"))[0].meta
    assert list(meta["teff"]) == [4500] * 2
    assert np.isnan(meta["alpha_fe"]).all()  # -9999.99
    assert list(meta["aspcapflag"]) == [-1, -1]  # not there
    assert list(meta["healpix"]) == [7, 7]
    assert meta["apogee_id"][1] == "2M00000001+0000001"
    assert set(meta["release"]) == {"DR17"}


def test_another_grid_is_refused(write, tmp_path):
    path = write.mmu_apogee(
        tmp_path / "a.hdf5", spectrum_lambda=lambda wave: wave * 1.0001
    )
    X, report = read(path, "apogee")
    assert len(X) == 0
    assert "are not those of APOGEE" in report["reason"][0]


# -------------------------------------------------------------------------- many files
def test_blocks_and_files_in_order(write, tmp_path, monkeypatch):
    monkeypatch.setattr("specxfer.io._multimodal.BLOCK", 3)
    for pixel, n in ((5, 7), (9, 1), (7, 4)):
        (tmp_path / f"healpix={pixel}").mkdir()
        write.mmu_galah(
            tmp_path / f"healpix={pixel}" / "001-of-001.hdf5",
            n=n,
            object_id=lambda ids, pixel=pixel: ids + 1000 * pixel,
        )
    X, report = read(tmp_path, "galah")
    assert len(X) == len(report) == 12
    ids = X.meta["sobject_id"] - 131216002601003
    assert list(ids) == [*range(5000, 5007), *range(7000, 7004), 9000]
    several, _ = read(tmp_path, "galah", n_jobs=2)
    np.testing.assert_array_equal(several.flux, X.flux)
    some, _ = read(str(tmp_path / "healpix=[57]" / "*.hdf5"), "galah")
    assert len(some) == 11


def test_one_bad_file_is_reported(write, tmp_path):
    write.mmu_galah(tmp_path / "a.hdf5")
    (tmp_path / "b.hdf5").write_bytes((tmp_path / "a.hdf5").read_bytes()[:50_000])
    write.mmu_apogee(tmp_path / "c.hdf5")
    (tmp_path / "d.hdf5").write_bytes(b"")
    (tmp_path / "e.hdf5").write_bytes(b"SIMPLE  =")
    X, report = read(tmp_path, "galah")
    assert len(X) == 2
    assert list(report["status"]) == ["read"] * 2 + ["refused"] * 4
    reasons = list(report["reason"])
    assert "damaged or truncated" in reasons[2]
    assert "spectra of APOGEE; expected the spectra of GALAH" in reasons[3]
    assert "empty" in reasons[4]
    assert "no HDF5 file" in reasons[5]
    with pytest.raises(ReadError, match="damaged or truncated"):
        read(tmp_path, "galah", on_error="raise")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"object_id": None}, "no object_id"),
        ({"spectrum_norm_flux": None}, "expected the spectra of GALAH"),
        ({"spectrum_norm_ivar": lambda a: a[:, :100]}, "have shapes"),
        ({"spectrum_norm_ivar": lambda a: a.astype("S8")}, "expected numbers"),
        ({"object_id": lambda a: a[:1]}, "but object_id has shape"),
        ({"object_id": lambda a: a.astype("S15").astype(object)}, "no object_id"),
        ({"spectrum_norm_flux": lambda a: a * np.nan}, "no good pixel"),
        ({"spectrum_B_ind_start": None}, "no CCD 1"),
    ],
)
def test_files_that_lack_something(write, tmp_path, changes, reason):
    path = write.mmu_galah(tmp_path / "a.hdf5", **changes)
    _, report = read(path, "galah")
    assert reason in report["reason"][0]
    assert report["status"][0] == ("partial" if "CCD" in reason else "refused")


def test_a_file_of_no_rows_is_reported(write, tmp_path):
    X, report = read(write.mmu_galah(tmp_path / "a.hdf5", n=0), "galah")
    assert len(X) == 0
    assert "no rows" in report["reason"][0]


# --------------------------------------------------------------------------- arguments
@pytest.mark.parametrize(
    ("survey", "options", "message"),
    [
        ("gaia", {}, "expected 'apogee' or 'galah'"),
        ("apogee", {"wave": galah_wave()}, "share one grid"),
        ("galah", {"wave": [2.0, 1.0]}, "wave must be"),
        ("galah", {"columns": ["nonsense"]}, "no file has a column 'nonsense'"),
        ("galah", {"columns": ["spectrum_flux"]}, "no file has a column"),
        ("galah", {"on_error": "ignore"}, "on_error"),
    ],
)
def test_arguments(write, tmp_path, survey, options, message):
    path = write.mmu_galah(tmp_path / "a.hdf5")
    with pytest.raises(ValueError, match=message):
        read(path, survey, **options)


def test_without_h5py(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install"):
        read(tmp_path, "galah")


def test_reading_fits_needs_no_h5py():
    code = "import specxfer.io, sys; print('h5py' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


# ------------------------------------------------------------------------- real pixels
def test_a_real_star_by_the_builders_formula(write, shared, tmp_path):
    """mu Leo, put into HDF5 as the builder would, is mu Leo as we read it."""
    folder = shared / "real" / "galah_dr3"
    own, _ = read_galah(folder)
    parts = {name: [] for name in ("lambda", "norm_lambda", "norm_flux", "norm_ivar")}
    for ccd in (1, 2, 3, 4):
        with fits.open(folder / f"131216002601003{ccd}.fits") as hdus:
            for name, header in (
                ("lambda", hdus[0].header),
                ("norm_lambda", hdus[4].header),
            ):
                built = np.arange(4096) + header["CRPIX1"] + 1
                parts[name].append(built * header["CDELT1"] + header["CRVAL1"])
            flux, sigma = (hdus[i].data.astype(float) for i in (4, 1))
            parts["norm_flux"].append(flux)
            with np.errstate(divide="ignore"):
                parts["norm_ivar"].append(1 / (flux * sigma) ** 2)
    built = {
        f"spectrum_{name}": np.concatenate(p)[None].astype("f4")
        for name, p in parts.items()
    }
    X, report = read(write.mmu_galah(tmp_path / "a.hdf5", n=1, **built), "galah")
    assert list(report["status"]) == ["read"]
    both = X.valid() & own.valid()
    assert both.sum() > 0.999 * own.valid().sum()
    error = own.ivar[both] ** -0.5
    assert np.abs((X.flux[both] - own.flux[both]) / error).max() < 0.05
    assert X.meta["rv_com"][0] == pytest.approx(own.meta["rv_com"][0], abs=0.02)
