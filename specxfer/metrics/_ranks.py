"""Where observations fall in predicted distributions: uniformly, if these are right."""

from typing import NamedTuple

import numpy as np
from astropy.table import Table
from scipy.special import ndtr
from scipy.stats import chi2, kstest
from sklearn.utils import check_random_state

from specxfer._stars import star_codes
from specxfer.lines import Line, each_window, window_names, window_pixels
from specxfer.metrics._compare import _checked_domains
from specxfer.metrics._equivalent_width import equivalent_width, window_widths
from specxfer.metrics._standardised import (
    checked_std,
    flux_values,
    known_noise,
    members,
    width_pixels,
)
from specxfer.metrics._sums import Sums, UncoveredError, mean_over_stars

__all__ = ["Ranks", "pit_histogram", "sbc_ranks"]


def pit_histogram(
    y_true,
    flux=None,
    std=None,
    lines=None,
    *,
    draws=None,
    bins=10,
    noise="add",
    domains=None,
    confidence=0.95,
    random_state=0,
    groups=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """Histogram of the probability integral transform: flat if errors are right.

    The transform is the share of the predicted distribution that lies below what was
    observed: of a Gaussian, ``Φ((y_true − flux) / σ)``, or of draws, the share of them
    below. Errors stated too small give a histogram that is high at both ends, errors
    too large one that is high in the middle, and a bias a slope.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux, or the truth where it is known. Masked pixels do not count.
    flux, std : array of shape (n, p), optional
        Predicted flux and its standard deviation, as in `coverage`.
    lines : Line, (lo, hi) in Å, or list of these, optional
        The windows; None for all pixels in one row "all".
    draws : array of shape (n_draws, n, p), optional
        Draws of the noise-free flux, instead of `flux` and `std`.
    bins : int, default=10
        Number of bins between 0 and 1.
    noise : {"add", "none"}, default="add"
        Whether the noise of y_true is added to the standard deviation or to the draws;
        "none" for simulated truth.
    domains, confidence, groups, wave, medium, ivar
        As in `coverage`.
    random_state : int, RandomState instance or None, default=0
        Draws the noise that is added to draws, and breaks ties.

    Returns
    -------
    Table
        A row for each line, domain and bin. Columns ``line``, ``domain``, ``n_stars``,
        ``pit_lo``, ``pit_hi``, ``density``, 1 if uniform, and its interval ``lo``,
        ``hi`` over stars.

    Raises
    ------
    ValueError
        As in `coverage`, or if neither `flux` nor `draws` is given.

    References
    ----------
    Dawid, A. P. 1984, J. R. Stat. Soc. A 147, 278; Gneiting, T. et al. 2007, J. R.
    Stat. Soc. B 69, 243.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import pit_histogram
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((5000, 4))
    >>> table = pit_histogram(truth, np.zeros((5000, 4)), np.ones((5000, 4)), bins=2,
    ...                       noise="none")
    >>> print(table["pit_lo", "pit_hi", "density"])
    pit_lo pit_hi density
    ------ ------ -------
       0.0    0.5    1.00
       0.5    1.0    1.00
    """
    y = known_noise(y_true, noise, wave, medium, ivar)
    if (flux is None) == (draws is None):
        raise ValueError("give flux= with std=, or draws=: one of the two.")
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise ValueError(f"bins is {bins!r}; expected an int, 1 or more.")
    names, cols, member = members(lines, y, "flux")
    if draws is None:
        found = _gaussian(y, flux, checked_std(flux, std), cols, lines, noise)
    else:
        found = _among(y, draws, cols, noise, check_random_state(random_state))
    top = np.zeros((bins, len(y), len(names)))
    bottom = np.zeros((len(y), len(names)))
    for rows, pit, used in found:
        which = np.minimum((pit * bins).astype(int), bins - 1)
        for b in range(bins):
            top[b, rows] = (used & (which == b)) @ member * bins
        bottom[rows] = used @ member
    stars = star_codes(y, groups=groups)
    edges = np.linspace(0, 1, bins + 1)
    rows = []
    for domain, mask in _checked_domains(domains, y).items():
        codes = np.unique(stars[mask], return_inverse=True)[1]
        for b in range(bins):
            share = mean_over_stars(Sums(top[b][mask], bottom[mask]), codes, confidence)
            for k, name in enumerate(names):
                head = name, domain, share.n_stars[k].item(), edges[b], edges[b + 1]
                ends = share.mean[k], share.lo[k], share.hi[k]
                rows.append((*head, *(a.item() for a in ends)))
    rows.sort(key=lambda row: names.index(row[0]))
    columns = ["line", "domain", "n_stars", "pit_lo", "pit_hi", "density", "lo", "hi"]
    table = Table(rows=rows, names=columns)
    for name in ("density", "lo", "hi"):
        table[name].format = ".2f"
    return table


class Ranks(NamedTuple):
    """Ranks of observations among draws, and whether they are uniform.

    Attributes
    ----------
    ranks : ndarray of int of shape (n, m)
        How many draws lie below, from 0 to `n_draws`; −1 where not observed.
    n_draws : int
    table : Table
        A row for each line and domain: ``line``, ``domain``, ``n_stars``, ``chi2``,
        ``dof``, ``p_chi2`` and ``p_ks``.
    """

    ranks: np.ndarray
    n_draws: int
    table: Table


def sbc_ranks(
    y_true,
    draws,
    lines,
    *,
    quantity="ew",
    bins=20,
    noise="add",
    noise_correlation=0.0,
    domains=None,
    random_state=0,
    groups=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """Ranks of observed lines among draws of a sampler: uniform if it is right.

    Simulation-based calibration: where a star's draws and its observation come from
    the same distribution, the observation has any rank among them with equal chance.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux, or the truth where it is known. Masked pixels do not count.
    draws : array of shape (n_draws, n, p)
        Draws of the noise-free flux, as of `specxfer.sample`.
    lines : Line, (lo, hi) in Å, or list of these
        The windows, m of them.
    quantity : {"ew", "flux"}, default="ew"
        Rank equivalent widths, or the flux of the one pixel that the centre of a line
        (of its window, if it is a pair) falls on.
    bins : int, default=20
        Bins of ranks for the chi-square test, at most: fewer where there are fewer
        draws, or fewer than five stars would be expected in each.
    noise : {"add", "none"}, default="add"
        Whether the noise of y_true is added to the draws; "none" for simulated truth.
    noise_correlation : float, default=0
        As in `equivalent_width`, of the noise of y_true.
    domains, groups, wave, medium, ivar
        As in `coverage`.
    random_state : int, RandomState instance or None, default=0
        Draws the noise, breaks ties, and chooses among repeats of a star.

    Returns
    -------
    Ranks

    Raises
    ------
    ValueError
        As in `coverage`, or if the draws are not of these spectra.

    Notes
    -----
    The tests take one spectrum of each star, since repeats share what is unknown of the
    star. That of Kolmogorov and Smirnov is on (rank + u) / (n_draws + 1), with u
    uniform at random.

    References
    ----------
    Talts, S. et al. 2018, arXiv:1804.06788.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import sbc_ranks
    >>> rng = np.random.default_rng(0)
    >>> truth, draws = rng.normal(size=(500, 3)), rng.normal(size=(19, 500, 3))
    >>> found = sbc_ranks(truth, draws, (5000.5, 5001.5), noise="none",
    ...                   wave=[5000.0, 5001.0, 5002.0], medium="air")
    >>> found.ranks.shape, bool(found.table["p_chi2"][0] > 0.01)
    ((500, 1), True)
    """
    y = known_noise(y_true, noise, wave, medium, ivar)
    if quantity not in ("flux", "ew"):
        raise ValueError(f'quantity is {quantity!r}; expected "ew" or "flux".')
    draws = _checked_draws(draws, y)
    rng = check_random_state(random_state)
    measure = _widths if quantity == "ew" else _centres
    ranks = np.full((len(y), len(each_window(lines))), -1)
    for rows, observed, error, drawn in measure(y, draws, lines, noise_correlation):
        if noise == "add":
            drawn = drawn + error * rng.standard_normal(drawn.shape)
        found = _rank(observed, drawn, rng)
        ranks[rows] = np.where(np.isfinite(observed), found, -1)
    stars = star_codes(y, groups=groups)
    chosen = _one_each(stars, rng)
    cells = []
    for domain, mask in _checked_domains(domains, y).items():
        for k, name in enumerate(window_names(lines)):
            some = ranks[mask & chosen, k]
            tests = _uniformity(some[some >= 0], len(draws), bins, rng)
            cells.append((name, domain, *tests))
    names = window_names(lines)
    cells.sort(key=lambda row: names.index(row[0]))
    columns = ["line", "domain", "n_stars", "chi2", "dof", "p_chi2", "p_ks"]
    table = Table(rows=cells, names=columns)
    for name in ("chi2", "p_chi2", "p_ks"):
        table[name].format = ".3g"
    return Ranks(ranks, len(draws), table)


def _gaussian(y, flux, std, cols, lines, noise):
    for block in flux_values(y, flux, std, cols, lines, noise):
        total = np.hypot(block.std, block.error)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (block.observed - block.predicted) / total
        yield block.rows, ndtr(np.nan_to_num(z)), block.used


def _among(y, draws, cols, noise, rng):
    draws = _checked_draws(draws, y)
    for rows, block in y[:, cols].iter_blocks(_n_rows(draws)):
        drawn = np.asarray(draws[:, rows])[..., cols]
        used = _check_drawn(block.valid(), drawn)
        if noise == "add":
            error = np.zeros(used.shape)
            np.divide(1, np.sqrt(block.ivar), out=error, where=used)
            drawn = drawn + error * rng.standard_normal(drawn.shape)
        flux = np.where(used, block.flux, 0)
        rank = _rank(flux, np.where(used, drawn, 0), rng)
        yield rows, (rank + rng.random_sample(rank.shape)) / (len(draws) + 1), used


def _checked_draws(draws, y):
    shape = np.shape(draws)
    if len(shape) != 3 or shape[1:] != y.shape or not shape[0]:
        raise ValueError(
            f"draws have shape {shape}; expected one spectrum for each draw and row, "
            f"(n_draws, {y.shape[0]}, {y.shape[1]}), as of specxfer.sample."
        )
    return draws


def _check_drawn(used, drawn):
    lost = used & ~np.isfinite(drawn).all(axis=0)
    if lost.any():
        raise UncoveredError(
            f"draws are NaN in {int(lost.sum())} pixels that y_true observes: draw "
            "these windows, or leave them out of lines=."
        )
    return used


def _n_rows(draws):
    return max(1, 2**23 // (len(draws) * draws.shape[2]))


def _widths(y, draws, lines, noise_correlation):
    """Yield rows, observed widths, their errors, and those of draws."""
    held, _ = window_widths(lines, y)
    cols = width_pixels(held)
    inside = held[cols].any(axis=1)
    for rows, block in y[:, cols].iter_blocks(_n_rows(draws)):
        drawn = np.asarray(draws[:, rows])[..., cols]
        good = _check_drawn(block.valid() & inside, drawn)
        observed, error = equivalent_width(
            block, lines, noise_correlation=noise_correlation
        )
        bare = block.replace(ivar=None, covariance=None)
        each = [
            equivalent_width(bare.replace(flux=np.where(good, flux, np.nan)), lines)[0]
            for flux in drawn
        ]
        yield rows, observed, np.nan_to_num(error), np.nan_to_num(np.array(each))


def _centres(y, draws, lines, _):
    """As `_widths`, of the flux at the centres of the lines."""
    cols = []
    for window in each_window(lines):
        held = np.flatnonzero(window_pixels(window, y.wave, y.medium))
        if isinstance(window, Line):
            centre = window.to_medium(y.medium).wave
        else:
            centre = (y.wave[held[0]] + y.wave[held[-1]]) / 2
        cols.append(held[np.argmin(np.abs(y.wave[held] - centre))])
    unique, back = np.unique(cols, return_inverse=True)
    for rows, block in y[:, unique].iter_blocks(_n_rows(draws)):
        drawn = np.asarray(draws[:, rows])[..., unique]
        good = _check_drawn(block.valid(), drawn)
        error = np.zeros(good.shape)
        if block.has_noise:
            np.divide(1, np.sqrt(block.ivar), out=error, where=good)
        observed = np.where(good, block.flux, np.nan)
        yield rows, observed[:, back], error[:, back], drawn[..., back]


def _rank(observed, drawn, rng):
    """How many draws are below, ties at random."""
    below = (drawn < observed).sum(axis=0)
    ties = (drawn == observed).sum(axis=0)
    return below + rng.randint(0, ties + 1)


def _one_each(stars, rng):
    """One row of each star, chosen at random."""
    order = rng.permutation(len(stars))
    chosen = np.zeros(len(stars), bool)
    chosen[order[np.unique(stars[order], return_index=True)[1]]] = True
    return chosen


def _uniformity(ranks, n_draws, bins, rng):
    """Number of stars, chi-square, its degrees of freedom, and two p-values."""
    n = len(ranks)
    bins = int(min(bins, n_draws + 1, n // 5))
    if bins < 2:
        return n, np.nan, 0, np.nan, np.nan
    which = ranks * bins // (n_draws + 1)
    share = np.bincount(np.arange(n_draws + 1) * bins // (n_draws + 1)) / (n_draws + 1)
    expected = n * share
    statistic = ((np.bincount(which, minlength=bins) - expected) ** 2 / expected).sum()
    u = (ranks + rng.random_sample(n)) / (n_draws + 1)
    p = chi2.sf(statistic, bins - 1)
    return n, statistic.item(), bins - 1, p.item(), kstest(u, "uniform").pvalue.item()
