"""`LineIntervals`: what draws say of lines, and how these vary together."""

from typing import NamedTuple

import numpy as np

from specxfer.base import _bare
from specxfer.lines import each_window, window_pixels
from specxfer.metrics._equivalent_width import window_widths

__all__ = ["LineIntervals", "line_intervals"]


class LineIntervals(NamedTuple):
    """Credible intervals of lines.

    Attributes
    ----------
    flux : ndarray of shape (3, n, m)
        Lower end, median and upper end of the mean flux of each window.
    ew : ndarray of shape (3, n, m)
        The same of equivalent widths, mÅ.
    correlation : ndarray of shape (n, m, m)
        Of the equivalent widths.
    """

    flux: np.ndarray
    ew: np.ndarray
    correlation: np.ndarray


def line_intervals(model, X, lines, level, n_samples, seed):
    """What `DiffusionTranslator.line_intervals` gives."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number between 0 and 1.")
    if model.wave_out_ is None:
        raise ValueError(
            "lines are in Å, and the target had no wavelengths: fit to Spectra."
        )
    grid = _bare(model.wave_out_, model.medium_out_)
    widths, _ = window_widths(lines, grid)
    held = [
        window_pixels(w, model.wave_out_, model.medium_out_) for w in each_window(lines)
    ]
    mean = np.stack(held, axis=1) / np.sum(held, axis=1)
    cols = np.flatnonzero(widths.any(axis=1) | mean.any(axis=1))
    widths, mean = widths[cols], mean[cols]
    ends = (1 - level) / 2, 0.5, (1 + level) / 2
    m = widths.shape[1]
    flux, ew = np.empty((2, 3, len(X), m))
    correlation = np.empty((len(X), m, m))
    for rows, spectra in _draws(model, X, cols, n_samples, seed):
        for i, drawn in enumerate(spectra, rows.start):
            drawn = drawn.astype(float)
            flux[:, i] = np.quantile(drawn @ mean, ends, axis=0)
            each = (1 - drawn) @ widths
            ew[:, i] = np.quantile(each, ends, axis=0)
            correlation[i] = np.corrcoef(each.T)
    return LineIntervals(flux, ew, correlation)


def _draws(model, X, cols, n_samples, seed):
    """Draws of some pixels, block by block."""
    if model._shape is None:
        draws = model.sample(X, n_samples, seed)[:, :, cols]
        yield slice(0, len(X)), draws.transpose(1, 0, 2)
        return
    for rows, drawing, rngs in model._drawings(X, n_samples, seed):
        how = model.n_steps, model.solver
        yield rows, model._possible.drawn(drawing.of_pixels(cols), n_samples, rngs, how)
