import numpy as np
import pytest
from astropy.table import Table
from scipy.stats import norm

from specxfer import Spectra, translate
from specxfer.lines import KEY_LINES, load_lines
from specxfer.plotting import CalibrationDisplay

LINES = load_lines("galah", names=KEY_LINES)


def gaussian(scale=1.0, n=2000, p=20):
    """Errors `scale` times those stated, of giants; those of dwarfs are right."""
    rng = np.random.default_rng(0)
    giant = np.arange(n) % 2 == 0
    z = rng.standard_normal((n, p)) * np.where(giant, scale, 1)[:, None]
    meta = Table({"giant": giant})
    wave = np.arange(5000.0, 5000 + p)
    return Spectra(1 + 0.01 * z, wave=wave, medium="air", meta=meta)


def test_coverage_of_errors_of_known_size():
    y = gaussian(scale=1.5)
    one, sigma = np.ones(y.shape), np.full(y.shape, 0.01)
    table = CalibrationDisplay.from_predictions(y, one, sigma).table
    assert table["n_stars"].tolist() == [1000] * len(table)
    assert set(table["n_pixels"]) == {20_000}
    for domain, scale in (("giant", 1.5), ("dwarf", 1)):
        rows = table[table["domain"] == domain]
        expected = 2 * norm.cdf(norm.ppf(0.5 + rows["level"] / 2) / scale) - 1
        error = (rows["hi"] - rows["lo"]) / (2 * 1.96)
        assert (np.abs(rows["coverage"] - expected) < 3.5 * error).all()
        np.testing.assert_allclose(rows["coverage"], expected, atol=0.015)


def test_the_noise_of_the_observed_is_added_to_the_errors():
    y = gaussian()
    noisy = y.replace(ivar=np.full(y.shape, 1 / (0.01**2 - 0.006**2)))
    with_noise = CalibrationDisplay.from_predictions(
        noisy, np.ones(y.shape), np.full(y.shape, 0.006)
    )
    alone = CalibrationDisplay.from_predictions(
        y, np.ones(y.shape), np.full(y.shape, 0.01)
    )
    np.testing.assert_allclose(
        with_noise.table["coverage"], alone.table["coverage"], atol=1e-3
    )


def test_the_histogram_is_flat_where_errors_are_right():
    y = gaussian(scale=1.5)
    pit = CalibrationDisplay.from_predictions(
        y, np.ones(y.shape), np.full(y.shape, 0.01)
    ).pit
    for _, some in (("giant", pit[:20]), ("dwarf", pit[20:])):
        assert np.mean(some["density"]) == pytest.approx(1)
    edges = norm.ppf(np.arange(21) / 20)
    bowl = 20 * np.diff(norm.cdf(edges / 1.5))
    np.testing.assert_allclose(pit["density"][:20], bowl, atol=0.12)
    np.testing.assert_allclose(pit["density"][20:], 1, atol=0.12)


def test_intervals_are_over_stars_not_pixels():
    """All pixels of a star err as one: intervals are those of so many stars."""
    rng = np.random.default_rng(1)
    z = np.repeat(rng.standard_normal((400, 1)), 30, axis=1)
    table = CalibrationDisplay.from_predictions(
        1 + 0.01 * z, np.ones(z.shape), np.full(z.shape, 0.01), levels=[0.5]
    ).table
    width = table["hi"][0] - table["lo"][0]
    assert width == pytest.approx(2 * 1.966 * np.sqrt(0.25 / 400), rel=0.05)


def test_curves_are_those_of_the_table(pairs, model):
    X, y, _ = pairs
    display = CalibrationDisplay.from_estimator(model, X[60:], y[60:], LINES)
    display.plot(pit=True)
    assert set(display.table["line"]) == {"all windows"}
    curves = [line for line in display.ax_.lines if line.get_marker() == "."]
    assert [line.get_label() for line in curves] == ["giants", "dwarfs"]
    for curve, domain in zip(curves, ("giant", "dwarf")):
        rows = display.table[display.table["domain"] == domain]
        np.testing.assert_array_equal(curve.get_xdata(), rows["level"])
        np.testing.assert_array_equal(curve.get_ydata(), rows["coverage"])
    assert display.ax_.get_aspect() == 1
    steps = display.axes_[1].patches[0].get_data()
    np.testing.assert_array_equal(
        steps.values, display.pit["density"][display.pit["domain"] == "giant"]
    )
    spectra = translate(model, X[60:], resolution=y.resolution[60:])
    same = CalibrationDisplay.from_predictions(y[60:], spectra, lines=LINES)
    np.testing.assert_allclose(same.table["coverage"], display.table["coverage"])


def test_any_line_of_a_table_and_any_axes():
    import matplotlib.pyplot as plt

    level = [0.5, 0.9]
    table = Table(
        {
            "line": np.repeat(["all windows", "Ba II 6497"], 2),
            "domain": ["giant"] * 4,
            "level": level * 2,
            "coverage": [0.5, 0.9, 0.3, 0.7],
            "lo": [0.4, 0.8, 0.2, 0.6],
            "hi": [0.6, 0.95, 0.4, 0.8],
        }
    )
    display = CalibrationDisplay.from_table(table)
    assert display.plot().ax_.lines[1].get_ydata().tolist() == [0.5, 0.9]
    figure, ax = plt.subplots()
    display.plot(ax, line="Ba II 6497")
    assert (display.ax_, display.figure_) == (ax, figure)
    assert ax.lines[1].get_ydata().tolist() == [0.3, 0.7]
    with pytest.raises(ValueError, match="Eu II"):
        display.plot(line="Eu II")
    with pytest.raises(ValueError, match="no histogram"):
        display.plot(pit=True)
    with pytest.raises(ValueError, match="'coverage'"):
        CalibrationDisplay.from_table(table["line", "domain", "level", "lo", "hi"])


def test_without_errors_there_is_nothing_to_judge(toy):
    y, flux, std = toy
    with pytest.raises(ValueError, match="no errors"):
        CalibrationDisplay.from_predictions(y, flux)
    with pytest.raises(ValueError, match="standard deviation is NaN"):
        CalibrationDisplay.from_predictions(y, flux, np.full(flux.shape, np.nan))
    with pytest.raises(ValueError, match="between 0 and 1"):
        CalibrationDisplay.from_predictions(y, flux, std, levels=[68])
