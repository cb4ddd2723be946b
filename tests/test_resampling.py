import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer.resampling import broaden, find_gaps, pixel_edges, resample

APOGEE = 10 ** (4.179 + 6e-6 * np.arange(246, 1500))
LINEAR = 6480 + 0.06 * np.arange(1500)
TWO_CHIPS = np.concatenate([APOGEE[:500], APOGEE[700:]])


def gaussian_line(wave, centre, sigma, depth=0.5):
    return 1 - depth * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)


# --- grids --------------------------------------------------------------------------


@pytest.mark.parametrize("wave", [APOGEE, LINEAR, np.array([1.0, 2.0])])
def test_edges_of_an_unbroken_grid_touch(wave):
    lower, upper = pixel_edges(wave)
    assert_array_equal(upper[:-1], lower[1:])
    assert_allclose(upper[:-1], (wave[:-1] + wave[1:]) / 2)
    assert not find_gaps(wave).any()


def test_edges_at_a_gap_are_one_pixel_wide():
    lower, upper = pixel_edges(TWO_CHIPS)
    assert_array_equal(np.flatnonzero(find_gaps(TWO_CHIPS)), [499])
    assert_allclose(upper - lower, TWO_CHIPS * np.log(10) * 6e-6, rtol=1e-4)


@pytest.mark.parametrize("lost", [[700], [700, 702], [700, 701, 703]])
def test_missing_pixels_are_gaps(lost):
    kept = np.delete(np.arange(1500), lost)
    gaps = find_gaps(LINEAR[kept])
    assert_array_equal(np.flatnonzero(gaps), np.flatnonzero(np.diff(kept) > 1))
    lower, upper = pixel_edges(LINEAR[kept])
    assert_allclose(upper - lower, 0.06, rtol=1e-6)


def test_a_change_of_sampling_is_no_gap():
    wave = np.concatenate([np.arange(0, 20, 1.0), np.arange(20, 80, 3.0)])
    assert not find_gaps(wave).any()


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        ([3.0, 2.0, 1.0], "increase strictly"),
        ([1.0, np.nan, 3.0], "increase strictly"),
        ([5000.0], "at least two"),
        ([[1.0, 2.0]], "1-D"),
    ],
)
def test_impossible_grids_are_refused(wave, message):
    with pytest.raises(ValueError, match=message):
        pixel_edges(wave)


# --- resample -----------------------------------------------------------------------

NEW_GRIDS = [
    APOGEE * (1 + 2.3e-6),  # a shift of a sixth of a pixel
    np.arange(15160.0, 15400.0, 0.11),  # twice as fine, linear
    np.arange(15160.0, 15400.0, 0.71),  # three times coarser
]


@pytest.mark.parametrize("new_wave", NEW_GRIDS)
def test_a_constant_stays_that_constant(new_wave):
    flux, ivar = resample(np.full(len(APOGEE), 0.7), APOGEE, new_wave)
    assert ivar is None
    assert_allclose(flux[np.isfinite(flux)], 0.7, rtol=1e-14)
    inside = (new_wave > APOGEE[0]) & (new_wave < APOGEE[-1])
    assert np.isfinite(flux[inside]).all()


@pytest.mark.parametrize("new_wave", NEW_GRIDS)
def test_equivalent_width_is_conserved(new_wave):
    def width(flux, wave):
        lower, upper = pixel_edges(wave)
        return np.nansum((1 - flux) * (upper - lower))

    flux = gaussian_line(APOGEE, 15300, 0.4)
    new_flux, _ = resample(flux, APOGEE, new_wave)
    assert_allclose(width(new_flux, new_wave), width(flux, APOGEE), rtol=1e-12)


def test_the_same_grid_changes_nothing():
    rng = np.random.default_rng(0)
    flux = rng.normal(size=(3, len(TWO_CHIPS))).astype(np.float32)
    ivar = rng.uniform(1, 9, size=flux.shape).astype(np.float32)
    flux[1, 5:9], ivar[1, 5:9] = np.nan, 0
    new_flux, new_ivar = resample(flux, TWO_CHIPS, TWO_CHIPS, ivar)
    assert new_flux.dtype == new_ivar.dtype == np.float32
    assert_allclose(new_flux, flux, rtol=1e-6)
    assert_allclose(new_ivar, ivar, rtol=1e-6)


def test_resampled_line_is_the_line():
    # Pixel averages against the analytic mean over each new pixel.
    from scipy.special import erf

    def pixel_mean(wave, sigma=0.5, centre=15300.0):
        lower, upper = pixel_edges(wave)
        z = [(edge - centre) / sigma / np.sqrt(2) for edge in (lower, upper)]
        area = 0.5 * sigma * np.sqrt(np.pi / 2) * (erf(z[1]) - erf(z[0]))
        return 1 - area / (upper - lower)

    fine = np.arange(15290, 15310, 0.005)
    coarse = np.arange(15293.0025, 15307, 0.3)  # edges fall on edges
    flux, _ = resample(pixel_mean(fine), fine, coarse)
    assert_allclose(flux, pixel_mean(coarse), rtol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.6])
