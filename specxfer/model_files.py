"""Models as files that hold data and no code, with a card that says what they are."""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from specxfer._model_card import card_of
from specxfer._paths import is_missing, require_folder, seen_instead
from specxfer._runs import write_whole
from specxfer._trusted import Untrusted, audit

__all__ = ["ModelFileError", "load", "read_card", "save"]

MARK = b"specxfer model file 1, sha256 "  # then the digest of all before it, in hex
DIGITS = 64
CARD = "card.json"
SCHEMA = "schema.json"


class ModelFileError(ValueError):
    """A file that is refused: not a model file, damaged, or of more than data.

    Parameters
    ----------
    path : str
        The file.
    reason : str
        What was seen, and what to do about it.
    """

    def __init__(self, path, reason):
        super().__init__(str(path), reason)  # both, so that it pickles
        self.path = str(path)
        self.reason = reason

    def __str__(self):
        return f"{self.path}: {self.reason}"


def save(model, path, *, training=None, metrics=None, licence=None, description=None):
    """Write a fitted model to a file that can be opened without trusting its author.

    The file holds arrays, numbers and names of classes, in the format of skops, and a
    card that says what the model is. It is there whole or not at all.

    Parameters
    ----------
    model : estimator
        A fitted translator, Pipeline, search, or other estimator of this library or of
        scikit-learn.
    path : path-like
        By custom ``….skops``. An earlier file is replaced.
    training : str or Spectra or tuple of Spectra, optional
        What it was trained on, such as ``(X, y)``: the card gets its `fingerprint`.
    metrics : dict, optional
        What the card is to say of how good it is.
    licence : str, optional
        Terms on which others may use it, such as "CC-BY-4.0".
    description : str, optional

    Raises
    ------
    ModelFileError
        If the model holds something that is not data, such as a function of the
        user's; pickle it, or take that part out.
    FileNotFoundError
        If there is no folder to write to.
    ImportError
        If skops is not installed.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    See Also
    --------
    load : Make the model again.
    read_card : What the file says of the model.

    Notes
    -----
    The card and the fingerprints are what the author says: nothing proves them. A
    Path given to a model as a parameter, such as `checkpoint_dir`, is in the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np, specxfer
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.skops"
    ...     specxfer.save(model, path, training=(X, y), licence="CC-BY-4.0")
    ...     again = specxfer.load(path)
    ...     card = specxfer.read_card(path)
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    >>> card["model"], card["licence"], card["training"] == specxfer.fingerprint(X, y)
    ('PCARidge', 'CC-BY-4.0', True)
    """
    skops = _skops()
    if not isinstance(model, BaseEstimator):
        raise TypeError(
            f"model is a {type(model).__name__}; expected a fitted estimator."
        )
    check_is_fitted(model)
    require_folder(path)
    card = card_of(
        model,
        training=training,
        metrics=metrics,
        licence=licence,
        description=description,
    )
    try:
        data = skops.dumps(model)
        with ZipFile(BytesIO(data)) as archive:
            trusted = audit(json.loads(archive.read(SCHEMA)))
        others = set(skops.get_untrusted_types(data=data)) - set(trusted)
        if others:
            raise Untrusted(f"it holds a {min(others)}")
    except (Untrusted, TypeError, RecursionError) as error:
        if isinstance(error, RecursionError):  # metadata requests of scikit-learn do
            error = "a part of it refers to itself, as after set_fit_request"
        raise ModelFileError(
            path,
            f"this {type(model).__name__} is not data alone and is not written "
            f"({error}): take that part out, or pickle it.",
        ) from None
    buffer = BytesIO(data)
    with ZipFile(buffer, "a", ZIP_STORED) as archive:
        archive.writestr(CARD, json.dumps(card, indent=2, ensure_ascii=False))
        archive.comment = MARK + b"0" * DIGITS
    data = buffer.getvalue()[:-DIGITS]
    write_whole(path, data + hashlib.sha256(data).hexdigest().encode())


def load(path):
    """Read a model that `save` wrote; nothing in the file is executed.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    estimator
        Predicts to the bit as the one that was saved, on the same machine and with the
        same versions. Another version of this library or of scikit-learn than it was
        fitted with is warned of, as with pickles.

    Raises
    ------
    ModelFileError
        If the file is not one of `save`, is damaged, or holds anything but data and
        classes of this library, numpy and scikit-learn.
    FileNotFoundError
        If there is no such file.
    ImportError
        If skops is not installed.

    See Also
    --------
    save : Write such a file.

    Notes
    -----
    Harmless is not the same as right: whoever wrote the file chose the numbers in it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np, specxfer
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     specxfer.save(model, Path(folder) / "model.skops")
    ...     again = specxfer.load(Path(folder) / "model.skops")
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    skops = _skops()
    data = _checked(path)
    try:
        with ZipFile(BytesIO(data)) as archive:
            trusted = audit(json.loads(archive.read(SCHEMA)))
        model = skops.loads(data, trusted=trusted)
    except Untrusted as error:
        raise ModelFileError(
            path, f"{error}, which model files need not: do not trust it."
        ) from error
    except Exception as error:  # whatever nonsense in a file makes Python raise
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ModelFileError(path, f"it makes no model ({detail}).") from error
    if not isinstance(model, BaseEstimator):
        raise ModelFileError(
            path, f"it holds a {type(model).__name__}, expected an estimator."
        )
    return model


def read_card(path):
    """What a model file says of its model, without making the model.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict
        ``model``; ``versions`` at saving; ``date`` (UTC); ``licence``; ``source`` and
        ``target``: ``n_pixels`` and, if known, the first and last ``wave`` in Å, the
        ``medium``, and 16 digits by which a ``grid`` is known; ``training``: the
        `fingerprint` of what it was trained on; ``metrics``; ``description``.

    Raises
    ------
    ModelFileError
        If the file is not one of `save`, or is damaged.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np, specxfer
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     specxfer.save(model, Path(folder) / "model.skops")
    ...     card = specxfer.read_card(Path(folder) / "model.skops")
    >>> card["model"], card["target"]["n_pixels"]
    ('PCARidge', 3)
    """
    data = _checked(path)
    try:
        with ZipFile(BytesIO(data)) as archive:
            card = json.loads(archive.read(CARD))
    except Exception as error:
        raise ModelFileError(path, f"its card cannot be read ({error}).") from error
    if not isinstance(card, dict):
        raise ModelFileError(path, "its card is no table of names.")
    return card


def _checked(path):
    """The bytes of a model file, all as they were written."""
    if is_missing(path):
        raise FileNotFoundError(
            f"No such file: {path} does not exist ({seen_instead(path)})."
        )
    data = Path(path).read_bytes()
    body, digest = data[:-DIGITS], data[-DIGITS:]
    if not body.endswith(MARK):
        raise ModelFileError(
            path,
            f"it is no model file of this version, or it is cut off ({len(data)} "
            "bytes): write it by specxfer.save, or copy it again.",
        )
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ModelFileError(path, "it is damaged: copy it again.")
    try:
        with ZipFile(BytesIO(data)) as archive:
            sizes = [member.file_size for member in archive.infolist()]
            stored = all(m.compress_type == ZIP_STORED for m in archive.infolist())
    except Exception as error:
        raise ModelFileError(path, f"it is no archive ({error}).") from error
    if not stored or sum(sizes) > len(data):
        raise ModelFileError(path, "it would grow on reading: do not trust it.")
    return data


def _skops():
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "model files need skops: pip install 'specxfer[persist]'."
        ) from error
    return skops.io
