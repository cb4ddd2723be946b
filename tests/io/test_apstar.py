"""read_apogee on apStar files: combinations and visits of one star."""

import numpy as np
import pytest
from astropy.io import fits

from specxfer.io import read_apogee

OR_BAD, AND_BAD, WARNED = 1000, 1100, 1300  # pixels on the blue chip


def mark(hdus):
    """As a combination of two visits marks its pixels, in DR13."""
    mask, flux, error = hdus[3].data, hdus[1].data, hdus[2].data
    mask[2, OR_BAD] = 1 << 14  # bad in one visit, and left out of the combination
    mask[2, AND_BAD], mask[3, AND_BAD] = 1, 2  # bad in both, for another reason
    mask[2:, WARNED] = 0b10_1111 << 8  # all warnings but a sky line
    mask[0] = mask[2] | mask[3]
    mask[1] = mask[2] & mask[3]
    flux[2, OR_BAD] *= 1.5
    flux[2, AND_BAD] *= 1.5
    flux[:2, AND_BAD], error[:2, AND_BAD] = 0, 1e10


def test_combined(write, tmp_path):
    X, report = read_apogee(write.apstar(tmp_path / "any.fits", obj="2M12345678+0"))
    flux, on_chip = write.apogee_flux()
    assert dict(zip(report.colnames, report[0])) == {
        "file": str(tmp_path / "any.fits"),
        "id": "2M12345678+0",
        "format": "apStar",
        "status": "read",
        "reason": "",
        "n_good": 7514,
    }
    np.testing.assert_array_equal(X.valid()[0], on_chip)
    np.testing.assert_allclose(X.flux[0, on_chip], flux[on_chip], atol=0.01)
    # the continuum cancels in S/N, which is 100 √2 by construction
    signal = X.flux[0] * np.sqrt(X.ivar[0])
    above = on_chip & (X.ivar[0] < 0.999 / 0.005**2)  # the floor
    assert above.sum() > 7_000
    np.testing.assert_allclose(signal[above], 100 * 2**0.5, rtol=1e-5)


def test_combined_labels(write, tmp_path):
    X, _ = read_apogee(write.apstar(tmp_path / "a.fits"))
    meta = dict(zip(X.meta.colnames, X.meta[0]))
    assert meta["row"] == "combined"
    assert meta["normalised_by"] == "specxfer"
    assert meta["release"] == "DR13"
    assert meta["telescope"] == "apo25m"
    assert meta["n_visits"] == 2
    assert [meta[k] for k in ("snr", "rv_com", "rv_scatter")] == [140, -72.95, 0.006]
    assert meta["starflag"] == 512
    assert [meta[k] for k in ("visit", "mjd", "plate", "fiber")] == [-1, -1, "", -1]


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ("combined", ["combined"]),
        ("global", ["global"]),
        ("visits", ["visit", "visit", "visit"]),
        ("all", ["combined", "global", "visit", "visit", "visit"]),
    ],
)
def test_rows(write, tmp_path, rows, kinds):
    paths = [write.apstar(tmp_path / f"{i}.fits", 3, obj=f"star{i}") for i in range(3)]
    X, report = read_apogee(paths, rows)
    assert list(X.meta["row"]) == kinds * 3
    assert list(X.ids) == [f"star{i}" for i in range(3) for _ in kinds]
    assert list(report["id"]) == list(X.ids)
    assert list(report["file"]) == list(X.meta["file"])
    np.testing.assert_array_equal(report["n_good"], X.valid().sum(axis=1))
    flux, on_chip = write.apogee_flux()
    np.testing.assert_allclose(
        X.flux[:, on_chip], np.tile(flux[on_chip], (len(X), 1)), atol=0.01
    )