def test_stated_ivar_is_the_scatter(shift, scale):
    rng = np.random.default_rng(1)
    wave = 5000 + 0.05 * np.arange(60)
    new_wave = 5000.5 + 0.05 * (shift + scale * np.arange(16))
    sigma = rng.uniform(0.5, 2.0, size=60)
    noise = rng.normal(size=(6000, 60)) * sigma
    flux, ivar = resample(noise, wave, new_wave, np.tile(sigma**-2, (6000, 1)))
    assert_allclose(flux.var(axis=0) * ivar[0], 1, atol=0.08)
    assert_allclose(np.mean(flux.var(axis=0) * ivar[0]), 1, atol=0.02)


def test_gaps_are_never_bridged():
    flux, ivar = resample(
        np.ones((2, len(TWO_CHIPS))), TWO_CHIPS, APOGEE, np.ones((2, len(TWO_CHIPS)))
    )
    assert_array_equal(np.flatnonzero(np.isnan(flux[0])), np.arange(500, 700))
    assert_array_equal(ivar == 0, np.isnan(flux))


def test_unknown_pixels_carry_no_weight():
    wave = np.arange(100.0, 108.0)
    flux = np.array([1, 1, np.nan, 1, 1, 99, 1, 1.0])
    ivar = np.array([1, 1, 1, 1, 1, 0, np.nan, 1.0])
    new_flux, new_ivar = resample(flux, wave, wave[:-1] + 0.5, ivar)
    # Half covered by known pixels is enough, less is not.
    assert_array_equal(new_flux, [1, 1, 1, 1, 1, np.nan, 1])
    assert_array_equal(new_ivar, [2, 1, 1, 2, 1, 0, 1])
    new_flux, _ = resample(flux, wave, wave[:-1] + 0.7, ivar)
    assert np.isnan(new_flux[1])


def test_one_grid_per_spectrum():
    rng = np.random.default_rng(2)
    flux = rng.normal(size=(4, len(LINEAR)))
    ivar = rng.uniform(1, 2, size=flux.shape)
    grids = LINEAR * (1 + np.array([[0], [1e-6], [-4e-6], [3e-5]]))
    both = resample(flux, grids, LINEAR, ivar)
    for i, grid in enumerate(grids):
        one = resample(flux[i], grid, LINEAR, ivar[i])
        assert_array_equal(both[0][i], one[0])
        assert_array_equal(both[1][i], one[1])


def test_blocks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(3)
    flux = rng.normal(size=(7, len(APOGEE)))
    whole = resample(flux, APOGEE, NEW_GRIDS[1]), broaden(flux, APOGEE, 9000)
    monkeypatch.setattr("specxfer.resampling._BLOCK", 3000)
    blocks = resample(flux, APOGEE, NEW_GRIDS[1]), broaden(flux, APOGEE, 9000)
    assert_array_equal(blocks[0][0], whole[0][0])
    assert_allclose(blocks[1], whole[1], rtol=1e-13)


def test_read_only_and_big_endian_input():
    flux = gaussian_line(APOGEE, 15300, 0.4).astype(">f4")
    flux.flags.writeable = False
    new_flux, _ = resample(flux, APOGEE.astype(">f8"), NEW_GRIDS[0])
    assert new_flux.dtype == np.float32
    assert new_flux.dtype.isnative
    assert broaden(flux, APOGEE, 20_000).dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ivar": -np.ones(5)}, "not negative"),
        ({"ivar": np.full(5, np.inf)}, "finite"),
        ({"ivar": np.ones(4)}, "ivar has shape"),
        ({"wave": np.arange(4.0)}, "one wavelength per pixel"),
        ({"wave": np.arange(5.0)[::-1]}, "increase strictly"),
    ],
)
def test_bad_input_of_resample(arguments, message):
    arguments = {"wave": np.arange(5.0), "new_wave": np.arange(3.0), **arguments}
    with pytest.raises(ValueError, match=message):
        resample(np.ones(5), **arguments)


# --- broaden ------------------------------------------------------------------------

LOG = 6520 * np.exp(np.arange(-1200, 1200) * 8e-6)


def broadened_line(wave, centre, sigma, resolution, resolution_in=np.inf):
    added = (1 / resolution**2 - 1 / resolution_in**2) / (8 * np.log(2))
    widened = np.sqrt(sigma**2 + centre**2 * added)
    return gaussian_line(wave, centre, widened, 0.5 * sigma / widened)


