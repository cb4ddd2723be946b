"""Fits in which what needs no target is learnt from other spectra than the rest."""

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import _routing_enabled

from specxfer.base import Translator
from specxfer.compose._meta_translator import MetaTranslator


def fit_with_source(estimator, source, source_y, source_weight, X, y, params):
    """Fit an estimator to X and y, its unsupervised parts to `source`.

    Transformers of a Pipeline are fitted to `source`; what a translator learns from
    the source alone, such as principal components, it learns from `source` as it
    arrives there. A search splits the rows itself, and gets X and y only.

    Parameters
    ----------
    estimator : estimator
        Is fitted itself, not a clone.
    source : Spectra or array-like of shape (n_source, n_features_in)
    source_y : Spectra or array-like of shape (n_source, n_pixels_out)
        For transformers that look at the target.
    source_weight : array-like of shape (n_source,), or None
        For translators.
    X, y : Spectra or array-like
    params : dict
        Further parameters of the fit.

    Returns
    -------
    estimator
        Fitted.
    """
    frozen, source, name = _freeze(estimator, source, source_y)
    if name is not None:
        params = {**params, name: source, f"{name}_weight": source_weight}
    return _thaw(frozen.fit(X, y, **params))


def _freeze(estimator, source, y):
    """With its transformers fitted; the source behind them; what `fit` calls it."""
    if isinstance(estimator, Pipeline):
        steps = []
        for name, step in estimator.steps[:-1]:
            if step is not None and step != "passthrough":
                source = step.fit(source, y).transform(source)
                step = FrozenEstimator(step)
            steps.append((name, step))
        last, step = estimator.steps[-1]
        step, source, name = _freeze(step, source, y)
        estimator.steps = [*steps, (last, step)]
        if name is not None and not _routing_enabled():
            name = f"{last}__{name}"
        return estimator, source, name
    if isinstance(estimator, MetaTranslator):
        inner, source, name = _freeze(estimator.estimator, source, y)
        return estimator.set_params(estimator=inner), source, name
    if isinstance(estimator, Translator) and estimator._fit_source is not None:
        if _routing_enabled():
            estimator.set_fit_request(source=True, source_weight=True)
        return estimator, source, "source"
    return estimator, source, None


def _thaw(estimator):
    """Undo the freezing of what `_freeze` froze."""
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator
    if isinstance(estimator, Pipeline):
        estimator.steps = [(name, _thaw(step)) for name, step in estimator.steps]
    if isinstance(estimator, MetaTranslator):
        for name in {"estimator", "estimator_"} & set(vars(estimator)):
            setattr(estimator, name, _thaw(getattr(estimator, name)))
    return estimator
