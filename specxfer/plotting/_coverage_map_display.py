"""CoverageMapDisplay: a value of each star over the Kiel diagram."""

import numpy as np
from scipy.special import ndtr

from specxfer.lines import window_names, window_pixels
from specxfer.metrics import equivalent_width
from specxfer.plotting._coverage import standardized
from specxfer.plotting._predictions import paired, translated_like
from specxfer.plotting._style import LABEL, TICK, one_axes, style_axes
from specxfer.plotting._tables import plain
from specxfer.spectra import Spectra, as_spectra

__all__ = ["CoverageMapDisplay"]

ONE_SIGMA = 2 * ndtr(1) - 1
QUANTITIES = ("coverage", "support", "bias")
BLOCK_ROWS = 256


class CoverageMapDisplay:
    """The mean of a value of each star, over effective temperature and gravity.

    For how often errors hold what they should, how far stars are from those of the
    training, or how far predicted lines are off: where in the Kiel diagram it is good.
    Bins with too few stars are left blank; the stars themselves are dots.

    Parameters
    ----------
    teff, logg : ndarray of shape (n_stars,)
        Effective temperature (K) and surface gravity (dex).
    values : ndarray of shape (n_stars,)
        What is averaged; NaN is left out.
    name : str, optional
        What it is, with its unit.
    nominal : float, optional
        What it should be. Colours then diverge from it, otherwise they go from low to
        high.

    Attributes
    ----------
    ax_ : matplotlib axes
        Set by `plot`, like the following.
    bins_ : matplotlib PolyCollection
        The hexagons; their array holds the means.
    colorbar_ : matplotlib Colorbar
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from specxfer.plotting import CoverageMapDisplay
    >>> rng = np.random.default_rng(0)
    >>> labels = Table({"teff": rng.uniform(4000, 6000, 500),
    ...                 "logg": rng.uniform(1, 5, 500)})
    >>> display = CoverageMapDisplay.from_predictions(
    ...     labels, rng.random(500) < 0.68, name="share within 1σ", nominal=0.683)
    >>> bool(abs(display.plot(gridsize=4).bins_.get_array().mean() - 0.68) < 0.05)
    True
    >>> plt.close(display.figure_)
    """

    def __init__(self, teff, logg, values, *, name=None, nominal=None):
        self.teff = teff
        self.logg = logg
        self.values = values
        self.name = name
        self.nominal = nominal

    @classmethod
    def from_predictions(cls, labels, values, *, name=None, nominal=None):
        """Take labels of stars and a value of each.

        Parameters
        ----------
        labels : Spectra or Table
            With columns teff (K) and logg, upper or lower case.
        values : array-like of shape (n_stars,)
            One value a star, such as the share of its pixels within 1σ, or its support.
        name : str, optional
            What it is, with its unit.
        nominal : float, optional
            What it should be.

        Returns
        -------
        CoverageMapDisplay

        Raises
        ------
        ValueError
            If a label is missing or the lengths differ.
        """
        table = labels.meta if isinstance(labels, Spectra) else labels
        columns = {} if table is None else {c.lower(): table[c] for c in table.colnames}
        if not {"teff", "logg"} <= set(columns):
            raise ValueError(
                f"no labels teff and logg to draw over; seen {sorted(columns)}."
            )
        values = np.asarray(values, dtype=float)
        if values.shape != (len(table),):
            raise ValueError(
                f"values have shape {values.shape}; expected one a star, "
                f"({len(table)},)."
            )
        teff, logg = plain(columns["teff"]), plain(columns["logg"])
        return cls(teff, logg, values, name=name, nominal=nominal)

    @classmethod
    def from_estimator(
        cls, model, X, y=None, lines=None, *, quantity="coverage", labels=None
    ):
        """Translate held-out stars, block by block, and take a value of each.

        Parameters
        ----------
        model : estimator
            A fitted translator, or any composition around one.
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra of stars that the model was not fitted to.
        y : Spectra or array-like of shape (n_spectra, n_pixels), optional
            Observed target spectra of the same stars; not needed for the support.
        lines : Line, (lo, hi) in Å, or list of these, optional
            Whose windows are looked at; by default all pixels. The bias needs one
            line.
        quantity : {"coverage", "support", "bias"}, default="coverage"
            "coverage" is the share of pixels where observed and translated differ by
            less than one standard deviation of both; 0.683 is nominal. "support" is
            `specxfer.support`, above 1 for stars unlike those of the training. "bias"
            is translated minus observed equivalent width, mÅ; noise averages out of
            its mean.
        labels : Spectra or Table, optional
            With teff and logg; by default those of y, or of X.

        Returns
        -------
        CoverageMapDisplay

        Raises
        ------
        ValueError
            If something that the quantity needs is missing.
        """
        if quantity not in QUANTITIES:
            raise ValueError(f"quantity is {quantity!r}; expected one of {QUANTITIES}.")
        if labels is None:
            labels = y if getattr(y, "meta", None) is not None else X
        if quantity == "support":
            from specxfer._compositions import support

            return cls.from_predictions(
                labels, support(model, X), name="distance from the training stars"
            )
        if y is None:
            raise ValueError(f"{quantity} needs observed spectra: give y.")
        if quantity == "bias":
            names = [] if lines is None else window_names(lines)
            if len(names) != 1:
                raise ValueError(f"bias needs one line; {len(names)} given.")
            judge = _bias
            name, nominal = f"{names[0]}: translated − observed [mÅ]", 0.0
        else:
            judge = _coverage
            name, nominal = "share of pixels within 1σ", ONE_SIGMA
        values = []
        for rows, some in as_spectra(y).iter_blocks(BLOCK_ROWS):
            seen, predicted = paired(some, translated_like(model, X[rows], some))
            values.append(judge(seen, predicted, lines))
        return cls.from_predictions(
            labels, np.concatenate(values), name=name, nominal=nominal
        )

    def plot(self, ax=None, *, gridsize=20, min_stars=5, halfrange=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made when not given.
        gridsize : int, default=20
            Hexagons along the temperature axis.
        min_stars : int, default=5
            Of a bin; others are left blank.
        halfrange : float, optional
            From the nominal value to either end of the colours; by default to the
            bin that is farthest off.

        Returns
        -------
        CoverageMapDisplay
            Itself.
        """
        ax = one_axes(ax, 3.6)
        known = np.isfinite(self.teff) & np.isfinite(self.logg)
        known &= np.isfinite(self.values)
        if not known.any():
            raise ValueError("nothing to draw: no star has both labels and a value.")
        teff, logg, values = (v[known] for v in (self.teff, self.logg, self.values))
        ax.plot(teff, logg, ".", color="0.75", ms=1.5, zorder=0)
        self.bins_ = ax.hexbin(
            teff,
            logg,
            C=values,
            reduce_C_function=np.mean,
            gridsize=gridsize,
            mincnt=min_stars,
            cmap="cividis" if self.nominal is None else "RdBu_r",
            lw=0.2,
        )
        if self.nominal is not None:
            from matplotlib.colors import CenteredNorm

            if halfrange is None:
                means = np.asarray(self.bins_.get_array())
                off = np.abs(means - self.nominal)
                halfrange = off.max() if off.size and off.max() > 0 else 1.0
            self.bins_.set_norm(CenteredNorm(self.nominal, halfrange))
        if not len(self.bins_.get_array()):
            ax.text(
                0.5,
                0.5,
                f"no cell has {min_stars} stars",
                transform=ax.transAxes,
                ha="center",
                fontsize=LABEL,
            )
        for limit, at, size in ((ax.set_xlim, teff, 0.6), (ax.set_ylim, logg, 1.3)):
            pad = size * max(np.ptp(at), 1e-3) / gridsize
            limit(at.max() + pad, at.min() - pad)  # the hottest and the faintest first
        self._finish(ax)
        return self

    def _finish(self, ax):
        style_axes(ax, "Teff [K]", "log g [dex]")
        self.colorbar_ = ax.figure.colorbar(self.bins_, ax=ax)
        self.colorbar_.ax.tick_params(labelsize=TICK)
        if self.name is not None:
            self.colorbar_.set_label(self.name, fontsize=LABEL)
        if self.nominal is not None:
            self.colorbar_.ax.axhline(self.nominal, color="black", lw=1)
            values = self.values[np.isfinite(self.values)]
            if 0 < self.nominal < 1 and (abs(values - 0.5) <= 0.5).all():  # a share
                lo, hi = self.colorbar_.ax.get_ylim()
                self.colorbar_.ax.set_ylim(max(lo, 0), min(hi, 1))
        self.ax_, self.figure_ = ax, ax.figure


def _coverage(observed, predicted, lines):
    if not predicted.has_noise:
        raise ValueError(
            "coverage needs the errors of the prediction, and this model does not know "
            'them: quantity="bias" or "support" need none.'
        )
    if lines is not None:
        pixels = window_pixels(lines, predicted.wave, predicted.medium)
        observed, predicted = observed[:, pixels], predicted[:, pixels]
    z = standardized(observed, predicted)
    known = np.isfinite(z)
    n = known.sum(axis=1)
    inside = (np.abs(z) < 1).sum(axis=1)
    return np.divide(inside, n, where=n > 0, out=np.full(len(n), np.nan))


def _bias(observed, predicted, lines):
    widths = [equivalent_width(s, lines)[0][:, 0] for s in (predicted, observed)]
    return widths[0] - widths[1]
