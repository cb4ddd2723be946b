"""SpectrumDisplay: a translated spectrum over the observed one."""

import numpy as np

from specxfer.lines import each_window, window_names
from specxfer.plotting._predictions import one_star, only_flux, paired, translated_like
from specxfer.plotting._style import (
    BLACK,
    TRANSLATED,
    TRUTH,
    canvas,
    draw_band,
    draw_observed,
    few_ticks,
    legend_above,
    lifted,
    mark_lines,
    style_axes,
    wave_label,
)

__all__ = ["SpectrumDisplay"]

MAX_POINTS = 250  # observed pixels that are drawn with their errors


class SpectrumDisplay:
    """The translated spectrum of a star with its errors, over the observed one.

    Make it with `from_predictions` or `from_estimator`. Below the spectra stands the
    residual, observed minus translated, with the band in which it should lie: the
    errors of both together.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,)
        Å, or the numbers of pixels where there are no wavelengths.
    flux : ndarray of shape (n_pixels,)
        Translated, in continuum units. NaN is not drawn, here and below.
    std : ndarray of shape (n_pixels,), optional
        Its standard deviation.
    observed, observed_std : ndarray of shape (n_pixels,), optional
        Observed flux and its noise.
    truth : ndarray of shape (n_pixels,), optional
        Noise-free flux, of simulated stars.
    chip : ndarray of int of shape (n_pixels,), optional
        The chip of each pixel; curves are interrupted between chips.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`; None where they are pixels.
    name : str, optional
        Of the star, for the title.

    Attributes
    ----------
    ax_ : matplotlib axes
        Of the spectra. Set by `plot`, like the following.
    axes_ : ndarray of axes
        Spectra and, below, the residual.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.plotting import SpectrumDisplay
    >>> wave = np.arange(5850.0, 5858, 0.05)
    >>> truth = 1 - 0.5 * np.exp(-(((wave - 5853.7) / 0.2) ** 2))[None]
    >>> noise = 0.01 * np.random.default_rng(0).standard_normal(truth.shape)
    >>> y = Spectra(truth + noise, np.full(truth.shape, 1e4), wave=wave, medium="air")
    >>> display = SpectrumDisplay.from_predictions(y, truth, np.full(truth.shape, 0.01))
    >>> display.plot(window=(5852, 5856)).ax_.get_xlim()
    (np.float64(5852.0), np.float64(5856.0))
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        wave,
        flux,
        std=None,
        *,
        observed=None,
        observed_std=None,
        truth=None,
        chip=None,
        medium=None,
        name=None,
    ):
        self.wave = wave
        self.flux = flux
        self.std = std
        self.observed = observed
        self.observed_std = observed_std
        self.truth = truth
        self.chip = chip
        self.medium = medium
        self.name = name

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, std=None, *, row=0, truth=None, wave=None, medium=None
    ):
        """Take a star from observed and predicted spectra.

        Parameters
        ----------
        y_true : Spectra or array-like of shape (n_spectra, n_pixels), or None
            Observed; None for stars that only the source survey saw.
        y_pred : Spectra or array-like of shape (n_spectra, n_pixels)
            Predicted, such as what `specxfer.translate` gives.
        std : array-like of shape (n_spectra, n_pixels), optional
            Of the predicted flux, where `y_pred` is an array.
        row : int, default=0
            Which star.
        truth : Spectra or array-like of shape (n_spectra, n_pixels), optional
            Noise-free flux of simulated stars.
        wave, medium : array-like of shape (n_pixels,) and {"air", "vacuum"}, optional
            The grid of plain arrays.

        Returns
        -------
        SpectrumDisplay

        Raises
        ------
        ValueError
            If shapes or grids disagree.
        """
        observed, predicted = paired(y_true, y_pred, std, wave, medium)
        flux, std = one_star(predicted, row)
        seen, noise = (None, None) if observed is None else one_star(observed, row)
        ids = predicted.ids if observed is None or observed.ids is None else (
            observed.ids
        )  # fmt: skip
        x = predicted.wave
        return cls(
            np.arange(len(flux)) if x is None else x,
            flux,
            std,
            observed=seen,
            observed_std=noise,
            truth=only_flux(truth, row, predicted),
            chip=predicted.chip,
            medium=predicted.medium,
            name=None if ids is None else str(ids[row]),
        )

    @classmethod
    def from_estimator(cls, model, X, y=None, *, row=0, truth=None):
        """Translate a star and take it.

        Parameters
        ----------
        model : estimator
            Fitted: a translator, any composition around one, or any regressor, whose
            errors are then unknown.
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra.
        y : Spectra or array-like of shape (n_spectra, n_pixels), optional
            Observed target spectra. Where they carry their resolving power, the
            translation is written at that of the star.
        row : int, default=0
            Which star.
        truth : Spectra or array-like of shape (n_spectra, n_pixels), optional
            Noise-free flux of simulated stars.

        Returns
        -------
        SpectrumDisplay
        """
        X, y, truth = (None if a is None else a[[row]] for a in (X, y, truth))
        return cls.from_predictions(y, translated_like(model, X, y), truth=truth)

    def plot(self, ax=None, *, window=None, lines=None, residual=True, bands=(1, 2)):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, Figure, SubFigure or two Axes, optional
            Where to draw. Single axes give way to the two panels. By default a figure
            is made.
        window : (lo, hi), optional
            Å; by default from the first to the last pixel with anything to draw.
        lines : Line, (lo, hi) in Å, or list of these, optional
            Lines to be marked and named, in any medium.
        residual : bool, default=True
            Whether to draw the residual, if anything was observed. Without it `ax` is
            drawn in as it is.
        bands : tuple of float, default=(1, 2)
            Half-widths of the bands in standard deviations.

        Returns
        -------
        SpectrumDisplay
            Itself.
        """
        both = residual and (self.observed is not None or self.truth is not None)
        above, below, place = _panels(ax, both)
        lo, hi = self._limits(window)
        x, flux, std, observed, noise, truth = lifted(
            self.wave,
            self.chip,
            self.flux,
            self.std,
            self.observed,
            self.observed_std,
            self.truth,
        )
        shown = (x >= lo) & (x <= hi)
        points = observed is not None and (
            np.isfinite(observed[shown]).sum() <= MAX_POINTS
        )
        handles = []
        if observed is not None:
            handles.append(draw_observed(above, x, observed, noise, points))
        if std is not None:
            draw_band(above, x, flux, std, TRANSLATED, bands)
        spread = " and ".join(f"± {k:g}σ" for k in sorted(bands))
        label = "translated" if std is None or not bands else f"translated, {spread}"
        lw = 1.2 if points or observed is None else 0.7
        handles += above.plot(x, flux, color=TRANSLATED, lw=lw, label=label, zorder=3)
        if truth is not None:
            handles += above.plot(
                x, truth, ":", color=TRUTH, lw=1.2, label="truth", zorder=4
            )
        reach = 0 if std is None else max(bands, default=0) * std
        values = (observed, flux - reach, flux + reach, truth)
        above.set_xlim(lo, hi)
        above.set_ylim(
            _around(np.concatenate([v[shown] for v in values if v is not None]))
        )
        label = wave_label(self.medium)
        style_axes(above, None if both else label, "flux / continuum")
        if both:
            above.tick_params(labelbottom=False)
            parts = (std, noise) if self.observed is not None else (std,)
            residual = (truth if observed is None else observed) - flux
            below.set_xlim(lo, hi)
            _draw_residual(below, x, residual, parts, bands, points)
            what = "truth" if observed is None else "observed"
            style_axes(below, label, f"{what} −\ntranslated")
            above.figure.align_ylabels([above, below])
        few_ticks(below if both else above)
        self._mark(above, lines)
        if place is not None:
            legend_above(place, handles)
        else:
            above.legend(handles=handles, frameon=False, fontsize="x-small")
        self.ax_ = above
        self.axes_ = np.array([above, below] if both else [above])
        self.figure_ = above.figure
        return self

    def _limits(self, window):
        if window is not None:
            lo, hi = (float(edge) for edge in window)
            if not lo < hi:
                raise ValueError(f"window is {window}; expected (lo, hi), lo < hi.")
            if hi < self.wave[0] or lo > self.wave[-1]:
                raise ValueError(
                    f"window ({lo:g}, {hi:g}) holds no pixel: the spectrum runs from "
                    f"{self.wave[0]:g} to {self.wave[-1]:g} in {self.medium}."
                )
            return lo, hi
        values = [v for v in (self.flux, self.observed, self.truth) if v is not None]
        drawn = np.flatnonzero(np.isfinite(values).any(axis=0))
        if not len(drawn):
            raise ValueError("nothing to draw: every pixel is masked (NaN or ivar 0).")
        return float(self.wave[drawn[0]]), float(self.wave[drawn[-1]])

    def _mark(self, ax, lines):
        if lines is None:
            return
        if self.medium is None:
            raise ValueError(
                "lines are in Å and there are no wavelengths: give Spectra, or wave= "
                "and medium=."
            )
        waves = [
            line.to_medium(self.medium).wave
            if hasattr(line, "to_medium")
            else np.mean(line)
            for line in each_window(lines)
        ]
        mark_lines(ax, waves, window_names(lines))


