import sys
import types

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.lines import load_lines
from specxfer.plotting import AttributionDisplay
from specxfer.plotting._attribution_display import top_windows

CERIUM = load_lines("galah", names="Ce II 4774")[0]
PLACES = (16380.954, 16599.713, 15789.063)  # of Ce II, vacuum


def star():
    """A source spectrum with Ce II lines, and what a line of cerium hangs on."""
    wave = np.r_[np.arange(15780, 15800, 0.2), np.arange(16360, 16620, 0.2)]
    profiles = [np.exp(-(((wave - at) / 0.3) ** 2)) for at in PLACES]
    flux = 1 - 0.1 * np.sum(profiles, axis=0)
    flux[5] = np.nan
    gradient = -np.array([60, 40, 20]) @ profiles
    source = Spectra(flux[None], wave=wave, medium="vacuum")
    return source, gradient


def test_windows_are_where_the_attribution_is():
    source, gradient = star()
    windows = top_windows(source.wave, gradient, 3, 3.0)
    np.testing.assert_allclose(windows.mean(axis=1), PLACES, atol=0.11)
    np.testing.assert_allclose(np.ptp(windows, axis=1), 6)
    many = top_windows(source.wave, gradient, 9, 3.0)
    apart = np.diff(np.sort(many.mean(axis=1)))
    assert apart.min() >= 6 - 1e-6
    assert not len(top_windows(source.wave, 0 * gradient, 3, 3.0))
    narrow = top_windows(source.wave, gradient, 1, 0.5)
    np.testing.assert_allclose(narrow, [[PLACES[0] - 0.5, PLACES[0] + 0.5]], atol=0.11)


def test_lines_of_the_element_are_named_and_others_are_thin():
    source, gradient = star()
    display = AttributionDisplay.from_predictions(source, gradient, CERIUM).plot()
    names = {text.get_text() for text in display.ax_.texts}
    assert names == {"Ce II 15785", "Ce II 16376", "Ce II 16595"}  # with pixels
    upright = {
        line.get_xdata()[0]: line.get_linewidth()
        for line in display.ax_.lines
        if len(line.get_xdata()) == 2
    }
    ytterbium = load_lines("apogee", "Yb")[0].wave
    assert upright[PLACES[0]] > upright[ytterbium]
    barium = load_lines("galah", names="Ba II 6497")[0]
    other = AttributionDisplay.from_predictions(source, gradient, barium).plot()
    assert not other.ax_.texts  # the source has none


def test_signs_and_values_are_drawn():
    source, gradient = star()
    gradient[:20] = 5.0
    display = AttributionDisplay.from_predictions(source, gradient, CERIUM).plot()
    x, flux = display.ax_.lines[0].get_data()
    assert np.isnan(flux).sum() == 2  # a masked pixel and a gap
    assert np.isnan(x).sum() == 1
    up, down = display.axes_[1].collections[:2]
    assert up.get_datalim(display.axes_[1].transData).y1 == pytest.approx(5)
    assert down.get_datalim(display.axes_[1].transData).y0 == pytest.approx(
        gradient.min()
    )
    assert display.axes_[1].get_ylabel() == "∂W / ∂flux [mÅ]\nof Ce II 4774"


def test_zooms_are_titled_by_what_is_in_them():
    source, gradient = star()
    elsewhere = np.exp(-(((source.wave - 16450) / 0.3) ** 2))
    display = AttributionDisplay.from_predictions(
        source, gradient + 90 * elsewhere, CERIUM
    ).plot(n_windows=2)
    assert display.zoom_axes_.shape == (2, 2)
    titles = [ax.get_title() for ax in display.zoom_axes_[0]]
    assert titles == ["1: no heavy line", "2: Ce II 16376"]
    for ax, window in zip(display.zoom_axes_[1], display.windows_):
        assert ax.get_xlim() == tuple(window)
    numbers = [text.get_text() for text in display.axes_[1].texts]
    assert numbers == ["1", "2"]
    none = AttributionDisplay.from_predictions(source, gradient).plot(n_windows=0)
    assert none.zoom_axes_.shape == (2, 0)
    assert len(none.figure_.axes) == 2


def test_results_of_attributions_are_taken(monkeypatch):
    source, gradient = star()
    result = types.SimpleNamespace(
        source=source,
        lines=["Ba II 6497", CERIUM],
        gradient=np.array([[0 * gradient, gradient]]),
        contribution=np.array([[0 * gradient, 0.1 * gradient]]),
    )
    display = AttributionDisplay.from_attribution(result, line=1, kind="contribution")
    np.testing.assert_array_equal(display.values, 0.1 * gradient)
    assert display.plot().axes_[1].get_ylabel() == "part of Ce II 4774\n[mÅ]"
    calls = []
    validation = types.ModuleType("specxfer.validation")
    validation.attribution = lambda *args, **kw: calls.append((args, kw)) or result
    monkeypatch.setitem(sys.modules, "specxfer.validation", validation)
    display = AttributionDisplay.from_estimator("model", source, CERIUM, step=0.1)
    assert calls[0][0][0] == "model"
    assert calls[0][1] == {"step": 0.1}
    assert not display.values.any()
    twice = Spectra.concatenate([source, source.replace(flux=source.flux + 0.1)])
    AttributionDisplay.from_estimator("model", twice, CERIUM, kind="contribution")
    reference = calls[1][1]["reference"]
    good = np.isfinite(source.flux[0])
    np.testing.assert_allclose(reference[good], source.flux[0, good] + 0.05)
    assert reference[~good] == 1


def test_what_cannot_be_drawn_is_an_error():
    source, gradient = star()
    with pytest.raises(ValueError, match="no wavelengths"):
        AttributionDisplay.from_predictions(source.flux, gradient)
    with pytest.raises(ValueError, match="values have shape"):
        AttributionDisplay.from_predictions(source, gradient[:-1])
    with pytest.raises(ValueError, match="kind is 'saliency'"):
        AttributionDisplay.from_predictions(source, gradient, kind="saliency").plot()