def test_visits(write, tmp_path):
    X, _ = read_apogee(write.apstar(tmp_path / "a.fits"), rows="visits")
    expected = {
        "visit": [1, 2],
        "mjd": [56376, 56377],
        "plate": ["6896", "6896"],
        "fiber": [241, 242],
        "snr": [101, 102],
        "rv_com": [-72, -71],
        "starflag": [2, 4],
    }
    for name, values in expected.items():
        assert list(X.meta[name]) == values, name
    good = X.valid().all(axis=0)
    signal = X.flux[:, good] * np.sqrt(X.ivar[:, good])
    np.testing.assert_allclose(signal, 100, rtol=1e-5)


def test_a_row_is_the_same_whatever_is_read_with_it(write, tmp_path):
    path = write.apstar(tmp_path / "a.fits", 3, edit=mark_rows)
    every = read_apogee(path, "all")[0]
    for rows, where in (("combined", [0]), ("global", [1]), ("visits", [2, 3, 4])):
        some = read_apogee(path, rows)[0]
        np.testing.assert_array_equal(some.flux, every.flux[where])
        np.testing.assert_array_equal(some.ivar, every.ivar[where])


def mark_rows(hdus):
    hdus[3].data[2:, 400:420] = 1
    hdus[3].data[4, 500:520] = 1
    hdus[1].data[3, 600:700] *= 1.2


# ----------------------------------------------------------------------------- masks
def test_a_combination_is_bad_where_every_visit_is(write, tmp_path):
    X, _ = read_apogee(write.apstar(tmp_path / "a.fits", edit=mark), "all")
    good = X.valid()
    assert good[:, OR_BAD].tolist() == [True, True, False, True]
    assert good[:, AND_BAD].tolist() == [False, False, False, False]
    assert good[:, WARNED].all()
    # without the inflated error, the visits' bits alone must tell

    def hide(hdus):
        mark(hdus)
        hdus[1].data[:2, AND_BAD], hdus[2].data[:2, AND_BAD] = 300, 3

    X, _ = read_apogee(write.apstar(tmp_path / "b.fits", edit=hide), "all")
    assert not X.valid()[:, AND_BAD].any()


def test_sky_lines(write, tmp_path):
    """Of a visit: bad. Of a combination: by the weight that visits with one have."""

    def shine(hdus):
        hdus[3].data[2, 1000], hdus[3].data[2:, 1100] = 1 << 12, 1 << 12
        hdus[3].data[2, 1200] = 1 << 12
        hdus[2].data[2, 1200] *= 10  # as in DR17

    X, _ = read_apogee(write.apstar(tmp_path / "a.fits", edit=shine), "all")
    good = X.valid()
    assert good[:, 1000].tolist() == [False, False, False, True]
    assert good[:, 1100].tolist() == [False, False, False, False]
    assert good[:, 1200].tolist() == [True, True, False, True]


def test_bad_pixels_do_not_move_the_continuum(write, tmp_path):
    def spoil(hdus):
        hdus[1].data[:, 700:800] *= 40
        hdus[3].data[:, 700:800] = 1 << 14

    plain, _ = read_apogee(write.apstar(tmp_path / "a.fits"))
    spoilt, _ = read_apogee(write.apstar(tmp_path / "b.fits", edit=spoil))
    good = spoilt.valid()[0]
    assert not good[700:800].any()
    assert plain.valid()[0].sum() - good.sum() == 100
    np.testing.assert_allclose(spoilt.flux[0, good], plain.flux[0, good], atol=1e-3)


def test_one_row_without_a_good_pixel(write, tmp_path):
    def blind(hdus):
        hdus[3].data[3] = 1 << 14

    X, report = read_apogee(write.apstar(tmp_path / "a.fits", edit=blind), "visits")
    assert list(report["status"]) == ["read", "refused"]
    assert report["reason"][1] == "visit 2 has no good pixel"
    assert list(X.meta["visit"]) == [1]


