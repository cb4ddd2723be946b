"""Models come back from a file to the bit; nothing else comes out of one."""

import hashlib
import io
import json
import os
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn import config_context
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import specxfer
from specxfer import ModelFileError, Spectra
from specxfer._trusted import audit
from specxfer.abundances import AbundanceRegressor
from specxfer.baselines import NullTranslator
from specxfer.compose import Augmented, ConformalTranslator, TargetWindow
from specxfer.linear import PCARidge, PCARidgeCV, SpectralPCA, SpectralRidge
from specxfer.metrics import line_flux_scorer
from specxfer.model_files import DIGITS, MARK
from specxfer.model_selection import StarKFold
from specxfer.preprocessing import GapMasker, WindowCropper

pytest.importorskip("skops", reason="no skops: pip install 'specxfer[persist]'")

WINDOW = (5005.5, 5012.5)


@pytest.fixture(scope="module")
def pairs():
    """Source and target of 120 stars that differ in three ways, with noise and gaps."""
    rng = np.random.default_rng(1)
    kinds = rng.normal(size=(120, 3))
    sides = []
    for start, n in ((15000, 30), (5000, 20)):
        flux = 0.9 + 0.03 * np.tanh(kinds @ rng.normal(size=(3, n)))
        flux += rng.normal(0, 0.01, flux.shape)
        flux[rng.random(flux.shape) < 0.02] = np.nan
        flux[:, 7] = np.nan
        sides.append(
            Spectra(
                flux.astype("f4"),
                np.where(np.isfinite(flux), 1e4, 0).astype("f4"),
                wave=start + np.arange(n),
                medium="vacuum",
                ids=[f"star{i}" for i in range(120)],
                resolution=rng.normal(25000, 1000, 120),
                meta={
                    "teff": 4800 + 300 * kinds[:, 0],
                    "logg": 2.5 + kinds[:, 1] / 10,
                    "fe_h": kinds[:, 2] / 5,
                    "ba_fe": kinds[:, 0] / 10 + rng.normal(0, 0.02, 120),
                },
            )
        )
    return sides


def models():
    grid = {"n_components": [2, 4]}
    return {
        "PCARidge": PCARidge(3),
        "PCARidgeCV": PCARidgeCV(n_components=(2, 4), cv=3),
        "SpectralRidge": make_pipeline(SpectralPCA(3), SpectralRidge()),
        "NullTranslator": NullTranslator(labels=("teff", "logg", "fe_h")),
        "TargetWindow": TargetWindow(PCARidge(3), WINDOW),
        "ConformalTranslator": ConformalTranslator(PCARidge(3)),
        "Augmented": Augmented(PCARidge(3), n_copies=1),
        "Pipeline": make_pipeline(
            GapMasker(), WindowCropper((15003, 15020)), PCARidge(3)
        ),
        "search": GridSearchCV(PCARidge(), grid, cv=StarKFold(3)),
        "search with a scorer": GridSearchCV(
            make_pipeline(GapMasker(), PCARidge()),
            {f"pcaridge__{name}": values for name, values in grid.items()},
            scoring={"flux": line_flux_scorer(WINDOW), "r2": "r2"},
            refit="flux",
            cv=3,
            error_score=np.nan,
        ),
    }


def fitted(model, pairs):
    X, y = pairs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


@pytest.fixture(scope="module")
def good(pairs, tmp_path_factory):
    """The bytes of a model file."""
    path = tmp_path_factory.mktemp("models") / "good.skops"
    specxfer.save(fitted(PCARidge(3), pairs), path)
    return path.read_bytes()


def same(a, b):
    return np.array_equal(a, b, equal_nan=True)


# ---------------------------------------------------------------------- there and back
@pytest.mark.parametrize("name", models())
def test_every_translator_predicts_to_the_bit(name, pairs, tmp_path):
    X, _ = pairs
    model = fitted(models()[name], pairs)
    specxfer.save(model, tmp_path / "model.skops")
    again = specxfer.load(tmp_path / "model.skops")
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    assert same(again.predict(X), model.predict(X))
    for one, other in zip(
        specxfer.predict_std(again, X), specxfer.predict_std(model, X)
    ):
        assert same(one, other)
    assert same(specxfer.support(again, X), specxfer.support(model, X))
    assert same(
        specxfer.sample(again, X[:3], 2, random_state=0),
        specxfer.sample(model, X[:3], 2, random_state=0),
    )


