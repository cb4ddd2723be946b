"""What all pictures share: colours, panels, axes, and how a spectrum is drawn."""

import numpy as np

# Okabe & Ito: told apart by colour-blind readers
BLACK, GREY, SHADE = "black", "0.5", "0.92"
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
TRANSLATED, NULL, OBSERVED, TRUTH = BLUE, VERMILION, GREY, BLACK
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
MARKERS = "osD^vPX"

LABEL, TICK = "small", "x-small"  # relative to the size of the user's choice
WIDTH = 5.0  # inches: still readable at 10 cm


def pyplot():
    """matplotlib.pyplot, once there is something to draw."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "plotting needs matplotlib: pip install 'specxfer[plot]'."
        ) from error
    return plt


def domain_colors(domains):
    """A colour for each domain; giants and dwarfs always have theirs."""
    fixed = {"giant": PURPLE, "dwarf": GREEN}
    others = iter((BLUE, ORANGE, SKY, VERMILION) * len(domains))
    return {name: fixed.get(name) or next(others) for name in domains}


def domain_label(name):
    """ "giants" for "giant"."""
    return f"{name}s" if name in ("giant", "dwarf") else str(name)


# ------------------------------------------------------------------------- panels
def one_axes(ax, height=3.2):
    """The axes to draw in; a figure of their own where none are given."""
    if ax is not None:
        return ax
    figure = pyplot().figure(figsize=(WIDTH, height), layout="constrained")
    return figure.subplots()


def canvas(ax, height, width=WIDTH):
    """A figure, or the part of one, for several panels.

    Parameters
    ----------
    ax : None, Axes, Figure or SubFigure
        None makes a figure. Axes give way to panels at their place.
    height, width : float
        Inches, of a figure that is made.

    Returns
    -------
    Figure or SubFigure
    """
    plt = pyplot()
    from matplotlib.figure import FigureBase

    if ax is None:
        return plt.figure(figsize=(width, height), layout="constrained")
    if isinstance(ax, FigureBase):
        return ax
    place = getattr(ax, "get_subplotspec", lambda: None)()
    if place is None:
        raise TypeError(
            f"ax is {type(ax).__name__}; expected axes made by subplots, which give "
            "way to several panels, or a Figure or SubFigure to draw them in."
        )
    figure = ax.figure
    ax.remove()
    return figure.add_subfigure(place)


def style_axes(ax, xlabel=None, ylabel=None, title=None):
    """Labels and ticks in the sizes of all pictures."""
    ax.tick_params(labelsize=TICK)
    if xlabel is not None:
        ax.set_xlabel(xlabel, fontsize=LABEL)
    if ylabel is not None:
        ax.set_ylabel(ylabel, fontsize=LABEL)
    if title is not None:
        ax.set_title(title, fontsize=LABEL)


def legend_above(figure, handles, labels=None, ncols=None):
    """One legend for all panels, outside of them."""
    labels = [h.get_label() for h in handles] if labels is None else labels
    if not handles:
        return None
    return figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=ncols or min(len(handles), 4),
        frameon=False,
        fontsize=LABEL,
        handlelength=1.6,
        columnspacing=1.2,
    )


def legend_over(ax, handles, labels, **options):
    """One row of a legend, on top of axes that are alone."""
    return ax.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=len(handles),
        frameon=False,
        fontsize=LABEL,
        handlelength=1.4,
        columnspacing=1.2,
        **options,
    )


def wave_label(medium, what="wavelength"):
    """ "wavelength in air [Å]", or "pixel" where there are no wavelengths."""
    return "pixel" if medium is None else f"{what} in {medium} [Å]"


# ------------------------------------------------------------------------ spectra
def lifted(x, chip, *values):
    """The arrays with a NaN in each gap, which lifts the pen.

    Parameters
    ----------
    x : ndarray of shape (p,)
        Wavelengths or pixels.
    chip : ndarray of int of shape (p,), optional
        The chip of each pixel: between two is a gap, and wherever a step is more than
        three times the usual one.
    *values : ndarray of shape (p,) or None

    Returns
    -------
    list of ndarray or None
        x and the values.
    """
    gap = np.zeros(max(len(x) - 1, 0), dtype=bool)
    if len(x) > 2:
        gap = np.diff(x) > 3 * np.median(np.diff(x))
    if chip is not None:
        gap |= np.diff(chip) != 0
    cuts = np.flatnonzero(gap) + 1
    return [
        None if v is None else np.insert(np.asarray(v, dtype=float), cuts, np.nan)
        for v in (x, *values)
    ]


def draw_band(ax, x, middle, std, color, bands=(2, 1), label=None):
    """Bands of so many standard deviations about a curve; NaN is left out."""
    drawn = []
    for k in sorted(bands, reverse=True):
        drawn.append(
            ax.fill_between(
                x,
                middle - k * std,
                middle + k * std,
                color=color,
                alpha=0.35 if k <= 1 else 0.18,
                lw=0,
                label=label if k == min(bands) else None,
            )
        )
    return drawn


def draw_observed(ax, x, flux, std=None, points=True, label="observed", zorder=2):
    """Observed flux: points with their errors, or steps where pixels are many."""
    if points:
        return ax.errorbar(
            x,
            flux,
            std,
            fmt=".",
            color=OBSERVED,
            ms=3,
            lw=0.6,
            label=label,
            zorder=zorder,
        )
    return ax.step(
        x, flux, where="mid", color=OBSERVED, lw=0.6, label=label, zorder=zorder
    )[0]


def spread_labels(x, distance, lo=0.0, hi=1.0):
    """Positions nearest to x that are at least `distance` apart, in order.

    Least squares: isotonic regression of what is left once the distances are off.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Increasing.
    distance : float
    lo, hi : float
        Where the first and the last may lie.

    Returns
    -------
    ndarray of shape (n,) or None
        None if there is no room.
    """
    from sklearn.isotonic import isotonic_regression

    shift = distance * np.arange(len(x))
    if len(x) == 0 or shift[-1] > hi - lo:
        return None if len(x) else np.empty(0)
    return isotonic_regression(x - shift, y_min=lo, y_max=hi - shift[-1]) + shift


def width_of(ax):
    """Of the axes in inches, before anything is laid out: good to a fifth."""
    return ax.get_window_extent().width / ax.get_figure(root=True).dpi


def height_of(ax):
    """Of the axes in inches, before the layout, which takes up to half of it."""
    return ax.get_window_extent().height / ax.get_figure(root=True).dpi


def tick_points():
    """The size of the smallest text, in points."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(size=TICK).get_size_in_points()


