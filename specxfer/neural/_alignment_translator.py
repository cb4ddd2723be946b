"""`AlignmentTranslator`: both surveys' spectra as points in one space."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from specxfer._checks import check_same_grid
from specxfer._rows import by_index
from specxfer.base import _bare
from specxfer.neural._component_translator import ComponentTranslator
from specxfer.neural._nearest import nearest
from specxfer.neural._retrieval import mean_of_nearest
from specxfer.neural._space_training import SourceSide, SpaceTraining
from specxfer.spectra import Spectra

UNIT = 1e-3  # by which the length of an embedding may differ from 1


class AlignmentTranslator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ComponentTranslator
):
    """Both surveys' spectra of a star at the same point of one space.

    What the source says of the target's components, by networks that were trained as
    those of `CNNTranslator`, and what the target says of them are embedded in a
    sphere, in which the two spectra of a star are to be nearer than those of any
    others. From an embedding the target's spectrum can be decoded, the nearest among
    observed target spectra looked up, or labels be learnt.

    Parameters
    ----------
    n_embedding : int, default=64
        Length of an embedding.
    n_private : int, default=0
        Latents of each side alone, which its reconstruction may use beside.
    contrastive, cross, reconstruction : float, default=1.0
        Weights of the losses: of telling partners (`networks.InfoNCE`); of each side
        decoded from the other's embedding; of each decoded from its own.
    space_width : int, default=64
        Hidden units of the encoders into the space.
    space_epochs : int, default=30
        Passes over the stars in which the space is trained. 0: as it would be in a
        linear, normal world.
    space_rate : float, default=1e-3
        Learning rate of the space.
    space_batch : int, default=1024
        Stars among which partners are to be told.
    n_components : int, default=40
        Components of the target, and as many of its `lines`, at most.
    base : "pca_ridge", PCARidge or None, default="pca_ridge"
    lines : "auto", list of Line or (lo, hi), or None, default="auto"
    n_members, n_leading, width : int, default=5, 6, 128
    max_epochs, batch_size : int, default=150, 256
    learning_rate, weight_decay : float, default=8e-3, 0.1
    patience : int or None, default=20
    n_factors : int, default=20
    number_format : {"float32", "bfloat16", "auto"}, default="float32"
    checkpoint_dir : path-like, optional
    device : str or torch.device, default="auto"
    verbose : int, default=0
    random_state : int, RandomState instance or None, default=0
        All these as of `CNNTranslator`.

    Attributes
    ----------
    space_history_ : dict of str to ndarray of shape (n_epochs,)
        "train_loss", "learning_rate", "seconds" of the training of the space.
    temperature_ : float
        Learnt, of the contrastive loss.
    base_, share_, history_, best_epoch_, stopped_, number_format_
        See `CNNTranslator`.
    coef_, intercept_, scatter_, resolution_, max_resolution_
        See `CNNTranslator`.

    Raises
    ------
    ValueError
        If fewer than four stars have both spectra.
    TrainingError
        If training diverges.

    See Also
    --------
    CNNTranslator : The same networks without a space.

    Notes
    -----
    The space starts where a linear world of normal errors would have it: at canonical
    coordinates, in which predictions miss by one unit each, so that the nearest target
    is the likeliest (Bach & Jordan 2005, technical report 688, Berkeley). Training
    bends it from there. What it sees of the source are predictions by networks and
    filters that have not seen the star: what these have learnt by heart of the
    training stars would make partners look nearer than those of new stars are.

    Contrastive training alone keeps what tells stars apart and no more. Here all that
    the source tells of the target has to pass the space, as the spectrum is decoded
    from the embedding.

    Rows whose other side is all NaN are unpaired. Those of the source help the base
    to find its components, those of the target are looked through for the target's
    components, and both are reconstructed from their embeddings. Stars count in the
    contrastive loss by how well the target is known.

    References
    ----------
    van den Oord et al. 2018, arXiv:1807.03748 (InfoNCE); Radford et al. 2021, ICML;
    Parker et al. 2024, MNRAS 531, 4990 (spectra and images of galaxies in one space).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.neural import AlignmentTranslator
    >>> rng = np.random.default_rng(0)
    >>> strength = rng.normal(0, 0.5, (400, 2))
    >>> X = 0.9 - 0.05 * strength @ [[1, 2, 0], [0, 1, 2]]
    >>> X += rng.normal(0, 0.002, X.shape)
    >>> y = 0.7 - 0.1 * strength @ [[1, 0, 1], [0, 1, 1]]
    >>> y += rng.normal(0, 0.01, y.shape)
    >>> model = AlignmentTranslator(4, max_epochs=20, space_epochs=5).fit(X, y)
    >>> model.embed(X).shape
    (400, 4)
    >>> distances, indices = model.kneighbors(X[:3], y, n_neighbors=5)
    >>> indices.shape
    (3, 5)
    """

    encoder = "matched"
    velocity = noise = masked = 0.0
    memory = 2**30

    _parameter_constraints = {
        **ComponentTranslator._parameter_constraints,
        "n_embedding": [Interval(Integral, 2, None, closed="left")],
        "n_private": [Interval(Integral, 0, None, closed="left")],
        "contrastive": [Interval(Real, 0, None, closed="left")],
        "cross": [Interval(Real, 0, None, closed="left")],
        "reconstruction": [Interval(Real, 0, None, closed="left")],
        "space_width": [Interval(Integral, 1, None, closed="left")],
        "space_epochs": [Interval(Integral, 0, None, closed="left")],
        "space_rate": [Interval(Real, 0, None, closed="left")],
        "space_batch": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        n_embedding=64,
        *,
        n_private=0,
        contrastive=1.0,
        cross=1.0,
        reconstruction=1.0,
        space_width=64,
        space_epochs=30,
        space_rate=1e-3,
        space_batch=1024,
        n_components=40,
        base="pca_ridge",
        lines="auto",
        n_members=5,
        n_leading=6,
        width=128,
        max_epochs=150,
        learning_rate=8e-3,
        weight_decay=0.1,
        batch_size=256,
        patience=20,
        n_factors=20,
        number_format="float32",
        checkpoint_dir=None,
        device="auto",
        verbose=0,
        random_state=0,
    ):
        self.n_embedding = n_embedding
        self.n_private = n_private
        self.contrastive = contrastive
        self.cross = cross
        self.reconstruction = reconstruction
        self.space_width = space_width
        self.space_epochs = space_epochs
        self.space_rate = space_rate
        self.space_batch = space_batch
        self.n_components = n_components
        self.base = base
        self.lines = lines
        self.n_members = n_members
        self.n_leading = n_leading
        self.width = width
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.patience = patience
        self.n_factors = n_factors
        self.number_format = number_format
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    # ------------------------------------------------------------------ fitting
    def _fit_unpaired(self, X, y, has_source, has_target):
        self._all_rows = X, y, has_source, has_target

    def _target_spectra(self, y):
        _, y, has_source, has_target = self._all_rows
        if has_source[has_target].all():
            return None
        return by_index(y)[has_target]

    def _passed_on(self, features, mean, components, target, stars, weight, *how):
        X, y, has_source, has_target = self._all_rows
        del self._all_rows
        self._components = components
        source_alone = target_alone = None
        if (has_source & ~has_target).any():
            alone = by_index(X)[has_source & ~has_target]
            source_alone = self._source_side(alone)
        if (has_target & ~has_source).any():
            target_alone = components.scores(by_index(y)[has_target & ~has_source])
        source = SourceSide(mean, features)
        training = SpaceTraining(
            self, source, target, stars, weight, source_alone, target_alone, *how
        )
        self._space, self.space_history_ = training.train()
        return self._space.passed(mean)[0]

    def _source_side(self, X):
        """What is said of stars that the target survey has not seen."""
        parts = [
            (self._foretold(block, with_spread=False)[0], self._matched.features(block))
            for _, block in X.iter_blocks(self._block_rows)
        ]
        return SourceSide(*map(np.concatenate, zip(*parts)))

    def _read(self, mean, spread):
        return self._space.passed(mean, spread)

    @property
    def temperature_(self):
        """Learnt, of the contrastive loss."""
        return self._space.temperature

    # ---------------------------------------------------------------- the space
    def embed(self, X):
        """Embeddings of source spectra.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)

        Returns
        -------
        ndarray of shape (n_spectra, n_embedding)
            Of unit length.
        """
        return self._embedded(X)[0]

    def embed_target(self, y):
        """Embeddings of target spectra, in the same space.

        Parameters
        ----------
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
            NaN or zero ivar: no information. What has no pixel at all is embedded as
            the mean star.

        Returns
        -------
        ndarray of shape (n_spectra, n_embedding)
            Of unit length.
        """
        check_is_fitted(self)
        y = self._checked_library(y)
        out = np.empty((len(y), self.n_embedding), self.dtype_)
        for rows, block in y.iter_blocks(self._block_rows):
            means = self._components.means(block)
            out[rows] = self._space.embedding(means, "target")[0]
        return out

    def transform(self, X):
        """Embeddings of source spectra, then their private latents.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)

        Returns
        -------
        ndarray of shape (n_spectra, n_embedding + n_private)
        """
        return np.concatenate(self._embedded(X), axis=1)

    def _embedded(self, X):
        check_is_fitted(self)
        X = self._check_source(X, reset=False)
        sizes = self.n_embedding, self.n_private
        out = [np.empty((len(X), size), self.dtype_) for size in sizes]
        for rows, block in X.iter_blocks(self._block_rows):
            mean, _ = self._foretold(block, with_spread=False)
            for values, of_block in zip(out, self._space.embedding(mean, "source")):
                values[rows] = of_block
        return out

    @property
    def _n_features_out(self):
        return self.n_embedding + self.n_private

    # ------------------------------------------------------------------ looking up
    def kneighbors(self, X, library, n_neighbors=10):
        """The target spectra of a library that are nearest to source spectra.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        library : Spectra, array-like or path-like
            Target spectra; their embeddings, of shape (n_library, n_embedding), as
            `embed_target` gives them; or the path of a ``.npy`` file of embeddings,
            which is mapped, not loaded.
        n_neighbors : int, default=10

        Returns
        -------
        distances : ndarray of shape (n_spectra, n_neighbors)
            In the space, from 0 to 2, ascending.
        indices : ndarray of int of shape (n_spectra, n_neighbors)
            Rows of the library.

        Raises
        ------
        ValueError
            If the library is neither, or has fewer than `n_neighbors` rows.
        """
        embeddings = self._embeddings(library)
        if not 1 <= n_neighbors <= len(embeddings):
            raise ValueError(
                f"n_neighbors is {n_neighbors}; expected 1 to {len(embeddings)}, the "
                "rows of the library."
            )
        return nearest(self.embed(X), embeddings, n_neighbors)

    def _embeddings(self, library):
        """Embeddings of a library, whatever it is given as."""
        check_is_fitted(self)
        if isinstance(library, Spectra):
            return self.embed_target(library)
        if isinstance(library, (str, os.PathLike)):
            library = np.load(library, mmap_mode="r")
        library = library if isinstance(library, np.ndarray) else np.asarray(library)
        width = library.shape[1] if library.ndim == 2 else None
        if width == self.n_pixels_out_ != self.n_embedding:
            return self.embed_target(library)
        if width != self.n_embedding:
            raise ValueError(
                f"the library has shape {library.shape}; expected target spectra of "
                f"{self.n_pixels_out_} pixels or embeddings of {self.n_embedding} "
                "numbers."
            )
        length = np.linalg.norm(library[:1000].astype(float), axis=1)
        if not (np.abs(length - 1) < UNIT).all():
            raise ValueError(
                "the library holds embeddings that are not of unit length: give what "
                "`embed_target` returns, or target spectra as Spectra."
            )
        return library

    def predict(
        self,
        X,
        return_std=False,
        *,
        resolution=None,
        how="decode",
        library=None,
        embeddings=None,
        n_neighbors=10,
    ):
        """The target spectra of stars that only the source survey saw.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra on the grid of the fit.
        return_std : bool, default=False
            Also return the standard deviation.
        resolution : float or array-like, optional
            As of any `Translator`; not where spectra are retrieved.
        how : {"decode", "retrieve"}, default="decode"
            Decode the embedding, or take the mean of the nearest observed spectra,
            weighted by their noise.
        library : Spectra or array-like of shape (n_library, n_pixels_out), optional
            Observed target spectra to retrieve from.
        embeddings : array-like or path-like, optional
            Their embeddings, as in `kneighbors`; by default they are found anew.
        n_neighbors : int, default=10

        Returns
        -------
        flux : ndarray of shape (n_spectra, n_pixels_out)
            Continuum units; NaN at pixels that hardly any training star has, or no
            neighbour.
        std : ndarray of the same shape
            Of the noise-free flux. Of neighbours it is their spread beyond noise and
            the noise of their mean. Only if `return_std`.

        Raises
        ------
        ValueError
            If what is asked for does not go together.
        """
        if how == "decode":
            return super().predict(X, return_std, resolution=resolution)
        if how != "retrieve":
            raise ValueError(f"how is {how!r}; expected 'decode' or 'retrieve'.")
        if library is None or resolution is not None:
            raise ValueError(
                "how='retrieve' takes observed spectra as they are: give them as "
                "library=, and no resolution=."
            )
        check_is_fitted(self)
        X, library = self._check_source(X, reset=False), self._checked_library(library)
        given = library if embeddings is None else embeddings
        _, indices = self.kneighbors(X, given, n_neighbors)
        if indices.size and indices.max() >= len(library):
            raise ValueError(
                f"the library has {len(library)} spectra and more embeddings; expected "
                "one of each."
            )
        flux = np.empty((len(X), self.n_pixels_out_), self.dtype_)
        std = np.empty_like(flux) if return_std else None
        mean_of_nearest(library, indices, flux, std)
        return (flux, std) if return_std else flux

    def _checked_library(self, y):
        """Target spectra on the grid of the fit."""
        y = self._check_target(y)
        if y.shape[1] != self.n_pixels_out_:
            raise ValueError(
                f"target spectra have {y.shape[1]} pixels, the fit had "
                f"{self.n_pixels_out_}."
            )
        if y.wave is not None and self.wave_out_ is not None:
            grid = _bare(self.wave_out_, self.medium_out_)
            check_same_grid(y, grid, "the library", "the training target")
        return y