def test_networks_come_back_to_the_bit(pairs, tmp_path):
    from specxfer.neural import CNNTranslator

    X, _ = pairs
    model = CNNTranslator(
        3,
        base=None,
        encoder="both",
        n_members=2,
        width=8,
        max_epochs=1,
        checkpoint_dir=tmp_path / "epochs",
    )
    fitted(model, [side[:40] for side in pairs])
    X = X[:20]
    specxfer.save(model, tmp_path / "model.skops")
    again = specxfer.load(tmp_path / "model.skops")
    assert same(again.predict(X), model.predict(X))
    assert same(specxfer.predict_std(again, X)[1], specxfer.predict_std(model, X)[1])
    assert again.checkpoint_dir == model.checkpoint_dir
    assert len((tmp_path / "model.skops").read_bytes()) < 3 * len(pickle.dumps(model))


def test_abundances_and_their_table_come_back(pairs, tmp_path):
    X, _ = pairs
    model = AbundanceRegressor(PCARidge(3), ["Ba"], lines=[WINDOW], cv=2)
    fitted(model, [side[:60] for side in pairs])
    specxfer.save(model, tmp_path / "model.skops")
    again = specxfer.load(tmp_path / "model.skops")
    for one, other in zip(again.predict(X, True), model.predict(X, True)):
        assert same(one, other)
    assert again.skill_["rms"].unit == model.skill_["rms"].unit
    assert again.skill_.pformat() == model.skill_.pformat()
    assert again.predict_table(X).pformat() == model.predict_table(X).pformat()


def test_a_loaded_model_is_fitted_again_like_the_first(pairs, tmp_path):
    X, y = pairs
    model = fitted(models()["search with a scorer"], pairs)
    specxfer.save(model, tmp_path / "model.skops")
    again = fitted(specxfer.load(tmp_path / "model.skops"), pairs)
    assert same(again.predict(X), model.predict(X))
    assert again.score(X, y) == model.score(X, y)


@pytest.mark.parametrize("how", ["file", "pickle"])
def test_another_version_is_warned_of(how, pairs, tmp_path):
    model = fitted(make_pipeline(GapMasker(), PCARidge(3)), pairs)
    model[-1].version_ = "0.0.1"
    specxfer.save(model, tmp_path / "model.skops")
    again = {
        "file": lambda: specxfer.load(tmp_path / "model.skops"),
        "pickle": lambda: pickle.loads(pickle.dumps(model)),
    }
    with pytest.warns(UserWarning, match=r"fitted by specxfer 0\.0\.1, here runs"):
        again[how]()
    card = specxfer.read_card(tmp_path / "model.skops")
    assert card["versions"]["fitted by specxfer"] == "0.0.1"


def test_what_refers_to_itself_is_not_saved(pairs, tmp_path):
    with config_context(enable_metadata_routing=True):
        model = PCARidge(3).set_fit_request(sample_weight=True)
    with pytest.raises(ModelFileError, match="refers to itself"):
        specxfer.save(fitted(model, pairs), tmp_path / "model.skops")


# ---------------------------------------------------------------------------- the card
def test_the_card_says_what_the_model_is(pairs, tmp_path):
    X, y = pairs
    model = fitted(make_pipeline(GapMasker(), TargetWindow(PCARidge(3), WINDOW)), pairs)
    specxfer.save(
        model,
        tmp_path / "model.skops",
        training=(X, y),
        metrics={"mse": np.float32(0.5), "per line": np.arange(2), "on": Path("a")},
        licence="CC0-1.0",
        description="für Bärbel",
    )
    card = specxfer.read_card(tmp_path / "model.skops")
    assert card["model"] == "Pipeline of TargetWindow of PCARidge"
    assert card["versions"]["specxfer"] == specxfer.__version__
    assert card["source"]["n_pixels"] == 30
    assert card["source"]["medium"] == "vacuum"
    assert card["target"]["wave"] == [5000.0, 5019.0]  # not the window alone
    assert card["training"] == specxfer.fingerprint(X, y)
    assert card["metrics"] == {"mse": 0.5, "per line": [0, 1], "on": "a"}
    assert (card["licence"], card["description"]) == ("CC0-1.0", "für Bärbel")
    assert card["date"].endswith("+00:00")


