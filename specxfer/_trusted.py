"""What a model file may hold: data, and classes of ours and of scikit-learn."""

import importlib
from pathlib import Path

import numpy as np

__all__ = ["Untrusted", "audit"]

# Kinds of node of a skops file that are data, and the types each may make. Other kinds
# (methods, partial functions, operators, constructor calls) are for code: never needed.
DATA = {
    "JsonNode": {"builtins.str"},
    "DictNode": {"builtins.dict", "collections.OrderedDict"},
    "ListNode": {"builtins.list"},
    "TupleNode": {"builtins.tuple"},
    "SetNode": {"builtins.set"},
    "SliceNode": {"builtins.slice"},
    "DTypeNode": {"numpy.dtype"},
    "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
}
TYPES = {f"builtins.{name}" for name in ("str", "int", "float", "bool")}
PATHS = {
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "WindowsPath")
}
# of scikit-learn, beside the estimators that skops knows
SCIKIT_LEARN = {
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.utils._bunch.Bunch",
}
SPLITTERS = "sklearn.model_selection._split"
KEYS = ("loader", "module", "class")
HOME = Path(__file__).parent


class Untrusted(ValueError):
    """Something that a model file must not hold."""


def audit(schema):
    """Look through the schema of a skops file, before anything is made of it.

    Parameters
    ----------
    schema : dict
        What its ``schema.json`` says.

    Returns
    -------
    list of str
        Classes and functions it needs that skops itself does not trust.

    Raises
    ------
    Untrusted
        If it asks for anything that is neither data nor a class of this library, nor
        left to skops to judge (numpy's numbers and functions, scikit-learn's
        estimators).
    """
    trusted = {"numpy.dtype"}
    scorers = None
    left = [schema]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
            continue
        if not isinstance(node, dict):
            continue
        left += node.values()
        if "__loader__" not in node:
            continue
        loader, module, name = (node.get(f"__{k}__") for k in KEYS)
        if not all(isinstance(part, str) for part in (loader, module, name)):
            raise Untrusted("a part of it says no type")
        full = f"{module}.{name}"
        if loader == "ObjectNode":
            if module.partition(".")[0] == "specxfer":
                _check_ours(module, name)
                trusted.add(full)
            elif full in SCIKIT_LEARN or module == SPLITTERS:
                _check_class(module, name)
                trusted.add(full)
            elif module.partition(".")[0] != "sklearn":
                raise Untrusted(f"it holds a {full}")
        elif loader == "FunctionNode":
            if module.startswith("sklearn.metrics."):
                scorers = scorers or _scorer_functions()
                if full not in scorers:
                    raise Untrusted(f"it holds the function {full}")
                trusted.add(full)
            elif module.partition(".")[0] not in ("numpy", "scipy"):
                raise Untrusted(f"it holds the function {full}")
        elif loader == "ConstructorFromReduceNode":
            if full not in PATHS:
                raise Untrusted(f"it holds a {full}")
            trusted.add(full)
        elif loader == "NdArrayNode":
            if full != "numpy.ndarray" and not _is_number(module, name):
                raise Untrusted(f"it holds a {full}")
        elif loader == "TypeNode":
            if full not in TYPES and not _is_number(module, name):
                raise Untrusted(f"it holds the type {full}")
        elif full not in DATA.get(loader, ()):
            raise Untrusted(f"it holds a {full}, as {loader}")
    return sorted(trusted)


def _is_number(module, name):
    """Whether it is one of numpy's kinds of number."""
    found = vars(np).get(name) if module == "numpy" else None
    return isinstance(found, type) and issubclass(found, np.generic)


def _check_ours(module, name):
    """Only classes that a module of this library defines; no function, no import."""
    parts = module.split(".")[1:]
    at = HOME.joinpath(*parts)
    known = all(part.isidentifier() and part != "__main__" for part in parts)
    if not known or not (at.with_suffix(".py").is_file() or at.is_dir()):
        raise Untrusted(f"it holds a {module}.{name}, which this version has not")
    _check_class(module, name)


def _check_class(module, name):
    found = vars(importlib.import_module(module)).get(name)
    if not isinstance(found, type) or found.__module__ != module:
        raise Untrusted(
            f"it holds a {module}.{name}, which is no class of this version"
        )


def _scorer_functions():
    """The functions behind scikit-learn's named scorers."""
    from sklearn.metrics import get_scorer, get_scorer_names

    found = (get_scorer(name)._score_func for name in get_scorer_names())
    return {f"{function.__module__}.{function.__name__}" for function in found}
