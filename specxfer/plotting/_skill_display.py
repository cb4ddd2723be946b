"""SkillDisplay: what a translator adds to its null, line by line."""

import numpy as np

from specxfer.plotting._style import (
    BLACK,
    TICK,
    domain_colors,
    domain_label,
    legend_over,
    one_axes,
    style_axes,
    width_of,
)
from specxfer.plotting._tables import checked_table, in_order, plain

__all__ = ["SkillDisplay"]

COLUMNS = ("line", "domain", "skill", "skilful")
ENDS = ("skill_lo", "skill_hi")
LOWEST = -1.0  # below it bars are cut off
PALE = 0.35


class SkillDisplay:
    """Skill at each line, in giants and in dwarfs, as bars with their intervals.

    Skill is 1 − MSE / MSE of the null: 0 if the source spectrum adds nothing to what
    the null knows, 1 if it tells everything. Bars are pale where the translator is not
    shown to be better than the null; a cross marks a skill that is not known.

    Parameters
    ----------
    table : Table
        Columns ``line``, ``domain``, ``skill`` and ``skilful``, and ``skill_lo`` and
        ``skill_hi`` for intervals, as `specxfer.validation.null_test` returns.

    Attributes
    ----------
    ax_ : matplotlib axes
        Set by `plot`, like the following.
    bars_ : dict of str to matplotlib BarContainer
        Of each domain.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from astropy.table import Table
    >>> from specxfer.plotting import SkillDisplay
    >>> table = Table({"line": ["Ba II 6497", "Eu II 6645"], "domain": ["giant"] * 2,
    ...                "skill": [0.6, 0.1], "skill_lo": [0.5, -0.1],
    ...                "skill_hi": [0.7, 0.3], "skilful": [True, False]})
    >>> display = SkillDisplay.from_table(table).plot()
    >>> [bar.get_height() for bar in display.bars_["giant"]]
    [np.float64(0.6), np.float64(0.1)]
    >>> plt.close(display.figure_)
    """

    def __init__(self, table):
        self.table = table

    @classmethod
    def from_table(cls, table):
        """Take the table of a null test.

        Parameters
        ----------
        table : Table
            See the class.

        Returns
        -------
        SkillDisplay

        Raises
        ------
        ValueError
            If a column is missing or there is no row.
        """
        return cls(checked_table(table, COLUMNS, "specxfer.validation.null_test"))

    @classmethod
    def from_estimator(cls, translator, X, y, lines, **null_test_options):
        """Run a null test and take its table.

        Parameters
        ----------
        translator : estimator
            Not fitted: it is, on each fold.
        X, y : Spectra or array-like
            Source and target spectra.
        lines : list of Line or (lo, hi) in Å
            The lines.
        **null_test_options
            Passed to `specxfer.validation.null_test`.

        Returns
        -------
        SkillDisplay
        """
        from specxfer.validation import null_test

        return cls.from_table(null_test(translator, X, y, lines, **null_test_options))

    def plot(self, ax=None, *, intervals=True):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made when not given.
        intervals : bool, default=True
            Whether to draw the intervals, if the table has them.

        Returns
        -------
        SkillDisplay
            Itself.

        Notes
        -----
        The axis goes from the least skill to 1. Bars below −1, where the translator is
        twice as bad as its null or worse, are cut off there and have their value
        written below.
        """
        lines, domains = (in_order(self.table[name]) for name in ("line", "domain"))
        ax = one_axes(ax, 2.9)
        colors = domain_colors(domains)
        width = 0.8 / len(domains)
        self.bars_ = {}
        unknown = []
        for k, domain in enumerate(domains):
            rows = self.table[np.asarray(self.table["domain"]).astype(str) == domain]
            x = np.array([lines.index(str(line)) for line in rows["line"]])
            x = x + width * (k - (len(domains) - 1) / 2)
            skill = plain(rows["skill"])
            self.bars_[domain] = ax.bar(
                x, skill, 0.94 * width, color=colors[domain], label=domain_label(domain)
            )
            for bar, skilful in zip(self.bars_[domain], rows["skilful"]):
                bar.set_alpha(1 if skilful else PALE)
            if intervals and set(ENDS) <= set(rows.colnames):
                lo, hi = (plain(rows[name]) for name in ENDS)
                known = np.isfinite(lo) & np.isfinite(hi)
                ax.vlines(x[known], lo[known], hi[known], color=BLACK, lw=0.7)
            missing = ~np.isfinite(skill)
            unknown += x[missing].tolist()
            ax.plot(
                x[missing], 0 * x[missing], "x", color=colors[domain], ms=5, mew=1.2
            )
            for at, value in zip(x, skill):
                if value < LOWEST:
                    ax.annotate(
                        f"{value:.1f}".replace("-", "−"),
                        (at, LOWEST),
                        (0, 2),
                        textcoords="offset points",
                        rotation=90,
                        ha="center",
                        va="bottom",
                        fontsize=TICK,
                        bbox={"color": "white", "pad": 0.5},  # before the interval
                    )
        self._finish(ax, lines, bool(unknown))
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _finish(self, ax, lines, any_unknown):
        from matplotlib.legend_handler import HandlerTuple

        ax.axhline(0, color=BLACK, lw=0.8)
        skill = plain(self.table["skill"])
        least = np.nanmin(skill) if np.isfinite(skill).any() else 0
        ax.set_ylim(max(LOWEST, min(-0.1, 1.1 * least)), 1)
        ax.set_xlim(-0.6, len(lines) - 0.4)
        style_axes(ax, ylabel="skill = 1 − MSE / MSE of the null")
        # a name takes some 0.7 inches, lying
        upright = width_of(ax) / len(lines) < 0.75
        ax.set_xticks(range(len(lines)), lines, rotation=90 if upright else 0)
        handles, labels = ax.get_legend_handles_labels()
        handles = [bar[0] for bar in handles]
        pale = plain(self.table["skilful"]) == 0
        if pale.any():
            shown = (b for bars in self.bars_.values() for b in bars)
            colors = {b.get_facecolor(): None for b in shown if b.get_alpha() == PALE}
            handles.append(tuple(_swatch(color) for color in colors))
            labels.append("not better than the null")
        if any_unknown:
            (cross,) = ax.plot([], [], "x", color=BLACK, ms=5, mew=1.2)
            handles.append(cross)
            labels.append("not known")
        beside = {tuple: HandlerTuple(ndivide=None, pad=0)}  # not one over the other
        legend = legend_over(ax, handles, labels, handler_map=beside)
        for swatch in legend.legend_handles[: len(self.bars_)]:
            swatch.set_alpha(1)


def _swatch(color):
    from matplotlib.patches import Patch

    return Patch(color=color[:3], alpha=PALE, lw=0)