@pytest.mark.parametrize("wave", [LINEAR, LOG], ids=["linear", "log"])
@pytest.mark.parametrize("resolution", [4000, 20_000, 60_000, 300_000])
def test_gaussian_line_widens_by_the_right_amount(wave, resolution):
    # From a kernel of six pixels down to a twelfth of one.
    flux = gaussian_line(wave, 6525, 0.13)
    expected = broadened_line(wave, 6525, 0.13, resolution)
    assert_allclose(broaden(flux, wave, resolution), expected, atol=1e-4)


def test_only_the_missing_resolution_is_added():
    flux = gaussian_line(LOG, 6525, 6525 / 28_000 / np.sqrt(8 * np.log(2)))
    broad = broaden(flux, LOG, 22_000, 28_000)
    expected = gaussian_line(
        LOG, 6525, 6525 / 22_000 / np.sqrt(8 * np.log(2)), 0.5 * 22 / 28
    )
    assert_allclose(broad, expected, atol=1e-4)
    assert_allclose(broaden(flux, LOG, 28_000, 28_000), flux, rtol=1e-14)


def test_two_steps_are_one():
    flux = gaussian_line(LOG, 6525, 0.1)
    at_once = broaden(flux, LOG, 15_000)
    stepwise = broaden(broaden(flux, LOG, 24_000), LOG, 15_000, 24_000)
    assert_allclose(stepwise[50:-50], at_once[50:-50], atol=1e-6)


def test_a_constant_survives_gaps_ends_and_unknown_pixels():
    flux = np.full((2, len(TWO_CHIPS)), 0.8)
    flux[0, 100:103] = np.nan
    broad = broaden(flux, TWO_CHIPS, 8000)
    assert_allclose(broad, 0.8, rtol=1e-13)


def test_chips_do_not_leak_into_each_other():
    flux = np.where(np.arange(len(TWO_CHIPS)) < 500, 1.0, 0.2)
    assert_allclose(broaden(flux, TWO_CHIPS, 5000), flux, rtol=1e-13)


def test_a_missing_column_is_an_unknown_pixel():
    flux = gaussian_line(LINEAR, 6525, 0.2)
    kept = np.arange(len(LINEAR)) != 752
    holed = np.where(kept, flux, np.nan)
    assert_allclose(
        broaden(flux[kept], LINEAR[kept], 15_000),
        broaden(holed, LINEAR, 15_000)[kept],
        atol=2e-6,
    )


def test_mostly_unknown_surroundings_are_unknown():
    flux = np.ones(len(LINEAR))
    flux[400:500] = np.nan
    broad = broaden(flux, LINEAR, 30_000)
    assert np.isnan(broad[402:498]).all()
    assert np.isfinite(np.delete(broad, np.s_[399:501])).all()


def test_one_resolution_per_spectrum_or_pixel():
    flux = np.tile(gaussian_line(LOG, 6525, 0.15), (4, 1)).astype(np.float32)
    has = np.array([24_000, 28_000, 21_000, np.nan])
    broad = broaden(flux, LOG, 22_000, has)
    assert broad.dtype == np.float32
    for row in (0, 1):
        assert_array_equal(broad[row], broaden(flux[row], LOG, 22_000, has[row]))
    assert np.isnan(broad[2:]).all()  # never sharpened, never guessed
    per_pixel = np.broadcast_to(has[:2, None], (2, len(LOG)))
    assert_array_equal(broaden(flux[:2], LOG, 22_000, per_pixel), broad[:2])
    assert_array_equal(broaden(flux[0], LOG, 22_000, np.full(len(LOG), 24e3)), broad[0])


def test_rounded_wavelengths_do_no_harm():
    wave = np.round(LINEAR, 2)  # steps between 0.05 and 0.07
    flux = gaussian_line(wave, 6525, 0.2)
    expected = broadened_line(wave, 6525, 0.2, 15_000)
    assert_allclose(broaden(flux, wave, 15_000), expected, atol=5e-3)


def test_rounding_of_the_same_resolution_is_no_sharpening():
    has = np.float32([21_999.999, 22_000])
    flux = np.ones((2, len(LOG)))
    assert_allclose(broaden(flux, LOG, 22_000, has), flux, rtol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 30_000, "resolution_in": 20_000}, "never sharpened"),
        ({"resolution": 0}, "positive"),
        ({"resolution": -5.0}, "positive"),
        ({"resolution": np.array([1e4, 2e4])}, "must be a number"),
        ({"resolution": 1e4, "wave": LOG[:-1]}, "pixels"),
    ],
)
def test_bad_input_of_broaden(arguments, message):
    arguments = {"wave": LOG, **arguments}
    with pytest.raises(ValueError, match=message):
        broaden(np.ones((3, len(LOG))), **arguments)