def test_fingerprints_tell_spectra_apart(pairs, tmp_path):
    X, y = pairs
    first = specxfer.fingerprint(X)
    assert first != specxfer.fingerprint(X, y) != specxfer.fingerprint(y, X)
    flux = X.flux.copy()
    flux[-1, -1] += 1e-6
    ids = X.ids.copy()
    ids[0] = "other"
    for change in ({"flux": flux}, {"ivar": None}, {"ids": ids}, {"wave": X.wave + 1}):
        assert specxfer.fingerprint(X.replace(**change)) != first
    assert specxfer.fingerprint(X.replace(meta=None)) == first
    np.save(tmp_path / "flux.npy", np.asfortranarray(X.flux))
    mapped = X.replace(flux=np.load(tmp_path / "flux.npy", mmap_mode="r"))
    assert specxfer.fingerprint(mapped) == first


# -------------------------------------------------------------------- what is not saved
def test_functions_of_the_user_are_not_saved(pairs, tmp_path):
    path = tmp_path / "model.skops"
    path.write_bytes(b"the earlier file")
    model = make_pipeline(FunctionTransformer(lambda X: X), PCARidge(3))
    with pytest.raises(ModelFileError, match=r"function .*<lambda>.*or pickle it"):
        specxfer.save(fitted(model, pairs), path)
    assert path.read_bytes() == b"the earlier file"
    assert [each.name for each in tmp_path.iterdir()] == ["model.skops"]


def test_what_load_would_refuse_is_not_saved(pairs, tmp_path):
    X, y = (np.nan_to_num(side.flux[:20]) for side in pairs)
    model = TargetWindow(GaussianProcessRegressor(RBF(), optimizer=None)).fit(X, y)
    with pytest.raises(ModelFileError, match=r"sklearn\.gaussian_process\.kernels"):
        specxfer.save(model, tmp_path / "model.skops")


def test_only_fitted_estimators_are_saved(tmp_path):
    with pytest.raises(TypeError, match="is a dict; expected a fitted estimator"):
        specxfer.save({}, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="not fitted"):
        specxfer.save(PCARidge(), tmp_path / "model.skops")


