"""The functions that see a translator through any composition."""

from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "check_target_grid",
    "last_of",
    "parameter_of_last",
    "predict_at",
    "predict_like",
    "predict_std",
    "resolution_of",
    "sample",
    "support",
    "translate",
    "translator_of",
]


def translate(model, X, *, resolution=None):
    """Translate spectra with a translator inside any composition.

    Pipelines, searches and meta-estimators pass on `predict` and nothing else. This
    function, like `predict_std`, `sample` and `support`, applies the fitted steps in
    order and asks the translator at the end.

    Parameters
    ----------
    model : estimator
        A fitted `Translator`, or a Pipeline, GridSearchCV, TargetWindow, … around one.
    X : Spectra or array-like of shape (n_spectra, n_features_in)
    resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
        Resolving power λ/FWHM to write the spectra at, if the translator was fitted
        to targets that carry theirs; by default the typical one of these.

    Returns
    -------
    Spectra
        See `Translator.translate`.

    Raises
    ------
    TypeError
        If there is no translator inside `model`.
    ValueError
        If a resolving power is asked for that it does not know to write at.

    Examples
    --------
    >>> import numpy as np, specxfer
    >>> from sklearn.pipeline import make_pipeline
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = make_pipeline(PCARidge(n_components=2)).fit(X, y)
    >>> specxfer.translate(model, X[:2]).shape
    (2, 3)
    """
    translator, X = translator_of(model, X, "translate")
    return translator.translate(X, **_at(resolution))


def predict_std(model, X, *, resolution=None):
    """Flux and standard deviation from a translator inside any composition.

    Parameters
    ----------
    model : estimator
        See `translate`.
    X : Spectra or array-like of shape (n_spectra, n_features_in)
    resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
        See `translate`.

    Returns
    -------
    flux, std : ndarray of shape (n_spectra, n_pixels_out)
        See `Translator.predict`.

    Examples
    --------
    >>> import numpy as np, specxfer
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> flux, std = specxfer.predict_std(model, X)
    >>> flux.shape, bool((std > 0).all())
    ((40, 3), True)
    """
    translator, X = translator_of(model, X, "predict")
    return translator.predict(X, return_std=True, **_at(resolution))


def sample(model, X, n_samples=1, random_state=None, *, resolution=None):
    """Draws of target spectra from a translator inside any composition.

    Parameters
    ----------
    model : estimator
        See `translate`.
    X : Spectra or array-like of shape (n_spectra, n_features_in)
    n_samples : int, default=1
    random_state : int, RandomState instance or None, default=None
    resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
        See `translate`.

    Returns
    -------
    ndarray of shape (n_samples, n_spectra, n_pixels_out)
        See `Translator.sample`.

    Examples
    --------
    >>> import numpy as np, specxfer
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> specxfer.sample(model, X[:4], n_samples=10, random_state=0).shape
    (10, 4, 3)
    """
    translator, X = translator_of(model, X, "sample")
    return translator.sample(
        X, n_samples=n_samples, random_state=random_state, **_at(resolution)
    )


def support(model, X):
    """Distance from the training stars, by a translator inside any composition.

    Parameters
    ----------
    model : estimator
        See `translate`.
    X : Spectra or array-like of shape (n_spectra, n_features_in)

    Returns
    -------
    ndarray of shape (n_spectra,)
        See `Translator.support`.

    Examples
    --------
    >>> import numpy as np, specxfer
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> specxfer.support(model, X[:1] + 5) > 1  # unlike any of them
    array([ True])
    """
    translator, X = translator_of(model, X, "support")
    return translator.support(X)


