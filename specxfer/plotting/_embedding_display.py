"""EmbeddingDisplay: the space that both surveys share, seen in two dimensions."""

import numpy as np

from specxfer._compositions import translator_of
from specxfer.plotting._style import (
    BLACK,
    BLUE,
    GREY,
    LABEL,
    TICK,
    legend_over,
    one_axes,
    style_axes,
)
from specxfer.spectra import Spectra

__all__ = ["EmbeddingDisplay"]

BULK = (2, 98)  # percentiles of the label that the colours span


class EmbeddingDisplay:
    """Stars in the space of both surveys, coloured by a label, their spectra joined.

    Shown are the two directions in which the embeddings vary most, those of both
    surveys together. Filled points are source spectra, rings target spectra; a line
    joins the two of a star. The shorter the lines, the better the surveys agree.

    Parameters
    ----------
    source : ndarray of shape (n_stars, 2)
        Where the source spectra are.
    target : ndarray of shape (n_stars, 2), optional
        Where the target spectra of the same stars are; NaN for stars without one.
    shares : tuple of float, optional
        Of the variance, along either axis.
    values : ndarray of shape (n_stars,), optional
        The label; NaN is drawn grey.
    label : str, optional
        Its name, with the unit.

    Attributes
    ----------
    ax_ : matplotlib axes
        Set by `plot`, like the following.
    figure_ : matplotlib Figure or SubFigure
    points_ : matplotlib PathCollection
        The source spectra.
    colorbar_ : matplotlib Colorbar or None

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from specxfer.plotting import EmbeddingDisplay
    >>> rng = np.random.default_rng(0)
    >>> age = rng.uniform(0, 10, 50)
    >>> source = np.c_[age, rng.normal(size=(50, 3))]
    >>> target = source + rng.normal(0, 0.3, source.shape)
    >>> display = EmbeddingDisplay.from_embeddings(
    ...     source, target, values=age, label="age [Gyr]")
    >>> display.plot().colorbar_.ax.get_ylabel()
    'age [Gyr]'
    >>> plt.close(display.figure_)
    """

    def __init__(self, source, target=None, *, shares=None, values=None, label=None):
        self.source = source
        self.target = target
        self.shares = shares
        self.values = values
        self.label = label

    @classmethod
    def from_embeddings(cls, source, target=None, *, values=None, label=None):
        """Take embeddings, and find the two directions in which they vary most.

        Parameters
        ----------
        source : array-like of shape (n_stars, n_embedding)
            Such as `specxfer.neural.AlignmentTranslator.embed` gives.
        target : array-like of shape (n_stars, n_embedding), optional
            Of the same stars, such as ``embed_target`` gives; NaN for those without.
        values : array-like of shape (n_stars,), optional
            A label of each star.
        label : str, optional
            What the label is called.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        ValueError
            If shapes disagree, or there are fewer than two stars or numbers.
        """
        source = np.asarray(source, dtype=float)
        sides = [source]
        if target is not None:
            sides.append(np.asarray(target, dtype=float))
        if source.ndim != 2 or min(source.shape) < 2:
            raise ValueError(
                f"source has shape {source.shape}; expected embeddings of two stars or "
                "more, each of two numbers or more."
            )
        if sides[-1].shape != source.shape:
            raise ValueError(
                f"target has shape {sides[-1].shape}, source {source.shape}: give both "
                "sides of the same stars, NaN where there is none."
            )
        if values is not None:
            values = np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
            if values.shape != (len(source),):
                raise ValueError(
                    f"values has shape {values.shape}; expected one of each of the "
                    f"{len(source)} stars."
                )
        known = np.concatenate(sides)
        known = known[np.isfinite(known).all(axis=1)]
        mean = known.mean(axis=0)
        _, size, axes = np.linalg.svd(known - mean, full_matrices=False)
        axes = axes[:2]
        axes = axes * np.sign(axes[range(2), np.abs(axes).argmax(axis=1)])[:, None]
        shares = tuple((size**2 / max((size**2).sum(), 1e-300))[:2].tolist())
        at = [(side - mean) @ axes.T for side in sides]
        return cls(*at, shares=shares, values=values, label=label)

    @classmethod
    def from_estimator(cls, model, X, y=None, *, label=None, values=None):
        """Embed spectra and take the embeddings.

        Parameters
        ----------
        model : estimator
            A fitted `specxfer.neural.AlignmentTranslator`, or a pipeline or search
            that ends with one.
        X : Spectra or array-like of shape (n_stars, n_features_in)
            Source spectra.
        y : Spectra or array-like of shape (n_stars, n_pixels_out), optional
            Target spectra of the same stars.
        label : str, optional
            A column of ``X.meta`` to colour by; with `values`, their name.
        values : array-like of shape (n_stars,), optional
            A label of each star that is in no column.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        TypeError
            If the model has no such space.
        ValueError
            If ``X.meta`` lacks the label.
        """
        if label is not None and values is None:
            values, label = _column(X, label)
        model, X = translator_of(model, X, "an embedding")
        if not hasattr(model, "embed_target"):
            raise TypeError(
                f"{type(model).__name__} has no embeddings; expected a fitted "
                "AlignmentTranslator."
            )
        target = None if y is None else model.embed_target(y)
        return cls.from_embeddings(model.embed(X), target, values=values, label=label)

    def plot(self, ax=None, *, most=500, cmap="viridis"):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made when not given.
        most : int or None, default=500
            Stars that are drawn, taken evenly from all; None draws all.
        cmap : str or Colormap, default="viridis"
            Colours of the label.

        Returns
        -------
        EmbeddingDisplay
            Itself.

        Notes
        -----
        Colours span the inner 96% of the label's values.
        """
        ax = one_axes(ax, 3.9)
        n = len(self.source)
        some = np.unique(np.linspace(0, n - 1, min(n, most or n)).astype(int))
        source = self.source[some]
        colors, norm = self._colors(some, cmap)
        if self.target is not None:
            target = self.target[some]
            joined = np.isfinite(target).all(axis=1)
            gap = np.full((joined.sum(), 2), np.nan)
            ends = np.stack([source[joined], target[joined], gap], axis=1)
            ax.plot(*ends.reshape(-1, 2).T, color=GREY, lw=0.5, zorder=1)
            ax.scatter(
                *target.T, s=13, facecolors="none", edgecolors=colors, lw=0.8, zorder=2
            )
        self.points_ = ax.scatter(*source.T, s=9, c=colors, lw=0, zorder=3)
        self.colorbar_ = self._colorbar(ax, norm, cmap)
        self._finish(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _colors(self, some, cmap):
        """A colour for each star, and the scale they are from, if there is a label."""
        if self.values is None:
            return np.full((len(some), 4), _rgba(BLUE)), None
        from matplotlib import colormaps
        from matplotlib.colors import Normalize

        values = np.asarray(self.values, dtype=float)[some]
        known = np.isfinite(values)
        lo, hi = np.percentile(values[known], BULK) if known.any() else (0, 1)
        norm = Normalize(lo, hi if hi > lo else lo + 1)
        scale = colormaps[cmap] if isinstance(cmap, str) else cmap
        colors = scale(norm(np.where(known, values, lo)))
        colors[~known] = _rgba(GREY)
        return colors, norm

    def _colorbar(self, ax, norm, cmap):
        if norm is None:
            return None
        from matplotlib.cm import ScalarMappable

        bar = ax.figure.colorbar(
            ScalarMappable(norm, cmap), ax=ax, extend="both", aspect=30, pad=0.02
        )
        bar.ax.tick_params(labelsize=TICK)
        bar.set_label(self.label or "label", fontsize=LABEL)
        return bar

    def _finish(self, ax):
        shares = self.shares or (None, None)
        names = [
            f"direction {i + 1}"
            + ("" if s is None else f" ({100 * s:.0f}% of variance)")
            for i, s in enumerate(shares)
        ]
        style_axes(ax, *names)
        ax.set_aspect("equal", adjustable="datalim")
        if self.target is None:
            return
        (dot,) = ax.plot([], [], "o", color=BLACK, ms=3, label="source")
        (ring,) = ax.plot([], [], "o", mfc="none", mec=BLACK, ms=4, label="target")
        (line,) = ax.plot([], [], color=GREY, lw=0.8, label="the same star")
        handles = [dot, ring, line]
        legend_over(ax, handles, [h.get_label() for h in handles])


def _column(X, label):
    """A column of the labels of spectra, and its name with the unit."""
    meta = X.meta if isinstance(X, Spectra) else None
    if meta is None or label not in meta.colnames:
        has = [] if meta is None else meta.colnames
        raise ValueError(f"X.meta lacks {label!r}; it has {has}. Or give values=.")
    unit = meta[label].unit
    column = getattr(meta[label], "value", meta[label])
    return column, label if unit is None else f"{label} [{unit}]"


def _rgba(color):
    from matplotlib.colors import to_rgba

    return to_rgba(color)
