"""write_galah, read back by read_galah and by plain astropy."""

import os
import warnings

import numpy as np
import pytest
from astropy.io import fits

from specxfer import Spectra, translate
from specxfer.datasets import make_paired_spectra
from specxfer.io import galah_wave, read_galah, write_galah
from specxfer.resampling import resample

STAR = "2M12345678-1234567"
PARTS = [
    *("PRIMARY", "normalized", "relative_error", "sky", "teluric", "scattered"),
    *("cross_talk", "resolution_profile"),
]


def spectra(rng, n=3, wave=None, **parts):
    """Noisy spectra of some lines, all with different noise."""
    wave = galah_wave() if wave is None else wave
    flux = 1 - 0.4 * np.exp(-0.5 * ((wave % 20 - 10) / 0.2) ** 2)
    error = rng.uniform(0.002, 0.05, (n, wave.size))
    flux = flux + error * rng.standard_normal(error.shape)
    parts = {
        "medium": "air",
        "ids": [f"2M0000000{i}+0000001" for i in range(n)],
        "resolution": rng.uniform(20_000, 28_000, n),
        **parts,
    }
    return Spectra(
        flux.astype(np.float32), (error**-2).astype(np.float32), wave=wave, **parts
    )


def assert_same_pixels(read, written):
    """To the last bit of the flux, and the rounding of the error to its float."""
    np.testing.assert_array_equal(read.flux, written.flux)
    np.testing.assert_allclose(read.ivar, written.ivar, rtol=5e-7)


# ------------------------------------------------------------------------ round trip
def test_round_trip(rng, tmp_path):
    y = spectra(rng, resolution=rng.uniform(20_000, 28_000, (3, 4)))
    report = write_galah(y, tmp_path / "new" / "folder")
    assert list(report["status"]) == ["written"] * 3
    assert list(report["n_good"]) == [16384] * 3
    again, read_report = read_galah(tmp_path)
    assert list(read_report["status"]) == ["read"] * 3
    order = [list(again.ids).index(i) for i in y.ids]
    again = again[order]
    assert_same_pixels(again, y)
    np.testing.assert_allclose(again.resolution, y.resolution, rtol=1e-6)
    np.testing.assert_array_equal(again.meta["sobject_id"], report["sobject_id"])
    assert (again.meta["rv_com"] == 0).all()
    assert (again.meta["translated"] == 1).all()
    assert again.dtype == np.float32
    assert sorted(again.meta["file"]) == sorted(report["file"])


def test_masked_pixels_come_back_unknown(rng, tmp_path):
    y = spectra(rng, n=2)
    flux, ivar = y.flux.copy(), y.ivar.copy()
    bad = rng.random(flux.shape) < 0.1
    flux[bad] = np.nan
    ivar[rng.random(flux.shape) < 0.1] = 0  # a fill-in without weight
    y = y.replace(flux=flux, ivar=ivar)
    write_galah(y, tmp_path, sobject_ids=[210101000101001, 210101000101002])
    again, report = read_galah(tmp_path)
    known = y.valid()
    np.testing.assert_array_equal(again.valid(), known)
    np.testing.assert_array_equal(again.flux[known], flux[known])
    np.testing.assert_allclose(again.ivar[known], ivar[known], rtol=5e-7)
    assert np.isnan(again.flux[~known]).all()
    np.testing.assert_array_equal(report["n_good"], known.sum(axis=1))


