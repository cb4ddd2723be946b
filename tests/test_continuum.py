"""fit_continuum: known curves are found, under lines, noise and masks."""

import numpy as np
import pytest
from numpy.polynomial.legendre import legval
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.continuum import fit_continuum

WAVE = np.concatenate([np.linspace(5000, 5060, 900), np.linspace(5200, 5250, 800)])
CHIP = np.repeat([0, 1], [900, 800])
AT = np.concatenate([np.linspace(-1, 1, 900), np.linspace(-1, 1, 800)])
CURVE = 1 + legval(AT, [0, 0.3, -0.15, 0.05, 0.05])


def make_stars(n=8, seed=4, share=0.5):
    """Noise-free stars with lines in a `share` of the slots of 1 Å."""
    rng = np.random.default_rng(seed)
    slots = np.concatenate([np.arange(5000.5, 5060), np.arange(5200.5, 5250)])
    depth = rng.uniform(0.05, 0.7, (n, len(slots))) * (
        rng.uniform(size=(n, len(slots))) < share
    )
    return 1 - depth @ np.exp(-0.5 * ((WAVE - slots[:, None]) / 0.12) ** 2)


@pytest.mark.parametrize("scale", [1.0, 3e4, 1e-17])
def test_a_known_curve_is_found_in_any_unit(scale):
    stars = make_stars()
    found = fit_continuum(stars * CURVE * scale, wave=WAVE)
    # between lines the flux is the continuum: what is left are the lines' wings
    assert np.abs(found / (CURVE * scale) - 1).max() < 0.004


def test_a_polynomial_without_lines_is_found_to_rounding():
    for degree in (0, 1, 4):
        curve = 1 + legval(AT, [0, 0.3, -0.15, 0.05, 0.05][: degree + 1])
        assert_allclose(
            fit_continuum(curve, wave=WAVE, degree=degree), curve, rtol=1e-9
        )


def test_many_lines_do_not_drag_the_first_fit_down():
    stars = make_stars(share=0.9)
    assert stars.mean() < 0.92  # so that a fit to all pixels starts low
    found = fit_continuum(stars * CURVE, wave=WAVE) / CURVE
    assert np.abs(found - 1).max() < 0.02


def test_the_level_depends_little_on_noise_and_never_rises_with_it():
    stars = np.tile(make_stars(1), (60, 1))
    unit = np.random.default_rng(3).standard_normal(stars.shape)
    levels = []
    for snr in (1e9, 100, 50, 20):
        ivar = np.full(stars.shape, float(snr) ** 2)
        levels.append(fit_continuum(stars + unit / snr, ivar, wave=WAVE).mean())
    assert_array_equal(levels, np.sort(levels)[::-1])
    assert levels[0] - levels[1] < 0.003
    assert levels[0] - levels[-1] < 0.02
    # without lines, noise alone does nothing: selection is by the neighbours
    flat = 1 + unit / 20
    error = fit_continuum(flat, wave=WAVE).mean(axis=1) - 1
    assert abs(error.mean()) < 4 * 0.05 / np.sqrt(0.4 * flat.size)


def test_what_lies_under_a_mask_does_not_matter(rng):
    flux = make_stars() * CURVE
    mask = rng.uniform(size=flux.shape) < 0.2
    expected = fit_continuum(np.where(mask, np.nan, flux), wave=WAVE)
    assert np.isfinite(expected).mean() > 0.99
    ivar = np.where(mask, 0, 1e4)
    for junk in (0.0, -7.0, 1e6, np.nan):
        masked = np.where(mask, junk, flux)
        found = fit_continuum(masked, ivar, wave=WAVE)
        assert_allclose(found, expected, rtol=2e-3)
        assert_array_equal(np.isnan(found), np.isnan(expected))
    masked = np.ma.array(flux, mask=mask)
    assert_array_equal(fit_continuum(masked, wave=WAVE), expected)


def test_cosmic_rays_are_clipped(rng):
    flux = make_stars() + rng.normal(0, 0.01, (8, len(WAVE)))
    hit = np.zeros(flux.shape)
    hit[:, ::80] = 3.0
    clean, dirty = (fit_continuum(f, wave=WAVE) for f in (flux, flux + hit))
    # 0.0375 on average if they counted
    assert np.sqrt(np.mean((dirty - clean) ** 2)) < 0.003
    assert abs(np.mean(dirty - clean)) < 0.001


