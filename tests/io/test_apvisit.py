"""read_apogee on apVisit files: to rest, and to the common grid."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from specxfer.io import read_apogee


@pytest.mark.parametrize("n_pixels", [4096, 2048])
@pytest.mark.parametrize("velocity", [83.0, -140.0])
def test_at_rest(write, tmp_path, velocity, n_pixels):
    """Lines at their places to 0.1 km/s, a fortieth of a pixel, and as strong."""
    path = write.apvisit(tmp_path / "a.fits", velocity, n_pixels=n_pixels)
    X, report = read_apogee(path)
    assert list(report["format"]) == ["apVisit"]
    assert list(report["status"]) == ["read"]
    _, on_chip = write.apogee_flux()
    good = X.valid()[0]
    assert good[on_chip].mean() > 0.98
    assert not good[~on_chip].any()
    offset = np.arange(-30, 31)
    for centre in range(450, 3200, 100):
        line = X.flux[0, centre + offset]
        if np.isfinite(line).all():
            depth = 1 - line / np.median(line[np.abs(offset) > 10])
            shift = (depth * offset).sum() / depth.sum()
            assert shift * 4.14 == pytest.approx(0, abs=0.1)
            # resampling conserves the equivalent width, 0.3 σ √2π pixels
            assert depth.sum() == pytest.approx(0.6 * np.sqrt(2 * np.pi), rel=0.01)


def test_noise(write, tmp_path):
    """S/N 100 a pixel of 4096; the common grid's are wider or narrower."""
    X, _ = read_apogee(write.apvisit(tmp_path / "a.fits"))
    good = X.valid()[0]
    signal = X.flux[0] * np.sqrt(X.ivar[0])
    # mean of what overlaps: at least the noise of one pixel, at most halved twice
    assert 100 < np.median(signal[good]) < 200


def test_labels(write, tmp_path):
    path = tmp_path / "apVisit-r8-5095-55844-128.fits"
    X, _ = read_apogee(write.apvisit(path, obj="2M12345678-1234567"))
    meta = dict(zip(X.meta.colnames, X.meta[0]))
    expected = {
        "apogee_id": "2M12345678-1234567",
        "release": "DR14",
        "telescope": "apo25m",
        "row": "visit",
        "mjd": 55844,
        "plate": "5095",
        "fiber": 128,
        "snr": 45,
        "rv_com": 94.25,
        "n_visits": 1,
        "starflag": 512,
        "normalised_by": "specxfer",
    }
    for name, value in expected.items():
        assert meta[name] == value, name
    assert list(X.ids) == ["2M12345678-1234567"]


def test_masks(write, tmp_path):
    """A bad pixel takes away what it covers; a warning takes nothing."""

    def spoil(hdus):
        hdus[3].data[1, 2000:2040] = 1 << 14
        hdus[1].data[1, 2000:2040] *= 30
        hdus[3].data[1, 3000:3040] = 0b10_1111 << 8
        hdus[3].data[1, 2040:2060] = 1 << 12  # a sky line

    plain = read_apogee(write.apvisit(tmp_path / "a.fits"))[0]
    spoilt = read_apogee(write.apvisit(tmp_path / "b.fits", edit=spoil))[0]
    lost = np.flatnonzero(plain.valid()[0] & ~spoilt.valid()[0])
    assert 30 <= lost.size <= 60
    assert np.ptp(lost) == lost.size - 1
    both = spoilt.valid()[0]
    np.testing.assert_allclose(spoilt.flux[0, both], plain.flux[0, both], atol=2e-3)


def test_resolution(write, tmp_path):
    X, _ = read_apogee(write.apvisit(tmp_path / "a.fits"))
    wave = np.array([15_476, 16_146, 16_714])  # in the middle of each chip, blue first
    step = np.array([667, 578, 482]) / 4095
    sigma = np.sqrt(np.array([1.9, 2.3, 2.7]) ** 2 + 1 / 12)
    expected = wave / (np.sqrt(8 * np.log(2)) * sigma * step)
    np.testing.assert_allclose(X.resolution[0], expected, rtol=0.01)


# -------------------------------------------------------------------------- velocity
def without_table(hdus):
    del hdus[11:]


def other_table(hdus):
    hdus[11].data["VREL"] = 80.0


@pytest.mark.parametrize(
    ("cards", "edit", "reason"),
    [
        (dict.fromkeys(("VRAD", "BC", "VHELIO")), without_table, "no velocity"),
        ({"VRAD": None, "BC": None}, without_table, "no velocity"),
        ({"VRAD": 88.0}, None, "its velocities make no sense: VRAD of its header 88,"),
        ({"BC": 21.25}, None, "make no sense"),
        ({"BC": None}, other_table, "VREL of its table 80"),
        ({"CCPEAK": 0.07}, None, "no more than a guess"),
    ],
)
def test_refused_without_a_velocity(write, tmp_path, cards, edit, reason):
    X, report = read_apogee(write.apvisit(tmp_path / "a.fits", edit=edit, **cards))
    assert len(X) == 0
    assert reason in report["reason"][0]


