import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.preprocessing import Rebinner

NAN = np.nan
APOGEE = 10 ** (4.179 + 6e-6 * np.arange(8575))
CHIPS = np.r_[246:3274, 3585:6080, 6344:8335]


def spectra(flux, ivar=None, wave=None, **more):
    flux = np.asarray(flux)
    wave = 5000.0 + np.arange(flux.shape[1]) if wave is None else wave
    return Spectra(flux, ivar, wave=wave, medium="vacuum", **more)


def test_flux_is_weighted_by_ivar_and_ivar_adds_up():
    X = spectra(
        [[1.0, 2, 3, NAN, 5, 6], [1, NAN, NAN, NAN, 7, 8]],
        [[1.0, 3, 1, 0, 0, 2], [4, 0, 0, 0, 1, 1]],
    )
    out = Rebinner(2).fit_transform(X)
    assert_allclose(out.flux, [[1.75, 3, 6], [1, NAN, 7.5]])
    assert_allclose(out.ivar, [[4, 1, 2], [4, 0, 2]])
    assert_allclose(out.wave, [5000.5, 5002.5, 5004.5])


def test_what_was_filled_in_stays_filled_in():
    X = spectra([[0.5, 0.7, 0.5, 0.7, NAN, 0.7]], [[0.0, 0, 0, 2, 0, 0]])
    out = Rebinner(2).fit_transform(X)
    assert_allclose(out.flux, [[0.6, 0.7, 0.7]])
    assert_array_equal(out.ivar, [[0, 2, 0]])


def test_without_ivar_every_known_pixel_counts_the_same():
    X = spectra([[1.0, 2, 3, NAN, NAN, NAN]])
    out = Rebinner(3).fit_transform(X)
    assert_allclose(out.flux, [[2, NAN]])
    assert out.ivar is None
    assert_allclose(Rebinner(3).fit_transform(X.flux), [[2, NAN]])


def test_scatter_of_the_bins_is_their_ivar(rng):
    sigma = rng.uniform(0.5, 3, 40)
    X = spectra(rng.normal(size=(8000, 40)) * sigma, np.tile(sigma**-2, (8000, 1)))
    out = Rebinner(4).fit_transform(X)
    assert_allclose(out.flux.var(axis=0) * out.ivar[0], 1, atol=0.07)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7, 5000])
