"""`ComponentTranslator`: what translators by the target's components have in common."""

from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions

from specxfer._stars import star_codes
from specxfer.base import Translator, _seed
from specxfer.linear import MatchedScores, PCARidge, SpectralPCA, SpectralRidge
from specxfer.linear._pixel_ridge import OfPixelRidge
from specxfer.linear._scores import BLOCK
from specxfer.lines import Line, load_lines, window_pixels
from specxfer.neural._blend import Blend
from specxfer.neural._device import resolve_device
from specxfer.neural._held import Held
from specxfer.neural._matched_features import MatchedFeatures, left_out_scores
from specxfer.neural._member_training import MemberTraining
from specxfer.neural._members import left_out_mean
from specxfer.neural._target_components import TargetComponents

__all__ = ["ComponentTranslator"]

MOST_PARTS = 5  # of the stars, each left out by some members
FEWEST_STARS = 4
SOME = 4000  # stars that are enough for a mean covariance


class ComponentTranslator(OfPixelRidge, Translator):
    """Base of translators that foretell the target's components by an ensemble.

    Matched scores of the source go through members, each of which leaves a part of the
    stars out; what they say is blended with a linear translator's, and a last ridge
    writes the spectrum. A subclass has the parameters that `MemberTraining` asks for,
    and may pass the coefficients on before: ``_passed_on`` learns how, ``_read`` does.
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "base": [StrOptions({"pca_ridge"}), PCARidge, None],
        "lines": [StrOptions({"auto"}), "array-like", Line, None],
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "n_leading": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "number_format": [StrOptions({"float32", "bfloat16", "auto"})],
        "checkpoint_dir": [str, object, None],
        "device": [str, object],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    # ------------------------------------------------------------------ fitting
    def _fit_source(self, source, sample_weight, given):
        self._source_rows = source, sample_weight, given

    def _fit(self, X, y, sample_weight):
        source, source_weight, given = self._source_rows
        del self._source_rows
        device = resolve_device(self.device)
        seed = _seed(self.random_state)
        stars = star_codes(X, y)
        if len(np.unique(stars)) < FEWEST_STARS:
            raise ValueError(
                f"{len(X)} spectra of {len(np.unique(stars))} stars have both sides (a "
                f"minimum of {FEWEST_STARS} stars is required, not n_samples=1): "
                "networks are judged by stars they have not seen. Give more, or take "
                "PCARidge."
            )
        self.base_ = None
        if self.base is not None:
            base = (
                PCARidge(random_state=seed) if self.base == "pca_ridge" else self.base
            )
            more = {}
            if given or len(source) > len(X):
                more = {"source": source, "source_weight": source_weight}
            self.base_ = clone(base).fit(X, y, sample_weight, **more)
        matched = MatchedScores(
            self.n_components,
            cv=min(self.n_members, MOST_PARTS),
            random_state=seed,
            device=str(device),
        )
        known, whole = self._target_spectra(y), self._context
        X, parts = matched._learnt(X, y if whole is None else whole, known)
        known = y if known is None else known

        def pca_of(spectra):
            pca = SpectralPCA(self.n_components, random_state=seed, device=str(device))
            return pca.fit(spectra)

        components = [(None, matched.target_ if whole is None else pca_of(known))]
        lines = self._line_pixels(y)
        if lines is not None:
            pixels = np.flatnonzero(lines)
            components.append((pixels, pca_of(known[:, pixels])))
        components = TargetComponents(tuple(components))
        del matched.target_  # matched scores do without
        target = components.scores(y)
        scores, misfit = left_out_scores(matched, X, parts)
        self._farthest = max(float(np.quantile(misfit, 0.999)), 1e-12)
        told = target.posterior * target.size
        self._matched = MatchedFeatures.of(matched, scores, told, sample_weight)
        features = self._matched.turned(scores).astype("f4")
        del scores, told
        left_out = np.empty((len(X), self.n_members), bool)
        for i, rows in enumerate(parts):
            left_out[rows] = np.arange(self.n_members) % len(parts) == i
        training = MemberTraining(
            self,
            X,
            self._matched,
            features,
            parts,
            target,
            left_out,
            sample_weight,
            device,
            seed,
        )
        self._members, trained, form = training.train()
        self.history_, self.best_epoch_ = trained.history, trained.best_epoch
        self.stopped_, self.number_format_ = trained.stopped, form.name
        mean = self._blended(X, features, parts, target, left_out, sample_weight)
        learnt = features, mean, components, target, stars, sample_weight
        mean = self._passed_on(*learnt, device, seed)
        self._held, spread = Held.of(
            mean,
            sample_weight,
            partial(self._mean_spread, X),
            partial(target.missed, mean),
        )
        del target, training, features, learnt  # the last ridge needs the room
        readout = SpectralRidge(
            n_factors=self.n_factors, random_state=seed, device=str(device)
        )
        readout._fit_features(
            mean,
            spread,
            y,
            sample_weight,
            stars,
            self._change,
            self._sums,
            lines,
        )
        self._ridge, self._limit = readout._ridge, readout._limit
        return self

    def _target_spectra(self, y):
        """Spectra to learn the target's components from, if not y alone."""
        return None

    def _passed_on(self, features, mean, components, target, stars, weight, *how):
        """What becomes of the coefficients of the training stars."""
        return mean

    def _read(self, mean, spread):
        """What becomes of coefficients and their covariance."""
        return mean, spread

    def _line_pixels(self, y):
        """The target pixels of the lines that matter most; None if all matter alike."""
        if self.lines is None or y.wave is None:
            return None
        lines = load_lines("galah") if isinstance(self.lines, str) else self.lines
        found = window_pixels(lines, y.wave, y.medium, outside="ignore") & self.seen_
        return found if 0 < 2 * found.sum() <= len(found) else None

    def _blended(self, X, features, parts, target, left_out, sample_weight):
        """Coefficients of each training star, by what has not seen it."""
        mean, apart = np.empty((2, *target.projection.shape))
        for rows, block in self._blocks(X):
            outputs = self._members.outputs(features[rows], block)
            mean[rows], apart[rows] = left_out_mean(outputs, left_out[rows])
        self._blend = None
        if self.base_ is None:
            return mean
        own = left_out.sum(axis=1).mean()
        wander = apart * (1 / own - 1 / self.n_members)
        of_base = [
            self.base_._features(block, with_spread=False)[0]
            for _, block in X.iter_blocks(BLOCK)
        ]
        self._blend, mean = Blend.of(
            np.concatenate(of_base),
            parts,
            target.estimates(),
            mean,
            wander,
            sample_weight,
        )
        return mean

    def _blocks(self, X):
        """Blocks of X; without spectra where networks need none."""
        if self._members.conv is not None:
            yield from X.iter_blocks(BLOCK)
            return
        for start in range(0, len(X), BLOCK):
            yield slice(start, min(start + BLOCK, len(X))), None

    def _mean_spread(self, X, weights):
        """Mean covariances of the coefficients, from a sample of the training stars."""
        some = slice(None, None, -(-len(X) // SOME))
        X, weights = X[some], weights[:, some]
        total = 0.0
        for rows, block in X.iter_blocks(self._block_rows):
            spread = self._read(*self._foretold(block))[1]
            total += np.tensordot(weights[:, rows], spread, axes=1)
        return total / weights.sum(axis=1)[:, None, None]

    # --------------------------------------------------------------- predicting
    def _features(self, X, with_spread=True, matched=None):
        """The target's coefficients and their covariance."""
        mean, spread = self._read(*self._foretold(X, with_spread, matched))
        if with_spread:
            spread = self._held(mean, spread)
        return mean, spread

    def _looked_at(self, X, with_spread=True):
        """Matched features and, if asked for, their covariance."""
        if with_spread:
            return self._matched.moments(X)
        return self._matched.features(X), None

    def _foretold(self, X, with_spread=True, matched=None):
        """Coefficients and covariance by members and base."""
        if matched is None:
            matched = self._looked_at(X, with_spread)
        features, covariance = matched
        mean = self._members.outputs(features, X).mean(axis=1, dtype=float)
        spread = None
        if with_spread:
            spread = self._members.spread(features, covariance, X)
        if self._blend is not None:
            of_base, base_spread = self.base_._features(X, with_spread=with_spread)
            mean = self._blend.mean(of_base, mean)
            if with_spread:
                spread = self._blend.spread(base_spread, spread)
        return mean, spread

    def _support_block(self, X):
        misfit = self._matched.misfit(X)
        mean, _ = self._features(X, with_spread=False)
        parts = [misfit / self._farthest, self._ridge.leverage(mean) / self._limit]
        if self.base_ is not None:
            parts.append(self.base_._support_block(X))
        return np.max(parts, axis=0)

    @property
    def share_(self):
        """Share of the networks in each coefficient; the rest is the base's."""
        if self._blend is None:
            return np.ones(self._members.sizes["n_out"])
        return self._blend.share
