"""Scorers for `scoring=`: greater is better, on a list of lines that never changes."""

from dataclasses import dataclass, fields

import numpy as np

from specxfer._compositions import predict_like
from specxfer.lines import as_windows, window_names
from specxfer.metrics._sums import known_truth, mean_over_stars, squared_sums

__all__ = ["chi2_scorer", "line_ew_scorer", "line_flux_scorer"]


# The scorers are classes, so that they can be pickled and sent to other processes,
# with the names of the functions they stand in for.
class _Scorer:
    def __post_init__(self):
        if self.lines is not None:
            as_windows(self.lines)  # lines without a window fail here, not in a fit

    def __call__(self, estimator, X, y):
        """Score `estimator` on X, y; a float, greater is better."""
        y = known_truth(y, self.noise, self.wave, self.medium)
        sums = squared_sums(
            y,
            predict_like(estimator, X, y),
            self.lines,
            quantity=self._quantity,
            noise=self.noise,
            error_floor=self.error_floor,
            continuum_degree=self.continuum_degree,
        )
        found = mean_over_stars(sums, np.arange(len(y)))
        if (found.n_stars == 0).any():
            names = window_names(self.lines or ())
            unseen = [n for n, k in zip(names, found.n_stars) if k == 0]
            raise ValueError(
                f"no spectrum of y observes {unseen or 'any pixel'}: leave these lines "
                "out of lines=, or score on spectra that have them."
            )
        return -float(found.mean.mean())

    def __repr__(self):
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        shown["lines"] = None if self.lines is None else window_names(self.lines)
        shown.pop("wave", None)  # too long to read
        text = ", ".join(f"{k}={v!r}" for k, v in shown.items() if v is not None)
        return f"{type(self).__name__}({text})"


@dataclass(frozen=True, repr=False, eq=False)
class line_flux_scorer(_Scorer):
    """Scorer: minus the mean squared error of the flux in the lines' windows.

    The noise-corrected mean squared error of each line (see `mse`), averaged over
    lines, negated. ``signed_root(-score)`` is an rms error in flux.

    Parameters
    ----------
    lines : Line, (lo, hi) in Å, or list of these
        The windows. The list is fixed: a window that the prediction or the grid
        does not cover is an error, never a mean over fewer lines.
    wave, medium : array-like of shape (p,) and {"air", "vacuum"}, optional
        The grid of y, where y is a plain array.
    noise : {"subtract", "none"}, default="subtract"
        "none" for y free of noise, or without known noise; models may still be
        ranked by it, since the noise adds the same to each.
    error_floor : float, optional
        As in `mse`, by default 0.01.
    continuum_degree : int, optional
        As in `mse`.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from specxfer.lines import KEY_LINES, load_lines
    >>> from specxfer.metrics import line_flux_scorer
    >>> line_flux_scorer(load_lines("galah", "Ba"))
    line_flux_scorer(lines=['Ba II 5854', 'Ba II 6497'], noise='subtract')
    """

    lines: object
    wave: object = None
    medium: object = None
    noise: str = "subtract"
    error_floor: float | None = None
    continuum_degree: int | None = None
    _quantity = "flux"


@dataclass(frozen=True, repr=False, eq=False)
class line_ew_scorer(_Scorer):
    """Scorer: minus the mean squared error of the lines' equivalent widths, in mÅ².

    As `line_flux_scorer`, for equivalent widths: they hardly depend on resolution
    and velocity, which a translator may not know. Predicted and observed widths are
    measured on the same pixels.

    Parameters
    ----------
    lines, wave, medium, noise
        As in `line_flux_scorer`.
    error_floor : float, optional
        In mÅ, by default 5.
    continuum_degree : int, optional
        As in `mse`.

    Examples
    --------
    >>> from specxfer.lines import load_lines
    >>> from specxfer.metrics import line_ew_scorer
    >>> line_ew_scorer(load_lines("galah", names="Ba II 6497"))
    line_ew_scorer(lines=['Ba II 6497'], noise='subtract')
    """

    lines: object
    wave: object = None
    medium: object = None
    noise: str = "subtract"
    error_floor: float | None = None
    continuum_degree: int | None = None
    _quantity = "ew"


@dataclass(frozen=True, repr=False, eq=False)
class chi2_scorer(_Scorer):
    """Scorer: minus χ² per pixel, the mean of (predicted − observed)² × ivar.

    About −1 where the error is all noise of y, which must have ivar. Every pixel
    counts by its noise, so spectra of high S/N rule.

    Parameters
    ----------
    lines : Line, (lo, hi) in Å, or list of these, optional
        The windows; None takes all pixels.

    Examples
    --------
    >>> from specxfer.metrics import chi2_scorer
    >>> chi2_scorer()
    chi2_scorer()
    """

    lines: object = None
    wave = medium = error_floor = continuum_degree = None
    noise = "subtract"
    _quantity = "chi2"