def test_nothing_that_a_naive_pipeline_falls_over(rng, tmp_path):
    y = spectra(rng, n=1)
    flux = y.flux.copy()
    flux[0, ::3] = np.nan
    flux[0, 1] = 0
    flux[0, 4] = -0.01
    write_galah(y.replace(flux=flux, resolution=None), tmp_path)
    for path in tmp_path.iterdir():
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == PARTS
            for hdu in hdus:
                assert hdu.data.shape == (4096,)
                assert hdu.data.dtype == np.dtype(">f4")
                assert np.isfinite(hdu.data).all()
                assert hdu.header["CRPIX1"] == 1
            relative = hdus["relative_error"].data
            assert (relative > 0).all()
            weight = (hdus["normalized"].data * relative) ** -2.0
            unknown = np.isnan(flux[0].reshape(4, 4096)[int(path.stem[-1]) - 1])
            # unknown pixels weigh nothing beside any other
            assert weight[unknown].max() < 1e-15 * weight[~unknown].min()


def test_flux_near_nothing(rng, tmp_path):
    y = spectra(rng, n=1)
    flux = y.flux.copy()
    flux[0, :3] = 0, 1e-9, -0.01
    write_galah(y.replace(flux=flux), tmp_path)
    again, _ = read_galah(tmp_path)
    np.testing.assert_allclose(again.flux[0, :3], [0, 0, -0.01], atol=2.1e-6)
    np.testing.assert_allclose(again.ivar, y.ivar, rtol=5e-7)


@pytest.mark.parametrize("keep", [[1], [2, 4]])
def test_some_ccds(rng, tmp_path, keep):
    wave = np.concatenate([galah_wave(ccd) for ccd in keep])
    y = spectra(rng, n=1, wave=wave, resolution=rng.uniform(2e4, 3e4, (1, len(keep))))
    report = write_galah(y, tmp_path)
    assert sorted(p.stem[-1] for p in tmp_path.iterdir()) == [str(k) for k in keep]
    assert report["n_good"][0] == wave.size
    again, read_report = read_galah(tmp_path, wave=wave)
    assert_same_pixels(again, y)
    np.testing.assert_allclose(again.resolution, y.resolution, rtol=1e-6)
    assert read_report["reason"][0].startswith("no CCD")


def test_some_pixels_of_the_grid(rng, tmp_path):
    """What a window or a gap mask leaves is written to its own pixels."""
    keep = np.flatnonzero(rng.random(16384) < 0.3)
    y = spectra(rng, n=2)[:, keep]
    write_galah(y, tmp_path)
    again, _ = read_galah(tmp_path)
    again = again[[list(again.ids).index(i) for i in y.ids]]
    assert_same_pixels(again[:, keep], y)
    assert again.valid().sum() == 2 * keep.size


def test_a_ccd_without_known_pixels_has_no_file(rng, tmp_path):
    y = spectra(rng)
    ivar = y.ivar.copy()
    ivar[0, :4096] = 0
    ivar[1] = 0
    y = y.replace(ivar=ivar)
    report = write_galah(y, tmp_path)
    assert list(report["status"]) == ["written", "skipped", "written"]
    assert "no known pixel" in report["reason"][1]
    assert report["file"][0].endswith("[234].fits")
    assert len(list(tmp_path.iterdir())) == 3 + 4


def test_it_is_the_same_block_by_block(rng, tmp_path, monkeypatch):
    y = spectra(rng, n=5)
    write_galah(y, tmp_path / "whole")
    monkeypatch.setattr("specxfer.spectra.BLOCK_ELEMENTS", 2 * 16384)
    write_galah(y, tmp_path / "blocks")
    for path in (tmp_path / "whole").iterdir():
        other = tmp_path / "blocks" / path.name
        assert other.read_bytes() == path.read_bytes()


def test_a_translation_is_written(rng, tmp_path):
    from specxfer.linear import PCARidge

    X, y, _ = make_paired_spectra(60, random_state=0)
    model = PCARidge(10).fit(X, y)
    out = translate(model, X[:2])
    write_galah(out, tmp_path)
    again, _ = read_galah(tmp_path)
    again = again[[list(again.ids).index(str(i)) for i in out.ids]]
    np.testing.assert_allclose(again.meta["support"], out.meta["support"], rtol=1e-12)
    assert (again.meta["translated"] == 1).all()
    both = again.valid()
    assert both.any()
    expected, _ = resample(
        np.where(out.valid(), out.flux, np.nan), out.to_medium("air").wave, again.wave
    )
    np.testing.assert_allclose(again.flux[both], expected[both], atol=1e-6)


