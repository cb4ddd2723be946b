import numpy as np
import pytest

from specxfer import Spectra
from specxfer.metrics import mse, noise_scale


def spectra(misstated=1.0, n_stars=30, repeats=2, seed=0):
    """Lined spectra at GALAH-like sampling, noise 0.02, stated as 0.02/misstated."""
    rng = np.random.default_rng(seed)
    wave = 5650 + 0.055 * np.arange(3000)
    centres = rng.uniform(5650, 5815, 60)
    depths = rng.uniform(0, 0.5, (n_stars, 60))
    shapes = np.exp(-0.5 * ((wave - centres[:, None]) / 0.11) ** 2)
    flux = np.repeat(1 - np.clip(depths @ shapes, 0, 0.9), repeats, axis=0)
    flux = flux + 0.02 * rng.standard_normal(flux.shape)
    ivar = np.full(flux.shape, (misstated / 0.02) ** 2)
    ids = np.repeat(np.arange(n_stars), repeats)
    return Spectra(flux.astype("f4"), ivar, wave=wave, medium="air", ids=ids)


@pytest.mark.parametrize("misstated", [1 / 1.5, 1.0, 1.5])
def test_a_misstated_sigma_is_recovered(misstated):
    found = noise_scale(spectra(misstated))
    assert found.pixels == pytest.approx(misstated, rel=0.05)
    assert found.repeats == pytest.approx(misstated, rel=0.03)
    assert found.n_pairs == 30
    assert found.per_spectrum.shape == (60,)


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_noise_shared_by_neighbours_is_told_apart(shared):
    rng = np.random.default_rng(4)
    white = rng.standard_normal((40, 3001))
    noise = (white[:, 1:] + shared * white[:, :-1]) / np.hypot(1, shared)
    y = Spectra(
        1 + 0.02 * noise,
        np.full(noise.shape, 0.02**-2),
        wave=5650 + 0.055 * np.arange(3000),
        medium="air",
    )
    found = noise_scale(y)
    assert found.pixels == pytest.approx(1, rel=0.03)
    assert found.correlation == pytest.approx(shared / (1 + shared**2), abs=0.03)


def test_it_survives_masks_outliers_and_gaps():
    y = spectra(1.5)
    rng = np.random.default_rng(1)
    flux, ivar = y.flux.copy(), y.ivar.copy()
    flux[rng.random(flux.shape) < 0.003] = 30.0  # cosmic rays nobody saw
    ivar[rng.random(flux.shape) < 0.05] = 0
    flux[rng.random(flux.shape) < 0.05] = np.nan
    ivar[3] = 0
    chip = (np.arange(3000) >= 1500).astype(int)
    found = noise_scale(y.replace(flux=flux, ivar=ivar, chip=chip))
    assert found.pixels == pytest.approx(1.5, rel=0.1)
    assert found.repeats == pytest.approx(1.5, rel=0.05)
    assert np.isnan(found.per_spectrum[3])
    assert found.n_pairs == 29


def test_only_spectra_of_the_same_star_are_compared():
    y = spectra()[np.random.default_rng(0).permutation(60)]
    assert noise_scale(y).repeats == pytest.approx(1, rel=0.03)
    triples = spectra(repeats=3, n_stars=10)
    assert noise_scale(triples).n_pairs == 10
    for ids in (None, np.arange(60)):
        found = noise_scale(y.replace(ids=ids))
        assert np.isnan(found.repeats)
        assert found.n_pairs == 0


def test_it_looks_at_a_few_spectra_only():
    found = noise_scale(spectra(), max_spectra=10)
    assert np.isfinite(found.per_spectrum).sum() == 10
    assert found.n_pairs == 10


def test_correcting_sigma_mends_the_error():
    y = spectra(1.5, seed=3)
    predicted = spectra(seed=3).flux + 0.01  # the same noise: error 0.01 exactly
    truth_plus = predicted - y.flux
    assert np.allclose(truth_plus, 0.01, atol=1e-6)
    scale = noise_scale(y).repeats
    assert scale**-2 * y.ivar[0, 0] == pytest.approx(0.02**-2, rel=0.06)
    noiseless = np.repeat(np.mean([y.flux[::2], y.flux[1::2]], axis=0), 2, axis=0)
    # the mean of two spectra is off by half of their variance, of which the
    # covariance with each of them is to be taken off twice: −σ²/2 in total
    wrong = mse(y, noiseless).item()
    right = mse(y.replace(ivar=y.ivar / scale**2), noiseless).item()
    assert right == pytest.approx(-0.5 * 0.02**2, rel=0.1)
    assert wrong > 0 > right


def test_spectra_without_any_noise_have_scale_zero():
    y = spectra()
    found = noise_scale(y.replace(flux=np.ones(y.shape)))
    assert found.pixels == found.repeats == 0
    assert np.isnan(found.correlation)


def test_what_cannot_be_measured_is_an_error():
    y = spectra()
    with pytest.raises(ValueError, match="no ivar"):
        noise_scale(y.replace(ivar=None))
    with pytest.raises(ValueError, match="too few"):
        noise_scale(y[:, :20])