def few_ticks(ax, size=0.6):
    """As many ticks of x as have room for numbers of so many inches."""
    ax.locator_params(axis="x", nbins=max(2, int(width_of(ax) / size)))
    ax.ticklabel_format(axis="x", useOffset=False)


def mark_lines(ax, waves, names, color=BLACK):
    """Tick lines at the top of the axes and name them above, without overlap.

    Parameters
    ----------
    ax : Axes
        With the limits of x set.
    waves : array-like of shape (n,)
        In the units of x; those outside the limits are left out.
    names : list of str
    color : color

    Returns
    -------
    list of Text
        Empty if there is no room for the names.
    """
    lo, hi = ax.get_xlim()
    order = [i for i in np.argsort(waves) if lo <= waves[i] <= hi]
    waves = np.asarray(waves, dtype=float)[order]
    at = (waves - lo) / (hi - lo)
    ax.vlines(waves, 0.93, 1, color=color, lw=0.8, transform=ax.get_xaxis_transform())
    placed = spread_labels(at, 1.25 * tick_points() / (72 * width_of(ax)))
    if placed is None:
        return []
    return [
        ax.annotate(
            names[i],
            (a, 1),
            (b, 1.06),
            xycoords="axes fraction",
            textcoords="axes fraction",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=TICK,
            color=color,
            arrowprops={
                "arrowstyle": "-",
                "lw": 0.5,
                "color": color,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0.5, 0),
            },
        )
        for i, a, b in zip(order, at, placed)
    ]