def _panels(ax, both):
    """Axes above and below, and the figure for a legend if all of it is ours."""
    if ax is not None and np.ndim(ax) == 1:
        return ax[0], ax[1] if both else None, None
    if not both and hasattr(ax, "plot"):
        return ax, None, None
    place = canvas(ax, 3.4 if both else 2.6)
    if not both:
        return place.subplots(), None, place
    return *place.subplots(2, 1, sharex=True, height_ratios=[2.5, 1]), place


def _around(values):
    """Limits of y about flux, without following single wild pixels."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None
    lo, hi = np.percentile(values, [0.1, 99.9])
    pad = 0.08 * max(hi - lo, 0.02)
    return lo - pad, hi + pad


def _draw_residual(ax, x, residual, parts, bands, points):
    """The residual, in the band of the errors of which `parts` are known."""
    shown = (x >= ax.get_xlim()[0]) & (x <= ax.get_xlim()[1])
    reach = [np.abs(residual)[shown]]
    known = [part**2 for part in parts if part is not None]
    if known:
        total = np.sqrt(np.sum(known, axis=0))
        draw_band(ax, x, np.zeros(len(x)), total, TRANSLATED, bands)
        reach.append(max(bands, default=0) * total[shown])
    draw_observed(ax, x, residual, points=points, label=None, zorder=3)
    ax.axhline(0, color=BLACK, lw=0.6)
    reach = np.concatenate(reach)
    reach = reach[np.isfinite(reach)]
    if len(reach):
        top = 1.15 * max(np.percentile(reach, 99.5), 1e-6)
        ax.set_ylim(-top, top)
