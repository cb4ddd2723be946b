"""What the meta-estimators share: weights, routing and tags of the estimator inside."""

from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)


class MetaTranslator(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Base of the meta-estimators with one `estimator`, fitted as ``estimator_``."""

    def _route(self, method, sample_weight, params):
        """What to hand to a method of the estimator."""
        if sample_weight is not None:
            name = "sample_weight"
            if method == "fit" and not _routing_enabled():
                name = _weight_of(self.estimator)
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


def _weight_of(estimator):
    """What the ``fit`` of a composition calls the sample weight of its last step."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return f"{name}__{_weight_of(last)}"
    if isinstance(estimator, BaseSearchCV):
        return _weight_of(estimator.estimator)
    return "sample_weight"
