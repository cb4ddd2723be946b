import numpy as np
import pytest

from specxfer import LowRankCovariance, Spectra
from specxfer.lines import load_lines
from specxfer.metrics import equivalent_width


def gaussian_line(wave, depth=0.5, centre=6497.0, sigma=0.1):
    return 1 - depth * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)


def test_a_gaussian_line_has_its_analytic_equivalent_width():
    wave = np.arange(6490.0, 6504, 0.0643)
    ew, _ = equivalent_width(
        gaussian_line(wave)[None], (6495.5, 6498.5), wave=wave, medium="air"
    )
    exact = 1000 * 0.5 * 0.1 * np.sqrt(2 * np.pi)
    assert ew.item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("window", "area"), [((2.5, 5.5), 3.0), ((2.75, 5.0), 2.25), ((3.1, 3.2), 0.1)]
)
def test_window_edges_cut_pixels(window, area):
    wave = np.arange(10.0)
    ew, ew_err = equivalent_width(
        Spectra(np.zeros((1, 10)), np.ones((1, 10)), wave=wave + 1, medium="air"),
        (window[0] + 1, window[1] + 1),
    )
    assert ew.item() == pytest.approx(1000 * area)
    lo, hi = window
    widths = np.clip(np.minimum(wave + 0.5, hi) - np.maximum(wave - 0.5, lo), 0, None)
    assert ew_err.item() == pytest.approx(1000 * np.sqrt((widths**2).sum()))


def test_coherent_flux_errors_have_the_known_equivalent_widths():
    lines = load_lines("galah", names=["Ba II 6497", "Y II 4884", "Y II 5729"])
    for line, expected in zip(lines, [5.8, 4.6, 2.9]):
        wave = np.arange(line.wave - 3, line.wave + 3, 0.05)
        ew, _ = equivalent_width(
            np.full((1, len(wave)), 0.99), line, wave=wave, medium="air"
        )
        assert ew.item() == pytest.approx(expected, abs=0.06)


def test_error_agrees_with_monte_carlo_draws():
    rng = np.random.default_rng(0)
    wave = np.arange(6494.0, 6500, 0.0643)
    sigma = rng.uniform(0.005, 0.03, len(wave))
    draws = gaussian_line(wave) + sigma * rng.standard_normal((400, len(wave)))
    y = Spectra(draws, np.tile(sigma**-2, (400, 1)), wave=wave, medium="air")
    windows = [(6496.3, 6497.7), (6496.701, 6497.278)]
    ew, ew_err = equivalent_width(y, windows)
    np.testing.assert_allclose(ew.std(axis=0, ddof=1), ew_err[0], rtol=0.1)
    assert np.ptp(ew_err, axis=0).max() < 1e-9


def test_noise_shared_by_neighbours_adds_up():
    rng = np.random.default_rng(2)
    wave = np.arange(6494.0, 6500, 0.05)
    white = rng.standard_normal((400, len(wave) + 1))
    draws = 1 + 0.02 * (white[:, 1:] + white[:, :-1]) / np.sqrt(2)
    y = Spectra(draws, np.full(draws.shape, 0.02**-2), wave=wave, medium="air")
    ew, ew_err = equivalent_width(y, (6496.5, 6497.5), noise_correlation=0.5)
    _, too_small = equivalent_width(y, (6496.5, 6497.5))
    assert ew.std() == pytest.approx(ew_err[0, 0], rel=0.1)
    assert ew_err[0, 0] == pytest.approx(np.sqrt(2) * too_small[0, 0], rel=0.05)


def test_errors_that_run_together_add_up():
    rng = np.random.default_rng(1)
    wave = np.arange(6494.0, 6500, 0.05)
    basis = gaussian_line(wave)[None] - 1
    core = np.full((400, 1, 1), 0.1**2)
    diagonal = np.full(len(wave), 0.005**2)
    draws = gaussian_line(wave) + 0.1 * rng.standard_normal((400, 1)) * basis
    draws += 0.005 * rng.standard_normal(draws.shape)
    y = Spectra(
        draws,
        np.full(draws.shape, 1 / 0.005**2),
        wave=wave,
        medium="air",
        covariance=LowRankCovariance(core, basis, diagonal),
    )
    ew, ew_err = equivalent_width(y, (6496.5, 6497.5))
    assert ew.std() == pytest.approx(ew_err[0, 0], rel=0.1)
    masked = np.array(draws)
    masked[:, np.argmin(abs(wave - 6497.4))] = np.nan
    _, with_mask = equivalent_width(y.replace(flux=masked), (6496.5, 6497.5))
    np.testing.assert_allclose(with_mask, 20 / 19 * ew_err, rtol=0.03)


def test_masked_pixels_are_scaled_up_or_refused():
    wave = np.arange(5000.0, 5020)
    flux = np.full((4, 20), 0.9)
    ivar = np.full((4, 20), 100.0)
    flux[1, 5] = np.nan
    ivar[2, 5] = 0
    flux[2, 5] = -100.0  # a fill value
    flux[3, 3:6] = np.nan
    y = Spectra(flux, ivar, wave=wave, medium="air")
    ew, ew_err = equivalent_width(y, (4999.5, 5009.5))
    np.testing.assert_allclose(ew[:3, 0], 1000)
    assert ew_err[1, 0] == ew_err[2, 0] == pytest.approx(10 / 9 * 1000 * 0.3)
    assert np.isnan(ew[3, 0])
    assert np.isnan(ew_err[3, 0])


def test_without_noise_the_error_is_unknown():
    wave = np.arange(5000.0, 5020)
    ew, ew_err = equivalent_width(
        np.full((2, 20), 0.9), (5002.5, 5004.5), wave=wave, medium="air"
    )
    np.testing.assert_allclose(ew, 200)
    assert np.isnan(ew_err).all()


def test_pixels_do_not_reach_into_gaps():
    wave = np.r_[np.arange(5000.0, 5010), np.arange(5030.0, 5040)]
    ew, _ = equivalent_width(
        np.zeros((1, 20)), [(5005, 5009.5), (5029.5, 5031)], wave=wave, medium="air"
    )
    np.testing.assert_allclose(ew, [[4500, 1500]])
    with pytest.raises(ValueError, match=r"covers less than 80%.*5005.00-5020.00"):
        equivalent_width(np.zeros((1, 20)), (5005, 5020), wave=wave, medium="air")


def test_lines_off_the_grid_or_without_window_are_errors():
    wave = np.arange(5000.0, 5020, 0.1)
    flux = np.ones((1, 200))
    barium = load_lines("galah", names="Ba II 6497")
    with pytest.raises(ValueError, match="Ba II 6497"):
        equivalent_width(flux, barium, wave=wave, medium="air")
    with pytest.raises(ValueError, match="with_window"):
        equivalent_width(
            flux, load_lines("galah", names="Nd II 6740"), wave=wave, medium="air"
        )
    with pytest.raises(ValueError, match="wave="):
        equivalent_width(flux, barium)


def test_medium_of_the_line_and_of_the_grid_may_differ():
    wave = np.arange(6490.0, 6504, 0.02)
    y = Spectra(gaussian_line(wave)[None], wave=wave, medium="air")
    barium = load_lines("galah", "Ba")[1]
    in_air, _ = equivalent_width(y, barium)
    in_vacuum, _ = equivalent_width(y.to_medium("vacuum"), barium)
    assert in_vacuum.item() == pytest.approx(in_air.item(), rel=1e-3)
