"""AttributionDisplay: which source pixels drive a target line."""

import numpy as np

from specxfer.lines import Line, load_lines
from specxfer.plotting._predictions import one_star
from specxfer.plotting._style import (
    BLACK,
    BLUE,
    GREEN,
    LABEL,
    TICK,
    VERMILION,
    canvas,
    few_ticks,
    lifted,
    mark_lines,
    style_axes,
    wave_label,
)
from specxfer.spectra import as_spectra

__all__ = ["AttributionDisplay"]

MARK = GREEN
KINDS = ("gradient", "contribution")


class AttributionDisplay:
    """What the translation of a line hangs on, over the source spectrum of a star.

    Above stands the source spectrum with the lines of the element marked and named and
    those of other heavy elements as thin lines; below it the attribution, with its
    sign; then the windows where there is most of it, enlarged. A translator that has
    found the element looks at its lines; one that infers it from others does not.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,)
        Of the source, Å.
    flux : ndarray of shape (n_pixels,)
        The source spectrum, in continuum units. NaN is not drawn.
    values : ndarray of shape (n_pixels,)
        The gradient of the line's equivalent width by the source flux (mÅ per unit of
        flux), or the contribution of each source pixel to it (mÅ). NaN counts as 0.
    kind : {"gradient", "contribution"}, default="gradient"
        Which of them.
    medium : {"air", "vacuum"}, default="vacuum"
        The medium of `wave`.
    line : Line or str, optional
        The target line; its element decides which source lines are marked.
    source_lines : {"apogee", "galah"} or list of Line, default="apogee"
        The heavy-element lines of the source.
    chip : ndarray of int of shape (n_pixels,), optional
        The chip of each pixel; curves are interrupted between chips.

    Attributes
    ----------
    ax_ : matplotlib axes
        Of the spectrum. Set by `plot`, like the following.
    axes_ : ndarray of axes
        Spectrum and attribution.
    zoom_axes_ : ndarray of axes of shape (2, n_windows)
        The same, enlarged.
    windows_ : ndarray of shape (n_windows, 2)
        The limits of the windows in Å, most attribution first.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from specxfer.plotting import AttributionDisplay
    >>> wave = np.arange(16360.0, 16400, 0.2)
    >>> line = np.exp(-(((wave - 16381.0) / 0.3) ** 2))
    >>> display = AttributionDisplay(wave, 1 - 0.1 * line, -50 * line,
    ...                              line="Ce II 4774")
    >>> [text.get_text() for text in display.plot(n_windows=1).ax_.texts]
    ['Ce II 16376']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        wave,
        flux,
        values,
        *,
        kind="gradient",
        medium="vacuum",
        line=None,
        source_lines="apogee",
        chip=None,
    ):
        self.wave = wave
        self.flux = flux
        self.values = values
        self.kind = kind
        self.medium = medium
        self.line = line
        self.source_lines = source_lines
        self.chip = chip

    @classmethod
    def from_predictions(
        cls,
        source,
        values,
        line=None,
        *,
        row=0,
        kind="gradient",
        source_lines="apogee",
        wave=None,
        medium=None,
    ):
        """Take a star's source spectrum and the attribution.

        Parameters
        ----------
        source : Spectra or array-like of shape (n_spectra, n_pixels)
            Source spectra.
        values : array-like of shape (n_pixels,) or (n_spectra, n_pixels)
            Gradient or contribution: the same for all stars, or of each.
        line : Line or str, optional
            The target line.
        row : int, default=0
            Which star.
        kind : {"gradient", "contribution"}, default="gradient"
            What the values are.
        source_lines : {"apogee", "galah"} or list of Line, default="apogee"
            The heavy-element lines of the source.
        wave, medium : array-like of shape (n_pixels,) and {"air", "vacuum"}, optional
            The grid of plain arrays.

        Returns
        -------
        AttributionDisplay

        Raises
        ------
        ValueError
            If there are no wavelengths, or the shapes differ.
        """
        source = as_spectra(source, wave, medium, "source")
        if source.wave is None:
            raise ValueError(
                "source has no wavelengths to draw over: give Spectra, or wave= and "
                "medium=."
            )
        values = np.asarray(values, dtype=float)
        if values.shape == source.shape:
            values = values[row]
        if values.shape != source.shape[1:]:
            raise ValueError(
                f"values have shape {values.shape}; expected {source.shape[1:]}, or "
                f"{source.shape} for all stars."
            )
        return cls(
            source.wave,
            one_star(source, row)[0],
            values,
            kind=kind,
            medium=source.medium,
            line=line,
            source_lines=source_lines,
            chip=source.chip,
        )

    @classmethod
    def from_attribution(
        cls, result, *, row=0, line=0, kind="gradient", source_lines="apogee"
    ):
        """Take a star and a line from what `specxfer.validation.attribution` returns.

        Parameters
        ----------
        result : object
            With ``source`` (Spectra), ``lines``, and ``gradient`` and ``contribution``
            of shape (n_spectra, n_lines, n_pixels).
        row, line : int, default=0
            Which star and which line.
        kind : {"gradient", "contribution"}, default="gradient"
            What to draw.
        source_lines : {"apogee", "galah"} or list of Line, default="apogee"
            The heavy-element lines of the source.

        Returns
        -------
        AttributionDisplay
        """
        _check_kind(kind)
        values = np.asarray(getattr(result, kind))[row, line]
        return cls.from_predictions(
            result.source,
            values,
            result.lines[line],
            row=row,
            kind=kind,
            source_lines=source_lines,
        )

    @classmethod
    def from_estimator(
        cls,
        model,
        X,
        line,
        *,
        row=0,
        kind="gradient",
        source_lines="apogee",
        **attribution_options,
    ):
        """Attribute a line of a star and take that.

        Parameters
        ----------
        model : estimator
            A fitted translator, or any composition around one.
        X : Spectra of shape (n_spectra, n_features_in)
            Source spectra. Contributions are counted from their mean, unless
            `reference` is given.
        line : Line
            The target line.
        row : int, default=0
            Which star.
        kind : {"gradient", "contribution"}, default="gradient"
            What to draw.
        source_lines : {"apogee", "galah"} or list of Line, default="apogee"
            The heavy-element lines of the source.
        **attribution_options
            Passed to `specxfer.validation.attribution`.

        Returns
        -------
        AttributionDisplay
        """
        from specxfer.validation import attribution

        if kind == "contribution" and "reference" not in attribution_options:
            attribution_options["reference"] = _mean_spectrum(X)
        result = attribution(model, X[[row]], line, **attribution_options)
        return cls.from_attribution(result, kind=kind, source_lines=source_lines)

    def plot(self, ax=None, *, n_windows=3, half_width=3.0):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, Figure or SubFigure, optional
            Where to draw. Axes give way to the panels. By default a figure is made.
        n_windows : int, default=3
            How many windows are enlarged; 0 for none.
        half_width : float, default=3.0
            Of these windows, Å.

        Returns
        -------
        AttributionDisplay
            Itself.
        """
        _check_kind(self.kind)
        marked, others = self._lines()
        values = np.nan_to_num(np.asarray(self.values, dtype=float))
        self.windows_ = top_windows(self.wave, values, n_windows, half_width)
        n = len(self.windows_)
        place = canvas(ax, 5.4 if n else 3.4)
        rows = [1.1, 1, 1, 1] if n else [1, 1]
        grid = place.add_gridspec(len(rows), max(n, 1), height_ratios=rows)
        above = place.add_subplot(grid[0, :])
        below = place.add_subplot(grid[1, :], sharex=above)
        zoom = np.empty((2, n), dtype=object)
        for k in range(n):
            share = {} if k == 0 else {"sharey": zoom[0, 0]}
            zoom[0, k] = place.add_subplot(grid[2, k], **share)
            share = {} if k == 0 else {"sharey": zoom[1, 0]}
            zoom[1, k] = place.add_subplot(grid[3, k], sharex=zoom[0, k], **share)
        x, flux, values = lifted(self.wave, self.chip, self.flux, values)
        for spectrum, attribution in [(above, below), *zoom.T]:
            spectrum.plot(x, flux, color=BLACK, lw=0.6)
            spectrum.tick_params(labelbottom=False)
            _draw_signed(attribution, x, values)
            for panel in (spectrum, attribution):
                _draw_lines(panel, marked, others)
        self._finish(above, below, marked)
        for k, window in enumerate(self.windows_):
            self._finish_zoom(zoom[:, k], k, window, marked, others)
        if n:
            place.supxlabel(wave_label(self.medium), fontsize=LABEL)
        else:
            below.set_xlabel(wave_label(self.medium), fontsize=LABEL)
        self.ax_, self.axes_ = above, np.array([above, below])
        self.zoom_axes_, self.figure_ = zoom, place
        return self

    @property
    def _element(self):
        return getattr(self.line, "element", None) or str(self.line or "?").split()[0]

    @property
    def _label(self):
        name = self.line.name if isinstance(self.line, Line) else self.line
        of = "" if name is None else f" of {name}"
        if self.kind == "gradient":
            return f"∂W / ∂flux [mÅ]\n{of.strip()}".strip()
        return f"part{of}\n[mÅ]"

    def _lines(self):
        """Source lines of the element, and all others, where there are pixels."""
        lines = self.source_lines
        if isinstance(lines, str):
            lines = load_lines(lines, measurable=False)
        lines = [line.to_medium(self.medium) for line in lines]
        near = 2 * np.median(np.diff(self.wave))
        lines = [x for x in lines if np.abs(self.wave - x.wave).min() < near]
        return (
            [line for line in lines if line.element == self._element],
            [line for line in lines if line.element != self._element],
        )

    def _finish(self, above, below, marked):
        above.set_xlim(self.wave[0], self.wave[-1])
        few_ticks(below)
        style_axes(above, ylabel="flux /\ncontinuum")
        style_axes(below, ylabel=self._label)
        mark_lines(above, [line.wave for line in marked],
                   [line.name for line in marked], color=MARK)  # fmt: skip
        last = self.wave[-1] - 0.03 * (self.wave[-1] - self.wave[0])
        for k, window in enumerate(self.windows_):
            right = window.mean() > last
            below.annotate(
                f"{k + 1}",
                (window.mean(), 0.97),
                (-2 if right else 2, 0),
                ha="right" if right else "left",
                xycoords=below.get_xaxis_transform(),
                textcoords="offset points",
                va="top",
                fontsize=TICK,
            )
        below.set_ylim(*_with_head(below.get_ylim(), 0.2 * len(self.windows_[:1])))
        above.figure.align_ylabels([above, below])

    def _finish_zoom(self, panels, k, window, marked, others):
        spectrum, attribution = panels
        spectrum.set_xlim(*window)
        inside = (self.wave >= window[0]) & (self.wave <= window[1])
        known = inside & np.isfinite(self.flux)
        if k == 0:
            style_axes(spectrum, ylabel="flux /\ncontinuum")
            style_axes(attribution, ylabel="as above")
            spectrum.figure.align_ylabels(panels)
        else:
            spectrum.tick_params(labelleft=False)
            attribution.tick_params(labelleft=False)
        names = [
            line.name for line in (*marked, *others)
            if window[0] <= line.wave <= window[1]
        ][:1]  # fmt: skip
        style_axes(spectrum)
        style_axes(attribution)
        name = names[0] if names else "no heavy line"
        spectrum.set_title(f"{k + 1}: {name}", fontsize=TICK)
        few_ticks(attribution, 0.5)
        if known.any():  # all zooms share the limits
            values = self.flux[known]
            pad = 0.05 * max(np.ptp(values), 0.02)
            lo, hi = values.min() - pad, values.max() + pad
            if k:
                before = spectrum.get_ylim()
                lo, hi = min(lo, before[0]), max(hi, before[1])
            spectrum.set_ylim(lo, hi)