@pytest.mark.parametrize(
    "cards",
    [
        {"BC": None, "VHELIO": None},
        {"VRAD": None},
        dict.fromkeys(("VRAD", "BC", "VHELIO", "CCPEAK")),
    ],
)
def test_one_velocity_is_enough(write, tmp_path, cards):
    plain = read_apogee(write.apvisit(tmp_path / "a.fits"))[0]
    X, _ = read_apogee(write.apvisit(tmp_path / "b.fits", **cards))
    np.testing.assert_allclose(X.flux, plain.flux, atol=1e-5)
    assert X.meta["rv_com"][0] == pytest.approx(94.25)


def test_too_fast(write, tmp_path):
    _, report = read_apogee(write.apvisit(tmp_path / "a.fits", 2500.0))
    assert "make no sense" in report["reason"][0]


# -------------------------------------------------------------------------- refusals
def ascending(hdus):
    hdus[4].data = hdus[4].data[:, ::-1]


def one_wrong_wavelength(hdus):
    hdus[4].data[1, 77] = 15_000


def blue_to_red(hdus):
    hdus[4].data = hdus[4].data[::-1]


def nanometres(hdus):
    hdus[4].data = hdus[4].data / 10


@pytest.mark.parametrize(
    "edit", [ascending, one_wrong_wavelength, blue_to_red, nanometres]
)
def test_refused_for_its_wavelengths(write, tmp_path, edit):
    X, report = read_apogee(write.apvisit(tmp_path / "a.fits", edit=edit))
    assert len(X) == 0
    assert "are not those of three chips" in report["reason"][0]


# ------------------------------------------------------------------------ real files
def test_real_visit_with_a_wrong_velocity_is_refused(shared):
    """Its header says 583 km/s; the apStar file of the star 0.015 for this visit."""
    path = shared / "real" / "apogee_dr13" / "apVisit-2M19535443+4424541-0.fits"
    X, report = read_apogee(path)
    assert len(X) == 0
    assert "CCPEAK, is 0.075" in report["reason"][0]


def test_real_visit_is_that_of_apstar(shared, tmp_path):
    """The same visit, once the apStar file has said how fast the star is.

    The survey interpolates with a sinc, we average over pixels: that widens a line of
    R 23,000 by less than a hundredth, and leaves the rest within the noise.
    """
    folder = shared / "real" / "apogee_dr13"
    path = shutil.copy(folder / "apVisit-2M19535443+4424541-0.fits", tmp_path)
    cards = {"VRAD": 0.0150057, "BC": 9.721, "VHELIO": 9.73601, "CCPEAK": 0.9}
    with fits.open(path, "update") as hdus:
        hdus[0].header.update(cards)
        hdus[11].data["VREL"], hdus[11].data["VHELIO"] = 0.0150057, 9.73601
    X, _ = read_apogee(path)
    Y, _ = read_apogee(folder / "apStar-r6-2M19535443+4424541.fits", "visits")
    Y = Y[Y.meta["mjd"] == X.meta["mjd"][0]]
    assert list(Y.meta["fiber"]) == list(X.meta["fiber"]) == [214]
    both = X.valid()[0] & Y.valid()[0]
    assert both.sum() > 7000
    deviation = np.full(8575, np.nan)
    for start, stop in ((246, 3274), (3585, 6080), (6344, 8335)):
        x = np.linspace(-1, 1, stop - start)
        use = both[start:stop]
        ratio = (Y.flux[0] / X.flux[0])[start:stop]
        curve = np.polynomial.Polynomial.fit(x[use], ratio[use], 5)
        difference = X.flux[0, start:stop] * curve(x) - Y.flux[0, start:stop]
        deviation[start:stop] = difference * np.sqrt(Y.ivar[0, start:stop])
    deviation = deviation[both]
    assert np.median(np.abs(deviation)) < 0.5
    assert (np.abs(deviation) > 3).mean() < 0.01
    assert X.meta["rv_com"][0] == pytest.approx(Y.meta["rv_com"][0])


def test_real_visit(shared):
    path = shared / "real" / "apogee_dr13" / "apVisit-r13-5095-55844-128.fits"
    X, report = read_apogee(path)
    assert list(report["status"]) == ["read"]
    assert report["n_good"][0] > 6800
    assert X.meta["rv_com"][0] == pytest.approx(-33.1228, abs=1e-3)
    assert ((X.resolution > 22_000) & (X.resolution < 26_000)).all()
