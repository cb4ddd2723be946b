"""CalibrationDisplay: how often intervals hold what they should."""

import numpy as np

from specxfer.plotting._coverage import LEVELS, coverage_and_pit
from specxfer.plotting._predictions import paired, translated_like
from specxfer.plotting._style import (
    BLACK,
    canvas,
    domain_colors,
    domain_label,
    legend_above,
    one_axes,
    style_axes,
)
from specxfer.plotting._tables import checked_table, in_order, plain
from specxfer.spectra import as_spectra

__all__ = ["CalibrationDisplay"]

COLUMNS = ("line", "domain", "level", "coverage", "lo", "hi")
PIT_COLUMNS = ("line", "domain", "pit_lo", "pit_hi", "density", "lo", "hi")


class CalibrationDisplay:
    """Actual against nominal coverage, for giants and dwarfs apart.

    On the diagonal intervals hold what they should as often as they say. Curves above
    it belong to errors that are stated too large, curves below to errors stated too
    small. The second panel shows where in the predicted distribution the observations
    fall (the probability integral transform): flat if all is right, a hump for errors
    too large, a bowl for errors too small, a slope for a bias.

    Parameters
    ----------
    table : Table
        Columns ``line``, ``domain``, ``level``, ``coverage``, ``lo`` and ``hi``: a row
        for each line, domain and nominal level.
    pit : Table, optional
        Columns ``line``, ``domain``, ``pit_lo``, ``pit_hi``, ``density``, ``lo`` and
        ``hi``: a row for each line, domain and bin.

    Attributes
    ----------
    ax_ : matplotlib axes
        Of the coverage. Set by `plot`, like the following.
    axes_ : ndarray of axes
        Coverage and, if asked for, the histogram.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from specxfer.plotting import CalibrationDisplay
    >>> z = np.random.default_rng(0).standard_normal((200, 50))
    >>> display = CalibrationDisplay.from_predictions(1 + 0.01 * z, np.ones(z.shape),
    ...                                               np.full(z.shape, 0.01))
    >>> row = display.table[display.table["level"] == 0.9][0]
    >>> bool(row["lo"] < 0.9 < row["hi"])
    True
    >>> plt.close(display.plot(pit=True).figure_)
    """

    def __init__(self, table, pit=None):
        self.table = table
        self.pit = pit

    @classmethod
    def from_table(cls, table, pit=None):
        """Take tables of coverage and, if there is one, of the histogram.

        Parameters
        ----------
        table, pit : Table
            See the class.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If a column is missing or there is no row.
        """
        checked_table(table, COLUMNS, "a table of coverage")
        if pit is not None:
            checked_table(pit, PIT_COLUMNS, "a histogram")
        return cls(table, pit)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        std=None,
        lines=None,
        *,
        levels=LEVELS,
        domains=None,
        confidence=0.95,
        wave=None,
        medium=None,
    ):
        """Judge observed spectra by predictions with their errors.

        Parameters
        ----------
        y_true : Spectra or array-like of shape (n_spectra, n_pixels)
            Observed flux; its noise, where known, is added to the errors of the
            prediction. Without noise it is taken for the truth.
        y_pred : Spectra or array-like of shape (n_spectra, n_pixels)
            Predicted, such as what `specxfer.translate` gives for held-out stars.
        std : array-like of shape (n_spectra, n_pixels), optional
            Of the predicted flux, where `y_pred` is an array.
        lines : Line, (lo, hi) in Å, or list of these, optional
            Whose windows are looked at, together; by default all pixels.
        levels : array-like of float
            Nominal coverage of the central intervals of a Gaussian.
        domains : dict of str to bool array of shape (n_spectra,), or Table, optional
            As in `specxfer.metrics.line_table`.
        confidence : float, default=0.95
            Of the intervals over stars.
        wave, medium : array-like of shape (n_pixels,) and {"air", "vacuum"}, optional
            The grid of plain arrays.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If there are no errors to judge, or shapes or grids disagree.
        """
        observed, predicted = paired(y_true, y_pred, std, wave, medium)
        _require_errors(predicted)
        blocks = ((some, predicted[rows].load()) for rows, some in
                  observed.iter_blocks(_rows(observed)))  # fmt: skip
        return cls(
            *coverage_and_pit(blocks, observed, lines, levels, domains, confidence)
        )

    @classmethod
    def from_estimator(
        cls, model, X, y, lines=None, *, levels=LEVELS, domains=None, confidence=0.95
    ):
        """Translate held-out stars, block by block, and judge.

        Parameters
        ----------
        model : estimator
            A fitted translator that knows its errors, or any composition around one.
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra of stars that the model was not fitted to.
        y : Spectra or array-like of shape (n_spectra, n_pixels)
            Observed target spectra of the same stars.
        lines, levels, domains, confidence
            As in `from_predictions`.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If the model does not know its errors.
        """
        y = as_spectra(y)

        def blocks():
            for rows, some in y.iter_blocks(_rows(y)):
                observed, predicted = paired(
                    some, translated_like(model, X[rows], some)
                )
                _require_errors(predicted)
                yield observed, predicted

        return cls(*coverage_and_pit(blocks(), y, lines, levels, domains, confidence))

    def plot(self, ax=None, *, line=None, pit=False):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, Figure, SubFigure or two Axes, optional
            Where to draw. With the histogram, single axes give way to two panels. By
            default a figure is made.
        line : str, optional
            Whose rows of the table; by default "all windows" or what comes first.
        pit : bool, default=False
            Whether to draw the histogram, too.

        Returns
        -------
        CalibrationDisplay
            Itself.
        """
        if pit and self.pit is None:
            raise ValueError("there is no histogram: give pit= a table.")
        rows = _rows_of(self.table, line)
        left, right, place = _panels(ax, pit)
        colors = domain_colors(in_order(rows["domain"]))
        left.plot([0, 1], [0, 1], color=BLACK, lw=0.7, zorder=1)
        for domain, color in colors.items():
            some = rows[np.asarray(rows["domain"]).astype(str) == domain]
            some = some[np.argsort(plain(some["level"]))]
            level, covered, lo, hi = (
                plain(some[c]) for c in ("level", "coverage", "lo", "hi")
            )
            left.fill_between(level, lo, hi, color=color, alpha=0.25, lw=0)
            left.plot(level, covered, ".-", ms=4, lw=1.2, color=color,
                      label=domain_label(domain))  # fmt: skip
        left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        style_axes(left, "nominal coverage", "actual coverage")
        if pit:
            _draw_pit(right, _rows_of(self.pit, line), colors)
        handles = [line for line in left.lines if line.get_marker() == "."]
        if place is not None:
            legend_above(place, handles)
        else:
            left.legend(handles=handles, frameon=False, fontsize="x-small")
        self.ax_, self.axes_ = left, np.array([left, right] if pit else [left])
        self.figure_ = left.figure
        return self


def _rows_of(table, line):
    names = in_order(table["line"])
    if line is None:
        line = "all windows" if "all windows" in names else names[0]
    if line not in names:
        raise ValueError(f"line is {line!r}; the table has {names}.")
    return table[np.asarray(table["line"]).astype(str) == line]


def _draw_pit(ax, rows, colors):
    ax.axhline(1, color=BLACK, lw=0.7, zorder=1)
    top = 1.0
    for domain, color in colors.items():
        some = rows[np.asarray(rows["domain"]).astype(str) == domain]
        if not len(some):
            continue
        density, lo, hi = (plain(some[name]) for name in ("density", "lo", "hi"))
        edges = np.r_[plain(some["pit_lo"]), plain(some["pit_hi"])[-1]]
        ax.stairs(density, edges, baseline=None, color=color, lw=1.2)
        ax.stairs(hi, edges, baseline=lo, fill=True, color=color, alpha=0.25)
        top = np.nanmax([top, *density, *hi])
    ax.set(xlim=(0, 1), ylim=(0, 1.15 * top))
    ax.set_box_aspect(1)
    style_axes(ax, "probability integral transform", "density")


def _panels(ax, pit):
    """Axes of the coverage and of the histogram, and the figure if all is ours."""
    if ax is not None and np.ndim(ax) == 1:
        return ax[0], ax[1] if pit else None, None
    if pit:
        place = canvas(ax, 2.8)
        return *place.subplots(1, 2), place
    if ax is not None and hasattr(ax, "plot"):
        return ax, None, None
    if ax is not None:
        return ax.subplots(), None, ax
    axes = one_axes(None, 4.4)
    return axes, None, axes.figure


def _require_errors(predicted):
    if not predicted.has_noise:
        raise ValueError(
            "the prediction has no errors to be judged: give std=, or Spectra with "
            "ivar, or a translator that knows its errors."
        )


def _rows(spectra):
    return max(1, 2**21 // max(1, spectra.shape[1]))
