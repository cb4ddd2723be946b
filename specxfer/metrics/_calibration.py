"""Are stated errors right? Coverage of intervals, and how wide they are."""

import numpy as np
from astropy.table import Table
from scipy.special import ndtri, stdtrit

from specxfer._stars import star_codes
from specxfer.metrics._compare import _checked_domains
from specxfer.metrics._continuum import checked_prediction
from specxfer.metrics._standardised import (
    checked_std,
    flux_values,
    known_noise,
    members,
    width_values,
)
from specxfer.metrics._sums import BLOCK, Sums, UncoveredError, mean_over_stars
from specxfer.spectra import Spectra, as_spectra

__all__ = ["coverage", "interval_coverage", "sharpness"]

LEVELS = (0.6827, 0.9545)  # 1 and 2 standard deviations of a Gaussian


def coverage(
    y_true,
    flux,
    std=None,
    lines=None,
    *,
    levels=LEVELS,
    quantity="flux",
    noise="add",
    noise_correlation=0.0,
    domains=None,
    confidence=0.95,
    groups=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """How often the truth, or the observed flux, lies where it was said to.

    Counted is ``|y_true − flux| ≤ z σ``, with z the Gaussian quantile of each level and
    σ the stated standard deviation of the noise-free flux; the known noise of an
    observed `y_true` is added to it in quadrature. Errors that are too small cover less
    than their level.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux, or the truth where it is known. Masked pixels do not count.
    flux : Spectra or array of shape (n, p)
        Predicted flux, of stars that were not trained on.
    std : array of shape (n, p), optional
        Stated standard deviation; by default that of `flux`, if these are `Spectra`.
    lines : Line, (lo, hi) in Å, or list of these, optional
        The windows; None for all pixels in one row "all".
    levels : float or sequence of float
        Nominal levels, between 0 and 1. By default those of 1 and 2 standard
        deviations.
    quantity : {"flux", "ew"}, default="flux"
        Of the flux in each pixel, or of equivalent widths. These need the covariance of
        the flux: give `specxfer.translate`'s `Spectra` as `flux`, and no `std`.
    noise : {"add", "none"}, default="add"
        "add" adds the noise of y_true to the stated error; "none" does not, for
        simulated truth.
    noise_correlation : float, default=0
        As in `equivalent_width`, of the noise of y_true.
    domains : dict of str to bool array of shape (n,), or Table, optional
        As in `line_table`.
    confidence : float, default=0.95
        Of the intervals.
    groups : array-like of shape (n,), optional
        The star of each row; by default the ids of y_true.
    wave, medium, ivar
        As in `mse`.

    Returns
    -------
    Table
        A row for each line, domain and level, those of "all windows" together first.
        Columns ``line``, ``domain``, ``n_stars``, ``n_pixels`` (pixels of all stars, or
        equivalent widths), ``level``, ``coverage`` and its interval ``lo``, ``hi``.

    Raises
    ------
    ValueError
        If the noise of y_true is unknown and to be added, if the grid lacks a window,
        or if the prediction or its standard deviation is NaN where y_true observes.

    Notes
    -----
    Pixels of one line, and spectra of one star, err together, so the interval is over
    stars: Wilson's, with as many draws as would scatter as the stars do. It says how
    far other stars may differ, not other training sets.

    References
    ----------
    Wilson, E. B. 1927, J. Am. Stat. Assoc. 22, 209; Korn, E. L. & Graubard, B. I. 1998,
    Survey Methodology 24, 193 (intervals of shares from clusters).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import coverage
    >>> rng = np.random.default_rng(0)
    >>> truth = np.ones((2000, 5))
    >>> flux = truth + 0.02 * rng.standard_normal(truth.shape)
    >>> table = coverage(truth, flux, np.full(truth.shape, 0.01), noise="none")
    >>> print(table["line", "level", "coverage"])  # errors stated half as large
    line level  coverage
    ---- ------ --------
     all 0.6827    0.375
     all 0.9545    0.682
    """
    y = known_noise(y_true, noise, wave, medium, ivar)
    levels = _checked_levels(levels)
    names, cols, member = members(lines, y, quantity)
    if quantity == "ew":
        if std is not None:
            raise ValueError(
                "std is of pixels, and says nothing of equivalent widths: give "
                "flux=specxfer.translate(model, X) and std=None."
            )
        values = width_values(y, flux, cols, lines, noise, noise_correlation)
    else:
        values = flux_values(y, flux, checked_std(flux, std), cols, lines, noise)
    inside = np.zeros((len(levels), len(y), len(names)))
    counted = np.zeros((len(y), len(names)))
    for block in values:
        distance = np.abs(block.observed - block.predicted)
        total = np.hypot(block.std, block.error)
        for k, quantile in enumerate(ndtri(0.5 + np.array(levels) / 2)):
            covered = block.used & (distance <= quantile * total)
            inside[k, block.rows] = covered @ member
        counted[block.rows] = block.used @ member
    stars = star_codes(y, groups=groups)
    found = inside, counted, stars, names, levels, _checked_domains(domains, y)
    return _coverage_table(*found, confidence, quantity)


def interval_coverage(
    y_true,
    lo,
    hi,
    lines=None,
    *,
    level,
    domains=None,
    confidence=0.95,
    groups=None,
    wave=None,
    medium=None,
):
    """How often flux lies in intervals, as of `ConformalTranslator`.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        What the intervals are of: observed flux, or the truth. Masked pixels do not
        count.
    lo, hi : array of shape (n, p)
        Ends of the intervals, which may be infinite.
    lines, domains, confidence, groups, wave, medium
        As in `coverage`.
    level : float
        What share the intervals were to cover; stands in the table.

    Returns
    -------
    Table
        As of `coverage`.

    Raises
    ------
    ValueError
        If an end is NaN where y_true observes, or below the other end.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import interval_coverage
    >>> y = np.random.default_rng(0).uniform(size=(4000, 1))
    >>> table = interval_coverage(y, np.full(y.shape, 0.2), np.ones(y.shape), level=0.8)
    >>> print(table["n_stars", "level", "coverage"])
    n_stars level  coverage
    ------- ------ --------
       4000 0.8000    0.792
    """
    y = as_spectra(y_true, wave, medium, name="y_true")
    (level,) = levels = _checked_levels(level)
    names, cols, member = members(lines, y, "flux")
    lo, hi = (checked_prediction(y, a) for a in (lo, hi))
    inside, counted = np.zeros((2, len(y), len(names)))
    for rows, block in y[:, cols].iter_blocks(max(1, BLOCK // max(1, y.shape[1]))):
        ends = [np.asarray(a[rows])[:, cols] for a in (lo, hi)]
        used = block.valid()
        unknown = used & (np.isnan(ends[0]) | np.isnan(ends[1]))
        if unknown.any():
            raise UncoveredError(
                f"the interval is NaN in {int(unknown.sum())} pixels that y_true "
                "observes: predict these windows, or leave them out of lines=."
            )
        if (ends[0] > ends[1]).any():
            raise ValueError("an interval ends below its beginning: expected lo <= hi.")
        flux = np.where(used, block.flux, 0)
        inside[rows] = (used & (flux >= ends[0]) & (flux <= ends[1])) @ member
        counted[rows] = used @ member
    stars, domains = star_codes(y, groups=groups), _checked_domains(domains, y)
    found = inside[None], counted, stars, names, levels, domains
    return _coverage_table(*found, confidence, "flux")


def sharpness(
    std,
    lines=None,
    *,
    quantity="flux",
    domains=None,
    confidence=0.95,
    groups=None,
    wave=None,
    medium=None,
):
    """How large the stated errors are: of two calibrated models the sharper is better.

    Parameters
    ----------
    std : Spectra or array of shape (n, p)
        Stated standard deviations, or the translated spectra that have them.
    lines : Line, (lo, hi) in Å, or list of these, optional
        The windows; None for all pixels in one row "all".
    quantity : {"flux", "ew"}, default="flux"
        Errors of the flux, or of equivalent widths in mÅ, from the covariance of
        translated spectra.
    domains : dict of str to bool array of shape (n,), or Table, optional
        As in `line_table`; by default the labels of translated spectra.
    confidence : float, default=0.95
        Of the intervals.
    groups : array-like of shape (n,), optional
        The star of each row; by default the ids of translated spectra.
    wave, medium : array-like of shape (p,) and {"air", "vacuum"}, optional
        The grid of a plain array; needed for `lines`.

    Returns
    -------
    Table
        A row for each line and domain. Columns ``line``, ``domain``, ``n_stars``,
        ``std``, its mean over pixels and stars, and the interval ``lo``, ``hi``.

    Raises
    ------
    ValueError
        If the standard deviation is unknown, or the grid lacks a window.

    References
    ----------
    Gneiting, T., Balabdaoui, F. & Raftery, A. E. 2007, J. R. Stat. Soc. B 69, 243.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import sharpness
    >>> std = np.array([[0.01, 0.02], [0.01, 0.04]])
    >>> print(sharpness(std)["line", "n_stars", "std"])
    line n_stars  std
    ---- ------- ------
     all       2 0.0200
    """
    of = std
    if not isinstance(std, Spectra):
        std = np.asarray(std)
        of = as_spectra(std, wave, medium, name="std")
    names, cols, member = members(lines, of, quantity)
    if quantity == "ew":
        flat = of.replace(flux=np.ones(of.shape, of.dtype), ivar=None)
        values = width_values(flat, of, cols, lines, "none")
    else:
        flat, values = of, _stated(of, std, cols)
    top, bottom = np.zeros((2, len(of), len(names)))
    for block in values:
        top[block.rows] = np.where(block.used, block.std, 0) @ member
        bottom[block.rows] = block.used @ member
    stars = star_codes(of, groups=groups)
    rows = []
    for domain, mask in _checked_domains(domains, of).items():
        codes = np.unique(stars[mask], return_inverse=True)[1]
        found = mean_over_stars(Sums(top[mask], bottom[mask]), codes, confidence)
        for k, name in enumerate(names):
            each = (found.n_stars[k], found.mean[k], found.lo[k], found.hi[k])
            rows.append((name, domain, *(a.item() for a in each)))
    rows.sort(key=lambda row: names.index(row[0]))
    table = Table(rows=rows, names=["line", "domain", "n_stars", "std", "lo", "hi"])
    for name in ("std", "lo", "hi"):
        table[name].format = ".4f" if quantity == "flux" else ".2f"
    unit = "flux / continuum" if quantity == "flux" else "mÅ"
    table.meta = {"quantity": quantity, "unit": unit}
    return table


class _Stated:
    """Standard deviations of a block, and which are known."""

    def __init__(self, rows, std):
        self.rows, self.used = rows, np.isfinite(std)
        self.std = np.where(self.used, std, 0)


def _stated(of, std, cols):
    """Yield the standard deviations of pixels, block by block."""
    each = checked_std(of, None if isinstance(std, Spectra) else std)
    step = max(1, BLOCK // max(1, of.shape[1]))
    for start in range(0, len(of), step):
        rows = slice(start, min(start + step, len(of)))
        yield _Stated(rows, np.asarray(each[rows])[:, cols])


def _checked_levels(levels):
    levels = tuple(np.atleast_1d(np.asarray(levels, dtype=float)).tolist())
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels are {levels}; expected shares between 0 and 1.")
    return levels


def _coverage_table(
    inside, counted, stars, names, levels, domains, confidence, quantity
):
    rows = []
    for domain, mask in domains.items():
        codes = np.unique(stars[mask], return_inverse=True)[1]
        for level, top in zip(levels, inside):
            found = _share(Sums(top[mask], counted[mask]), codes, confidence)
            totals = counted[mask].sum(axis=0)
            for k, name in enumerate(names):
                share, lo, hi, n_stars = (a[k].item() for a in found)
                head = name, domain, n_stars, int(totals[k])
                rows.append((*head, level, share, lo, hi))
    rows.sort(key=lambda row: names.index(row[0]))  # stable: domains in order
    table = Table(
        rows=rows,
        names=[
            *("line", "domain", "n_stars", "n_pixels"),
            *("level", "coverage", "lo", "hi"),
        ],
        dtype=[str, str, int, int, float, float, float, float],
    )
    table["level"].format = ".4f"
    for name in ("coverage", "lo", "hi"):
        table[name].format = ".3f"
    table.meta = {"quantity": quantity, "confidence": confidence}
    return table


def _share(sums, stars, confidence):
    """A share and Wilson's interval, with as many draws as scatter like the stars."""
    found = mean_over_stars(sums, stars, confidence)
    share, n_stars = found.mean, found.n_stars
    t = stdtrit(np.maximum(n_stars - 1, 1), 0.5 + confidence / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = ((found.hi - found.lo) / 2 / t) ** 2
        n = share * (1 - share) / variance
        n = np.where((share > 0) & (share < 1) & np.isfinite(n), n, n_stars)
        middle = (share + t**2 / (2 * n)) / (1 + t**2 / n)
        half = np.sqrt(share * (1 - share) / n + t**2 / (4 * n**2))
        half *= t / (1 + t**2 / n)
    lo, hi = (np.where(n_stars > 1, a, np.nan) for a in (middle - half, middle + half))
    return share, np.maximum(lo, 0), np.minimum(hi, 1), n_stars