# ----------------------------------------------------------------------- other grids
def test_another_grid_is_resampled(rng, tmp_path):
    wave = np.arange(6480.0, 6730.0, 0.1)
    y = spectra(rng, n=1, wave=wave)
    write_galah(y, tmp_path)
    again, _ = read_galah(tmp_path)
    flux, ivar = resample(y.flux, wave, again.wave, y.ivar)
    np.testing.assert_allclose(again.flux, flux, rtol=1e-6)
    np.testing.assert_allclose(again.ivar, ivar, rtol=1e-5)


def test_vacuum_is_converted(rng, tmp_path):
    y = spectra(rng, n=1)
    write_galah(y.to_medium("vacuum"), tmp_path)
    again, _ = read_galah(tmp_path)
    assert_same_pixels(again, y)


# ----------------------------------------------------------------------------- names
def test_made_up_ids_follow_from_the_star_alone(rng, tmp_path):
    y = spectra(rng)
    first = write_galah(y, tmp_path / "a")
    second = write_galah(y[[2, 0]], tmp_path / "b")
    assert list(second["sobject_id"]) == [first["sobject_id"][i] for i in (2, 0)]
    names = [str(i) for i in first["sobject_id"]]
    assert len(set(names)) == 3
    # month 99: no night of the survey
    assert all(len(name) == 15 and name.startswith("9999") for name in names)
    repeats = write_galah(y.replace(ids=[STAR] * 3), tmp_path / "c")
    assert len(set(repeats["sobject_id"])) == 3
    assert list(read_galah(tmp_path / "c")[0].ids) == [STAR] * 3


@pytest.mark.parametrize("where", ["argument", "meta", "ids"])
def test_given_sobject_ids(rng, tmp_path, where):
    given = [210101000101001, 210101000101002, 131216002601003]
    y, argument = spectra(rng), None
    if where == "meta":
        y = y.replace(meta={"sobject_id": given})
    elif where == "ids":
        y = y.replace(ids=np.array(given).astype(str))
    else:
        argument = given
    assert list(write_galah(y, tmp_path, sobject_ids=argument)["sobject_id"]) == given
    assert (tmp_path / "1312160026010034.fits").exists()


def test_a_sobject_id_that_is_missing_is_made_up(rng, tmp_path):
    y = spectra(rng).replace(meta={"sobject_id": [-1, 210101000101001, 5]})
    ids = [str(i) for i in write_galah(y, tmp_path)["sobject_id"]]
    assert [i[:4] for i in ids] == ["9999", "2101", "9999"]


# ---------------------------------------------------------------------------- header
def test_labels_and_origin(rng, tmp_path):
    meta = {
        "teff": [4500.0, np.nan],
        "logg": [2.0, 1.0],
        "fe_h": [-0.5, 0.0],
        "alpha_fe": [0.1, 0.2],
        "support": [0.5, 3.0],
        "rv_com": [-42.0, 1.0],
        "lsf_boxiness": [[2.1, 2.2, 2.3, 2.4]] * 2,
        "object": ["Großer Stern", ""],
    }
    y = spectra(rng, n=2, meta=meta, ids=[STAR, "somebody's name"])
    report = write_galah(y, tmp_path)
    again, _ = read_galah(tmp_path)
    again = again[[list(again.ids).index(i) for i in y.ids]]
    for name in ("teff", "logg", "fe_h", "alpha_fe", "support", "lsf_boxiness"):
        np.testing.assert_array_equal(again.meta[name], meta[name])
    assert list(again.meta["tmass_id"]) == [STAR[2:], ""]
    assert list(again.meta["rv_ok"]) == [1, 1]
    snr = [
        np.median((y.flux * np.sqrt(y.ivar))[:, y.chip == k], axis=1) for k in range(4)
    ]
    np.testing.assert_allclose(again.meta["snr_ccd"], np.transpose(snr), rtol=1e-5)
    header = fits.getheader(report["file"][0].replace("[1234]", "2"))
    assert header["TRANSLAT"] is True
    assert header["ORIGIN"].startswith("specxfer")
    assert "not observed by GALAH" in str(header["HISTORY"])
    assert header["RV_SRC"] == -42
    assert header["OBJ_NAME"] == "Groer Stern"
    assert header["B"] == 2.2


