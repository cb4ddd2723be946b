"""ComparisonDisplay: several translators, line by line."""

import numpy as np

from specxfer.plotting._style import (
    CYCLE,
    MARKERS,
    SHADE,
    canvas,
    domain_label,
    legend_above,
    style_axes,
)
from specxfer.plotting._tables import checked_table, in_order, plain

__all__ = ["ComparisonDisplay"]

TICKS = "0.45"
COLUMNS = ("model", "line", "domain", "rms", "rms_lo", "rms_hi")


class ComparisonDisplay:
    """Errors of several translators at each line, giants and dwarfs apart.

    Each line has a row, each translator a mark with its interval in it, and the null a
    grey tick: what lies to the left of the tick has learned more than the null knows.

    Parameters
    ----------
    table : Table
        Columns ``model``, ``line``, ``domain``, ``rms``, ``rms_lo`` and ``rms_hi``, and
        ``rms_null`` if there is a null: a row for each of the three first, as
        `specxfer.validation.compare_translators` returns. With ``rms_null``, rows of
        the model "null" are not drawn again.

    Attributes
    ----------
    axes_ : ndarray of axes
        One for each domain. Set by `plot`, like the following.
    ax_ : matplotlib axes
        The first of them.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from astropy.table import Table
    >>> from specxfer.plotting import ComparisonDisplay
    >>> table = Table({"model": ["PCARidge", "CNN"], "line": ["Ba II 6497"] * 2,
    ...                "domain": ["giant"] * 2, "rms": [0.013, 0.011],
    ...                "rms_lo": [0.012, 0.010], "rms_hi": [0.014, 0.012],
    ...                "rms_null": [0.03, 0.03]})
    >>> display = ComparisonDisplay.from_table(table).plot()
    >>> display.ax_.get_title()
    'giants'
    >>> plt.close(display.figure_)
    """

    def __init__(self, table):
        self.table = table

    @classmethod
    def from_table(cls, table):
        """Take the table of a comparison.

        Parameters
        ----------
        table : Table
            See the class.

        Returns
        -------
        ComparisonDisplay

        Raises
        ------
        ValueError
            If a column is missing or there is no row.
        """
        return cls(checked_table(table, COLUMNS, "a comparison of translators"))

    def plot(self, ax=None, *, xlabel=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, Figure, SubFigure or array of Axes, optional
            Where to draw. Single axes give way to a panel for each domain. By default
            a figure is made.
        xlabel : str, optional
            What the error is of; by default the unit in the table's meta, or that of
            the flux.

        Returns
        -------
        ComparisonDisplay
            Itself.
        """
        table = self.table
        if "rms_null" in table.colnames:
            table = table[np.asarray(table["model"]).astype(str) != "null"]
        models, lines, domains = (
            in_order(table[name]) for name in ("model", "line", "domain")
        )
        axes, place = _panels(ax, len(domains), len(lines), len(models))
        unit = self.table.meta.get("unit", "flux / continuum")
        # astropy units of the column win
        unit = str(getattr(self.table["rms"], "unit", None) or unit)
        for panel, domain in zip(axes, domains):
            here = np.asarray(table["domain"]).astype(str) == domain
            handles = self._draw(panel, table[here], models, lines)
            style_axes(panel, title=domain_label(domain))
            panel.set_ylim(len(lines) - 0.5, -0.5)
            panel.set_yticks(range(len(lines)), lines)
            panel.tick_params(axis="y", length=0)
        for panel in axes[1:]:
            if place is not None:
                panel.tick_params(labelleft=False)
        label = f"rms error [{unit}]" if xlabel is None else xlabel
        if place is None:
            axes[0].set_xlabel(label, fontsize="small")
            axes[0].legend(handles=handles, frameon=False, fontsize="x-small")
        else:
            place.supxlabel(label, fontsize="small")
            legend_above(place, handles)
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        return self

    def _draw(self, ax, table, models, lines):
        """One domain; gives handles for the legend."""
        for i in range(1, len(lines), 2):
            ax.axhspan(i - 0.5, i + 0.5, color=SHADE, lw=0, zorder=0)
        step = 0.7 / max(len(models), 1)
        handles = []
        for k, model in enumerate(models):
            rows = table[np.asarray(table["model"]).astype(str) == model]
            rms, lo, hi = (plain(rows[c]) for c in ("rms", "rms_lo", "rms_hi"))
            at = _places(rows, lines) + step * (k - (len(models) - 1) / 2)
            color = CYCLE[k % len(CYCLE)]
            known = np.isfinite(lo) & np.isfinite(hi)
            ax.hlines(at[known], lo[known], hi[known], color=color, lw=1, zorder=2)
            handles += ax.plot(
                rms,
                at,
                MARKERS[k % len(MARKERS)],
                color=color,
                ms=3.5,
                label=model,
                zorder=3,
            )
        nulls = self._nulls(table, lines)
        if nulls is not None:
            at, null = nulls
            ax.vlines(null, at - 0.42, at + 0.42, color=TICKS, lw=1.8, zorder=1)
            (tick,) = ax.plot([], [], "|", color=TICKS, ms=9, mew=1.8, label="null")
            handles.append(tick)
        middle = np.r_[plain(table["rms"]), [] if nulls is None else nulls[1]]
        middle = middle[np.isfinite(middle)]
        if len(middle):
            ends = np.r_[plain(table["rms_hi"]), middle]
            top = min(np.nanmax(ends), 1.5 * max(middle.max(), 1e-9))
            # a signed root is below 0 where the error is far below the noise
            ax.set_xlim(min(0, 1.1 * middle.min()), 1.05 * top)
        return handles

    def _nulls(self, table, lines):
        """Place and error of the null at each line, or None."""
        if "rms_null" not in table.colnames:
            return None
        _, first = np.unique(_places(table, lines), return_index=True)
        null = plain(table["rms_null"])[first]
        known = np.isfinite(null)
        return (
            (_places(table, lines)[first][known], null[known]) if known.any() else None
        )


def _places(rows, lines):
    return np.array([lines.index(str(line)) for line in rows["line"]], dtype=float)


def _panels(ax, n, n_lines, n_models):
    """n axes side by side, and the figure they are in if all of it is ours."""
    if ax is not None and np.ndim(ax) > 0:
        axes = np.ravel(ax)
        if len(axes) != n:
            raise ValueError(f"ax holds {len(axes)} axes; expected one a domain, {n}.")
        return axes, None
    place = canvas(ax, 1.1 + n_lines * (0.12 + 0.06 * n_models))
    return place.subplots(1, n, sharey=True, squeeze=False)[0], place
