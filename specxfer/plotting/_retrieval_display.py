"""RetrievalDisplay: stars, and the observed spectra that are nearest to them."""

import numpy as np

from specxfer._compositions import translator_of
from specxfer._rows import by_index
from specxfer.lines import Line, each_window, window_names
from specxfer.plotting._predictions import one_star, translated_like
from specxfer.plotting._style import (
    LABEL,
    ORANGE,
    TICK,
    TRANSLATED,
    canvas,
    draw_band,
    draw_observed,
    few_ticks,
    legend_above,
    lifted,
    style_axes,
    wave_label,
)
from specxfer.spectra import as_spectra

__all__ = ["RetrievalDisplay"]

ROW_HEIGHT = 1.5  # inches
HALF_WIDTH = 1.0  # Å, about a line
MAX_POINTS = 250  # observed pixels that are drawn with their errors
SHOWN = 4  # distances that have room beside a panel


class RetrievalDisplay:
    """A gallery: stars as observed, as decoded, and the nearest spectra of a library.

    Make it with `from_estimator`. A row of panels is a star, a column a line or a
    window. The nearest spectra are observed ones, of other stars, and bring their own
    noise; what is decoded has none.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,)
        Å, or the numbers of pixels where there are no wavelengths.
    flux : ndarray of shape (n_stars, n_pixels)
        Decoded, in continuum units. NaN is not drawn, here and below.
    std : ndarray of shape (n_stars, n_pixels), optional
        Its standard deviation.
    neighbors : ndarray of shape (n_stars, n_neighbors, n_pixels)
        The nearest spectra of the library.
    distances : ndarray of shape (n_stars, n_neighbors)
        Of the embeddings.
    observed, observed_std : ndarray of shape (n_stars, n_pixels), optional
        Observed flux of the stars, and its noise.
    own : ndarray of bool of shape (n_stars, n_neighbors), optional
        Which neighbours are spectra of the star itself.
    chip : ndarray of int of shape (n_pixels,), optional
        The chip of each pixel; curves are interrupted between chips.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`; None where they are pixels.
    names : list of str, optional
        Of the stars.

    Attributes
    ----------
    axes_ : ndarray of axes of shape (n_stars, n_windows)
        Set by `plot`, like the following.
    ax_ : matplotlib axes
        The first of them.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.lines import load_lines
    >>> from specxfer.neural import AlignmentTranslator
    >>> from specxfer.plotting import RetrievalDisplay
    >>> X, y, _ = make_paired_spectra(60, size="small", random_state=0)
    >>> model = AlignmentTranslator(8, n_components=5, max_epochs=3, space_epochs=2)
    >>> model = model.fit(X[:50], y[:50])
    >>> display = RetrievalDisplay.from_estimator(
    ...     model, X[50:], y[:50], y[50:], rows=[0, 4], n_neighbors=2)
    >>> display.plot(windows=load_lines("galah", names="Ba II 6497")).axes_.shape
    (2, 1)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        wave,
        flux,
        std=None,
        *,
        neighbors,
        distances,
        observed=None,
        observed_std=None,
        own=None,
        chip=None,
        medium=None,
        names=None,
    ):
        self.wave = wave
        self.flux = flux
        self.std = std
        self.neighbors = neighbors
        self.distances = distances
        self.observed = observed
        self.observed_std = observed_std
        self.own = own
        self.chip = chip
        self.medium = medium
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        model,
        X,
        library,
        y=None,
        *,
        rows=(0, 1, 2),
        n_neighbors=3,
        embeddings=None,
    ):
        """Decode stars, and look them up in a library.

        Parameters
        ----------
        model : estimator
            A fitted `specxfer.neural.AlignmentTranslator`, or a pipeline or search
            that ends with one.
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra.
        library : Spectra or array-like of shape (n_library, n_pixels)
            Observed target spectra. Leave those of the stars out, or they are found.
        y : Spectra or array-like of shape (n_spectra, n_pixels), optional
            Observed target spectra of the stars. Where they carry their resolving
            power, what is decoded is written at that of the star.
        rows : sequence of int, default=(0, 1, 2)
            Which stars.
        n_neighbors : int, default=3
            Spectra to each star.
        embeddings : ndarray of shape (n_library, n_embedding) or path-like, optional
            Of the library, which then is not embedded again.

        Returns
        -------
        RetrievalDisplay

        Raises
        ------
        TypeError
            If the model has no such space.
        ValueError
            If the library has too few spectra, or is on another grid.
        """
        rows = np.atleast_1d(rows)
        X, y = (
            None if a is None else by_index(a)[rows] for a in (_lists(X), _lists(y))
        )
        inner, at_model = translator_of(model, X, "neighbours")
        if not hasattr(inner, "kneighbors"):
            raise TypeError(
                f"{type(inner).__name__} looks nothing up; expected a fitted "
                "AlignmentTranslator."
            )
        given = library if embeddings is None else embeddings
        distances, indices = inner.kneighbors(at_model, given, n_neighbors)
        grid = inner.wave_out_, inner.medium_out_
        library = by_index(as_spectra(_lists(library), *grid))
        flux, std = _flux_and_std(as_spectra(translated_like(model, X, y), *grid))
        found = library[indices.ravel()].load()
        neighbors, _ = _flux_and_std(found)
        seen = noise = names = own = None
        if y is not None:
            y = as_spectra(y, *grid)
            seen, noise = _flux_and_std(y)
        ids = next((s.ids for s in (y, X) if getattr(s, "ids", None) is not None), None)
        if ids is not None:
            names = [str(name) for name in ids]
            if found.ids is not None:
                own = found.ids.reshape(indices.shape) == np.asarray(ids)[:, None]
        return cls(
            np.arange(flux.shape[1]) if library.wave is None else library.wave,
            flux,
            std,
            neighbors=neighbors.reshape(*indices.shape, -1),
            distances=distances,
            observed=seen,
            observed_std=noise,
            own=own,
            chip=library.chip,
            medium=library.medium,
            names=names,
        )

    def plot(self, ax=None, *, windows=None, half_width=HALF_WIDTH, bands=(1, 2)):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, Figure or SubFigure, optional
            Where to draw. Single axes give way to the panels. By default a figure is
            made.
        windows : Line, (lo, hi) in Å, or list of these, optional
            A column of panels for each: about a line, or from lo to hi. By default
            the whole spectrum.
        half_width : float, default=1.0
            Å on either side of a line.
        bands : tuple of float, default=(1, 2)
            Half-widths of the bands in standard deviations.

        Returns
        -------
        RetrievalDisplay
            Itself.

        Raises
        ------
        ValueError
            If windows are asked for where there are no wavelengths.
        """
        columns = self._columns(windows, half_width)
        n, m = len(self.flux), len(columns)
        place = canvas(ax, ROW_HEIGHT * n + 0.9)
        axes = place.subplots(n, m, squeeze=False, sharex="col")
        for star in range(n):
            for panel, (title, limits) in zip(axes[star], columns):
                handles = self._draw(panel, star, limits, bands)
                style_axes(panel, title=title if star == 0 else None)
            axes[star, 0].set_ylabel(self._remark(star), fontsize=TICK)
        for panel in axes[-1]:
            few_ticks(panel)
        place.supxlabel(wave_label(self.medium), fontsize=LABEL)
        place.supylabel("flux / continuum", fontsize=LABEL)
        legend_above(place, handles, ncols=2)
        self.axes_, self.ax_, self.figure_ = axes, axes[0, 0], axes[0, 0].figure
        return self

    def _columns(self, windows, half_width):
        """Title and limits of each column."""
        if windows is None:
            return [(None, (self.wave[0], self.wave[-1]))]
        if self.medium is None:
            raise ValueError(
                "windows are in Å and there are no wavelengths: give Spectra to fit."
            )
        found = []
        for line in each_window(windows):
            if isinstance(line, Line):
                center = line.to_medium(self.medium).wave
                limits = center - half_width, center + half_width
            else:
                limits = tuple(line)
            found.append((window_names(line)[0], limits))
        return found

    def _draw(self, ax, star, limits, bands):
        """One panel; gives handles for the legend."""

        def of_star(values):
            return None if values is None else values[star]

        x, flux, std, observed, noise, *near = lifted(
            self.wave,
            self.chip,
            *map(of_star, (self.flux, self.std, self.observed, self.observed_std)),
            *self.neighbors[star],
        )
        shown = (x >= limits[0]) & (x <= limits[1])
        handles = []
        if observed is not None:
            points = np.isfinite(observed[shown]).sum() <= MAX_POINTS
            handles.append(draw_observed(ax, x, observed, noise, points, zorder=1))
        for k, values in enumerate(near):
            label = f"the {len(near)} nearest of the library" if k == 0 else None
            drawn = ax.plot(
                x, values, color=ORANGE, lw=0.7, alpha=0.9, label=label, zorder=2
            )
            handles += drawn if k == 0 else []
        label = "decoded"
        if std is not None and bands:
            draw_band(ax, x, flux, std, TRANSLATED, bands)
            label += ", " + " and ".join(f"± {k:g}σ" for k in sorted(bands))
        handles += ax.plot(x, flux, color=TRANSLATED, lw=1.2, label=label, zorder=3)
        ax.set_xlim(*limits)
        drawn = [v[shown] for v in (flux, observed, *near) if v is not None]
        drawn = np.concatenate(drawn)
        drawn = drawn[np.isfinite(drawn)]
        if len(drawn):
            lo, hi = np.percentile(drawn, [0.1, 99.9])
            pad = 0.1 * max(hi - lo, 0.02)
            ax.set_ylim(lo - pad, hi + pad)
        return handles

    def _remark(self, star):
        """Name of a star and the distances of its neighbours, its own marked."""
        name = f"star {star}" if self.names is None else self.names[star]
        own = np.zeros(len(self.distances[star]), bool)
        own = own if self.own is None else self.own[star]
        parts = [
            f"{d:.2f}{'*' if o else ''}" for d, o in zip(self.distances[star], own)
        ]
        found = ", ".join(parts[:SHOWN]) + ("…" if len(parts) > SHOWN else "")
        text = f"{name}\ndistances\n{found}"
        return text + ("\n*: its own spectrum" if own[:SHOWN].any() else "")


def _lists(spectra):
    """Arrays from lists; what is no list stays."""
    return np.asarray(spectra) if isinstance(spectra, list) else spectra


def _flux_and_std(spectra):
    """Flux and standard deviation of rows, NaN where masked; std None if unknown."""
    pairs = [one_star(spectra, row) for row in range(len(spectra))]
    flux = np.stack([f for f, _ in pairs])
    return flux, None if pairs[0][1] is None else np.stack([s for _, s in pairs])