def test_an_observed_file_is_not_translated(write, tmp_path):
    write.galah_dr4(tmp_path, 210115000101001)
    write.galah_dr3(tmp_path, 131216002601003)
    write.galah_fit(tmp_path / "210115000101001_allstar_fit_spectrum.fits")
    assert list(read_galah(tmp_path)[0].meta["translated"]) == [0, 0, 0]


def test_translated_beside_observed_ccds_is_remarked(rng, write, tmp_path):
    write.galah_dr4(tmp_path, 210115000101001, ccds=(1, 2, 3))
    y = spectra(rng, n=1, wave=galah_wave(4))
    write_galah(y, tmp_path, sobject_ids=[210115000101001])
    X, report = read_galah(tmp_path)
    assert report["status"][0] == "partial"
    assert "some CCDs are translated" in report["reason"][0]
    assert X.meta["translated"][0] == 1


# --------------------------------------------------------------------------- refusals
def test_files_that_are_there_are_kept(rng, tmp_path):
    y = spectra(rng)
    report = write_galah(y[1:2], tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="3 more of 12"):
        write_galah(y.replace(flux=y.flux / 2), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    write_galah(y.replace(flux=y.flux / 2), tmp_path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 12
    name = f"{report['sobject_id'][0]}1.fits"
    assert (tmp_path / name).read_bytes() != before[name]


def test_a_write_that_fails_leaves_no_half_file(rng, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_galah(spectra(rng, n=1), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda y: y.replace(ivar=None), {}, "no noise"),
        (lambda y: y.replace(ids=None), {}, "neither an id nor"),
        (lambda y: y.replace(wave=y.wave + 1e4), {}, "no CCD of HERMES"),
        (lambda y: y, {"sobject_ids": [1, 2]}, "2 sobject_ids for 3"),
        (lambda y: y, {"sobject_ids": [1, 2, 3]}, "no number of 15 digits"),
        (lambda y: y, {"sobject_ids": [210101000101001] * 3}, "two spectra"),
    ],
)
def test_refusals(rng, tmp_path, change, options, message):
    with pytest.raises(ValueError, match=message):
        write_galah(change(spectra(rng)), tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_arrays_are_refused(tmp_path):
    with pytest.raises(TypeError, match="expected Spectra"):
        write_galah(np.ones((2, 16384)), tmp_path)


def test_no_spectra(rng, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(write_galah(spectra(rng)[:0], tmp_path)) == 0


# ------------------------------------------------------------------------- real files
def test_a_real_star_survives_the_round_trip(shared, tmp_path):
    X, _ = read_galah(shared / "real" / "galah_dr4", ids=[210115002201239])
    write_galah(X, tmp_path)
    again, _ = read_galah(tmp_path)
    np.testing.assert_array_equal(again.valid(), X.valid())
    known = X.valid()
    np.testing.assert_array_equal(again.flux[known], X.flux[known])
    np.testing.assert_allclose(again.ivar[known], X.ivar[known], rtol=5e-7)
    np.testing.assert_allclose(again.resolution, X.resolution, rtol=1e-6)
    np.testing.assert_array_equal(again.meta["teff"], X.meta["teff"])
    np.testing.assert_array_equal(again.meta["lsf_boxiness"], X.meta["lsf_boxiness"])