# ------------------------------------------------------------------------- one visit
@pytest.mark.parametrize("rows", ["combined", "global", "visits", "all"])
@pytest.mark.parametrize("shape", ["one row", "two rows", "three rows"])
def test_one_visit(write, tmp_path, rows, shape):
    """One row up to DR16; one more, of zeros, in DR17; two of the same in SDSS-V."""

    def reshape(hdus):
        for hdu in hdus[1:8]:
            if shape == "two rows":
                hdu.data = np.array([hdu.data, 0 * np.nan_to_num(hdu.data)])
            if shape == "three rows":
                hdu.data = np.array([hdu.data, 0 * np.nan_to_num(hdu.data), hdu.data])

    X, report = read_apogee(write.apstar(tmp_path / "a.fits", 1, edit=reshape), rows)
    assert len(X) == len(report) == 1
    assert report["n_good"][0] == 7514
    meta = X.meta[0]
    assert meta["row"] == ("visit" if rows == "visits" else "combined")
    assert [meta[k] for k in ("visit", "mjd", "plate")] == [1, 56376, "6896"]


# ----------------------------------------------------------------------------- LSF
def test_resolution_is_that_of_the_line_spread_function(write, tmp_path):
    """A Gaussian of 1.3 pixels: λ/FWHM, a little less for the width of the pixel."""
    X, _ = read_apogee(write.apstar(tmp_path / "a.fits"))
    variance = 1.3**2 + 1 / 12
    expected = 1 / (np.sqrt(8 * np.log(2) * variance) * 6e-6 * np.log(10))
    np.testing.assert_allclose(X.resolution, [[expected] * 3], rtol=0.005)


@pytest.mark.parametrize(
    "coefficients",
    [np.zeros(26), np.full(26, np.nan), np.full(26, 1e300), np.ones(5), None],
    ids=["zeros", "nan", "huge", "short", "none"],
)
def test_resolution_is_nominal_without_a_line_spread_function(
    write, tmp_path, coefficients
):
    def change(hdus):
        if coefficients is None:
            del hdus[8:]
        else:
            hdus[8].data = coefficients

    X, _ = read_apogee(write.apstar(tmp_path / "a.fits", edit=change))
    assert X.resolution.tolist() == [[22_500] * 3]


# -------------------------------------------------------------------------- refusals
def shorter_mask(hdus):
    hdus[3].data = hdus[3].data[:3]


def one_row_lost(hdus):
    for hdu in hdus[1:4]:
        hdu.data = hdu.data[:3]


def another_grid(hdus):
    hdus[2].header["CDELT1"] = 5e-6


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (shorter_mask, "flux, error and mask have shapes"),
        (one_row_lost, "for 2 visits; expected 4 rows"),
        (another_grid, "expected 4.179"),
    ],
)
def test_refused(write, tmp_path, edit, reason):
    X, report = read_apogee(write.apstar(tmp_path / "a.fits", edit=edit))
    assert len(X) == 0
    assert report["status"][0] == "refused"
    assert reason in report["reason"][0]


def test_unknown_rows():
    with pytest.raises(ValueError, match="rows is 'first'; expected one of combined"):
        read_apogee([], rows="first")


# ------------------------------------------------------------------------ real files
def polynomials(flux, target, weight, degree=4):
    """`flux` times the polynomial of each chip that brings it closest to `target`."""
    out = np.full(flux.shape, np.nan)
    for start, stop in ((246, 3274), (3585, 6080), (6344, 8335)):
        x = np.linspace(-1, 1, stop - start)
        basis = np.polynomial.legendre.legvander(x, degree)
        f, t, w = (a[start:stop].astype(float) for a in (flux, target, weight))
        use = np.isfinite(f) & np.isfinite(t)
        root = np.sqrt(w[use])
        terms = (basis * f[:, None])[use] * root[:, None]
        solution = np.linalg.lstsq(terms, t[use] * root, rcond=None)[0]
        out[start:stop] = f * (basis @ solution)
    return out


STARS = (
    "2M00452143+1634446",
    "2M03290406+3117075",
    "2M12241699+2453335",
    "2M14305591+0858023",
    "2M17334253-1654573",
    "2M19535443+4424541",
)
FAINT = "2M12241699+2453335"  # S/N 10: a third of its pixels is under a sky line