def top_windows(wave, values, n, half_width):
    """The n windows with most of |values|, which do not overlap.

    Parameters
    ----------
    wave, values : ndarray of shape (p,)
    n : int
    half_width : float
        Å.

    Returns
    -------
    ndarray of shape (m, 2)
        Limits, most first; fewer than n where nothing is left.
    """
    step = np.median(np.diff(wave))
    reach = min(max(1, int(half_width / step)), (len(wave) - 1) // 2)
    kernel = np.r_[np.arange(1, reach + 1), np.arange(reach - 1, 0, -1)]
    amount = np.convolve(np.abs(values), kernel, mode="same")
    windows = []
    for _ in range(n):
        best = int(np.argmax(amount))
        if not amount[best] > 0:
            break
        windows.append((wave[best] - half_width, wave[best] + half_width))
        amount[np.abs(wave - wave[best]) < 2 * half_width] = 0
    return np.array(windows).reshape(-1, 2)


def _draw_signed(ax, x, values):
    for part, color in (
        (np.clip(values, 0, None), BLUE),
        (np.clip(values, None, 0), VERMILION),
    ):
        ax.fill_between(x, 0, part, step="mid", color=color, lw=0.4)
    ax.axhline(0, color=BLACK, lw=0.5)


def _draw_lines(ax, marked, others):
    for lines, color, width in ((others, "0.7", 0.5), (marked, MARK, 1.0)):
        for line in lines:
            ax.axvline(line.wave, color=color, lw=width, zorder=0)


def _with_head(limits, share):
    lo, hi = limits
    return lo, hi + share * (hi - lo)


def _mean_spectrum(X):
    """Mean flux of each pixel; the continuum where no star has it."""
    X = as_spectra(X)
    total, n = np.zeros((2, X.shape[1]))
    for _, block in X.iter_blocks():
        good = block.valid()
        total += np.where(good, block.flux, 0).sum(axis=0, dtype=float)
        n += good.sum(axis=0)
    return np.divide(total, n, where=n > 0, out=np.ones(len(n)))


def _check_kind(kind):
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {KINDS}.")