def test_chips_and_rows_are_independent():
    flux = make_stars() * CURVE
    found = fit_continuum(flux, wave=WAVE)
    for row, one in zip(flux, found):
        assert_array_equal(fit_continuum(row, wave=WAVE), one)
        assert_array_equal(fit_continuum(row[None], wave=WAVE)[0], one)
    for chip in (0, 1):
        here = chip == CHIP
        assert_array_equal(fit_continuum(flux[:, here]), fit_continuum(flux[:, here]))
        assert_allclose(
            fit_continuum(flux[:, here], wave=WAVE[here]), found[:, here], rtol=1e-9
        )
    assert_array_equal(fit_continuum(flux, wave=WAVE, chip=CHIP), found)
    assert_allclose(fit_continuum(flux, chip=CHIP), found, rtol=1e-6)  # linear steps


def test_easy_rows_give_the_same_bits_in_hard_company():
    flat = np.ones((1, len(WAVE)))
    hard = make_stars(5, share=0.9) * CURVE
    together = fit_continuum(np.vstack([flat, hard]), wave=WAVE)
    assert_array_equal(together[:1], fit_continuum(flat, wave=WAVE))


def test_spectra_in():
    flux, ivar = make_stars(), np.full((8, len(WAVE)), 1e4)
    X = Spectra(flux, ivar, wave=WAVE, medium="air")
    assert_array_equal(fit_continuum(X), fit_continuum(flux, ivar, wave=WAVE))
    with pytest.raises(ValueError, match="their own"):
        fit_continuum(X, wave=WAVE)


def test_float32_stays_and_is_float64_rounded():
    flux = make_stars().astype("f4")
    found = fit_continuum(flux, wave=WAVE)
    assert found.dtype == np.float32
    assert_allclose(found, fit_continuum(flux.astype(float), wave=WAVE), rtol=1e-5)


def test_fixed_pixels():
    slots = np.abs(WAVE % 1 - 0.5) > 0.4  # away from all lines
    flux = make_stars(share=1.0) * CURVE
    found = fit_continuum(flux, wave=WAVE, pixels=slots)
    assert np.abs(found / CURVE - 1).max() < 0.02
    elsewhere = np.where(slots, flux, 0.2)
    assert_array_equal(fit_continuum(elsewhere, wave=WAVE, pixels=slots), found)
    noisy = np.ones((200, 1700)) + np.random.default_rng(1).normal(0, 0.05, (200, 1700))
    level = fit_continuum(noisy, wave=WAVE, pixels=slots)
    assert abs(np.nanmean(level) - 1) < 4 * 0.05 / np.sqrt(200 * slots.sum())


def test_unknown_is_nan():
    flux = make_stars(5)
    flux[0, CHIP == 0] = np.nan
    flux[1, np.flatnonzero(CHIP == 0)[5:]] = np.nan  # too few
    flux[2, (CHIP == 0) & (AT > -0.2)] = np.nan  # less than half of the chip
    flux[3, CHIP == 0] *= -1
    flux[4, (CHIP == 0) & (AT > 0.8)] = np.nan  # an end alone
    found = fit_continuum(flux, wave=WAVE)
    assert np.isnan(found[:4, CHIP == 0]).all()
    assert_array_equal(np.isnan(found[4]), (CHIP == 0) & (AT > 0.8))
    assert np.isfinite(found[:, CHIP == 1]).all()
    assert np.isnan(fit_continuum(np.full((2, 30), np.nan))).all()
    assert np.isnan(fit_continuum(np.ones((2, 4)))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 0}, "clip is 0"),
        ({"clip": (1, 2, 3)}, "clip is"),
        ({"clip": (1, -2)}, "clip is"),
        ({"degree": -1}, "degree is -1"),
        ({"n_iter": 0}, "n_iter is 0"),
        ({"pixels": np.arange(5)}, "pixels has"),
        ({"ivar": np.ones((2, 3))}, "ivar has shape"),
        ({"ivar": -np.ones((1, 1700))}, "ivar"),
        ({"wave": WAVE[::-1]}, "increas"),
    ],
)
def test_impossible_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        fit_continuum(np.ones((1, 1700)), **options)


def test_line_rich_giants(shared):
    with np.load(shared / "lte/pairs_dev.npz") as stored:
        rows = np.flatnonzero(stored["labels"]["giant"] > 0)[::400]
        flux = stored["mean"] + stored["coef"][rows] @ stored["basis"].astype("f4")
        flux, wave = flux[:, -16384:], stored["y_wave_air"]
    at = np.tile(np.linspace(-1, 1, 4096), 4)
    curve = 1 + legval(at, [0, 0.3, -0.15, 0.05, 0.05])
    ratio = fit_continuum(flux * curve, wave=wave) / curve
    for ccd in np.split(ratio, 4, axis=1):
        level = ccd.mean(axis=1, keepdims=True)
        assert np.sqrt(np.mean((ccd / level - 1) ** 2)) < 0.01
        assert 0.97 < level.mean() < 1
