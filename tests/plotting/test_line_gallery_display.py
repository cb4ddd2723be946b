import numpy as np
import pytest

from specxfer import translate
from specxfer.baselines import NullTranslator
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics import equivalent_width
from specxfer.plotting import LineGalleryDisplay

LINES = load_lines("galah", names=KEY_LINES)
BARIUM = load_lines("galah", "Ba")


def drawn(ax, label):
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(label)]
    return found.get_xdata(), found.get_ydata()


@pytest.fixture(scope="module")
def null(pairs):
    X, y, _ = pairs
    return NullTranslator("labels", labels=["teff", "logg", "fe_h"]).fit(X[:60], y[:60])


def test_a_panel_for_each_line_by_element(pairs, model, null):
    X, y, truth = pairs
    display = LineGalleryDisplay.from_estimator(
        model, X, y, LINES, rows=70, null=null, truth=truth
    ).plot()
    assert [ax.get_title() for ax in display.axes_] == [
        "Y II 4884", "Zr I 4772", "Ba II 5854", "Ba II 6497", "La II 4749",
        "Ce II 4774", "Nd II 4811", "Eu II 6645",
    ]  # fmt: skip
    assert [t.get_text() for t in display.figure_.legends[0].get_texts()] == [
        "observed", "null", "translated, ± 1σ and ± 2σ", "truth"]  # fmt: skip
    line = display.lines_[3]
    x, flux = drawn(display.axes_[3], "truth")
    near = np.abs(y.wave - line.wave) < 1
    inside = np.abs(x) < 1
    np.testing.assert_allclose(x[inside], y.wave[near] - line.wave, atol=1e-9)
    np.testing.assert_allclose(flux[inside], truth.flux[70, near])
    (shade,) = [p for p in display.axes_[3].patches if p.get_zorder() == 0]
    assert shade.get_x() == pytest.approx(line.lo - line.wave)
    assert shade.get_width() == pytest.approx(line.hi - line.lo)
    assert display.axes_[0].get_ylim() == display.axes_[7].get_ylim()


def test_the_widths_written_are_those_of_the_metric(pairs, model):
    X, y, _ = pairs
    display = LineGalleryDisplay.from_estimator(model, X, y, BARIUM, rows=70).plot()
    spectra = translate(model, X[[70]], resolution=y.resolution[[70]])
    for some, name in ((y[[70]], "observed"), (spectra, "predicted")):
        ew, error = equivalent_width(some, BARIUM)
        np.testing.assert_allclose(display.widths[name], ew[0], rtol=1e-5)
        np.testing.assert_allclose(display.widths[f"{name}_err"], error[0], rtol=1e-5)
    row = display.widths[0]
    texts = [t.get_text() for t in display.axes_[0].texts]
    assert texts == [
        f"{row['observed']:.1f} ± {row['observed_err']:.1f}",
        f"{row['predicted']:.1f} ± {row['predicted_err']:.1f}",
    ]


def test_errors_of_widths_need_the_covariance(toy):
    y, flux, std = toy
    display = LineGalleryDisplay.from_predictions(y, flux, BARIUM, std).plot()
    assert np.isnan(display.widths["predicted_err"]).all()
    assert "±" not in display.axes_[0].texts[1].get_text()


def test_the_mean_of_stars_is_over_the_same_stars_in_each_curve(toy):
    y, flux, std = toy
    display = LineGalleryDisplay.from_predictions(
        y, flux, BARIUM, std, rows=np.array([True, True, False]), truth=flux - 0.003
    )
    good = y.valid()[:2]
    n = good.sum(axis=0)
    assert n[7] == n[9] == 1
    np.testing.assert_allclose(
        display.observed, np.where(good, y.flux[:2], 0).sum(axis=0) / n
    )
    np.testing.assert_allclose(display.flux[7], flux[1, 7])
    np.testing.assert_allclose(display.flux - display.truth, 0.003)
    np.testing.assert_allclose(display.observed_std, 0.01 / np.sqrt(n))
    np.testing.assert_allclose(display.std, 0.004)  # not smaller by the root of n
    ew, _ = equivalent_width(y[:2], BARIUM)
    np.testing.assert_allclose(display.widths["observed"], ew.mean(axis=0))
    assert display.name == "mean of 2 stars, σ of one"


def test_blocks_of_stars_make_no_difference(toy, monkeypatch):
    y, flux, std = toy
    whole = LineGalleryDisplay.from_predictions(y, flux, BARIUM, std, rows=slice(None))
    monkeypatch.setattr("specxfer.plotting._means.BLOCK_ROWS", 2)
    parts = LineGalleryDisplay.from_predictions(y, flux, BARIUM, std, rows=slice(None))
    for name in ("flux", "std", "observed", "observed_std"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name))
    np.testing.assert_allclose(parts.widths["observed"], whole.widths["observed"])


@pytest.mark.parametrize("n", [1, 3, 7, 42])
def test_any_number_of_lines(n):
    wave = np.arange(4700.0, 7900, 0.05)
    lines = load_lines("galah")[:n]
    flux = 1 - 0.3 * np.sum(
        [np.exp(-(((wave - line.wave) / 0.1) ** 2)) for line in lines], axis=0
    )
    display = LineGalleryDisplay.from_predictions(
        None, flux[None], lines, wave=wave, medium="air"
    ).plot(order="wavelength")
    assert len(display.axes_) == n
    assert [ax.get_title() for ax in display.axes_] == [line.name for line in lines]
    display.figure_.canvas.draw()
    boxes = [ax.title.get_window_extent() for ax in display.axes_[:2]]
    assert boxes[-1] is boxes[0] or boxes[1].x0 > boxes[0].x1


def test_lines_keep_their_order_and_may_be_limits(toy):
    y, flux, _ = toy
    windows = [(6496.7, 6497.3), BARIUM[0].to_medium("vacuum")]
    display = LineGalleryDisplay.from_predictions(y, flux, windows)
    titles = [ax.get_title() for ax in display.plot(order=None).axes_]
    assert titles == ["6496.70-6497.30", "Ba II 5854"]
    titles = [ax.get_title() for ax in display.plot(sharey=False).axes_]
    assert titles == ["Ba II 5854", "6496.70-6497.30"]
    with pytest.raises(ValueError, match="order is 'size'"):
        display.plot(order="size")


def test_it_draws_where_it_is_told_to(toy):
    import matplotlib.pyplot as plt

    y, flux, std = toy
    display = LineGalleryDisplay.from_predictions(y, flux, BARIUM, std)
    figure, axes = plt.subplots(1, 2)
    assert display.plot(ax=axes).axes_.tolist() == axes.tolist()
    assert display.figure_ is figure
    with pytest.raises(ValueError, match="2"):
        display.plot(ax=axes[:1])
    figure = plt.figure(layout="constrained")
    above, _ = figure.subfigures(2, 1)
    assert display.plot(ax=above).figure_ is above


def test_what_the_grid_lacks_is_an_error(toy):
    y, flux, std = toy
    with pytest.raises(ValueError, match="Eu II 6645"):
        LineGalleryDisplay.from_predictions(y, flux, LINES[-1], std)
    with pytest.raises(ValueError, match="no wavelengths"):
        LineGalleryDisplay.from_predictions(y.flux, flux, BARIUM)
    with pytest.raises(ValueError, match="no star"):
        LineGalleryDisplay.from_predictions(y, flux, BARIUM, rows=[])
    with pytest.raises(ValueError, match="null has shape"):
        LineGalleryDisplay.from_predictions(y, flux, BARIUM, null=flux[:1])