@pytest.mark.parametrize("star", STARS)
def test_real_star_is_that_of_aspcapstar(shared, star):
    """The survey's own normalisation is a polynomial of degree 4 on each chip.

    With such a polynomial between them, the two files are the same data: not equal
    within the noise, but to a small part of it.
    """
    folder = shared / "real" / "apogee_dr13"
    X, _ = read_apogee(folder / f"apStar-r6-{star}.fits")
    Y, _ = read_apogee(str(folder / f"aspcapStar-*{star}.fits"))
    assert X.ids[0] == Y.ids[0] == star
    both = X.valid()[0] & Y.valid()[0]
    if star != FAINT:
        assert both.sum() > 0.98 * Y.valid()[0].sum()
    matched = polynomials(X.flux[0], Y.flux[0], Y.ivar[0])
    deviation = ((matched - Y.flux[0]) * np.sqrt(Y.ivar[0]))[both]
    assert np.mean(deviation**2) < 0.01
    assert np.abs(deviation).max() < 1
    for name in ("snr", "rv_com", "n_visits", "starflag", "release"):
        assert X.meta[name][0] == pytest.approx(Y.meta[name][0]), name


def bits(shared, star, *wanted):
    """Which pixels of each row of an apStar file have one of some bits."""
    path = shared / "real" / "apogee_dr13" / f"apStar-r6-{star}.fits"
    mask = np.atleast_2d(fits.getdata(path, 3)).astype(int)
    return mask & sum(1 << bit for bit in wanted) != 0


def test_real_bad_pixels(shared):
    """The OR of the visits' bits would take good pixels away.

    Where one visit is bad and another is not, the combination lies within its noise
    of the mean of the good visits.
    """
    star = "2M00452143+1634446"
    path = shared / "real" / "apogee_dr13" / f"apStar-r6-{star}.fits"
    X, _ = read_apogee(path, "all")
    bad = bits(shared, star, *range(8), 14)
    some = X.valid()[0] & bad[2:].any(axis=0) & ~bad[2:].all(axis=0)
    assert some.sum() > 150
    visits = np.array([polynomials(f, X.flux[0], X.ivar[0]) for f in X.flux[2:]])
    known = X.valid()[2:, some]
    weight = np.where(known, X.ivar[2:, some], 0)
    mean = np.where(known, weight * visits[:, some], 0).sum(axis=0) / weight.sum(axis=0)
    deviation = (X.flux[0, some] - mean) * np.sqrt(X.ivar[0, some])
    assert np.sqrt(np.mean(deviation**2)) < 0.5


@pytest.mark.parametrize("star", sorted({*STARS} - {FAINT}))
def test_real_sky_lines_are_bad_and_other_warnings_are_not(shared, star):
    """Against the survey's own model (aspcapStar), in units of the stated noise."""
    folder = shared / "real" / "apogee_dr13"
    (path,) = folder.glob(f"aspcapStar-*{star}.fits")
    flux, model = fits.getdata(path, 1), fits.getdata(path, 3)
    X, _ = read_apogee(folder / f"apStar-r6-{star}.fits", max_flux=None)
    good = X.valid()[0]
    sky, warned = bits(shared, star, 12)[0], bits(shared, star, 8, 9, 10, 11, 13)[0]
    # where this star is good, else the usual noise
    noise = np.where(good, X.ivar[0], np.median(X.ivar[0, good])) ** -0.5
    deviation = np.abs(flux - model) / noise
    on_chip = (flux != 0) & ~bits(shared, star, *range(8), 14)[0]
    assert (good & warned).sum() > 300
    plain = np.mean(deviation[good & ~warned & on_chip] > 5)
    assert np.mean(deviation[good & warned & on_chip] > 5) < plain + 0.1
    assert np.mean(deviation[~good & sky & on_chip] > 5) > plain + 0.1


def test_real_resolution(shared):
    X, _ = read_apogee(str(shared / "real" / "apogee_dr13" / "apStar*"))
    assert X.resolution.shape == (6, 3)
    assert ((X.resolution > 22_000) & (X.resolution < 26_000)).all()
