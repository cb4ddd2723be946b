"""What held-out stars tell of a translator's errors."""

import warnings

import numpy as np

from specxfer._compositions import predict_std, resolution_of, translate
from specxfer.compose._conformal_scores import (
    as_target,
    chip_of,
    one_of_each_star,
    quantiles_of,
    rows_of,
    score_of,
    stars_needed,
)
from specxfer.compose._error_scale import error_factors, excess_sums, groups_of
from specxfer.compose._meta_translator import MetaTranslator
from specxfer.lines import each_window
from specxfer.metrics import giants_and_dwarfs
from specxfer.metrics._equivalent_width import window_widths
from specxfer.metrics._standardised import width_pixels, width_values
from specxfer.spectra import Spectra

BLOCK = 512  # rows that are predicted at a time


class CalibrationWarning(UserWarning):
    """Too few stars to calibrate with."""


class CalibratedTranslator(MetaTranslator):
    """Base of `ConformalTranslator`: scores of held-out stars, and whom they concern.

    It needs the parameters `per`, `lines`, `domains` and `noise_correlation`, and the
    `estimator_`.
    """

    def _calibrate(self, X, y, random):
        y = as_target(y)
        rows = one_of_each_star(X, y, random)
        if not len(rows):
            raise ValueError(
                "no star to calibrate with has a valid pixel on both sides: X or y is "
                "masked everywhere (NaN or ivar 0)."
            )
        X, y = rows_of(X, rows), y[rows]
        self.n_pixels_out_ = y.shape[1]
        masks = self._masks(X, None)
        self.domains_ = list(masks)
        member = np.array(list(masks.values())).reshape(len(masks), len(X))
        self.n_calibration_ = member.sum(axis=1)
        self._noise_known = y.has_noise
        self.quantiles_ = self.width_quantiles_ = self.width_scale_ = None
        held, cols = [], None
        if self.lines is not None:
            widths, _ = window_widths(self.lines, y)
            held, cols = list((widths > 0).T), width_pixels(widths)
        start = groups_of(chip_of(y), held)
        top, bottom = np.zeros((2, len(X), len(start)))
        scores = None
        if self.per == "pixel":
            scores = np.full(y.shape, np.nan, np.float32)
        else:
            of_widths = np.full((3, len(X), len(held)), np.nan)
        log_ivar, n_valid = np.zeros((2, y.shape[1]))
        predicted = np.zeros(y.shape[1], bool)
        for part, block in y.iter_blocks(BLOCK):
            x = rows_of(X, np.arange(part.start, part.stop))
            at = resolution_of(self.estimator_, block)
            flux, std = predict_std(self.estimator_, x, resolution=at)
            predicted |= np.isfinite(flux).any(axis=0)
            good = block.valid() & np.isfinite(flux) & np.isfinite(std)
            difference = np.where(good, block.flux - flux, 0)
            noise = np.zeros(good.shape)
            if block.has_noise:
                np.divide(1.0, block.ivar, out=noise, where=good)
                log_ivar -= np.log(np.where(good, noise, 1)).sum(axis=0)
            n_valid += good.sum(axis=0)
            sums = excess_sums(difference, std, noise, good)
            top[part], bottom[part] = (np.add.reduceat(a, start, axis=1) for a in sums)
            if scores is not None:
                total = np.where(good, std, 0).astype(float) ** 2 + noise
                scores[part] = np.where(good, score_of(difference, total), np.nan)
            else:
                of_widths[:, part] = self._width_errors(x, block, at, cols)
        self.scale_ = self._expanded(start, self._each(member, top, bottom))
        self.typical_ivar_ = None
        if y.has_noise:
            usual = np.exp(log_ivar / np.maximum(n_valid, 1))
            self.typical_ivar_ = np.where(n_valid > 0, usual, 0).astype(np.float32)
        if scores is not None:
            self.quantiles_ = quantiles_of(scores, member, self._levels)
            self._warn(scores, member, predicted, "pixels")
        else:
            self._calibrate_widths(of_widths, member, held)
        return self

    def _width_errors(self, X, y, at, cols):
        """Observed minus predicted widths, their stated error, and observed noise."""
        noise = "add" if y.has_noise else "none"
        found = translate(self.estimator_, X, resolution=at)
        out = np.empty((3, len(y), len(each_window(self.lines))))
        for values in width_values(
            y, found, cols, self.lines, noise, self.noise_correlation
        ):
            each = values.observed - values.predicted, values.std, values.error
            out[:, values.rows] = np.where(values.used, each, np.nan)
        return out

    def _calibrate_widths(self, of_widths, member, held):
        difference, std, error = of_widths
        used = np.isfinite(difference)
        top, bottom = excess_sums(difference, std, np.nan_to_num(error) ** 2, used)
        self.width_scale_ = self._each(member, top, bottom)
        total = std**2 + error**2
        scores = np.where(used, score_of(np.nan_to_num(difference), total), np.nan)
        self.width_quantiles_ = quantiles_of(scores, member, self._levels)
        self._warn(scores, member, np.ones(len(held), bool), "lines")
        inside = np.zeros(self.scale_.shape)
        for k, pixels in enumerate(held):
            inside[:, pixels] = np.maximum(
                inside[:, pixels], self.width_scale_[:, k, None]
            )
        self.scale_ = np.where(inside > 0, inside, self.scale_).astype(np.float32)

    def _each(self, member, top, bottom):
        """Factors of each domain; of one without stars, the largest of the others'."""
        factors = np.ones((len(member), top.shape[1]))
        some = member.any(axis=1)
        if some.any():
            factors[some] = [error_factors(top[m], bottom[m]) for m in member[some]]
            factors[~some] = factors[some].max(axis=0)
        return factors

    def _expanded(self, start, factors):
        size = np.diff(np.r_[start, self.n_pixels_out_])
        return np.repeat(factors, size, axis=1).astype(np.float32)

    def _warn(self, scores, member, wanted, what):
        """Say where there are too few stars for the levels."""
        needed = max(stars_needed(level) for level in self._levels)
        for name, mask in zip(self.domains_, member):
            n = np.isfinite(scores[mask][:, wanted]).sum(axis=0)
            few = n < needed
            if few.any():
                warnings.warn(
                    f"{int(few.sum())} of {few.size} {what} were observed in fewer "
                    f"than {needed} calibration stars of domain {name!r} (fewest "
                    f"{int(n.min())}): intervals that hold {max(self._levels):.2%} are "
                    "infinite there. Give more stars, a larger calibration_size, lower "
                    "levels, or domains= that are wider.",
                    CalibrationWarning,
                    stacklevel=5,
                )

    def _masks(self, X, names):
        """The rows of each domain; of those named."""
        n = len(X)
        if self.domains is not None:
            masks = {k: np.asarray(v, bool) for k, v in self.domains(X).items()}
            wrong = [k for k, v in masks.items() if v.shape != (n,)]
            if wrong or not masks:
                raise ValueError(
                    f"domains(X) gives {list(masks)}; expected one or more, with a "
                    f"bool for each of the {n} rows of X, and not so in {wrong}."
                )
        else:
            try:
                masks = giants_and_dwarfs(X if isinstance(X, Spectra) else None)
            except ValueError:
                masks = {"all": np.ones(n, bool)}
        if names is None:
            return masks
        return {k: masks.get(k, np.zeros(n, bool)) for k in names}

    def _of_stars(self, values, X):
        """What applies to each star, (n, …), the largest of its domains'; or to all."""
        if self.domains_ == ["all"] and self.domains is None:
            return values[0]
        masks = self._masks(X, self.domains_)
        member = np.array(list(masks.values())).reshape(len(values), -1)
        known = self.n_calibration_ > 0
        member = np.where(member.any(axis=0), member, known[:, None] | ~known.any())
        out = np.empty((member.shape[1], values.shape[1]), values.dtype)
        for pattern in np.unique(member, axis=1).T:
            rows = (member == pattern[:, None]).all(axis=0)
            out[rows] = values[pattern].max(axis=0)
        return out
