"""`CNNTranslator`: an ensemble of networks beside a linear translator."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from specxfer.neural._component_translator import ComponentTranslator


class CNNTranslator(ComponentTranslator):
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
        **ComponentTranslator._parameter_constraints,
        "encoder": [StrOptions({"matched", "conv", "both"})],
        "velocity": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "masked": [Interval(Real, 0, 1, closed="left")],
        "memory": [Interval(Integral, 1, None, closed="left")],
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

    _uses_context = True  # matched scores look for components of the whole target