def predict_like(model, X, y):
    """Predict the flux that is to be compared with observed spectra.

    A spectrum depends on the star and on the resolving power that it is seen with.
    Where `y` carries its `resolution`, and a translator in `model` was fitted to
    targets that did, each spectrum is written at that of its row of `y`; otherwise this
    is ``model.predict(X)``. The flux of `y` is not looked at.

    Parameters
    ----------
    model : estimator
        Any fitted regressor.
    X : Spectra or array-like of shape (n_spectra, n_features_in)
    y : Spectra or array-like of shape (n_spectra, n_pixels_out)
        The observed spectra, of the same stars.

    Returns
    -------
    ndarray of shape (n_spectra, n_pixels_out)

    Raises
    ------
    ValueError
        If y is on another grid, or in another medium, than the translator writes.

    Examples
    --------
    >>> import numpy as np, specxfer
    >>> from specxfer import Spectra
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, flux = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> y = Spectra(flux, wave=[6562.0, 6562.1, 6562.2], medium="air",
    ...             resolution=rng.normal(25_000, 1_000, 40))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> specxfer.predict_like(model, X, y).shape
    (40, 3)
    """
    check_target_grid(model, y)
    power = resolution_of(model, y)
    return model.predict(X) if power is None else predict_at(model, X, power)


def check_target_grid(model, y):
    """Refuse y whose wavelengths are not those that a translator in `model` writes.

    Parameters
    ----------
    model : estimator
    y : Spectra or array-like of shape (n_spectra, n_pixels_out)

    Raises
    ------
    ValueError
        If both have wavelengths, and they or their medium differ.
    """
    translator = _translator_in(model)
    if translator is not None:
        translator._check_target_grid(y)


def predict_at(model, X, resolution):
    """Flux at resolving powers, from a translator inside any composition.

    Parameters
    ----------
    model : estimator
    X : Spectra or array-like of shape (n_spectra, n_features_in)
    resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)

    Returns
    -------
    ndarray of shape (n_spectra, n_pixels_out)
    """
    translator, X = translator_of(model, X, "predict")
    return translator.predict(X, resolution=resolution)


def resolution_of(model, y):
    """At which resolving powers `model` can predict what is compared with `y`.

    Parameters
    ----------
    model : estimator
    y : Spectra or array-like of shape (n_spectra, n_pixels_out)

    Returns
    -------
    ndarray of shape (n_spectra, n_chips) or None
        None where y does not say, or the model knows of no resolving power.
    """
    translator = _translator_in(model)
    return None if translator is None else translator._resolution_of(y)


def _translator_in(model):
    """The translator at the end of any estimator, or None."""
    try:
        return translator_of(model, None, "predict", transform=False)[0]
    except TypeError:
        return None


def _at(resolution):
    return {} if resolution is None else {"resolution": resolution}


def translator_of(model, X, method, transform=True):
    """The translator at the end of a composition, and X as it arrives there.

    Parameters
    ----------
    model : estimator
    X : Spectra or array-like of shape (n_spectra, n_features_in)
    method : str
        What is asked for, for the error.
    transform : bool, default=True
        Whether X goes through the steps before the translator.

    Returns
    -------
    translator : estimator
        With a method `translate`; a `Translator` or a meta-estimator around one.
    X : Spectra or array-like
    """
    outer = model
    while True:
        if isinstance(model, Pipeline):
            check_is_fitted(model)
            for _, step in model.steps[:-1]:
                if transform and step is not None and step != "passthrough":
                    X = step.transform(X)
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "translate"):
            return model, X
        else:
            raise TypeError(
                f"{method} found a {type(model).__name__} at the end of this "
                f"{type(outer).__name__}; expected a fitted translator of specxfer "
                "(a search must be fitted with refit=True)."
            )


def parameter_of_last(model, name):
    """What the ``fit`` of a composition calls a parameter of its last step.

    Parameters
    ----------
    model : estimator
    name : str
        The parameter.

    Returns
    -------
    str
    """
    if isinstance(model, Pipeline):
        step, last = model.steps[-1]
        return f"{step}__{parameter_of_last(last, name)}"
    if isinstance(model, BaseSearchCV):
        return parameter_of_last(model.estimator, name)
    return name


def last_of(model):
    """The last step of a composition.

    Parameters
    ----------
    model : estimator

    Returns
    -------
    estimator
    """
    if isinstance(model, Pipeline):
        return last_of(model.steps[-1][1])
    if isinstance(model, BaseSearchCV):
        return last_of(model.estimator)
    return model
