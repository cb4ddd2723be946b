"""`DiffusionTranslator`: draws of whole spectra, whose shape is learnt."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from specxfer._rows import row_hashes
from specxfer.base import _seed
from specxfer.linear._at_reference import AtReference
from specxfer.lines import Line, load_lines, window_pixels
from specxfer.neural._cnn_translator import CNNTranslator
from specxfer.neural._component_translator import ComponentTranslator
from specxfer.neural._drawing import Drawing
from specxfer.neural._latents import Information, Latents
from specxfer.neural._line_intervals import line_intervals
from specxfer.neural._mixture import every
from specxfer.neural._pixel_drawing import PixelDrawing
from specxfer.neural._pixel_errors import PixelErrors, Told
from specxfer.neural._pixel_shape import PixelShape
from specxfer.neural._pixel_training import PixelTraining, check_room
from specxfer.neural._possible import Possible
from specxfer.neural._samplers import SOLVERS
from specxfer.neural._shape import Shape
from specxfer.neural._shape_training import ShapeTraining

DRAWS_AT_ONCE = 4096
LATENTS = 16  # directions of all pixels, beside those of lines
SAMPLE = 500  # stars that tell the directions
MOST_HAT = 0.9


class DiffusionTranslator(ComponentTranslator):
    """Draws of target spectra by a diffusion model of what the source cannot tell.

    Mean and covariance are learnt as by `CNNTranslator`. What the source leaves open
    are mainly the abundances of elements it does not show, and these do not vary as a
    Gaussian: some stars are rich in all the elements of one process, and how much is
    left open hangs on the star. Of the residuals of stars left out, a few
    directions are therefore learnt by a diffusion model, conditioned on the source, and
    the noise of the target spectra is taken out on the way: draws are of noise-free
    spectra, in which the lines of an element vary together.

    Parameters
    ----------
    n_latents : int, default=24
        Directions that follow the diffusion, at most; all others stay Gaussian. 0: all
        do. Of no concern in pixel space.
    space : {"latent", "pixel"}, default="latent"
        What follows the diffusion: a few directions of the residual, or all its pixels,
        by a one-dimensional U-Net. The latter is for windows of some tens to a few
        hundred pixels, as in a `TargetWindow`. In the one comparison made (see Notes)
        it was not found better than Gaussian draws, and it is far slower.
    n_steps : int, default=10
        Steps from noise to a draw.
    solver : {"heun", "dpm++"}, default="heun"
        Heun's method, as in Karras et al. 2022, with two evaluations a step; or
        DPM-Solver++(2M) of Lu et al. 2022, with one.
    n_rounds : int, default=3
        Rounds of drawing what noisy targets may be without noise, and learning from
        that. 0: the mixture of Gaussians that they begin with is all there is.
    n_conditions : int, default=12
        Matched scores of the source that the diffusion is told, the leading ones.
    shape_width : int, default=32
        Hidden units of the denoiser, channels of the U-Net.
    shape_epochs : int, default=60
        Passes over the stars in each round, at most.
    shape_rate : float, default=2e-3
        Learning rate of the denoiser.
    n_components : int, default=40
    base : "pca_ridge", PCARidge or None, default="pca_ridge"
    encoder : {"matched", "conv", "both"}, default="matched"
    lines : "auto", list of Line or (lo, hi), or None, default="auto"
        As of `CNNTranslator`; each also has a latent of its own.
    n_members, n_leading, width : int, default=5, 6, 128
    max_epochs, batch_size : int, default=150, 256
    learning_rate, weight_decay : float, default=8e-3, 0.1
    patience : int or None, default=20
    velocity, noise, masked : float, default=0.0
    n_factors : int, default=20
    number_format : {"float32", "bfloat16", "auto"}, default="float32"
    memory : int, default=2**30
        In pixel space also bytes that what is learnt from may take.
    checkpoint_dir : path-like, optional
    device : str or torch.device, default="auto"
    verbose : int, default=0
        1 shows progress, of draws as well.
    random_state : int, RandomState instance or None, default=0
        All these as of `CNNTranslator`.

    Attributes
    ----------
    shape_history_ : dict of str to ndarray
        Of the epochs of all rounds: "round", "train_loss", "valid_loss" and, of
        Gaussian draws, "gaussian_loss"; before the rounds and of each "score_gain", by
        how much the logarithmic score of the noisy latents of the stars that judge (in
        pixel space: of the sums of pixels that their targets tell most of) is better
        than that of Gaussian draws, a star, and "score_gain_error"; "round_chosen", 0
        if none of them: the mixture.
    shape_trained_ : bool
        Whether the diffusion proved better than Gaussian draws, and is used.
    base_, share_, history_, best_epoch_, stopped_, number_format_
        See `CNNTranslator`.
    coef_, intercept_, scatter_, resolution_, max_resolution_
        See `CNNTranslator`.

    Raises
    ------
    ValueError
        If fewer than four stars have both spectra, or pixels are too many for `memory`.
    TrainingError
        If training diverges.

    See Also
    --------
    CNNTranslator : The same mean, and Gaussian draws.

    Notes
    -----
    Latents are sums over the residual's pixels: leading directions of the predictive
    covariance in units of the targets' noise, and one for each of `lines`. They are
    whitened by the star's own predictive covariance, so that giants and dwarfs, good
    and poor source spectra are alike as far as Gaussians can be; their joint covariance
    is then found by expectation and maximisation. Those that the targets tell most of
    follow the diffusion, in the formulation of Karras et al. 2022 (NeurIPS 35).
    Before training it is a mixture of Gaussians, found through the targets' noise in
    closed form (Bovy et al. 2011, Ann. Appl. Stat. 5, 1657), whose denoiser is known;
    the network adds what hangs on the star. A fifth of the stars are left out: a third
    of them choose how many Gaussians there are, and a round, and if the others do not
    find that choice better than one Gaussian by two standard errors, that is what
    stays. Draws in which flux is somewhere below 0 or above 1.3, or beyond what
    training stars have, by more than the noise of the targets, are drawn again, ten
    times at most.

    The noise of the targets is taken out by expectation and maximisation (Rozet et al.
    2024, NeurIPS 37): the diffusion learns from draws of what each star's latents may
    have been, given its noisy target and what was learnt before, at first the mixture.
    Residuals are those of stars left out. Where targets come without their noise it
    cannot be taken out, and draws are Gaussian, as those of `CNNTranslator`.

    In pixel space residuals v are in units of the predictive standard deviation of each
    star and pixel, and the noise that the diffusion adds is distributed as they are
    foretold to be: ``z = v + σ η`` with v and η of one covariance, if v is Gaussian. An
    untrained denoiser so is the mean of that Gaussian, and draws are its draws, with no
    matrix of pixels by pixels. What a noisy target leaves open of v is drawn by split
    Gibbs sampling with the diffusion as prior (Wu et al. 2024, NeurIPS 37), from what
    the target says in the 16 directions that stand out of its noise most; masked pixels
    have no weight. The mean is the denoiser's at infinite noise. For 91 pixels at
    Ba II 5854 and 6497, with 2,500 synthetic stars to learn from
    (`benchmarks.diffusion_space`), the stars that judge found neither space better than
    Gaussian draws.

    References
    ----------
    Karras, T. et al. 2022, NeurIPS 35, arXiv:2206.00364; Rozet, F. et al. 2024, NeurIPS
    37, arXiv:2405.13712; Lu, C. et al. 2022, arXiv:2211.01095; Wu, Z. et al. 2024,
    NeurIPS 37, arXiv:2405.18782.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.neural import DiffusionTranslator
    >>> rng = np.random.default_rng(0)
    >>> strength = rng.normal(0, 0.5, (300, 2))
    >>> X = 0.9 - 0.05 * strength[:, :1] * [[1, 2, 1]]
    >>> X += rng.normal(0, 0.002, X.shape)
    >>> y = 0.7 - 0.1 * strength @ [[1, 1, 0], [0, 1, 1]]
    >>> y += rng.normal(0, 0.01, y.shape)
    >>> y = Spectra(y, np.full(y.shape, 1e4), wave=[5000.0, 5001, 5002], medium="air")
    >>> model = DiffusionTranslator(max_epochs=20, n_rounds=1, shape_epochs=5).fit(X, y)
    >>> model.sample(X[:3], n_samples=100, random_state=0).shape
    (100, 3, 3)
    """

    _uses_context = True

    _parameter_constraints = {
        **CNNTranslator._parameter_constraints,
        "n_latents": [Interval(Integral, 0, None, closed="left")],
        "space": [StrOptions({"latent", "pixel"})],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions(set(SOLVERS))],
        "n_rounds": [Interval(Integral, 0, None, closed="left")],
        "n_conditions": [Interval(Integral, 1, None, closed="left")],
        "shape_width": [Interval(Integral, 1, None, closed="left")],
        "shape_epochs": [Interval(Integral, 1, None, closed="left")],
        "shape_rate": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_latents=24,
        *,
        space="latent",
        n_steps=10,
        solver="heun",
        n_rounds=3,
        n_conditions=12,
        shape_width=32,
        shape_epochs=60,
        shape_rate=2e-3,
        n_components=40,
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
        self.n_latents = n_latents
        self.space = space
        self.n_steps = n_steps
        self.solver = solver
        self.n_rounds = n_rounds
        self.n_conditions = n_conditions
        self.shape_width = shape_width
        self.shape_epochs = shape_epochs
        self.shape_rate = shape_rate
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
    def _fit(self, X, y, sample_weight):
        super()._fit(X, y, sample_weight)
        learnt = self._learnt
        del self._learnt
        return self._fit_shape(X, y, sample_weight, *learnt)

    def _passed_on(self, features, mean, components, target, stars, weight, *how):
        self._learnt = features, mean, stars, *how
        return mean

    def _fit_shape(self, X, y, weight, features, mean, stars, device, seed):
        """Learn how errors are distributed; features and means are left-out ones."""
        self._shape, self.shape_history_ = None, {}
        if y.has_noise and self.seen_.any():
            self._possible = self._possible_of(y, mean)
            learn = self._learn_pixels if self.space == "pixel" else self._learn_latents
            learn(X, y, weight, features, mean, stars, device, seed)
        return self

    def _possible_of(self, y, mean):
        """Which fluxes are possible; any, where the target is no spectrum."""
        if y.wave is None:
            return Possible()
        at = every(len(y), SAMPLE)
        ivar = _ivar(y[at]) * self.seen_
        return Possible.of(self._ridge.predict(mean[at]), ivar)

    def _learn_latents(self, X, y, weight, features, mean, stars, device, seed):
        at = every(len(X), SAMPLE)
        latents = Latents.of(
            self._errors(X[at], mean[at]),
            _ivar(y[at]) * self.seen_,
            LATENTS,
            self._pixels_of_lines(y),
        )
        if not len(latents.filters):
            return
        parts = []
        for covariance, ivar, left in self._left_out(X, y, mean, stars, weight):
            covariance = latents.extended(covariance)
            parts.append(latents.information(covariance, ivar, left))
        information = Information(*map(np.concatenate, zip(*parts)))
        sizes = self.n_latents, min(self.n_conditions, features.shape[1])
        shape = Shape.of(latents, information, weight, *sizes)
        known, told = shape.leading(information), shape.conditions(features)
        del information, parts
        training = ShapeTraining(self, shape, known, told, stars, weight, device, seed)
        self._shape, self.shape_history_ = training.train()

    def _learn_pixels(self, X, y, weight, features, mean, stars, device, seed):
        pixels = np.flatnonzero(self.seen_)
        n_directions = len(self._errors(X[:1], mean[:1]).basis)
        check_room(len(X), len(pixels), n_directions, self.memory)
        parts = []
        for covariance, *observed in self._left_out(X, y, mean, stars, weight):
            errors = PixelErrors.of(covariance[:, pixels])
            parts.append(Told.of(errors, *(a[:, pixels] for a in observed)))
        told = Told.concatenate(parts)
        del parts
        shape = PixelShape(pixels, min(self.n_conditions, features.shape[1]))
        conditions = shape.conditions(features)
        training = PixelTraining(
            self, shape, told, conditions, stars, weight, device, seed
        )
        shape, self.shape_history_ = training.train()
        if shape.trained:
            self._shape = shape

    def _pixels_of_lines(self, y):
        """The target pixels of each line that has a latent of its own."""
        if self.lines is None or y.wave is None:
            return []
        lines = load_lines("galah") if isinstance(self.lines, str) else self.lines
        lines = [lines] if isinstance(lines, Line) else lines
        grid = y.wave, y.medium
        found = [window_pixels([w], *grid, outside="ignore") for w in lines]
        found = [np.flatnonzero(pixels & self.seen_) for pixels in found]
        return [pixels for pixels in found if len(pixels)]

    def _errors(self, X, mean):
        """Predictive covariance of training stars, given their coefficients."""
        return self._ridge.covariance(mean, self._features(X)[1])

    def _left_out(self, X, y, mean, stars, weight):
        """Blocks of covariance, ivar and what the target has beyond the mean."""
        ridge, change = self._ridge, self._change
        if change is not None:
            one = np.column_stack([mean, np.ones(len(mean))])
            y = AtReference(y, one, ridge._all_coef, change)
        rows_of = np.bincount(stars)[stars]
        hat = np.minimum(ridge.leverage(mean) * weight * rows_of, MOST_HAT)
        for rows, block in y.iter_blocks(self._block_rows):
            left = block.flux - ridge.predict(mean[rows])
            left /= 1 - hat[rows, None].astype(left.dtype)
            yield self._errors(X[rows], mean[rows]), _ivar(block) * self.seen_, left

    @property
    def shape_trained_(self):
        """Whether the diffusion proved better than Gaussian latents."""
        return self._shape is not None and self._shape.trained

    # --------------------------------------------------------------- predicting
    def _drawing(self, X):
        """What is foretold of a block of stars."""
        matched = self._looked_at(X)
        mean, spread = self._features(X, matched=matched)
        flux = self._ridge.predict(mean)
        covariance = self._ridge.covariance(mean, spread)
        conditions = self._shape.conditions(matched[0])
        if isinstance(self._shape, PixelShape):
            errors = PixelErrors.of(covariance[:, self._shape.pixels])
            return PixelDrawing(self._shape, flux, errors, conditions)
        covariance = self._shape.latents.extended(covariance)
        whitening = self._shape.latents.whitening(covariance)
        return Drawing(self._shape, flux, covariance, whitening, conditions)

    def _predict_into(self, X, out):
        if not self.shape_trained_:
            return super()._predict_into(X, out)
        out[:] = self._drawing(X).mean()

    def _covariance_block(self, X):
        if self._shape is None:
            return super()._covariance_block(X)
        return self._drawing(X).moments()[1]

    def _flux_and_covariance(self, X, out):
        if self._shape is None:
            return super()._flux_and_covariance(X, out)
        out[:], covariance = self._drawing(X).moments()
        return covariance

    def sample(
        self,
        X,
        n_samples=1,
        random_state=None,
        *,
        n_steps=None,
        solver=None,
        resolution=None,
    ):
        """Draws of the noise-free target spectra, pixels varying together.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            With an int a star's draws depend on the star alone, not on the others
            beside it. None: fresh entropy.
        n_steps : int, optional
        solver : {"heun", "dpm++"}, optional
            By default those of the estimator.
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_spectra, n_pixels_out)

        Raises
        ------
        ValueError
            If `n_steps` or `solver` is unknown.
        """
        check_is_fitted(self)
        how = self._how(n_steps, solver)
        if self._shape is None:
            return super().sample(X, n_samples, random_state, resolution=resolution)
        X = self._check_source(X, reset=False)
        if not len(X):
            raise ValueError("X has no rows.")
        power = self._asked_resolution(resolution, len(X))
        draws = np.empty((n_samples, len(X), self.n_pixels_out_), self.dtype_)
        for rows, drawing, rngs in self._drawings(X, n_samples, _seed(random_state)):
            change = None if power is None else self._changed(power[rows])
            drawn = self._possible.drawn(drawing, n_samples, rngs, how, change)
            for i, flux in enumerate(drawn, rows.start):
                draws[:, i] = flux
        draws[:, :, ~self.seen_] = np.nan
        return draws

    def _how(self, n_steps, solver):
        """Steps and solver that are asked for."""
        n_steps = self.n_steps if n_steps is None else n_steps
        solver = self.solver if solver is None else solver
        if solver not in SOLVERS or n_steps < 1:
            raise ValueError(
                f"n_steps is {n_steps} and solver {solver!r}; expected 1 or more, and "
                f"one of {', '.join(SOLVERS)}."
            )
        return n_steps, solver

    def _drawings(self, X, n_samples, seed):
        """Blocks of stars, each with the random numbers of its own."""
        hashes = row_hashes(X)
        n_rows = int(np.clip(DRAWS_AT_ONCE // max(n_samples, 1), 1, self._block_rows))
        bar = None
        if self.verbose:
            from tqdm.auto import tqdm

            bar = tqdm(total=len(X), unit="star")
        for rows, block in X.iter_blocks(n_rows):
            rngs = [np.random.default_rng([seed, *next(hashes)]) for _ in block.flux]
            yield rows, self._drawing(block), rngs
            if bar is not None:
                bar.update(len(block))
        if bar is not None:
            bar.close()

    def _changed(self, power):
        """Writes draws of stars at resolving powers."""

        def change(flux, i):
            return self._change.apply(flux, np.repeat(power[i : i + 1], len(flux), 0))

        return change

    def line_intervals(self, X, lines, level=0.68, *, n_samples=256, random_state=0):
        """Credible intervals of line fluxes and equivalent widths, and correlations.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        lines : Line, (lo, hi) in Å, or list of these
            The windows, m of them.
        level : float, default=0.68
            Probability that the truth is inside.
        n_samples : int, default=256
            Draws that they are found from.
        random_state : int, RandomState instance or None, default=0

        Returns
        -------
        LineIntervals
            ``flux`` (mean over the window) and ``ew`` (mÅ), each of shape
            (3, n_spectra, m): lower end, median, upper end; ``correlation`` of the
            equivalent widths, (n_spectra, m, m).

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1, or a line is not on the target's grid.
        """
        check_is_fitted(self)
        X = self._check_source(X, reset=False)
        return line_intervals(self, X, lines, level, n_samples, _seed(random_state))

    def log_prob(self, X, y):
        """Log-density of target spectra, in the latents that follow the diffusion.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
            Target spectra of the same stars, at the resolving power of `resolution_`
            or with their own. Free of noise where they have no ivar.

        Returns
        -------
        ndarray of shape (n_spectra,)
            Of the latents of y in units of their Gaussian spread, by the
            probability flow. Where y is noisy, so are its latents: the density is that
            of latents with noise of the mean variance of theirs, alike in all of them.
            Compare it between spectra of one star, or of equal noise. 0 where no
            latent follows the diffusion.

        Raises
        ------
        ValueError
            If rows or grids disagree, the fit learnt no latents, or `space` is "pixel".
        """
        check_is_fitted(self)
        X, y = self._check_pairs(X, y)
        if self.space == "pixel":
            raise ValueError(
                "space is 'pixel', where the density takes the derivatives of a U-Net "
                "by every pixel at every step: fit with space='latent' for log_prob."
            )
        if self._shape is None:
            raise ValueError(
                "the fit learnt no latents, so there is no density of them: give its "
                "targets as Spectra with their ivar."
            )
        if not self._shape.n_leading:
            return np.zeros(len(X))
        power = self._resolution_of(y)
        found = np.empty(len(X))
        for rows, block in X.iter_blocks(self._block_rows):
            drawing, observed = self._drawing(block), y[rows]
            flux = drawing.flux
            if power is not None:
                flux = self._change.apply(flux, power[rows])
            ivar = _ivar(observed) * self.seen_
            left = np.where(ivar > 0, observed.flux - flux, 0)
            shape = self._shape
            known = shape.latents.information(drawing.covariance, ivar, left)
            found[rows] = shape.log_density(shape.leading(known), drawing.conditions)
        return found


def _ivar(y):
    """Inverse variance, infinite where nothing is said of noise; 0 where masked."""
    weights = y.weights()
    return weights if y.has_noise else np.where(weights > 0, np.inf, 0)
