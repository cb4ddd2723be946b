import numpy as np
import pytest

from specxfer.lines import load_lines
from specxfer.plotting import RetrievalDisplay

LINES = load_lines("galah", names=["Ba II 6497", "Y II 4884"])


@pytest.fixture(scope="module")
def gallery(space, pairs):
    X, y, _ = pairs
    return RetrievalDisplay.from_estimator(
        space, X[60:], y[:60], y[60:], rows=[0, 5], n_neighbors=2
    )


def test_it_holds_what_the_model_finds(gallery, space, pairs):
    X, y, _ = pairs
    rows = np.array([60, 65])
    distances, indices = space.kneighbors(X[rows], y[:60], 2)
    np.testing.assert_array_equal(gallery.distances, distances)
    known = np.where(y.weights() > 0, y.flux, np.nan)
    np.testing.assert_array_equal(gallery.neighbors, known[indices].astype(float))
    decoded = space.predict(X[rows], resolution=y.resolution[rows])
    np.testing.assert_array_equal(gallery.flux, decoded.astype(float))
    np.testing.assert_array_equal(gallery.observed, known[rows].astype(float))
    assert (gallery.std > 0).any()
    assert not gallery.own.any()
    assert gallery.names == list(y.ids[rows])


def test_a_row_of_panels_is_a_star_and_a_column_a_line(gallery):
    display = gallery.plot(windows=LINES)
    assert display.axes_.shape == (2, 2)
    assert display.ax_ is display.axes_[0, 0]
    titles = [ax.get_title() for ax in display.axes_[0]]
    assert titles == [line.name for line in LINES]
    for ax, line in zip(display.axes_[0], LINES):
        wave = line.to_medium("air").wave
        assert ax.get_xlim() == pytest.approx((wave - 1, wave + 1))
    for star, ax in enumerate(display.axes_[:, 0]):
        assert gallery.names[star] in ax.get_ylabel()
        assert f"{gallery.distances[star, 0]:.2f}" in ax.get_ylabel()
        near = [line for line in ax.lines if line.get_color() == "#E69F00"]
        assert len(near) == 2
    texts = [t.get_text() for t in display.figure_.legends[0].get_texts()]
    assert any("decoded, ± 1σ and ± 2σ" in text for text in texts)
    assert "the 2 nearest of the library" in texts


def test_other_windows_and_none(gallery):
    display = gallery.plot(windows=(6496.0, 6498.0))
    assert display.ax_.get_xlim() == (6496, 6498)
    assert gallery.plot().axes_.shape == (2, 1)
    wide = gallery.plot(windows=LINES[0], half_width=2.0)
    assert np.ptp(wide.ax_.get_xlim()) == pytest.approx(4)
    bare = gallery.plot(windows=LINES[0], bands=())
    assert "decoded" in [t.get_text() for t in bare.figure_.legends[0].get_texts()]


def test_a_stars_own_spectrum_is_marked(space, pairs):
    X, y, _ = pairs
    display = RetrievalDisplay.from_estimator(space, X, y, y, rows=3, n_neighbors=90)
    assert display.own.sum() == 1
    display.own[:] = False
    assert "own" not in display.plot(windows=LINES[0]).ax_.get_ylabel()
    display.own[0, 1] = True
    label = display.plot(windows=LINES[0]).ax_.get_ylabel()
    assert f"{display.distances[0, 1]:.2f}*" in label
    assert "*: its own spectrum" in label


def test_arrays_have_pixels_and_no_names(space, pairs):
    X, y, _ = pairs
    library = np.where(y.weights() > 0, y.flux, np.nan)
    display = RetrievalDisplay.from_estimator(
        space, X.replace(ids=None), library, rows=[1], n_neighbors=2,
        embeddings=space.embed_target(y),
    )  # fmt: skip
    assert display.observed is None
    assert display.names is None
    assert "star 0" in display.plot(windows=LINES[0]).ax_.get_ylabel()
    display.medium = None
    with pytest.raises(ValueError, match="there are no wavelengths"):
        display.plot(windows=LINES[0])


def test_models_without_a_space_are_refused(model, pairs):
    X, y, _ = pairs
    with pytest.raises(TypeError, match="PCARidge looks nothing up"):
        RetrievalDisplay.from_estimator(model, X, y)


def test_it_draws_where_it_is_told_to(gallery):
    import matplotlib.pyplot as plt

    figure = plt.figure(layout="constrained")
    display = gallery.plot(figure, windows=LINES[0])
    assert display.figure_ is figure
