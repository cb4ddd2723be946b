"""One element: its abundance as a function of line strengths and labels."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from specxfer.baselines._label_terms import chosen_terms, standardised
from specxfer.linear._pixel_ridge import PixelRidge, fit_pixel_ridge
from specxfer.spectra import Spectra

__all__ = ["ElementModel"]

BLOCK_ROWS = 256
MOST_OF_WIDTHS = 0.5  # share of the error, at most, that goes as those of the widths
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
    width_variance : float
        Mean variance that the widths' errors would give the training stars, dex².
    leverage : float
        Mean leverage of the training stars.
    mse : float
        Mean squared error of stars left out, that of their labels taken off, dex².
    """

    label_mean: np.ndarray
    label_scale: np.ndarray
    width_mean: np.ndarray
    width_scale: np.ndarray
    own: np.ndarray
    terms: object
    ridge: PixelRidge | None = None
    width_variance: float = 0.0
    leverage: float = 0.0
    mse: float = np.nan

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
            Its `mse` is still to be told.
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
        features = model._in_blocks(model._features, labels, widths)
        none = np.zeros((features.shape[1], features.shape[1]))
        model.ridge, _ = fit_pixel_ridge(
            features, none, y, weight, stars, "auto", 0, None
        )
        of_widths = model._in_blocks(model._of_widths, labels, widths, spread)
        model.width_variance = float(of_widths.mean())
        model.leverage = float(model.ridge.leverage(features).mean())
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
        features = self._features(labels[known], widths[known])
        x_fe[known] = self.ridge.predict(features)[:, 0] - LIFT
        of_widths = self._of_widths(labels[known], widths[known], spread[known])
        share = 0.0
        if self.width_variance > 0:
            share = min(MOST_OF_WIDTHS, self.width_variance / self.mse)
            of_widths /= self.width_variance
        lever = (1 + self.ridge.leverage(features)) / (1 + self.leverage)
        std[known] = np.sqrt(self.mse * lever * (1 - share + share * of_widths))
        return x_fe, std
        features = self._features(labels[known], widths[known])
        x_fe[known] = self.ridge.predict(features)[:, 0] - LIFT
        # a star whose widths are worse than usual is worse than the usual scatter
        excess = self._of_widths(labels[known], widths[known], spread[known])
        excess -= self.width_variance
        usual = self.ridge.covariance(features).variance()[:, 0]
        std[known] = np.sqrt(np.maximum(usual + self.width_share * excess, 0))
        return x_fe, std

    def _in_blocks(self, function, *arrays):
        """A function of row-aligned arrays, block by block of rows."""
        blocks = range(0, len(arrays[0]), BLOCK_ROWS)
        return np.concatenate(
            [function(*(a[i : i + BLOCK_ROWS] for a in arrays)) for i in blocks]
        )

    def _standard(self, labels):
        return (labels - self.label_mean) / self.label_scale

    def _features(self, labels, widths):
        """Features (n, k).

        Functions of the labels; all widths; and of the element's own lines the squares
        (lines saturate) and the products with labels (the curve of growth depends on
        the atmosphere).
        """
        z, w, within = self._standard_pair(labels, widths)
        parts = [w, within**2, *(within * c[:, None] for c in self._clipped(z).T)]
        if self.terms is not None:
            parts.append(self.terms(z))
        return np.column_stack(parts)

    def _of_widths(self, labels, widths, spread):
        """Variance (n,) that the covariance of the widths gives the abundance."""
        z, w, within = self._standard_pair(labels, widths)
        m, own = w.shape[1], self.own
        q, coef = int(own.sum()), self.ridge.coef[:, 0].astype(float)
        slope = np.tile(coef[:m], (len(w), 1))
        inside = within == w[:, own]
        each = 2 * within * coef[m : m + q]
        for i, column in enumerate(self._clipped(z).T, start=1):
            each = each + column[:, None] * coef[m + i * q : m + (i + 1) * q]
        slope[:, own] += inside * each
        slope /= self.width_scale
        return (slope * np.matmul(spread, slope[:, :, None])[:, :, 0]).sum(axis=1)

    def _standard_pair(self, labels, widths):
        """Standardised labels and widths, and the element's own within reach."""
        z = self._standard(labels)
        w = (widths - self.width_mean) / self.width_scale
        return z, w, self._clipped(w[:, self.own])

    @staticmethod
    def _clipped(values):
        return np.clip(values, -REACH, REACH)
