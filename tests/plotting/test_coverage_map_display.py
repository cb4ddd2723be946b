import numpy as np
import pytest
from astropy.table import Table

from specxfer import support, translate
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics import equivalent_width
from specxfer.plotting import CoverageMapDisplay

LINES = load_lines("galah", names=KEY_LINES)


def two_groups():
    """Cool giants with 0.5, hot dwarfs with 0.8, and three stars in between."""
    teff = np.r_[np.full(20, 4500.0), np.full(10, 6000.0), np.full(3, 5200.0)]
    logg = np.r_[np.full(20, 2.0), np.full(10, 4.4), np.full(3, 3.2)]
    values = np.r_[np.tile([0.4, 0.6], 10), np.full(10, 0.8), np.zeros(3)]
    return Table({"TEFF": teff, "LOGG": logg}), values


def test_bins_hold_means_and_need_enough_stars():
    labels, values = two_groups()
    display = CoverageMapDisplay.from_predictions(labels, values, name="share").plot()
    found = sorted(display.bins_.get_array())
    np.testing.assert_allclose(found, [0.5, 0.8])
    assert sorted(display.plot(min_stars=1).bins_.get_array())[0] == 0
    dots = display.ax_.lines[0]
    assert len(dots.get_xdata()) == 33
    assert display.colorbar_.ax.get_ylabel() == "share"
    assert display.bins_.get_cmap().name == "cividis"


def test_it_is_a_kiel_diagram():
    labels, values = two_groups()
    ax = CoverageMapDisplay.from_predictions(labels, values).plot().ax_
    assert ax.get_xlim()[0] > 6000 > 4500 > ax.get_xlim()[1]
    assert ax.get_ylim()[0] > 4.4 > 2 > ax.get_ylim()[1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Teff [K]", "log g [dex]")


def test_colours_diverge_from_what_is_nominal():
    labels, values = two_groups()
    display = CoverageMapDisplay.from_predictions(labels, values, nominal=0.683).plot()
    norm = display.bins_.norm
    assert norm(0.683) == pytest.approx(0.5)
    assert norm.halfrange == pytest.approx(0.183)
    assert display.plot(halfrange=0.3).bins_.norm.vmax == pytest.approx(0.983)


def test_a_share_stays_within_0_and_1_and_an_empty_map_says_so():
    labels, values = two_groups()
    share = CoverageMapDisplay.from_predictions(labels, values, nominal=0.683)
    for settings in ({"min_stars": 1}, {"min_stars": 50}, {"halfrange": 2}):
        display = share.plot(**settings)
        assert display.colorbar_.ax.get_ylim() == (0, 1)
        said = [text.get_text() for text in display.ax_.texts]
        assert said == ["no cell has 50 stars"] * (settings.get("min_stars") == 50)
    bias = CoverageMapDisplay.from_predictions(labels, 9 * values, nominal=0.683)
    assert bias.plot().colorbar_.ax.get_ylim()[1] > 1


def test_values_of_each_star_are_those_of_the_model(pairs, model):
    X, y, _ = (s[60:] for s in pairs)
    spectra = translate(model, X, resolution=y.resolution)
    display = CoverageMapDisplay.from_estimator(model, X, y, LINES)
    noise = 1 / np.where(y.valid(), y.ivar, 1)
    z = (y.flux - spectra.flux) / np.sqrt(1 / spectra.ivar + noise)
    seen = np.zeros(len(y.wave), bool)
    for line in LINES:
        seen |= (y.wave >= line.lo) & (y.wave <= line.hi)
    expected = [(np.abs(row[keep]) < 1).mean()
                for row, keep in zip(z, y.valid() & seen)]  # fmt: skip
    np.testing.assert_allclose(display.values, expected)
    assert display.nominal == pytest.approx(0.6827, abs=1e-4)
    np.testing.assert_array_equal(display.teff, y.meta["teff"])
    far = CoverageMapDisplay.from_estimator(model, X, quantity="support")
    np.testing.assert_allclose(far.values, support(model, X))
    assert far.nominal is None
    bias = CoverageMapDisplay.from_estimator(model, X, y, LINES[:1], quantity="bias")
    widths = [equivalent_width(s, LINES[0])[0][:, 0] for s in (spectra, y)]
    np.testing.assert_allclose(bias.values, widths[0] - widths[1], rtol=1e-4, atol=1e-3)
    assert "Ba II 5854" in bias.name


def test_what_is_missing_is_said(pairs, model):
    X, y, _ = (s[60:] for s in pairs)
    labels, values = two_groups()
    with pytest.raises(ValueError, match="teff and logg"):
        CoverageMapDisplay.from_predictions(Table({"feh": values}), values)
    with pytest.raises(ValueError, match="one a star"):
        CoverageMapDisplay.from_predictions(labels, values[:3])
    with pytest.raises(ValueError, match="quantity is 'chi2'"):
        CoverageMapDisplay.from_estimator(model, X, y, quantity="chi2")
    with pytest.raises(ValueError, match="give y"):
        CoverageMapDisplay.from_estimator(model, X)
    with pytest.raises(ValueError, match="one line; 8 given"):
        CoverageMapDisplay.from_estimator(model, X, y, LINES, quantity="bias")
    with pytest.raises(ValueError, match="nothing to draw"):
        CoverageMapDisplay.from_predictions(labels, np.nan * values).plot()


def test_it_draws_where_it_is_told_to():
    import matplotlib.pyplot as plt

    labels, values = two_groups()
    figure, (_, ax) = plt.subplots(1, 2)
    display = CoverageMapDisplay.from_predictions(labels, values).plot(ax)
    assert (display.ax_, display.figure_) == (ax, figure)
    assert plt.get_fignums() == [figure.number]
