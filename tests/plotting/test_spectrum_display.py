import subprocess
import sys

import numpy as np
import pytest

from specxfer import predict_std, translate
from specxfer.lines import load_lines
from specxfer.plotting import SpectrumDisplay


def curve(ax, label):
    """The drawn line whose label begins so."""
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(label)]
    return found.get_xdata(), found.get_ydata()


def test_the_pen_is_lifted_in_gaps_and_masked_pixels_are_not_drawn(toy):
    y, flux, std = toy
    display = SpectrumDisplay.from_predictions(y, flux, std, truth=flux - 0.003).plot()
    above, below = display.axes_
    x, drawn = curve(above, "translated")
    assert len(x) == 201
    assert np.isnan(x[120])
    np.testing.assert_array_equal(np.delete(x, 120), y.wave)
    np.testing.assert_array_equal(np.delete(drawn, 120), flux[0])
    np.testing.assert_array_equal(np.delete(curve(above, "truth")[1], 120),
                                  flux[0] - 0.003)  # fmt: skip
    (bars,) = above.containers
    points = np.delete(bars[0].get_ydata(), 120)
    assert np.flatnonzero(np.isnan(points)).tolist() == [7, 9]
    good = np.isfinite(points)
    np.testing.assert_array_equal(points[good], y.flux[0, good])
    residual = np.delete(below.lines[0].get_ydata(), 120)
    np.testing.assert_allclose(residual[good], (y.flux - flux)[0, good])


def test_bands_are_of_the_translation_and_of_the_residual(toy):
    y, flux, std = toy
    display = SpectrumDisplay.from_predictions(y, flux, std, row=1).plot()
    for ax, middle, sigma in zip(
        display.axes_, (flux[1, 0], 0), (0.004, np.hypot(0.004, 0.01))
    ):
        wide, narrow = ax.collections[-2:] if ax is display.axes_[1] else [
            c for c in ax.collections if hasattr(c, "get_datalim") and c.get_alpha()
        ]  # fmt: skip
        for band, k in ((wide, 2), (narrow, 1)):
            first = band.get_paths()[0].vertices
            at = first[first[:, 0] == y.wave[0], 1]
            assert at.max() == pytest.approx(middle + k * sigma)
            assert at.min() == pytest.approx(middle - k * sigma)


def test_many_pixels_are_steps_and_a_window_shows_points(pairs, model):
    X, y, _ = pairs
    display = SpectrumDisplay.from_estimator(model, X, y, row=70)
    assert not display.plot().ax_.containers
    display.plot(window=(6495, 6499))
    assert len(display.ax_.containers) == 1
    assert display.ax_.get_xlim() == (6495, 6499)
    assert display.axes_[1].get_xlim() == (6495, 6499)


def test_the_estimator_writes_at_the_resolution_of_the_star(pairs, model):
    X, y, truth = pairs
    display = SpectrumDisplay.from_estimator(model, X, y, row=70, truth=truth)
    flux, std = predict_std(model, X[[70]], resolution=y.resolution[[70]])
    np.testing.assert_allclose(display.flux, flux[0], rtol=1e-6)
    np.testing.assert_allclose(display.std, std[0], rtol=1e-5)
    np.testing.assert_allclose(display.truth, truth.flux[70])
    assert display.name == y.ids[70]
    alone = SpectrumDisplay.from_estimator(model, X, row=70)
    np.testing.assert_allclose(alone.flux, translate(model, X[[70]]).flux[0])
    assert len(alone.plot().axes_) == 1  # nothing to compare with


def test_any_regressor_can_be_drawn_without_errors(pairs):
    from sklearn.linear_model import Ridge

    X, y, _ = pairs
    filled = np.nan_to_num(X.flux, nan=1.0)
    fitted = Ridge().fit(filled[:60], np.nan_to_num(y.flux[:60], nan=1.0))
    display = SpectrumDisplay.from_estimator(fitted, filled, y, row=80)
    assert display.std is None
    assert display.medium == "air"
    display.plot(window=(6495, 6499))
    assert [t.get_text() for t in display.figure_.legends[0].get_texts()] == [
        "observed", "translated"]  # fmt: skip


def test_lines_are_named_without_overlap(toy):
    y, flux, std = toy
    lines = load_lines("galah")
    display = SpectrumDisplay.from_predictions(y, flux, std).plot(lines=lines)
    assert {t.get_text() for t in display.ax_.texts} == {
        line.name for line in lines if 5850 <= line.wave <= 6499
    }
    display.figure_.canvas.draw()
    boxes = [t.get_window_extent() for t in display.ax_.texts]
    middles = np.array([(box.x0 + box.x1) / 2 for box in boxes])
    assert (np.diff(middles) > 0.8 * boxes[0].width).all()
    close = SpectrumDisplay.from_predictions(y, flux, std)
    close.plot(window=(5853, 5855), lines=[line.to_medium("vacuum") for line in lines])
    assert [t.get_text() for t in close.ax_.texts] == ["Ba II 5854"]


def test_it_draws_where_it_is_told_to(toy):
    import matplotlib.pyplot as plt

    y, flux, std = toy
    display = SpectrumDisplay.from_predictions(y, flux, std)
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    display.plot(ax=right, residual=False)
    assert display.ax_ is right
    assert display.figure_ is figure
    display.plot(ax=left)
    assert left not in figure.axes
    assert display.figure_ in figure.subfigs
    figure, both = plt.subplots(2, 1)
    display.plot(ax=both)
    assert display.axes_.tolist() == both.tolist()
    inside = figure.add_axes([0.1, 0.1, 0.2, 0.2])
    assert len(plt.get_fignums()) == 2  # no figure of its own
    with pytest.raises(TypeError, match="subplots"):
        display.plot(ax=inside)


def test_pixels_stand_for_wavelengths_that_are_not_known(toy):
    y, flux, std = toy
    display = SpectrumDisplay.from_predictions(y.flux, flux, std)
    assert display.plot().axes_[1].get_xlabel() == "pixel"
    with pytest.raises(ValueError, match="no wavelengths"):
        display.plot(lines=load_lines("galah"))
    named = SpectrumDisplay.from_predictions(
        y.flux, flux, wave=y.wave, medium="air"
    ).plot(residual=False)
    assert named.ax_.get_xlabel() == "wavelength in air [Å]"


def test_what_cannot_be_drawn_is_an_error(toy):
    y, flux, std = toy
    with pytest.raises(ValueError, match="y_pred has shape"):
        SpectrumDisplay.from_predictions(y, flux[:2])
    with pytest.raises(ValueError, match="std has shape"):
        SpectrumDisplay.from_predictions(y, flux, std[0])
    display = SpectrumDisplay.from_predictions(y, flux)
    with pytest.raises(ValueError, match="holds no pixel"):
        display.plot(window=(7000, 7010))
    with pytest.raises(ValueError, match="lo < hi"):
        display.plot(window=(5855, 5850))
    nothing = SpectrumDisplay.from_predictions(None, np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match="nothing to draw"):
        nothing.plot()


def test_importing_it_does_not_import_matplotlib():
    code = "import specxfer.plotting, sys; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_missing_matplotlib_is_said_so(toy, monkeypatch):
    y, flux, _ = toy
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"specxfer\[plot\]"):
        SpectrumDisplay.from_predictions(y, flux).plot()
