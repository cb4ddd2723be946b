import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from specxfer.neural import AlignmentTranslator
from specxfer.plotting import EmbeddingDisplay
from specxfer.preprocessing import GapMasker


@pytest.fixture
def sides(rng):
    source = rng.normal(size=(60, 5)) * [1, 4, 2, 0.1, 0.1]
    return source, source + 0.05


def test_the_plane_is_that_of_most_variance_and_keeps_distances(sides):
    source, target = sides
    display = EmbeddingDisplay.from_embeddings(source, target)
    assert np.abs(np.corrcoef(display.source[:, 0], source[:, 1])[0, 1]) > 0.95
    assert display.shares[0] > display.shares[1] > 0
    assert sum(display.shares) < 1
    flat = EmbeddingDisplay.from_embeddings(source[:, :2], target[:, :2])
    for a, b in ((flat.source, source), (flat.target, target)):
        np.testing.assert_allclose(
            np.linalg.norm(a[0] - a[1]), np.linalg.norm(b[0, :2] - b[1, :2])
        )
    assert sum(flat.shares) == pytest.approx(1)
    # a common offset of one side stays an offset
    far = EmbeddingDisplay.from_embeddings(source, target + 10)
    assert np.linalg.norm((far.target - far.source).mean(axis=0)) > 15


def test_partners_are_joined_and_others_not(sides):
    source, target = sides
    target[3] = np.nan
    ax = EmbeddingDisplay.from_embeddings(source, target).plot().ax_
    joins = ax.lines[0].get_xydata()
    assert len(joins) == 3 * 59
    display = EmbeddingDisplay.from_embeddings(source, target)
    np.testing.assert_array_equal(joins[:2], [display.source[0], display.target[0]])
    assert len(ax.collections) == 2
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["source", "target", "the same star"]
    one = EmbeddingDisplay.from_embeddings(source).plot()
    assert len(one.ax_.collections) == 1
    assert one.ax_.get_legend() is None
    assert one.colorbar_ is None


def test_colours_are_the_label(sides):
    values = np.linspace(4000, 7000, 60)
    values[5] = np.nan
    display = EmbeddingDisplay.from_embeddings(*sides, values=values, label="Teff [K]")
    display.plot()
    colors = display.points_.get_facecolors()
    assert len(np.unique(colors, axis=0)) > 40
    assert colors[5][:3].tolist() == [0.5, 0.5, 0.5]
    assert display.colorbar_.ax.get_ylabel() == "Teff [K]"
    rings = display.ax_.collections[0].get_edgecolors()
    np.testing.assert_array_equal(rings, colors)
    same = EmbeddingDisplay.from_embeddings(*sides, values=np.ones(60)).plot()
    assert np.ptp(same.points_.get_facecolors(), axis=0).max() == 0
    none = EmbeddingDisplay.from_embeddings(*sides, values=np.full(60, np.nan)).plot()
    assert (none.points_.get_facecolors()[:, :3] == 0.5).all()


def test_so_many_stars_are_drawn(sides):
    display = EmbeddingDisplay.from_embeddings(*sides).plot(most=10)
    shown = display.points_.get_offsets()
    assert len(shown) == 10
    np.testing.assert_array_equal(shown[[0, -1]], display.source[[0, -1]])
    assert len(display.plot(most=None).points_.get_offsets()) == 60


def test_a_model_embeds_its_stars(space, pairs, model):
    X, y, _ = pairs
    X = X.replace(meta=X.meta.copy())
    X.meta["teff"].unit = "K"
    display = EmbeddingDisplay.from_estimator(space, X, y, label="teff")
    assert display.label == "teff [K]"
    np.testing.assert_array_equal(display.values, X.meta["teff"])
    expected = EmbeddingDisplay.from_embeddings(space.embed(X), space.embed_target(y))
    np.testing.assert_array_equal(display.source, expected.source)
    named = EmbeddingDisplay.from_estimator(
        space, X, values=np.arange(len(X)), label="row"
    )
    assert (named.label, named.target) == ("row", None)
    with pytest.raises(ValueError, match=r"lacks 'age'; it has .*teff"):
        EmbeddingDisplay.from_estimator(space, X, label="age")
    with pytest.raises(TypeError, match="PCARidge has no embeddings"):
        EmbeddingDisplay.from_estimator(model, X)


def test_a_pipeline_is_looked_through(pairs):
    X, y, _ = pairs
    quick = AlignmentTranslator(4, n_components=4, max_epochs=1, space_epochs=1)
    pipeline = make_pipeline(GapMasker(), quick).fit(X[:60], y[:60])
    display = EmbeddingDisplay.from_estimator(pipeline, X, y)
    points = pipeline[-1].embed(pipeline[:-1].transform(X))
    expected = EmbeddingDisplay.from_embeddings(points, pipeline[-1].embed_target(y))
    np.testing.assert_array_equal(display.source, expected.source)


def test_what_does_not_fit_is_said(sides):
    source, target = sides
    with pytest.raises(ValueError, match="give both sides of the same stars"):
        EmbeddingDisplay.from_embeddings(source, target[:50])
    with pytest.raises(ValueError, match="each of two numbers or more"):
        EmbeddingDisplay.from_embeddings(source[:, :1])
    with pytest.raises(ValueError, match="one of each of the 60 stars"):
        EmbeddingDisplay.from_embeddings(source, values=np.ones(3))


def test_it_draws_where_it_is_told_to(sides):
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2)
    display = EmbeddingDisplay.from_embeddings(*sides).plot(axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is axes[1].figure
