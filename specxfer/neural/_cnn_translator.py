"""`CNNTranslator`: an ensemble of networks beside a linear translator."""

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
from specxfer.neural._matched_features import MatchedFeatures, left_out_scores
from specxfer.neural._member_training import MemberTraining
from specxfer.neural._members import left_out_mean
from specxfer.neural._target_scores import TargetScores

MOST_PARTS = 5  # of the stars, each left out by some members
FEWEST_STARS = 4
SMALL = 1e-6  # of the mean variance: directions of less are left alone
SOME = 4000  # stars that are enough for a mean covariance


class CNNTranslator(OfPixelRidge, Translator):
    """An ensemble of networks on what the source shows of the target's components.

    The target's spectra are reduced to principal components, those of all pixels and
    those of the lines that matter most; what each does to the source becomes a filter,
    as wide as the spectrum and matched to its noise (`MatchedScores`). Small networks
    turn the filtered scores into the target's components, with slopes that depend on
    the kind of star. Every star is left out by some of them, and by these alone it is
    judged: a component that networks tell no better than `PCARidge` is left to
    `PCARidge`. A last ridge writes the spectrum, at any resolving power, and measures
    on stars left out what could not be told.

    Parameters
    ----------
    n_components : int, default=40
        Components of the target, and as many of its `lines`, at most.
    base : "pca_ridge", PCARidge or None, default="pca_ridge"
        The linear translator that networks have to beat, component by component.
        None: networks alone.
    encoder : {"matched", "conv", "both"}, default="matched"
        What networks see of the source: matched scores; the spectrum itself by a
        residual convolutional network of each member (`networks.SpectrumEncoder`); or
        both. Convolutions take far longer, and are not known to pay.
    lines : "auto", list of Line or (lo, hi), or None, default="auto"
        What matters most: these pixels have components and coefficients of their own,
        as a line of a few mÅ is lost among thousands of pixels. Pairs are in Å, in the
        medium of the target. "auto" are the bundled lines of heavy elements and
        lithium that lie in the target; None, and targets without wavelengths, treat
        all pixels alike.
    n_members : int, default=5
        Networks. The stars are divided into five parts (or `n_members`, if less), and
        each network leaves one out, in turn.
    n_leading : int, default=6
        Leading combinations of scores, that the slopes depend on.
    width : int, default=128
        Hidden units of each network.
    max_epochs : int, default=150
    learning_rate : float, default=8e-3
    weight_decay : float, default=0.1
    batch_size : int, default=256
    patience : int or None, default=20
        See `neural.Schedule`.
    velocity, noise, masked : float, default=0.0
        Perturbations of the source in training, see `neural.Augmentation`: km/s; times
        the noise of each pixel; share of pixels. Scores have four perturbed copies a
        star, convolutions see new ones in every epoch.
    n_factors : int, default=20
        Directions, at most, in which residuals of different pixels are found to vary
        together.
    number_format : {"float32", "bfloat16", "auto"}, default="float32"
        What networks are trained in. "auto" takes what a timed probe finds fastest, so
        that two fits may differ.
    memory : int, default=2**30
        Bytes that copies of spectra may take, where networks see them.
    checkpoint_dir : path-like, optional
        Folder for the state of the training after every epoch. The same fit, after a
        kill, goes on from it to the same result.
    device : str or torch.device, default="auto"
        Where the fit computes: a CUDA device if there is one. Predictions always are
        on the CPU.
    verbose : int, default=0
        1 shows a progress bar.
    random_state : int, RandomState instance or None, default=0
        Divides the stars, starts the networks, and orders the batches.

    Attributes
    ----------
    base_ : PCARidge or None
    share_ : ndarray of shape (n_coefficients,)
        Share of the networks in each of the target's coefficients, from 0 (the base
        alone) to 1.
    history_ : dict of str to ndarray of shape (n_epochs,)
        "train_loss" and "valid_loss", 1 for the mean spectrum and 0 for the observed
        one; "valid_error", the rms flux error of single members at `lines` (at all
        pixels if there are none), noise taken off, in continuum units, on stars left
        out; "learning_rate", "seconds".
    best_epoch_ : int
        The epoch, from 1, whose weights were kept.
    stopped_ : str
        Why training ended: "max_epochs", "patience" or "interrupted".
    number_format_ : str
    coef_ : ndarray of shape (n_coefficients, n_pixels_out_)
        Of the last ridge.
    intercept_, scatter_ : ndarray of shape (n_pixels_out_,)
        Of the last ridge; what the source cannot tell, as a standard deviation.
    resolution_, max_resolution_ : ndarray of shape (n_chips_out,) or None
        See `Translator`.

    Raises
    ------
    ValueError
        If fewer than four stars have both spectra, or a perturbation needs noise or
        wavelengths that the source came without.
    TrainingError
        If training diverges.

    See Also
    --------
    specxfer.linear.PCARidge : The linear translator.
    specxfer.linear.MatchedScores : What networks see.
    specxfer.plotting.plot_history : The course of a training.

    Notes
    -----
    A network's loss is the weighted sum of squares over all known pixels of the
    observed target. For coefficients of fixed components it is a quadratic form,
    ``oᵀ G o − 2 oᵀ b``, in which G and b hold all that a star's pixels, noise and masks
    have to say: the cost of an epoch does not depend on the number of pixels.

    A star's coefficients are, in training, those of members that have left it out, from
    filters that have left it out; in prediction the means over all. The last ridge is
    fitted to the former, so its scatter is that of stars never seen. The standard
    deviation also holds the noise of the source, carried through the networks' slopes,
    and the spread between members, no more of both together than stars left out show.

    References
    ----------
    Wolpert 1992, Neural Networks 5, 241 (stacking); Lakshminarayanan et al. 2017, NIPS
    30 (deep ensembles).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.neural import CNNTranslator
    >>> rng = np.random.default_rng(0)
    >>> strength = rng.normal(0, 0.5, (400, 1))
    >>> X = 0.9 - 0.05 * strength * [[1, 2, 1]] + rng.normal(0, 0.002, (400, 3))
    >>> y = np.exp(-np.exp(strength) * [[0.3, 0.6]]) + rng.normal(0, 0.01, (400, 2))
    >>> model = CNNTranslator(max_epochs=60).fit(X, y)
    >>> model.predict([[0.9, 0.9, 0.9]]).round(1)
    array([[0.7, 0.5]])
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "base": [StrOptions({"pca_ridge"}), PCARidge, None],
        "encoder": [StrOptions({"matched", "conv", "both"})],
        "lines": [StrOptions({"auto"}), "array-like", Line, None],
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "n_leading": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "velocity": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "masked": [Interval(Real, 0, 1, closed="left")],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "number_format": [StrOptions({"float32", "bfloat16", "auto"})],
        "memory": [Interval(Integral, 1, None, closed="left")],
        "checkpoint_dir": [str, object, None],
        "device": [str, object],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=40,
        *,
        base="pca_ridge",
        encoder="matched",
        lines="auto",
        n_members=5,
        n_leading=6,
        width=128,
        max_epochs=150,
        learning_rate=8e-3,
        weight_decay=0.1,
        batch_size=256,
        patience=20,
        velocity=0.0,
        noise=0.0,
        masked=0.0,
        n_factors=20,
        number_format="float32",
        memory=2**30,
        checkpoint_dir=None,
        device="auto",
        verbose=0,
        random_state=0,
    ):
        self.n_components = n_components
        self.base = base
        self.encoder = encoder
        self.lines = lines
        self.n_members = n_members
        self.n_leading = n_leading
        self.width = width
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.patience = patience
        self.velocity = velocity
        self.noise = noise
        self.masked = masked
        self.n_factors = n_factors
        self.number_format = number_format
        self.memory = memory
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    # ------------------------------------------------------------------ fitting
    _uses_context = True  # matched scores look for components of the whole target

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
        whole = y if self._context is None else self._context
        X, parts = matched._learnt(X, whole)

        def scores_of(part):
            pca = SpectralPCA(self.n_components, random_state=seed, device=str(device))
            return TargetScores.of(part, pca.fit(part))

        target = TargetScores.of(y, matched.target_) if whole is y else scores_of(y)
        lines = self._line_pixels(y)
        if lines is not None:
            target = target.beside(scores_of(y[:, np.flatnonzero(lines)]))
        del matched.target_  # predictions do without
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
        self._held = np.eye(mean.shape[1])
        spread = self._mean_spread(X, sample_weight)
        self._held = held_within(spread, target.missed(mean, sample_weight))
        del target, training, features  # the last ridge needs the room
        readout = SpectralRidge(
            n_factors=self.n_factors, random_state=seed, device=str(device)
        )
        readout._fit_features(
            mean,
            self._held @ spread @ self._held.T,
            y,
            sample_weight,
            stars,
            self._change,
            self._sums,
            lines,
        )
        self._ridge, self._limit = readout._ridge, readout._limit
        return self

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

    def _mean_spread(self, X, sample_weight):
        """Mean covariance of the coefficients, from a sample of the training stars."""
        some = slice(None, None, -(-len(X) // SOME))
        X, weight = X[some], sample_weight[some]
        total = 0.0
        for rows, block in X.iter_blocks(self._block_rows):
            total += np.tensordot(weight[rows], self._features(block)[1], axes=1)
        return total / weight.sum()

    # --------------------------------------------------------------- predicting
    def _features(self, X, with_spread=True):
        """The target's coefficients and their covariance."""
        if with_spread:
            features, covariance = self._matched.moments(X)
        else:
            features = self._matched.features(X)
        mean = self._members.outputs(features, X).mean(axis=1, dtype=float)
        spread = None
        if with_spread:
            spread = self._members.spread(features, covariance, X)
        if self._blend is not None:
            of_base, base_spread = self.base_._features(X, with_spread=with_spread)
            mean = self._blend.mean(of_base, mean)
            if with_spread:
                spread = self._blend.spread(base_spread, spread)
        if with_spread:
            spread = self._held @ spread @ self._held.T
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


def held_within(spread, most):
    """What keeps a covariance within another, direction by direction.

    Parameters
    ----------
    spread, most : ndarray of shape (k, k)

    Returns
    -------
    ndarray of shape (k, k)
        D, for which ``D spread Dᵀ`` is `spread` where that is less than `most`, and
        `most` elsewhere, in the directions in which both are diagonal.
    """
    ridge = SMALL * np.trace(spread) / len(spread) + np.finfo(float).tiny
    root = np.linalg.cholesky(spread + ridge * np.eye(len(spread)))
    inverse = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(inverse @ most @ inverse.T)
    kept = np.sqrt(np.clip(values, 0, 1))
    return root @ (vectors * kept) @ vectors.T @ inverse
