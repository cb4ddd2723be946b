import numpy as np
import pytest

from specxfer import Spectra
from specxfer.lines import load_lines
from specxfer.metrics import mse, mse_per_pixel, mse_per_star, signed_root

WAVE = np.arange(5000.0, 5100)
WINDOWS = [(5010, 5020), (5050, 5059)]


def noisy(truth, sigma, seed=0):
    rng = np.random.default_rng(seed)
    sigma = np.broadcast_to(sigma, truth.shape)
    flux = truth + sigma * rng.standard_normal(truth.shape)
    return Spectra(flux, sigma**-2.0, wave=WAVE, medium="air")


@pytest.fixture
def truth():
    return 1 - 0.3 * np.random.default_rng(9).random((2000, 100))


@pytest.fixture
def uneven():
    """Noise from 0.005 to 0.1, different in each pixel of each star."""
    return 10 ** np.random.default_rng(8).uniform(-2.3, -1, (2000, 100))


@pytest.mark.parametrize("error_floor", [0.0, 0.01, np.inf])
def test_unbiased_for_a_known_error(truth, uneven, error_floor):
    y = noisy(truth, uneven)
    offset = np.where(WAVE < 5040, 0.02, 0.005)
    found = mse(y, truth + offset, WINDOWS, error_floor=error_floor)
    for mean_square, (lo, hi) in zip(found, WINDOWS):
        inside = (lo <= WAVE) & (hi >= WAVE)
        variance = uneven[:, inside] ** 2
        weight = 1 / (variance + min(error_floor, 1e6) ** 2)
        expected = offset[inside][0] ** 2
        spread = weight**2 * (2 * variance**2 + 4 * variance * expected)
        standard_error = np.sqrt(spread.sum()) / weight.sum()
        assert abs(mean_square - expected) < 3 * standard_error
    per_pixel = mse_per_pixel(y, truth + offset, error_floor=error_floor)
    assert per_pixel[:40].mean() == pytest.approx(4e-4, rel=0.1)


def test_far_below_the_noise_it_is_negative_half_of_the_time(truth):
    y = noisy(truth[:500], 0.02)
    per_star = mse_per_star(y, truth[:500], WINDOWS)
    assert 0.4 < (per_star < 0).mean() < 0.65
    assert abs(per_star.mean()) < 3 * per_star.std() / np.sqrt(per_star.size)


def test_the_floor_keeps_one_bad_pixel_from_ruling(truth):
    sigma = np.full(truth.shape, 0.01)
    sigma[3, 12] = 10.0
    y = noisy(truth, sigma)
    alike = mse(y, truth + 0.01, WINDOWS[0], error_floor=np.inf)
    floored = mse(y, truth + 0.01, WINDOWS[0])
    assert abs(floored.item() - 1e-4) < 0.1e-4
    assert abs(alike.item() - 1e-4) > 5e-4


def test_noise_none_is_the_plain_mean_square(truth):
    rng = np.random.default_rng(1)
    predicted = truth + 0.01 * rng.standard_normal(truth.shape)
    for y in (truth, Spectra(truth, wave=WAVE, medium="air")):
        assert mse(y, predicted, noise="none").item() == pytest.approx(
            np.mean((predicted - truth) ** 2)
        )
    np.testing.assert_allclose(
        mse_per_pixel(truth, predicted, noise="none"),
        np.mean((predicted - truth) ** 2, axis=0),
    )
    np.testing.assert_allclose(
        mse_per_star(truth, predicted, noise="none")[:, 0],
        np.mean((predicted - truth) ** 2, axis=1),
    )


def test_unknown_noise_is_an_error_that_says_what_to_do(truth):
    for function in (mse, mse_per_pixel, mse_per_star):
        with pytest.raises(ValueError, match=r"no ivar.*noise=\"none\".*paired_diff"):
            function(truth, truth)
    with pytest.raises(ValueError, match="noise is 'ignore'"):
        mse(truth, truth, noise="ignore")


