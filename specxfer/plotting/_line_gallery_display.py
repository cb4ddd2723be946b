"""LineGalleryDisplay: a small panel for each line."""

import numpy as np

from specxfer._compositions import predict_like
from specxfer.lines import Line, each_window, window_names
from specxfer.plotting._means import (
    curves_and_widths,
    on_one_grid,
    row_chunks,
)
from specxfer.plotting._predictions import translated_like
from specxfer.plotting._style import (
    LABEL,
    NULL,
    SHADE,
    TICK,
    TRANSLATED,
    TRUTH,
    canvas,
    draw_band,
    draw_observed,
    height_of,
    legend_above,
    lifted,
    style_axes,
    tick_points,
)
from specxfer.spectra import Spectra

__all__ = ["LineGalleryDisplay"]

ROW_HEIGHT = 1.35  # inches
LINE_SPACING = 1.3
PERIODIC_TABLE = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn "
    "Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La "
    "Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po "
    "At Rn Fr Ra Ac Th Pa U"
)
ELEMENTS = PERIODIC_TABLE.split()


class LineGalleryDisplay:
    """Lines side by side: observed, translated with its errors, and the null.

    Make it with `from_predictions` or `from_estimator`, for one star or for the mean of
    several. Each panel shows one line with its window shaded, and the equivalent widths
    in mÅ: observed in grey, translated in blue.

    Parameters
    ----------
    lines : list of Line or (lo, hi) in Å
        The lines, m of them.
    wave : ndarray of shape (n_pixels,)
        Å.
    medium : {"air", "vacuum"}
        The medium of `wave`.
    flux : ndarray of shape (n_pixels,)
        Translated, in continuum units. NaN is not drawn, here and below.
    std : ndarray of shape (n_pixels,), optional
        Its standard deviation.
    observed, observed_std : ndarray of shape (n_pixels,), optional
        Observed flux and its noise.
    null : ndarray of shape (n_pixels,), optional
        What a predictor that knows less makes of the star.
    truth : ndarray of shape (n_pixels,), optional
        Noise-free flux, of simulated stars.
    widths : Table, optional
        Columns ``line``, ``observed``, ``observed_err``, ``predicted`` and
        ``predicted_err`` (mÅ), a row for each line in their order. NaN is not written.
    chip : ndarray of int of shape (n_pixels,), optional
        The chip of each pixel; curves are interrupted between chips.
    name : str, optional
        Of the star or stars, for the title.

    Attributes
    ----------
    axes_ : ndarray of axes of shape (m,)
        In the order in which the lines are drawn. Set by `plot`, like the following.
    ax_ : matplotlib axes
        The first of them.
    lines_ : list of Line or (lo, hi)
        The lines in that order.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.plotting import LineGalleryDisplay
    >>> X, y, truth = make_paired_spectra(60, size="small", random_state=0)
    >>> model = PCARidge(n_components=5).fit(X[:50], y[:50])
    >>> lines = load_lines("galah", names=["Ba II 6497", "Y II 4884"])
    >>> display = LineGalleryDisplay.from_estimator(model, X, y, lines, rows=55)
    >>> [line.name for line in display.plot().lines_]
    ['Y II 4884', 'Ba II 6497']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        lines,
        wave,
        medium,
        *,
        flux,
        std=None,
        observed=None,
        observed_std=None,
        null=None,
        truth=None,
        widths=None,
        chip=None,
        name=None,
    ):
        self.lines = lines
        self.wave = wave
        self.medium = medium
        self.flux = flux
        self.std = std
        self.observed = observed
        self.observed_std = observed_std
        self.null = null
        self.truth = truth
        self.widths = widths
        self.chip = chip
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        lines,
        std=None,
        *,
        rows=0,
        null=None,
        truth=None,
        name=None,
        noise_correlation=0.0,
        wave=None,
        medium=None,
    ):
        """Take a star, or the mean of several, from observed and predicted spectra.

        Parameters
        ----------
        y_true : Spectra or array-like of shape (n_spectra, n_pixels), or None
            Observed; None for stars that only the source survey saw.
        y_pred : Spectra or array-like of shape (n_spectra, n_pixels)
            Predicted. Errors of equivalent widths need the `covariance` that
            `specxfer.translate` gives; without it none are written.
        lines : Line, (lo, hi) in Å, or list of these
            What to draw; pairs are in the medium of the grid.
        std : array-like of shape (n_spectra, n_pixels), optional
            Of the predicted flux, where `y_pred` is an array.
        rows : int, bool mask, slice or indices, default=0
            One star, or the stars of which the mean is drawn. In a mean each pixel
            is that of the same stars in all curves. Its band is the mean of the
            stars' standard deviations: errors of predictions have parts that stars
            share and do not average down like noise.
        null, truth : Spectra or array-like of shape (n_spectra, n_pixels), optional
            Prediction of a null; noise-free flux of simulated stars.
        name : str, optional
            For the title; by default the id of the star, or the number of stars.
        noise_correlation : float, default=0
            Of the observed noise, as in `specxfer.metrics.equivalent_width`.
        wave, medium : array-like of shape (n_pixels,) and {"air", "vacuum"}, optional
            The grid of plain arrays.

        Returns
        -------
        LineGalleryDisplay

        Raises
        ------
        ValueError
            If shapes or grids disagree, a line has no window, or the grid lacks it.
        """
        spectra = on_one_grid(y_true, y_pred, std, null, truth, wave, medium)
        observed, predicted, *_ = spectra
        blocks = (
            [None if s is None else s[i].load() for s in spectra]
            for i in row_chunks(rows, len(predicted))
        )
        if name is None:
            name = _name(predicted if observed is None else observed, rows)
        return cls._of(blocks, lines, name, noise_correlation)

    @classmethod
    def from_estimator(
        cls,
        model,
        X,
        y,
        lines,
        *,
        rows=0,
        null=None,
        truth=None,
        name=None,
        noise_correlation=0.0,
    ):
        """Translate a star, or several, and take it or their mean.

        Parameters
        ----------
        model : estimator
            Fitted: a translator, any composition around one, or any regressor, whose
            errors are then unknown.
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra.
        y : Spectra of shape (n_spectra, n_pixels), or None
            Observed target spectra of the same stars. Where they carry their
            resolving power, each translation is written at that of the star.
        lines : Line, (lo, hi) in Å, or list of these
            What to draw.
        rows : int, bool mask, slice or indices, default=0
            See `from_predictions`. Only these are translated, block by block.
        null : estimator, optional
            A fitted null, such as a `specxfer.baselines.NullTranslator`.
        truth : Spectra or array-like of shape (n_spectra, n_pixels), optional
            Noise-free flux of simulated stars.
        name : str, optional
            For the title.
        noise_correlation : float, default=0
            Of the observed noise, as in `specxfer.metrics.equivalent_width`.

        Returns
        -------
        LineGalleryDisplay

        Raises
        ------
        ValueError
            As `from_predictions`.
        """
        X, y, truth = (
            a if a is None or isinstance(a, Spectra) else np.asarray(a)
            for a in (X, y, truth)
        )

        def translated(i):
            seen = None if y is None else y[i]
            flux = translated_like(model, X[i], seen)
            known = None if null is None else predict_like(null, X[i], seen)
            true = None if truth is None else truth[i]
            return on_one_grid(seen, flux, None, known, true)

        blocks = (translated(i) for i in row_chunks(rows, len(X)))
        name = _name(X if y is None else y, rows) if name is None else name
        return cls._of(blocks, lines, name, noise_correlation)

    @classmethod
    def _of(cls, blocks, lines, name, noise_correlation):
        lines = each_window(lines)
        curves, widths, grid = curves_and_widths(blocks, lines, noise_correlation)
        return cls(
            lines,
            grid.wave,
            grid.medium,
            **curves._asdict(),
            widths=widths,
            chip=grid.chip,
            name=name,
        )

    def plot(
        self,
        ax=None,
        *,
        half_width=1.0,
        columns=None,
        order="element",
        sharey=True,
        bands=(1, 2),
        null_label="null",
    ):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, Figure, SubFigure or m Axes, optional
            Where to draw. Single axes give way to the panels. By default a figure is
            made.
        half_width : float, default=1.0
            Å on either side of the line.
        columns : int, optional
            Panels beside each other; by default up to 4, and 5 for more than 20 lines.
        order : {"element", "wavelength"} or None, default="element"
            Of the panels: by atomic number and then wavelength, by wavelength, or as
            the lines were given.
        sharey : bool, default=True
            Whether all panels have the same limits of flux.
        bands : tuple of float, default=(1, 2)
            Half-widths of the bands in standard deviations.
        null_label : str, default="null"
            What the legend calls the null.

        Returns
        -------
        LineGalleryDisplay
            Itself.
        """
        windows = [_Window(line, self.medium) for line in self.lines]
        places = _ordered(windows, order)
        axes, place = _panels(ax, len(places), columns, sharey)
        curves = lifted(
            self.wave,
            self.chip,
            self.flux,
            self.std,
            self.observed,
            self.observed_std,
            self.null,
            self.truth,
        )
        limits = []
        for panel, i in zip(axes, places):
            handles, ends = _draw_line(
                panel, windows[i], curves, half_width, bands, null_label
            )
            limits.append(ends)
            self._write_widths(panel, i)
        _set_limits(axes, np.array(limits), sharey, self.widths is not None)
        xlabel = f"wavelength − line [Å, {self.medium}]"
        if place is None:
            axes[0].legend(handles=handles, frameon=False, fontsize=TICK)
        else:
            legend = legend_above(place, handles)
            remarks = [] if self.name is None else [self.name]
            if self.widths is not None:
                remarks.append("equivalent widths in mÅ")
            legend.set_title("; ".join(remarks), prop={"size": LABEL})
            place.supxlabel(xlabel, fontsize=LABEL)
            place.supylabel("flux / continuum", fontsize=LABEL)
        self.axes_, self.ax_ = axes, axes[0]
        self.lines_ = [self.lines[i] for i in places]
        self.figure_ = axes[0].figure
        return self

    def _write_widths(self, ax, i):
        """Observed above translated, at the foot of the panel."""
        if self.widths is None:
            return
        for k, name, color in ((1, "observed", "0.35"), (0, "predicted", TRANSLATED)):
            ax.annotate(
                _with_error(self.widths[i][name], self.widths[i][f"{name}_err"]),
                (0, 0),
                (3, 3 + k * LINE_SPACING * tick_points()),
                xycoords="axes fraction",
                textcoords="offset points",
                color=color,
                fontsize=TICK,
                va="bottom",
            )


