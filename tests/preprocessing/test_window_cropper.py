import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra, air_to_vacuum
from specxfer.lines import Line, load_lines
from specxfer.preprocessing import WindowCropper

WAVE = np.concatenate([np.arange(6490, 6500, 0.05), np.arange(6600, 6610, 0.05)])
BA = Line("Ba II 6497", "Ba", "Ba II", 6496.897, "air", 6496.70, 6497.28)


@pytest.fixture
def X(rng):
    flux = rng.normal(1, 0.1, (4, len(WAVE))).astype(np.float32)
    return Spectra(flux, flux**2, wave=WAVE, medium="air")


def inside(lo, hi):
    return (lo <= WAVE) & (hi >= WAVE)


@pytest.mark.parametrize(
    ("windows", "pad", "expected"),
    [
        (BA, 0.0, inside(6496.70, 6497.28)),
        ((6492, 6493.01), 0.0, inside(6492, 6493.01)),
        ((6492.0, 6493.01), 0.5, inside(6491.5, 6493.51)),
        (
            [BA, (6497, 6498.01), (6601.0, 6602.01)],
            0.0,
            inside(6496.7, 6498.01) | inside(6601, 6602.01),
        ),
        (
            np.array([[6491.01, 6492.01], [6603.01, 6604.01]]),
            0.0,
            inside(6491.01, 6492.01) | inside(6603.01, 6604.01),
        ),
    ],
)
def test_the_union_of_the_windows_is_kept(X, windows, pad, expected):
    cropper = WindowCropper(windows, pad=pad).fit(X)
    assert_array_equal(cropper.pixels_, expected)
    out = cropper.transform(X)
    assert_array_equal(out.flux, X.flux[:, expected])
    assert_array_equal(out.ivar, X.ivar[:, expected])
    assert_array_equal(out.wave, WAVE[expected])


def test_lines_are_converted_to_the_medium_of_the_spectra(X):
    in_vacuum = X.replace(wave=air_to_vacuum(WAVE), medium="vacuum")
    assert_array_equal(
        WindowCropper(BA, pad=0.23).fit(in_vacuum).pixels_,
        WindowCropper(BA, pad=0.23).fit(X).pixels_,
    )
    # A pair belongs to the medium of the spectra, 1.8 Å away in the other.
    pair = (6496.70, 6497.28)
    shift = in_vacuum.wave[WindowCropper(pair).fit(in_vacuum).pixels_] - np.mean(pair)
    assert_allclose(shift.mean(), 0, atol=0.05)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (slice(2, 6), [2, 3, 4, 5]),
        ([7, 3, -1], [3, 7, len(WAVE) - 1]),
        (np.arange(len(WAVE)) == 9, [9]),
    ],
)
def test_pixels(X, pixels, expected):
    out = WindowCropper(pixels=pixels).fit_transform(X)
    assert_array_equal(out.wave, WAVE[expected])
    assert_array_equal(
        WindowCropper(pixels=pixels).fit_transform(X.flux), X.flux[:, expected]
    )


def test_windows_and_pixels_together(X):
    cropper = WindowCropper((6601, 6602), pixels=slice(0, 3)).fit(X)
    assert_array_equal(cropper.pixels_, inside(6601, 6602) | (np.arange(len(WAVE)) < 3))


def test_neither_keeps_everything_uncopied(X):
    out = WindowCropper().fit_transform(X)
    assert np.shares_memory(out.flux, X.flux)


def test_inverse_transform(X):
    cropper = WindowCropper([BA, (6601, 6602)]).fit(X)
    back = cropper.inverse_transform(cropper.transform(X))
    assert_array_equal(back.wave, WAVE)
    assert_array_equal(back.flux, np.where(cropper.pixels_, X.flux, np.float32(np.nan)))
    assert_array_equal(back.ivar, np.where(cropper.pixels_, X.ivar, 0))
    assert back.dtype == back.ivar.dtype == np.float32


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"windows": (4000, 4001)}, ValueError, "6490.00 to 6609.95"),
        ({"windows": [BA, (6550, 6551)]}, ValueError, "gap"),
        ({"windows": []}, ValueError, "at least one"),
        ({"windows": (6493, 6492)}, ValueError, "lo < hi"),
        ({"windows": (649.1, 649.2)}, ValueError, "units"),
        ({"windows": ["Ba II 6497"]}, TypeError, "expected a Line"),
        ({"windows": "Ba II 6497"}, ValueError, "windows"),
        ({"pixels": []}, ValueError, "selects none"),
        ({"pixels": slice(900, 910)}, ValueError, "selects none"),
        ({"pixels": [900]}, ValueError, "do not fit 400 pixels"),
        ({"pixels": [True, False]}, ValueError, "do not fit 400 pixels"),
        ({"pixels": [6496.7]}, TypeError, "go into windows="),
        ({"pad": -1.0}, ValueError, "pad"),
    ],
)
def test_bad_windows(X, parameters, error, message):
    with pytest.raises(error, match=message):
        WindowCropper(**parameters).fit(X)


def test_windows_on_plain_arrays_need_wavelengths(X):
    with pytest.raises(ValueError, match="wave="):
        WindowCropper(BA).fit(X.flux)
    with pytest.raises(ValueError, match="together"):
        WindowCropper(BA, wave=WAVE).fit(X.flux)
    cropper = WindowCropper(BA, wave=WAVE, medium="air").fit(X.flux)
    assert_array_equal(cropper.pixels_, inside(*BA.window))
    with pytest.raises(ValueError, match="give one"):
        WindowCropper(BA, wave=WAVE[1:], medium="air").fit(X.flux)


def test_every_bundled_line_on_its_own_grid():
    grid = np.arange(4700.0, 7900.0, 0.05)
    X = Spectra(np.ones((1, len(grid)), np.float32), wave=grid, medium="air")
    for line in load_lines("galah"):
        out = WindowCropper(line).fit_transform(X)
        assert out.wave[0] >= line.lo
        assert out.wave[-1] <= line.hi