def test_arrays_and_spectra_agree(truth):
    y = noisy(truth, 0.02)
    of_spectra = mse(y, truth, WINDOWS)
    of_arrays = mse(y.flux, truth, WINDOWS, wave=WAVE, medium="air", ivar=y.ivar)
    np.testing.assert_array_equal(of_spectra, of_arrays)
    predicted = Spectra(truth, wave=WAVE, medium="air")
    np.testing.assert_array_equal(mse(y, predicted, WINDOWS), of_spectra)


def test_masked_pixels_do_not_count(truth):
    y = noisy(truth, 0.02)
    bad = np.random.default_rng(2).random(truth.shape) < 0.1
    flux, ivar = np.where(bad, 50.0, y.flux), np.where(bad, 0, y.ivar)
    filled = y.replace(flux=flux, ivar=ivar)
    unknown = y.replace(flux=np.where(bad, np.nan, y.flux))
    expected = mse(unknown, truth, WINDOWS)
    np.testing.assert_allclose(mse(filled, truth, WINDOWS), expected)
    predicted = np.where(bad, np.nan, truth)  # no prediction, none observed
    np.testing.assert_allclose(mse(filled, predicted, WINDOWS), expected)
    y.ivar[:, 15] = 0
    assert np.isnan(mse_per_pixel(y, truth)[15])


def test_a_star_or_window_without_pixels_is_nan(truth):
    ivar = np.full(truth.shape, 1e4)
    ivar[0] = 0
    ivar[:, 50:60] = 0
    y = Spectra(truth, ivar, wave=WAVE, medium="air")
    per_star = mse_per_star(y, truth, WINDOWS)
    assert np.isnan(per_star[0, 0])
    assert np.isfinite(per_star[1:, 0]).all()
    assert np.isnan(mse(y, truth, WINDOWS)[1])


def test_an_uncovered_window_is_an_error_never_a_smaller_mean(truth):
    y = noisy(truth, 0.02)
    predicted = truth.copy()
    predicted[4, 55] = np.nan
    mse(y, predicted)  # one pixel of all is tolerated
    with pytest.raises(ValueError, match=r"1 pixels.*5050.00-5059.00"):
        mse(y, predicted, WINDOWS)
    predicted[:, 70:] = np.nan
    with pytest.raises(ValueError, match="all pixels"):
        mse(y, predicted)
    assert np.isnan(mse_per_pixel(y, predicted)[[55, 70, 99]]).all()
    predicted[4, 55] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        mse(y, predicted, WINDOWS)


def test_other_things_that_do_not_fit(truth):
    y = noisy(truth, 0.02)
    with pytest.raises(ValueError, match=r"shape \(2000, 99\)"):
        mse(y, truth[:, 1:])
    with pytest.raises(ValueError, match="no pixel in"):
        mse(y, truth, load_lines("galah", "Ba"))
    with pytest.raises(ValueError, match="wave="):
        mse(y.flux, truth, WINDOWS, ivar=y.ivar)
    with pytest.raises(ValueError, match="error_floor is -1"):
        mse(y, truth, error_floor=-1)
    with pytest.raises(ValueError, match="differ by up to"):
        mse(y, Spectra(truth, wave=WAVE + 0.5, medium="air"))


def test_memory_maps_are_read_in_blocks(tmp_path, truth, monkeypatch):
    y = noisy(truth.astype("f4"), 0.02)
    for name, values in {"flux": y.flux, "ivar": y.ivar, "pred": truth}.items():
        np.save(tmp_path / name, values.astype("f4"))
    flux, ivar, pred = (
        np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        for name in ("flux", "ivar", "pred")
    )
    lazy = Spectra(flux, ivar, wave=WAVE, medium="air")
    expected = mse(y, truth.astype("f4"), WINDOWS)
    np.testing.assert_allclose(mse(lazy, pred, WINDOWS), expected, rtol=1e-5)
    monkeypatch.setattr("specxfer.metrics._sums.BLOCK", 700)
    np.testing.assert_allclose(mse(lazy, pred, WINDOWS), expected, rtol=1e-5)


def test_signed_root():
    np.testing.assert_allclose(signed_root([4.0, 0.0, -9.0]), [2, 0, -3])
    assert np.isnan(signed_root(np.nan))
