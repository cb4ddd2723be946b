"""Every public object says what it takes, what it gives, and how it is used."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import specxfer

API_PAGE = Path(__file__).resolve().parents[1] / "docs" / "api" / "index.rst"


def public_modules():
    found = pkgutil.walk_packages(specxfer.__path__, "specxfer.")
    names = [m.name for m in found if "._" not in m.name]
    return [specxfer] + [importlib.import_module(name) for name in names]


def public_objects():
    """Name and object of each public class and function, once each."""
    seen = {}
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            ours = getattr(value, "__module__", "").startswith("specxfer")
            if ours and (inspect.isclass(value) or inspect.isfunction(value)):
                seen.setdefault(value, f"{module.__name__}.{name}")
    return {name: value for value, name in seen.items()}


def public_methods():
    for name, cls in OBJECTS.items():
        if inspect.isclass(cls):
            for key, value in vars(cls).items():
                plain = getattr(value, "__func__", value)  # of static and class methods
                if inspect.isfunction(plain) and not key.startswith("_"):
                    yield f"{name}.{key}", plain


OBJECTS = public_objects()
METHODS = dict(public_methods())
CLASSES = [name for name, value in OBJECTS.items() if inspect.isclass(value)]
CALLABLES = OBJECTS | METHODS


def sections(value):
    """The sections of a numpydoc docstring, by title; "" is what comes before."""
    parts = re.split(r"^(\w[\w ]+)\n-{3,}$", inspect.getdoc(value) or "", flags=re.M)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2]))


def described(section):
    """The names that a Parameters section describes."""
    heads = re.findall(r"^(\S.*)$", section, flags=re.M)
    names = (head.split(" :")[0].split(",") for head in heads)
    return {name.strip().lstrip("*") for group in names for name in group}


def taken(value):
    parameters = inspect.signature(value).parameters
    given = {"self", "cls"}
    return {n for n in parameters if n not in given and not n.startswith("_")}


def is_result(value):
    """Exceptions and named tuples, which our functions make, not the user."""
    return inspect.isclass(value) and issubclass(value, BaseException | tuple)


@pytest.mark.parametrize("name", CALLABLES)
def test_it_begins_with_one_line(name):
    first = sections(CALLABLES[name])[""].split("\n\n")[0].strip()
    assert first, "has no docstring"
    assert "\n" not in first, f"the first line goes on: {first!r}"
    assert first.endswith("."), f"the first line is no sentence: {first!r}"


@pytest.mark.parametrize("name", CALLABLES)
def test_it_describes_its_parameters_and_no_others(name):
    value = CALLABLES[name]
    if is_result(value):
        pytest.skip("not made by users")
    if name in METHODS and not taken(value):
        return
    found = sections(value)
    text = found.get("Parameters", "") + found.get("Other Parameters", "")
    assert described(text) == taken(value)


@pytest.mark.parametrize("name", [n for n in CALLABLES if n not in CLASSES])
def test_it_says_what_it_gives(name):
    value = CALLABLES[name]
    source = inspect.getsource(inspect.unwrap(value))
    found = sections(value)
    if re.search(r"^\s+(return|yield) [^\s]", source, flags=re.M) and (
        taken(value) or name not in METHODS
    ):
        assert {"Returns", "Yields"} & set(found)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_example_shows_how_it_is_used(name):
    """The doctests run it."""
    if is_result(OBJECTS[name]):
        pytest.skip("not made by users")
    assert ">>> " in sections(OBJECTS[name]).get("Examples", "")


# Checks of numpydoc that are not ours, and why.
NOT_OURS = {
    "ES01": "one line may say all",
    "SA01": "not everything has a relative",
    "EX01": "methods are shown in the example of their class; see the test above",
    "PR03": "parameters that belong together are described together",
    "PR04": "a name may say all, as `n_jobs` does",
    "PR07": "the same",
    "PR08": "descriptions may begin with km/s, mÅ or a piece of code",
    "RT01": "see the test above",
    "RT02": "several values are named",
    "RT03": "the type may say all",
    "RT04": "as PR08",
    "SS05": "takes plurals for verbs",
}


@pytest.mark.parametrize("name", CALLABLES)
def test_it_passes_the_validation_of_numpydoc(name):
    validation = pytest.importorskip("numpydoc.validate", reason="no numpydoc")
    if is_result(CALLABLES[name]):
        pytest.skip("fields of results are attributes")
    errors = validation.validate(name)["errors"]
    assert not [error for error in errors if error[0] not in NOT_OURS]


@pytest.mark.parametrize("name", CLASSES)
def test_a_fitted_estimator_lists_what_it_learns(name):
    cls = OBJECTS[name]
    fit = getattr(cls, "fit", None)
    if fit is None or inspect.isabstract(cls):
        pytest.skip("learns nothing")
    assert "Attributes" in sections(cls)


def test_the_reference_lists_every_public_object():
    listed = re.findall(r"^   (specxfer[\w.]*)$", API_PAGE.read_text(), flags=re.M)
    assert sorted(set(listed)) == sorted(listed)
    reachable = set()
    for module in map(importlib.import_module, listed):
        reachable |= {id(getattr(module, name)) for name in module.__all__}
    missing = [name for name, value in OBJECTS.items() if id(value) not in reachable]
    assert not missing
