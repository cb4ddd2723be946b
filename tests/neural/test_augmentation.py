"""Shifts, noise and masks are of the size asked for, and the inverse variance knows."""

import numpy as np
import pytest
import torch

from specxfer.neural import Augmentation

LIGHT = 299_792.458  # km/s


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def spectra(flux, ivar=1e4):
    flux = torch.as_tensor(np.asarray(flux), dtype=torch.float32)
    return {"flux": flux.clone(), "ivar": torch.full_like(flux, ivar)}


def lines(wave, centre, velocity=0.0, sigma=0.3):
    """A Gaussian line of depth 0.5, shifted by km/s: one row a velocity."""
    centre = centre * (1 + np.atleast_1d(velocity)[:, None] / LIGHT)
    return -0.5 * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)


GRIDS = {
    "logarithmic": np.exp(np.linspace(np.log(15100.0), np.log(15250.0), 600)),
    "linear": np.linspace(4700.0, 4900.0, 2000),
}


def drawn_velocities(n, std):
    """The velocities that n stars are shifted by."""
    return torch.randn(n, 1, generator=generator()).numpy()[:, 0] * std


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("std", [1.0, 30.0])
def test_a_line_moves_by_v_lambda_over_c(grid, std):
    wave = GRIDS[grid]
    centre, n = wave[len(wave) // 2], 50
    mean = 1 + 0.05 * np.sin(wave)
    inputs = spectra(np.repeat(lines(wave, centre), n, axis=0) + (1 - mean))
    augment = Augmentation(velocity=std, wave=wave, mean_in=mean)
    augment(inputs, generator())
    depth = 1 - (mean + inputs["flux"].numpy())
    near = np.abs(wave - centre) < 2 + 3 * std * centre / LIGHT
    step = np.gradient(wave[near])
    centroid = (depth[:, near] * wave[near] * step).sum(1) / (
        depth[:, near] * step
    ).sum(1)
    velocity = (centroid / centre - 1) * LIGHT
    np.testing.assert_allclose(velocity, drawn_velocities(n, std), rtol=0.01, atol=0.01)


def test_a_shift_is_that_of_the_flux_not_of_its_deviation():
    wave = GRIDS["logarithmic"]
    centre, n = wave[300], 20
    mean = 1 + lines(wave, centre, sigma=0.6)[0]
    inputs = spectra(np.zeros((n, len(wave))))
    augment = Augmentation(velocity=2.0, wave=wave, mean_in=mean)
    augment(inputs, generator())
    expected = 1 + lines(wave, centre, drawn_velocities(n, 2.0), sigma=0.6) - mean
    inner = slice(5, -5)
    np.testing.assert_allclose(inputs["flux"][:, inner], expected[:, inner], atol=0.002)
    assert np.abs(expected).max() > 0.02


def test_what_comes_from_beyond_a_chip_or_from_masked_pixels_is_unknown():
    pixel = 4.0  # km/s
    wave = 15100 * np.exp(np.arange(60) * pixel / LIGHT)
    chip = np.repeat([0, 1], 30)
    inputs = spectra(np.full((200, 60), 0.1))
    inputs["ivar"][:, 10] = 0
    inputs["flux"][:, 10] = 0
    inputs["ivar"][:, 40] = 9e4
    augment = Augmentation(velocity=8.0, wave=wave, chip=chip, mean_in=np.ones(60))
    augment(inputs, generator())
    away = -drawn_velocities(200, 8.0) / pixel  # pixels, to where it came from
    known = (inputs["ivar"] > 0).numpy()
    np.testing.assert_array_equal(inputs["flux"].numpy()[~known], 0)
    origin = np.arange(60) + away[:, None]
    first, last = 30 * chip, 30 * chip + 29
    beyond = (origin < first - 0.15) | (origin > last + 0.15)
    np.testing.assert_array_equal(known[beyond], False)
    masked = np.abs(origin - 10) < 0.8
    np.testing.assert_array_equal(known[masked & (chip == 0)], False)
    far = np.abs(origin - 10) > 1
    inside = (origin > first) & (origin < last)
    np.testing.assert_array_equal(known[inside & (far | (chip == 1))], True)
    # more is lost to neither, and noise follows its pixel
    nearest = (np.abs(origin - 40) < 0.49) & inside & (chip == 1)
    np.testing.assert_array_equal(inputs["ivar"].numpy()[nearest], 9e4)
    smooth = inside & (np.abs(origin - 10) > 2) & known
    np.testing.assert_allclose(inputs["flux"].numpy()[smooth], 0.1, atol=1e-6)


def test_missing_pixels_end_a_chip():
    pixel = 4.0
    wave = 15100 * np.exp(np.arange(60) * pixel / LIGHT)
    kept = np.r_[:25, 27:60]
    ramp = np.linspace(0, 1, 60)
    inputs = spectra(np.repeat(ramp[None, kept], 100, axis=0))
    augment = Augmentation(velocity=4.0, wave=wave[kept], mean_in=np.ones(58))
    augment(inputs, generator())
    away = -drawn_velocities(100, 4.0) / pixel
    expected = (kept + away[:, None]) / 59
    known = (inputs["ivar"] > 0).numpy()
    edge = 0.15 / 59  # of what may be taken from the pixel at an edge
    found = inputs["flux"].numpy()
    assert np.abs(found - expected)[known].max() < edge
    lost = np.abs(away) > 0.2
    np.testing.assert_array_equal(
        known[lost, 24], (away[lost] < 0) & (away[lost] > -24)
    )


def test_noise_has_the_variance_that_ivar_tells():
    n, p = 400, 2000
    inputs = spectra(np.zeros((n, p)), ivar=2500.0)
    inputs["ivar"][:, 1000:] = 1e4
    inputs["ivar"][:, ::10] = 0
    before = inputs["ivar"].clone()
    Augmentation(noise=2.0)(inputs, generator())
    known = before > 0
    assert bool(((inputs["ivar"] > 0) == known).all())
    assert bool((inputs["flux"][~known] == 0).all())
    added = torch.where(known, 1 / inputs["ivar"] - 1 / before, 0)
    for half in (slice(None, 1000), slice(1000, None)):
        share = (added * before)[:, half].sum(1) / known[:, half].sum(1)
        amount = share.sqrt()  # in units of the pixel's noise
        assert 0 <= amount.min() < 0.02
        assert 1.98 < amount.max() <= 2
        assert amount.mean() == pytest.approx(1, abs=0.1)
        chi2 = (inputs["flux"] ** 2 / added.clamp(min=1e-12))[:, half]
        per_star = (chi2 * known[:, half]).sum(1) / known[:, half].sum(1)
        assert per_star.mean() == pytest.approx(1, abs=0.01)
        assert per_star.std() == pytest.approx((2 / 900) ** 0.5, rel=0.15)


def test_noise_of_a_stated_snr_leaves_ivar():
    inputs = spectra(np.zeros((300, 1000)), ivar=1.0)
    inputs["ivar"][:, 0] = 0
    before = inputs["ivar"].clone()
    Augmentation(noise=1.0, snr=50)(inputs, generator())
    assert torch.equal(inputs["ivar"], before)
    assert bool((inputs["flux"][:, 0] == 0).all())
    # the mean of u² is 1/3 for u uniform between 0 and 1
    assert inputs["flux"][:, 1:].var().item() == pytest.approx(0.02**2 / 3, rel=0.1)


@pytest.mark.parametrize("length", [1, 25])
def test_masks_cover_the_share_asked_for(length):
    inputs = spectra(np.ones((500, 3000)))
    Augmentation(masked=0.4, mask_length=length)(inputs, generator())
    masked = inputs["ivar"] == 0
    assert torch.equal(inputs["flux"] == 0, masked)
    share = masked.double().mean(1)
    assert share.mean().item() == pytest.approx(0.2, abs=0.02)
    assert share.min().item() < 0.01
    assert 0.36 < share.max().item() < 0.5
    # all pixels alike, those at the ends too
    ends = masked[:, [0, -1]].double().mean().item()
    assert ends == pytest.approx(0.2, abs=0.06)
    # runs are no shorter than the length, except at the ends
    row = torch.nn.functional.pad(masked[7].int(), (1, 1))
    starts, stops = (row.diff() == d for d in (1, -1))
    runs = stops.nonzero()[:, 0] - starts.nonzero()[:, 0]
    assert runs[1:-1].min() == length


def test_nothing_asked_for_changes_nothing_and_draws_nothing():
    inputs = spectra(np.random.default_rng(0).normal(size=(3, 50)))
    before = {name: value.clone() for name, value in inputs.items()}
    given = generator()
    Augmentation(wave=np.arange(1.0, 51), mean_in=np.ones(50))(inputs, given)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)
    assert torch.equal(given.get_state(), generator().get_state())


def test_it_is_its_generator_alone_that_draws():
    wave = GRIDS["logarithmic"]
    augment = Augmentation(
        velocity=1.0, noise=1.0, masked=0.1, wave=wave, mean_in=np.ones(600)
    )
    state = torch.get_rng_state()

    def run(seed):
        inputs = spectra(np.zeros((4, 600)))
        augment(inputs, generator(seed))
        return inputs["flux"]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"velocity": 1.0}, "needs wave and mean_in"),
        ({"velocity": -1.0}, "velocity is -1.0"),
        ({"velocity": 1.0, "wave": [2.0, 1.0], "mean_in": [1, 1]}, "increasing"),
        ({"velocity": 1.0, "wave": [1.0, 2.0], "mean_in": [1]}, "mean_in has shape"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"masked": 1.0}, "masked is 1.0"),
        ({"snr": 0.0}, "snr is 0.0"),
        ({"mask_length": 0}, "mask_length is 0"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_spectra_on_another_grid_are_refused():
    augment = Augmentation(velocity=1.0, wave=[1.0, 2.0, 3.0], mean_in=np.ones(3))
    with pytest.raises(ValueError, match="expected 3 pixels"):
        augment(spectra(np.zeros((2, 4))), generator())
