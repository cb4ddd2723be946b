"""What the meta-estimators share: weights, routing and tags of the estimator inside."""

from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted

from specxfer._compositions import (
    check_target_grid,
    parameter_of_last,
    predict_at,
    resolution_of,
)
from specxfer.base import predict_std, sample, support, translate


class MetaTranslator(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Base of the meta-estimators with one `estimator`, fitted as ``estimator_``.

    A subclass that shows its estimator another target than it was given says how in
    ``_crop``, ``_expand`` and ``_expand_spectra``.
    """

    def predict(self, X, return_std=False, *, resolution=None):
        """Predict with the estimator.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        return_std : bool, default=False
            Also return the standard deviation; only with a translator inside.
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            Resolving power to write at; only with a translator inside that was fitted
            to targets which carry theirs. See `specxfer.Translator.predict`.

        Returns
        -------
        flux : ndarray of shape (n_spectra, n_pixels_out)
            NaN at pixels that the estimator does not predict.
        std : ndarray of the same shape
            Only if `return_std`. See `specxfer.Translator.predict`.
        """
        check_is_fitted(self)
        power = self._crop_resolution(resolution)
        if return_std:
            flux, std = predict_std(self.estimator_, X, resolution=power)
            return self._expand(flux), self._expand(std)
        if power is None:
            return self._expand(self.estimator_.predict(X))
        return self._expand(predict_at(self.estimator_, X, power))

    def translate(self, X, *, resolution=None):
        """Translate with the estimator; see `specxfer.translate`.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            As in `predict`.

        Returns
        -------
        Spectra
            On the grid of the target; NaN with ivar 0 at pixels that the estimator
            does not predict.
        """
        check_is_fitted(self)
        power = self._crop_resolution(resolution)
        return self._expand_spectra(translate(self.estimator_, X, resolution=power))

    def sample(self, X, n_samples=1, random_state=None, *, resolution=None):
        """Draw target spectra; see `specxfer.sample`.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_spectra, n_pixels_out)
            NaN at pixels that the estimator does not predict.
        """
        check_is_fitted(self)
        power = self._crop_resolution(resolution)
        draws = sample(self.estimator_, X, n_samples, random_state, resolution=power)
        return self._expand(draws)

    def support(self, X):
        """Distance from the stars the estimator was trained on; see `specxfer.support`.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)

        Returns
        -------
        ndarray of shape (n_spectra,)
        """
        check_is_fitted(self)
        return support(self.estimator_, X)

    def score(self, X, y, sample_weight=None, **score_params):
        """The estimator's own score, over the pixels that it predicts.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
            On the full grid of the target.
        sample_weight : array-like of shape (n_spectra,), optional
        **score_params
            Handed to the ``score`` of the estimator.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        y = self._crop(y)
        routed = self._route("score", sample_weight, score_params)
        return self.estimator_.score(X, y, **routed)

    def _resolution_of(self, y):
        """At which resolving powers to predict what is compared with y, or None."""
        power = resolution_of(self.estimator_, self._crop(y))
        return power if power is None else self._expand_resolution(power)

    def _check_target_grid(self, y):
        check_target_grid(self.estimator_, self._crop(y))

    def _crop(self, y):
        return y

    def _crop_resolution(self, resolution):
        return resolution

    def _expand_resolution(self, resolution):
        return resolution

    def _expand(self, values):
        return values

    def _expand_spectra(self, spectra):
        return spectra

    def _route(self, method, sample_weight, params):
        """What to hand to a method of the estimator."""
        if sample_weight is not None:
            name = "sample_weight"
            if method == "fit" and not _routing_enabled():
                name = parameter_of_last(self.estimator, name)
            params = {**params, name: sample_weight}
        if not _routing_enabled():
            return params
        return process_routing(self, method, **params).estimator.get(method, Bunch())

    def _take_features(self):
        """The input features are those of the fitted estimator."""
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)  # of an earlier fit
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.target_tags = inner.target_tags
        tags.regressor_tags = inner.regressor_tags or tags.regressor_tags
        tags.non_deterministic = inner.non_deterministic
        return tags

    def get_metadata_routing(self):
        """Route metadata to the estimator.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        mapping.add(caller="score", callee="score")
        return MetadataRouter(owner=self).add(
            estimator=self.estimator, method_mapping=mapping
        )