class _Window:
    """Name, place and window of a line, in the medium of the grid."""

    def __init__(self, line, medium):
        self.name = window_names(line)[0]
        if isinstance(line, Line):
            line = line.to_medium(medium)
            self.wave, (self.lo, self.hi) = line.wave, line.window
            self.element = line.element
        else:
            self.lo, self.hi = line
            self.wave, self.element = (self.lo + self.hi) / 2, None

    @property
    def number(self):
        """The atomic number; windows without an element come last."""
        return ELEMENTS.index(self.element) if self.element in ELEMENTS else 999


def _ordered(windows, order):
    keys = {
        "element": lambda i: (windows[i].number, windows[i].wave),
        "wavelength": lambda i: windows[i].wave,
        None: lambda i: i,
    }
    if order not in keys:
        raise ValueError(
            f'order is {order!r}; expected "element", "wavelength" or None.'
        )
    return sorted(range(len(windows)), key=keys[order])


def _panels(ax, n, columns, sharey):
    """n axes and the figure they are in, if all of it is ours."""
    if ax is not None and np.ndim(ax) > 0:
        axes = np.ravel(ax)
        if len(axes) != n:
            raise ValueError(f"ax holds {len(axes)} axes; expected one a line, {n}.")
        return axes, None
    columns = min(columns or (4 if n <= 20 else 5), n)
    n_rows = -(-n // columns)
    place = canvas(ax, ROW_HEIGHT * n_rows + 0.9)
    grid = place.subplots(n_rows, columns, sharex=True, sharey=sharey, squeeze=False)
    axes = grid.ravel()
    for unused in axes[n:]:
        unused.remove()
    for above in axes[max(n - columns, 0) : n]:  # nothing below them
        above.tick_params(labelbottom=True)
    return axes[:n], place


def _draw_line(ax, window, curves, half_width, bands, null_label):
    """One panel; gives handles for the legend and the limits of what is drawn."""
    x, flux, std, observed, noise, null, truth = curves
    near = np.abs(x - window.wave) <= 1.1 * half_width
    x = x[near] - window.wave
    flux, std, observed, noise, null, truth = (
        None if v is None else v[near]
        for v in (flux, std, observed, noise, null, truth)
    )
    ax.axvspan(
        window.lo - window.wave, window.hi - window.wave, color=SHADE, lw=0, zorder=0
    )
    handles = []
    if observed is not None:
        handles.append(draw_observed(ax, x, observed, noise))
    if null is not None:
        handles += ax.plot(
            x, null, "--", color=NULL, lw=1.0, label=null_label, zorder=2.5
        )
    spread, label = np.zeros(len(x)), "translated"
    if std is not None and bands:
        draw_band(ax, x, flux, std, TRANSLATED, bands)
        label += ", " + " and ".join(f"± {k:g}σ" for k in sorted(bands))
        spread = np.nan_to_num(std)
    handles += ax.plot(x, flux, color=TRANSLATED, lw=1.3, label=label, zorder=3)
    if truth is not None:
        handles += ax.plot(x, truth, ":", color=TRUTH, lw=1.1, label="truth", zorder=4)
    ax.set_xlim(-half_width, half_width)
    step = 10 ** np.floor(np.log10(half_width)) / 2
    tick = step * max(1, np.floor(0.75 * half_width / step))
    ax.set_xticks([-tick, 0, tick], [f"{-tick:g}".replace("-", "−"), "0", f"{tick:g}"])
    style_axes(ax, title=window.name)
    values = [v for v in (observed, null, flux - spread, flux + spread, truth)
              if v is not None]  # fmt: skip
    values = np.concatenate(values)
    values = values[np.isfinite(values)]
    if not len(values):
        return handles, (np.nan, np.nan)
    return handles, (values.min(), values.max())


def _set_limits(axes, limits, sharey, written):
    """Limits of flux, with room for the widths at the foot."""
    if not np.isfinite(limits).any():
        raise ValueError("nothing to draw: all pixels at the lines are masked.")
    if sharey:
        limits = np.tile([np.nanmin(limits[:, 0]), np.nanmax(limits[:, 1])],
                         (len(axes), 1))  # fmt: skip
    for ax, (lo, hi) in zip(axes, limits):
        if np.isfinite(lo):
            height = max(hi - lo, 0.02)
            # what two rows of text take of axes that the layout will shrink
            text = 2 * LINE_SPACING * tick_points() + 3
            share = min(0.5, text / (72 * 0.55 * height_of(ax))) if written else 0.05
            foot = share / (1 - share)
            ax.set_ylim(lo - foot * height, hi + 0.05 * height)


def _with_error(value, error):
    if not np.isfinite(value):
        return ""
    digits = 0 if abs(value) >= 1000 else 1
    text = f"{value:.{digits}f}".replace("-", "−")
    return text if not np.isfinite(error) else f"{text} ± {error:.{digits}f}"


def _name(spectra, rows):
    if np.ndim(rows) == 0 and not isinstance(rows, slice):
        ids = getattr(spectra, "ids", None)
        return None if ids is None else str(ids[rows])
    n = len(np.arange(len(spectra))[rows])
    return f"mean of {n} stars, σ of one"
