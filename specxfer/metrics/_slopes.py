"""How far predicted line strengths follow the true ones, and whether they say so."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from specxfer._stars import star_codes
from specxfer.lines import window_names
from specxfer.metrics._compare import _checked_domains
from specxfer.metrics._continuum import checked_prediction
from specxfer.metrics._equivalent_width import (
    measured_widths,
    rescaling,
    window_widths,
)
from specxfer.metrics._errors import signed_root
from specxfer.metrics._sums import (
    Sums,
    UncoveredError,
    known_truth,
    mean_over_stars,
    weights,
)

__all__ = ["slope_table"]


def slope_table(
    y_true,
    predictions,
    lines,
    *,
    domains=None,
    snr=None,
    snr_edges=(0, 50, 100, 200, np.inf),
    noise="subtract",
    noise_correlation=0.0,
    error_floor=5.0,
    confidence=0.95,
    groups=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """Both slopes between predicted and true equivalent widths, and the error.

    Information that is lost between source and target compresses what is predicted:
    the slope of *predicted on truth* is below 1 for the best predictor that there
    is, and tells how much of a line's variation it recovers. Whether the predictions
    can be taken at their word, the slope of *observed on predicted* tells: 1 is
    calibrated, below 1 they are spread too far, above 1 too little. No predictor can
    have both at 1 where information is lost, and the error is least where the second
    is.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux.
    predictions : dict of str to array of shape (n, p)
        Predicted flux of each model.
    lines : Line, (lo, hi) in Å, or list of these
        The windows.
    domains : dict of str to bool array of shape (n,), or Table, optional
        As in `line_table`. Slopes are about the mean of each domain.
    snr : array-like of shape (n,), optional
        Signal-to-noise ratio of the source spectrum of each row, to bin by.
    snr_edges : sequence of float
        Edges of the bins of `snr`; the lower one of a bin belongs to it.
    noise, wave, medium, ivar
        As in `mse`.
    noise_correlation : float, default=0
        As in `equivalent_width`.
    error_floor : float, default=5
        In mÅ: a star weighs 1/(σ² + error_floor²), with σ the error of its observed
        equivalent width.
    confidence : float, default=0.95
        Of the intervals.
    groups : array-like of shape (n,), optional
        The star of each row; by default the ids of y_true.

    Returns
    -------
    Table
        A row for each line, domain, bin of `snr` (``snr_lo``, ``snr_hi``, if given) and
        ``model``. Columns ``n_stars``; ``predicted_on_truth``,
        ``observed_on_predicted`` and ``rms``, the noise-corrected error of
        equivalent widths in mÅ, each with ``_lo`` and ``_hi``. A slope on the truth is
        NaN where the noise leaves it open whether the truth varies at all, a slope
        on predictions where they do not vary.

    Raises
    ------
    ValueError
        As in `mse`.

    Notes
    -----
    With predicted equivalent widths p, observed ones o and their error variance v, p
    and o less those of the mean spectrum over the same pixels, predicted on truth is
    ``Σ w p o / Σ w (o² − v)`` and observed on predicted ``Σ w p o / Σ w p²``: noise of
    the observed spectra widens o and has no part in p. Predictions must not have seen
    these very pixels, as those of `denoise` have. The intervals are those of a ratio
    of sums over stars, to first order.

    References
    ----------
    Carroll, Ruppert, Stefanski & Crainiceanu 2006, Measurement Error in Nonlinear
    Models, 2nd ed., chapters 1 and 3; Ting, Y.-S. 2024, arXiv:2412.05806 (why
    predicted labels are compressed).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import slope_table
    >>> rng = np.random.default_rng(1)
    >>> depth = 0.3 + 0.1 * rng.standard_normal((5000, 1))  # with information λ = 0.5:
    >>> best = 0.3 + 0.5 * (depth - 0.3 + 0.1 * rng.standard_normal((5000, 1)))
    >>> wave = np.arange(5000.0, 5003)
    >>> profile = np.array([[0.5, 1.0, 0.5]])
    >>> found = slope_table(1 - depth * profile, {"best": 1 - best * profile},
    ...                     (5000, 5002), wave=wave, medium="air", noise="none")
    >>> print(found["n_stars", "predicted_on_truth", "observed_on_predicted"])
    n_stars predicted_on_truth observed_on_predicted
    ------- ------------------ ---------------------
       5000               0.48                  1.00
    """
    y = known_truth(y_true, noise, wave, medium, ivar)
    if not predictions:
        raise ValueError("no predictions: give {model name: predicted flux}.")
    if not error_floor >= 0:
        raise ValueError(f"error_floor is {error_floor}; expected 0 or more mÅ.")
    strengths, predicted = _strengths(y, predictions, lines, noise, noise_correlation)
    weight = weights(strengths.variance, error_floor) * strengths.measured
    stars = star_codes(y, groups=groups)
    bins = _checked_bins(snr, snr_edges, len(y))
    rows = []
    for domain, mask in _checked_domains(domains, y).items():
        for edges, inside in bins:
            chosen = mask & inside
            of = np.unique(stars[chosen], return_inverse=True)[1]
            usual = strengths.of_the_mean(chosen)
            for model, values in predicted.items():
                found = _slopes(
                    values[chosen] - usual,
                    strengths.observed[chosen] - usual,
                    strengths.variance[chosen],
                    weight[chosen],
                    of,
                    confidence,
                )
                head = {"domain": domain, **edges, "model": model}
                for k, name in enumerate(window_names(lines)):
                    cells = {key: column[k].item() for key, column in found.items()}
                    rows.append({"line": name, **head, **cells})
    order = {name: k for k, name in enumerate(window_names(lines))}
    rows.sort(key=lambda row: order[row["line"]])  # stable
    table = Table(rows)
    for name in table.colnames:
        if "_on_" in name or name.startswith("rms"):
            table[name].format = ".2f"
    table.meta = {"quantity": "ew", "unit": "mÅ"}
    return table


class _Strengths(NamedTuple):
    """Observed equivalent widths, (n, n_windows), and what they are measured over."""

    observed: np.ndarray  # 0 where too much is masked
    variance: np.ndarray
    measured: np.ndarray
    depth: np.ndarray  # observed, (n, n_cols); 0 where masked
    good: np.ndarray
    widths: np.ndarray
    full: np.ndarray

    def of_the_mean(self, rows):
        """What the mean spectrum of some rows would give with the mask of each.

        A mask that hides the core of a line makes it look weak in the prediction and
        in the observation alike: taken for variation from star to star, it would bring
        both slopes towards 1.
        """
        good = self.good[rows]
        mean = self.depth[rows].sum(axis=0) / np.maximum(good.sum(axis=0), 1)
        scale = rescaling(good, self.widths, self.full)
        usual = (good @ (mean[:, None] * self.widths)) * scale
        return np.where(self.measured[rows], usual, 0)


def _strengths(y, predictions, lines, noise, noise_correlation):
    """Equivalent widths: observed, and of each model over the same pixels."""
    widths, full = window_widths(lines, y)
    cols = np.flatnonzero(widths.any(axis=1))
    part = y[:, cols].load()
    widths = widths[cols]
    ew, error = measured_widths(part, widths, full, noise_correlation)
    measured, good = np.isfinite(ew), part.valid()
    predicted = {}
    for model, flux in predictions.items():
        flux = np.asarray(checked_prediction(y, flux))[:, cols]
        lost = good & ~np.isfinite(flux)
        if lost.any():
            raise UncoveredError(
                f"the prediction of {model!r} is NaN or infinite in {int(lost.sum())} "
                "pixels of these lines that y_true observes: predict these windows, or "
                "leave them out of lines=."
            )
        flux = np.where(good, flux, np.nan)
        alone = part.replace(flux=flux, ivar=None, covariance=None)
        values, _ = measured_widths(alone, widths, full)
        predicted[model] = np.where(measured, values, 0)
    known = measured & (noise == "subtract")
    strengths = _Strengths(
        np.where(measured, ew, 0),
        np.where(known, error**2, 0),
        measured,
        np.where(good, 1 - part.flux, 0),
        good,
        widths,
        full,
    )
    return strengths, predicted


def _slopes(predicted, observed, variance, weight, stars, confidence):
    """Slopes and error of each line, with intervals; a dict of arrays (m,)."""
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, o = (v - (weight * v).sum(axis=0) / total for v in (predicted, observed))
        free = 1 - weight / total  # a star's share in the mean
        both = weight * p * o
        truth = weight * (o**2 - variance * free)
        squared = weight * ((predicted - observed) ** 2 - variance)
        known = mean_over_stars(Sums(truth, weight), stars, confidence)
        on_truth = mean_over_stars(Sums(both, truth), stars, confidence)
        on_predicted = mean_over_stars(Sums(both, weight * p**2), stars, confidence)
        error = mean_over_stars(Sums(squared, weight), stars, confidence)
    varied = (weight * p**2).sum(axis=0) > 1e-12 * (weight * predicted**2).sum(axis=0)
    found = {"n_stars": error.n_stars}
    for name, estimate, told in (
        ("predicted_on_truth", on_truth, known.lo > 0),
        ("observed_on_predicted", on_predicted, varied),
    ):
        for end, value in zip(("", "_lo", "_hi"), estimate):
            found[name + end] = np.where(told, value, np.nan)
    for end, value in zip(("", "_lo", "_hi"), error):
        found["rms" + end] = signed_root(value)
    return found


def _checked_bins(snr, edges, n):
    """Columns that name each bin, and its rows."""
    if snr is None:
        return [({}, np.ones(n, dtype=bool))]
    snr, edges = np.asarray(snr, dtype=float), np.asarray(edges, dtype=float)
    if snr.shape != (n,):
        raise ValueError(f"snr has shape {snr.shape}; expected one per row, ({n},).")
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"snr_edges is {edges}; expected two or more, increasing.")
    return [
        ({"snr_lo": lo.item(), "snr_hi": hi.item()}, (snr >= lo) & (snr < hi))
        for lo, hi in pairwise(edges)
    ]