def test_a_disk_that_is_full_leaves_the_earlier_file(pairs, tmp_path, monkeypatch):
    model = fitted(PCARidge(3), pairs)
    path = tmp_path / "model.skops"
    specxfer.save(model, path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        specxfer.save(model, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.skops"]


def test_without_skops_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match=r"pip install 'specxfer\[persist\]'"):
        specxfer.load(tmp_path / "model.skops")


# --------------------------------------------------------------- damaged, hostile files
def signed(members, comment=MARK, compression=zipfile.ZIP_STORED):
    """A file with a digest that is right, whoever wrote it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = comment + b"0" * DIGITS
    data = buffer.getvalue()[:-DIGITS]
    return data + hashlib.sha256(data).hexdigest().encode()


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def node(loader, full, **more):
    module, _, name = full.rpartition(".")
    return {
        "__loader__": loader,
        "__module__": module,
        "__class__": name,
        "__id__": hash((loader, full)),
        **more,
    }


def text(value):
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def in_tuple(*values):
    return node("TupleNode", "builtins.tuple", content=list(values))


def in_dict(of="builtins.dict", kind=None, **values):
    kinds = [kind or node("TypeNode", "builtins.str")] * len(values)
    return node(
        "DictNode",
        of,
        content=values,
        key_types=node("ListNode", "builtins.list", content=kinds),
    )


class Bomb:
    """What a pickle of it does on loading."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def hostile_nodes(mark):
    """Parts that would run a command, make a file or call what they should not."""
    command = in_tuple(text(f"touch {mark}"))
    folder = in_tuple(text(str(mark)))
    system = node("FunctionNode", "os.system")
    keeper = "specxfer.neural._checkpoint.Checkpoints"  # makes a folder if called
    functions = ["posix.system", "os.system", "builtins.eval", "builtins.exec",
                 "builtins.open", "subprocess.check_output", "importlib.import_module",
                 "specxfer.io.read_apogee", "specxfer.model_files.load",
                 "specxfer.model_files.os", "specxfer.datasets.make_paired_spectra",
                 "numpy.load", "numpy.fromfile", "sklearn.metrics.os.system",
                 "sklearn.datasets._base.load_files", "torch.load"]  # fmt: skip
    objects = ["subprocess.Popen", "builtins.object", "specxfer.model_files.Path",
               "specxfer.model_files.ZipFile", "specxfer.nowhere.PCARidge",
               "specxfer.linear._pca_ridge.Nothing", "specxfer..PCARidge",
               "specxfer.__main__.PCARidge", "specxfer.io/../x.PCARidge",
               "specxferevil.Model", "torch.nn.Linear", "sklearn.utils._bunch.dict",
               "sklearn.externals._packaging.version.Version",
               "sklearn.tree._tree.Tree", "pickle.Unpickler"]  # fmt: skip
    yield from (node("FunctionNode", name) for name in functions)
    yield from (node("TypeNode", name) for name in functions[:6])
    yield from (node("ObjectNode", name) for name in objects)
    for name in ("os.system", "subprocess.Popen", keeper):
        yield node("ConstructorFromReduceNode", name, content=command)
        reduced = {"args": folder}
        yield node("LossNode", name, content=in_dict(), __reduce__=reduced)
        yield node("TreeNode", name, content=in_dict(), __reduce__=reduced)
    called = [
        node("ConstructorFromReduceNode", keeper, content=folder),
        in_dict(**{str(mark): text(1)}, kind=node("TypeNode", keeper)),
        in_dict(of=keeper),
        node("ListNode", keeper, content=[text(str(mark))]),
        node("TupleNode", keeper, content=[text(str(mark))]),
        node("LossNode", keeper, content=in_dict(), __reduce__={"args": folder}),
        node("NdArrayNode", keeper, type="numpy", file="pickled.npy"),
    ]
    for each in called:  # and beside one of the class that is trusted, as it stands
        yield each
        yield in_tuple(node("ObjectNode", keeper, content=in_dict()), each)
    yield node("SetNode", "os.system", content=[])
    yield node(
        "PartialNode",
        "functools.partial",
        content={"func": system, "args": command, "kwds": in_dict(),
                 "namespace": in_dict()},
    )  # fmt: skip
    yield node(
        "MethodNode",
        "specxfer.linear._pca_ridge.PCARidge",
        content={
            "func": "fit",
            "obj": node("ObjectNode", "specxfer.linear._pca_ridge.PCARidge"),
        },
    )
    yield node("OperatorFuncNode", "operator.methodcaller", attrs=command)
    yield node("NdArrayNode", "numpy.load", type="numpy", file="pickled.npy")
    yield node("NdArrayNode", "numpy.ndarray", type="numpy", file="pickled.npy")
    yield node("NdArrayNode", "numpy.ndarray", type="numpy", file="/etc/hostname")
    yield node("NdArrayNode", "numpy.ndarray", type="other")
    generator = {"bit_generator": in_dict(bit_generator=text("seed")),
                 "seed_seq": in_dict()}  # fmt: skip
    yield node("RandomGeneratorNode", "numpy.random.Generator", content=generator)
    yield node("CachedNode", "builtins.int")
    yield node("NoSuchNode", "builtins.int")
    yield {"__loader__": "ObjectNode"}
    yield {"__loader__": ["ObjectNode"], "__module__": 1, "__class__": None}
    yield {"no": "node"}
    yield 5


def damaged_and_hostile(good, mark):
    rng = np.random.default_rng(5)
    for size in [0, 1, 60, 100, *rng.integers(101, len(good), 16), len(good) - 1]:
        yield f"cut to {size} bytes", good[:size]
    for at in rng.integers(0, len(good) * 8, 30):
        flipped = bytearray(good)
        flipped[at // 8] ^= 1 << at % 8
        yield f"bit {at} flipped", bytes(flipped)
    parts = members(good)
    bomb = np.array([Bomb(f"touch {mark}")], dtype=object)
    pickled = io.BytesIO()
    np.save(pickled, bomb, allow_pickle=True)
    parts["pickled.npy"] = pickled.getvalue()
    for i, evil in enumerate(hostile_nodes(mark)):
        root = json.loads(parts["schema.json"])
        root["content"]["content"]["evil"] = evil  # a model with one thing more
        root["content"]["key_types"]["content"].append(node("TypeNode", "builtins.str"))
        yield f"hostile {i}: {evil}", signed(parts | {"schema.json": json.dumps(root)})
    for protocol in (0, 1):  # the older and laxer readers
        evil = {**node("FunctionNode", "os.system"), "content": "os.system"}
        root["content"]["content"]["evil"] = evil
        old = json.dumps(root | {"protocol": protocol})
        yield f"protocol {protocol}", signed(parts | {"schema.json": old})
    for protocol in (99, -1, None, True):
        odd = json.dumps(json.loads(parts["schema.json"]) | {"protocol": protocol})
        yield f"protocol {protocol}", signed(parts | {"schema.json": odd})
    for schema in ("", "[]", "5", "null", "{}", "[" * 100_000, '{"a":' * 100_000):
        yield f"schema {schema[:9]}", signed(parts | {"schema.json": schema})
    yield "no schema", signed({"card.json": "{}"})
    yield (
        "of no model",
        signed({"schema.json": json.dumps(in_dict() | {"protocol": 2})}),
    )
    zeros = parts | {"zeros.npy": bytes(10**7)}
    yield "zip bomb", signed(zeros, compression=zipfile.ZIP_DEFLATED)
    yield "of another version", signed(parts, MARK.replace(b"1", b"7"))
    yield "pickle", pickle.dumps(Bomb(f"touch {mark}"))
    yield (
        "no archive",
        (b"?" * 99 + MARK) + hashlib.sha256(b"?" * 99 + MARK).hexdigest().encode(),
    )


CALLS = {"os.system", "os.exec", "subprocess.Popen", "pickle.find_class", "os.mkdir"}
watched = []
watching = False


def _watch(event, args):
    if watching and event in CALLS:
        watched.append((event, args))


def test_damaged_and_hostile_files_are_refused_and_execute_nothing(good, tmp_path):
    global watching
    mark = tmp_path / "executed"
    files = list(damaged_and_hostile(good, mark))
    assert len(files) >= 100
    sys.addaudithook(_watch)
    path = tmp_path / "model.skops"
    let_in = []
    for name, data in files:
        path.write_bytes(data)
        watching = True
        try:
            specxfer.load(path)
            let_in.append(name)
        except ModelFileError:
            pass
        finally:
            watching = False
    assert not let_in
    assert not watched
    assert not mark.exists()
    path.write_bytes(signed(members(good)))  # the forger's way of signing is right
    assert isinstance(specxfer.load(path), PCARidge)


def test_cards_of_damaged_files_are_refused(good, tmp_path):
    path = tmp_path / "model.skops"
    parts = members(good)
    for card in ("", "[]", '"text"', "{"):
        path.write_bytes(signed(parts | {"card.json": card}))
        with pytest.raises(ModelFileError, match="card"):
            specxfer.read_card(path)
    path.write_bytes(good[:-1])
    with pytest.raises(ModelFileError, match="cut off"):
        specxfer.read_card(path)


def test_the_audit_trusts_the_classes_that_a_model_needs_and_no_more(good):
    trusted = audit(json.loads(members(good)["schema.json"]))
    assert trusted == [
        "numpy.dtype",
        "specxfer._resolution.ResolutionChange",
        "specxfer.linear._pca_ridge.PCARidge",
        "specxfer.linear._pixel_ridge.PixelRidge",
        "specxfer.linear._scatter.LineScatter",
        "specxfer.linear._scores.ScoreModel",
        "specxfer.linear._spectral_pca.SpectralPCA",
        "specxfer.linear._star_kinds.StarKinds",
    ]


def test_a_missing_folder_or_file_is_named(pairs, tmp_path):
    X, y = pairs
    model = PCARidge(2).fit(X, y)
    with pytest.raises(FileNotFoundError, match=r"the folder .*none does not exist"):
        specxfer.save(model, tmp_path / "none" / "m.skops")
    for read in (specxfer.load, specxfer.read_card):
        with pytest.raises(FileNotFoundError, match=r"no\.skops does not exist"):
            read(tmp_path / "no.skops")
