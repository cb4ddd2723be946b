"""What a model file says of the model in it."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from specxfer._fingerprint import fingerprint
from specxfer._version import __version__

__all__ = ["card_of", "plain"]

PACKAGES = "numpy", "scipy", "scikit-learn", "skops"


def card_of(model, *, training, metrics, licence, description):
    """The card of a fitted model.

    Parameters
    ----------
    model : estimator
    training : str, Spectra or sequence of these, or None
    metrics : dict or None
    licence, description : str or None

    Returns
    -------
    dict
        Of what JSON can say.
    """
    if training is not None and not isinstance(training, str):
        each = training if isinstance(training, list | tuple) else (training,)
        training = fingerprint(*each)
    packages = {name: version(name) for name in PACKAGES}
    return {
        "model": _name(model),
        "versions": {
            "specxfer": __version__,
            "fitted by specxfer": _first(model, "version_"),
            "python": platform.python_version(),
            **packages,
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": licence,
        "source": _grid(model, "in", "n_features_in_"),
        "target": _grid(model, "out", "n_pixels_out_"),
        "training": training,
        "metrics": plain(metrics or {}),
        "description": description,
    }


def _chain(model):
    """A model and what it is made around, from the outside to the inside."""
    while model is not None:
        yield model
        inner = ("best_estimator_", "estimator_", "translator_")
        found = [getattr(model, name) for name in inner if hasattr(model, name)]
        steps = getattr(model, "steps", [(None, None)])
        model = found[0] if found else steps[-1][1]


def _first(model, name):
    """What the outermost estimator that has it calls by that name."""
    found = (getattr(each, name) for each in _chain(model) if hasattr(each, name))
    return next(found, None)


def _name(model):
    """Its class and those inside it."""
    return " of ".join(type(each).__name__ for each in _chain(model))


def _grid(model, side, count):
    """How many pixels, from where to where, in which medium."""
    wave, n = _first(model, f"wave_{side}_"), _first(model, count)
    grid = {"n_pixels": None if n is None else int(n)}
    if wave is not None:
        grid |= {
            "wave": [float(wave[0]), float(wave[-1])],
            "medium": _first(model, f"medium_{side}_"),
            "grid": fingerprint_of_grid(wave),
        }
    return grid


def fingerprint_of_grid(wave):
    """By which two grids of wavelengths are known to be the same."""
    return fingerprint(np.asarray(wave, float)[None])[:16]


def plain(value):
    """A value of the user's as JSON can say it."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    try:
        json.dumps(value)
    except TypeError:
        return str(value)
    return value
