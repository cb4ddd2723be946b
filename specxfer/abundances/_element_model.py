"""One element: its abundance as a function of line strengths and labels."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from specxfer.baselines._label_terms import chosen_terms, standardised
from specxfer.linear._pixel_ridge import PixelRidge, fit_pixel_ridge
from specxfer.spectra import Spectra

__all__ = ["ElementModel"]

BLOCK_ROWS = 256
REACH = 3.0  # deviations beyond which squares and products stay as they are
LIFT = (
    10.0  # keeps abundances out of where fluxes have lines, so that all scatter alike
)


@dataclass
class ElementModel:
    """Ridge regression of [X/Fe] on equivalent widths and labels.

    Parameters
    ----------
    label_mean, label_scale : ndarray of shape (n_labels,)
    width_mean, width_scale : ndarray of shape (n_lines,)
    own : ndarray of bool of shape (n_lines,)
        Which lines are the element's.
    terms : PolynomialTerms, KernelTerms or None
        Functions of the labels.
    ridge : PixelRidge
    """

    label_mean: np.ndarray
    label_scale: np.ndarray
    width_mean: np.ndarray
    width_scale: np.ndarray
    own: np.ndarray
    terms: object
    ridge: PixelRidge | None = None

    @classmethod
    def fitted(cls, labels, widths, spread, own, x_fe, error, stars, seed, terms=None):
        """Fit to stars of which every value is known.

        Parameters
        ----------
        labels : ndarray of shape (n, n_labels)
        widths : ndarray of shape (n, n_lines)
            mÅ; without columns for a null.
        spread : ndarray of shape (n, n_lines, n_lines)
            Covariance of the widths.
        own : ndarray of bool of shape (n_lines,)
        x_fe : ndarray of shape (n,)
            dex.
        error : ndarray of shape (n,) or None
            Standard error of `x_fe`, dex; None where it is not known.
        stars : ndarray of int of shape (n,)
            Counted from 0.
        seed : int
        terms : callable, optional
            Functions of the standardised labels; by default chosen by cross-validation.

        Returns
        -------
        ElementModel
        """
        weight = np.ones(len(labels))
        model = cls(
            *standardised(labels, weight), *standardised(widths, weight), own, terms
        )
        ivar = None if error is None else (1 / error**2)[:, None]
        y = Spectra(x_fe[:, None] + LIFT, ivar, wave=None, medium=None)
        if model.terms is None and labels.shape[1]:
            z = model._standard(labels)
            rng = check_random_state(seed)
            model.terms = chosen_terms(z, y, weight, stars, rng)
        features, mean = model._features_and_spread(labels, widths, spread)
        model.ridge, _ = fit_pixel_ridge(
            features, mean, y, weight, stars, "auto", 0, None
        )
        return model

    def predict(self, labels, widths, spread):
        """[X/Fe] and its standard deviation, each (n,); NaN where an input is.

        Parameters
        ----------
        labels : ndarray of shape (n, n_labels)
        widths : ndarray of shape (n, n_lines)
        spread : ndarray of shape (n, n_lines, n_lines)

        Returns
        -------
        x_fe, std : ndarray of shape (n,)
        """
        known = np.isfinite(labels).all(axis=1) & np.isfinite(widths).all(axis=1)
        x_fe, std = np.full((2, len(labels)), np.nan)
        if not known.any():
            return x_fe, std
        features, of_widths = self._features(labels[known], widths[known])
        scaled = self._scaled(spread[known])
        each = np.matmul(of_widths, np.matmul(scaled, of_widths.transpose(0, 2, 1)))
        x_fe[known] = self.ridge.predict(features)[:, 0] - LIFT
        std[known] = np.sqrt(self.ridge.covariance(features, each).variance()[:, 0])
        return x_fe, std

    def _features_and_spread(self, labels, widths, spread):
        """Features (n, k), and the mean of their covariance (k, k), block by block."""
        parts, total = [], 0.0
        for start in range(0, len(labels), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            features, change = self._features(labels[rows], widths[rows])
            parts.append(features)
            half = np.matmul(change, self._scaled(spread[rows]))
            total = total + np.tensordot(half, change, axes=([0, 2], [0, 2]))
        return np.concatenate(parts), total / max(len(labels), 1)

    def _standard(self, labels):
        return (labels - self.label_mean) / self.label_scale

    def _scaled(self, spread):
        return spread / (self.width_scale[:, None] * self.width_scale)

    def _features(self, labels, widths):
        """Features (n, k), and how they change with standardised widths (n, k, m).

        Functions of the labels; all widths; and of the element's own lines the squares
        (lines saturate) and the products with labels (the curve of growth depends on
        the atmosphere).
        """
        z = self._standard(labels)
        w = (widths - self.width_mean) / self.width_scale
        n, m = w.shape
        eye = np.broadcast_to(np.eye(m), (n, m, m))
        within = np.clip(w, -REACH, REACH)
        slope = ((within == w)[:, :, None] * eye)[:, self.own]
        within = within[:, self.own]
        parts, changes = [w, within**2], [eye, 2 * within[:, :, None] * slope]
        for column in np.clip(z, -REACH, REACH).T:
            parts.append(within * column[:, None])
            changes.append(column[:, None, None] * slope)
        if self.terms is not None:
            terms = self.terms(z)
            parts.append(terms)
            changes.append(np.zeros((n, terms.shape[1], m)))
        return np.column_stack(parts), np.concatenate(changes, axis=1)