def test_bins_never_cross_a_gap_and_lose_nothing(factor):
    wave = APOGEE[CHIPS]
    chip = np.repeat([0, 1, 2], [3028, 2495, 1991])
    X = spectra(chip[None] + 1.0, np.ones((1, len(wave))), wave)
    out = Rebinner(factor).fit_transform(X)
    assert_array_equal(np.unique(out.flux), [1, 2, 3])
    assert out.ivar.sum() == len(wave)
    assert out.ivar.max() == min(factor, 3028)
    assert_array_equal(out.chip + 1, out.flux[0])
    assert out.shape[1] == sum(-(-n // factor) for n in (3028, 2495, 1991))


def test_chips_that_touch_are_kept_apart():
    X = spectra([[1.0, 1, 1, 2, 2, 2]], chip=[0, 0, 0, 1, 1, 1])
    assert_array_equal(Rebinner(2).fit_transform(X).flux, [[1, 1, 2, 2]])


def test_bins_stay_in_step_over_a_missing_pixel():
    kept = np.delete(np.arange(40), [5, 17, 19])
    X = spectra(np.ones((1, len(kept))), np.ones((1, len(kept))), 5000.0 + kept)
    out = Rebinner(4).fit_transform(X)
    assert_array_equal(out.ivar[0], [4, 3, 4, 4, 2, 4, 4, 4, 4, 4])
    whole = 5001.5 + 4 * np.arange(10)
    assert_allclose(out.wave, whole, atol=1)


def test_broadened_to_the_resolution_and_sampled_twice(rng):
    sigma_in = 16_000 / 22_500 / 2.3548
    flux = 1 - 0.5 * np.exp(-0.5 * ((APOGEE - 16_000) / sigma_in) ** 2)
    X = spectra(flux[None], wave=APOGEE, resolution=[22_500.0])
    binner = Rebinner(resolution=5000).fit(X)
    out = binner.transform(X)
    step = np.median(np.diff(out.wave))
    assert 2 <= 16_000 / 5000 / step < 2.5
    assert_allclose(out.resolution, [5000])
    sigma_out = 16_000 / 5000 / 2.3548
    expected = 1 - 0.5 * sigma_in / sigma_out * np.exp(
        -0.5 * ((out.wave - 16_000) / sigma_out) ** 2
    )
    # The mean over a bin of half a resolution element is not the value at its middle.
    assert_allclose(out.flux[0], expected, atol=0.006)
    fine = Rebinner(1, resolution=5000).fit_transform(X)
    expected = 1 - 0.5 * sigma_in / sigma_out * np.exp(
        -0.5 * ((APOGEE - 16_000) / sigma_out) ** 2
    )
    assert_allclose(fine.flux[0], expected, atol=1e-4)


def test_rows_below_the_resolution_are_never_sharpened():
    wave = APOGEE[:600]
    X = spectra(
        np.ones((4, 600), np.float32),
        np.ones((4, 600), np.float32),
        wave,
        resolution=[22_500, 4000, NAN, 5000],
    )
    out = Rebinner(resolution=5000).fit_transform(X)
    assert_array_equal(np.isnan(out.flux).all(axis=1), [False, True, True, False])
    assert_array_equal(out.resolution, [5000, NAN, NAN, 5000])
    assert_array_equal(out.ivar == 0, np.isnan(out.flux))
    stated = Rebinner(resolution=5000, resolution_in=30_000).fit_transform(X)
    assert_allclose(stated.flux, 1, rtol=1e-6)
    assert_array_equal(stated.resolution, [5000] * 4)


def test_one_resolution_per_chip():
    wave = np.r_[APOGEE[300:900], APOGEE[4000:4600]]
    X = spectra(np.ones((1, 1200)), wave=wave, resolution=[[20_000, 4000]])
    out = Rebinner(resolution=5000).fit_transform(X)
    assert_array_equal(np.isnan(out.flux[0]), out.chip == 1)
    assert_array_equal(out.resolution, [[5000, NAN]])


def test_masked_pixels_stay_out_of_the_broadened_flux():
    flux, ivar = np.ones((2, 400)), np.ones((2, 400))
    flux[0, 100], ivar[0, 100] = 50.0, 0
    flux[1, 200] = NAN
    X = spectra(flux, ivar, APOGEE[:400])
    out = Rebinner(resolution=6000, resolution_in=np.inf).fit_transform(X)
    assert_allclose(out.flux, 1, rtol=1e-12)
    assert out.ivar.sum() == 2 * 400 - 2


def test_noisy_pixels_stay_out_of_their_neighbours_flux():
    wave = np.arange(5000.0, 5010, 0.05)
    flux, ivar = np.ones((2, 1, len(wave)))
    flux[0, 100], ivar[0, 100] = 3.0, 1e-4  # a cosmic ray that the noise admits
    X = spectra(flux, ivar * 1e4, wave)
    options = {"resolution": 10_000, "resolution_in": np.inf}
    binned = Rebinner(2, **options).fit_transform(X)
    assert_allclose(binned.flux, 1, atol=2e-4)
    # and where all weigh the same it is plain broadening
    even = Rebinner(2, **options).fit_transform(X.replace(ivar=np.ones_like(ivar)))
    assert_array_equal(
        even.flux, Rebinner(2, **options).fit_transform(X.replace(ivar=None)).flux
    )


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        ({"resolution": 5000}, np.ones((2, 9)), "needs wavelengths"),
        ({"resolution": 5000}, spectra(np.ones((2, 9))), "resolution_in="),
        ({"factor": 0}, np.ones((2, 9)), "factor"),
        ({"resolution": -1.0}, np.ones((2, 9)), "resolution"),
        (
            {"resolution": 9000, "resolution_in": 5000},
            spectra(np.ones((2, 9))),
            "never sharpened",
        ),
    ],
)
def test_bad_parameters(parameters, X, message):
    with pytest.raises(ValueError, match=message):
        Rebinner(**parameters).fit_transform(X)


def test_one_pixel():
    assert_array_equal(Rebinner().fit_transform(np.ones((2, 1))), np.ones((2, 1)))
