"""specxfer build, fit, translate, score: what they do is what the library does."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable, Table

import specxfer
from specxfer import Spectra, predict_like
from specxfer._command_line import main
from specxfer.io import (
    PairedStore,
    apogee_wave,
    galah_wave,
    read_apogee,
    read_galah,
    write_galah,
)
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.metrics import line_table

pytest.importorskip("skops")
N = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small surveys on disk: lines of one strength a star, in both."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("surveys")
    strength = rng.uniform(0.1, 0.5, N)
    names = [f"2M000000{i:02d}+0000001" for i in range(N)]
    (folder / "apogee").mkdir()
    pixel = np.arange(7514)
    for name, s in zip(names, strength):
        flux = 1 - s * np.exp(-0.5 * ((pixel % 100 - 50) / 2.0) ** 2)
        np.savez(
            folder / "apogee" / f"{name}.npz",
            normalized_flux=flux + 0.01 * rng.normal(size=pixel.size),
            normalized_error=np.full(pixel.size, 0.01),
            apogee_id=name,
        )
    wave = galah_wave(3)
    lines = np.exp(-0.5 * ((wave % 20 - 10) / 0.2) ** 2)
    flux = 1 - strength[:, None] * lines + 0.01 * rng.normal(size=(N, wave.size))
    y = Spectra(flux, np.full(flux.shape, 1e4), wave=wave, medium="air", ids=names)
    ids = 210101000101001 + np.arange(N)
    write_galah(y, folder / "galah", sobject_ids=ids)
    Table(
        {
            "star": names[:-2],
            "source_apogee_id": names[:-2],
            "target_sobject_id": ids[:-2],
        }
    ).write(folder / "pairs.ecsv")
    return folder


def both(folder):
    return [
        *("--source", str(folder / "apogee"), "--target", str(folder / "galah")),
        "--quiet",
    ]


@pytest.fixture(scope="module")
def model(folder):
    """A model file, fitted by the command."""
    path = str(folder / "model.skops")
    settings = ["--set", "n_components=2", "n_products=0", "alpha=1.0"]
    settings += ["--hold-out", "0.25", "--licence", "CC0"]
    code = main(["fit", *both(folder), "--out", path, *settings])
    assert code == 0
    return path


def data(folder):
    X, _ = read_apogee(folder / "apogee")
    y, _ = read_galah(folder / "galah")
    return X, y


# --------------------------------------------------------------------------- doing
def test_fit_is_the_fit_of_the_library(model, folder):
    X, y = data(folder)
    held_out = Path(f"{model}.held_out.txt").read_text().split()
    assert len(held_out) == 4
    train = ~np.isin(X.ids, held_out)
    plain = PCARidge(n_components=2, n_products=0, alpha=1.0).fit(X[train], y[train])
    loaded = specxfer.load(model)
    np.testing.assert_array_equal(loaded.predict(X), plain.predict(X))
    card = specxfer.read_card(model)
    assert card["licence"] == "CC0"
    assert card["metrics"]["n_stars"] == N - 4
    assert card["metrics"]["score_held_out"] == plain.score(X[~train], y[~train])
    assert card["metrics"]["score_held_out"] > 0.5


def test_score_is_the_score_of_the_library(model, folder, capsys):
    out = folder / "score.ecsv"
    stars = f"{model}.held_out.txt"
    command = ["score", model, *both(folder), "--stars", stars]
    assert main([*command, "--lines", "Ba II 6497", "--out", str(out)]) == 0
    X, y = data(folder)
    rows = np.isin(X.ids, Path(stars).read_text().split())
    X, y, loaded = X[rows], y[rows], specxfer.load(model)
    score = loaded.score(X, y)
    assert f"score: {score:.4f}" in capsys.readouterr().out
    table = Table.read(out)
    assert table.meta["score"] == score
    lines = load_lines("galah", names=["Ba II 6497"])
    expected = line_table(y, {"model": predict_like(loaded, X, y)}, lines)
    for name in expected.colnames:
        np.testing.assert_array_equal(table[name], expected[name])
    assert main([*command, "--out", str(out), "--overwrite"]) == 0
    with pytest.raises(SystemExit) as stop:  # it is there already
        main([*command, "--out", str(out)])
    assert stop.value.code == 2


def test_score_keeps_to_stars_that_the_model_has_not_seen(
    model, folder, tmp_path, capsys
):
    stars = f"{model}.held_out.txt"
    assert main(["score", model, *both(folder), "--stars", stars]) == 0
    asked = capsys.readouterr()
    assert main(["score", model, *both(folder)]) == 0
    found = capsys.readouterr()
    assert found.out == asked.out
    assert f"4 of {N} pairs are scored" in found.err
    # of a model that held none out, trained on these pairs
    X, y = data(folder)
    path = tmp_path / "all.skops"
    specxfer.save(PCARidge(2, n_products=0).fit(X, y), path, training=(X, y))
    assert main(["score", str(path), *both(folder)]) == 0
    assert "was fitted to these very pairs" in capsys.readouterr().err
    assert main(["score", str(path), *both(folder), "--stars", stars]) == 0
    assert "very pairs" not in capsys.readouterr().err
    # a list of stars that are not here says nothing of these
    Path(f"{path}.held_out.txt").write_text("another\n")
    assert main(["score", str(path), *both(folder)]) == 0
    assert f"{N} pairs" in capsys.readouterr().out


def test_translate_is_the_translation_of_the_library(model, folder, tmp_path, capsys):
    zarr = pytest.importorskip("zarr")
    out = tmp_path / "catalogue"
    command = ["translate", model, "--source", str(folder / "apogee"), "--quiet"]
    command += ["--out", str(out), "--lines", "Ba II 6497", "--table", "ecsv"]
    assert main(command) == 0
    assert f"{N} stars" in capsys.readouterr().out
    X, _ = data(folder)
    stored = zarr.open_group(out / "spectra.zarr", mode="r")
    flux, std = specxfer.predict_std(specxfer.load(model), X)
    np.testing.assert_array_equal(stored["flux"][:], flux)
    np.testing.assert_allclose(stored["std"][:], std, rtol=1e-6)
    table = QTable.read(out / "table.ecsv")
    assert list(table["id"]) == list(X.ids)
    assert "ew_Ba_II_6497" in table.colnames
    before = (out / "table.ecsv").stat().st_mtime_ns
    assert main(command) == 0  # all is there
    assert (out / "table.ecsv").stat().st_mtime_ns == before


def test_a_table_of_pairs_names_the_stars(folder, tmp_path, capsys):
    out = str(tmp_path / "model.skops")
    command = ["fit", *both(folder), "--out", out, "--set", "n_components=1"]
    pairs = ["--pairs", str(folder / "pairs.ecsv")]
    assert main([*command, *pairs]) == 0
    assert f"{N - 2} pairs of spectra of {N - 2} stars" in capsys.readouterr().err
    assert specxfer.read_card(out)["metrics"]["n_stars"] == N - 2


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def store(folder):
    """Stored pairs, made by the command."""
    path = folder / "pairs.zarr"
    assert main(["build", str(path), *both(folder)]) == 0
    return path


def test_build_stores_what_the_readers_read(store, folder):
    X, y = data(folder)
    stored = PairedStore(store)
    stored.verify()
    assert list(stored.source.ids) == list(X.ids) == list(stored.target.ids)
    order = [list(y.ids).index(star) for star in X.ids]
    for given, kept in ((X, stored.source), (y[order], stored.target)):
        assert kept.is_lazy
        np.testing.assert_allclose(kept.flux, given.flux, atol=2**-14)
        np.testing.assert_allclose(kept.ivar, given.ivar, rtol=2**-8)
        assert list(kept.meta["file"]) == list(given.meta["file"])


def test_build_takes_a_table_of_pairs_and_every_bit(folder, tmp_path, capsys):
    out = tmp_path / "pairs.zarr"
    pairs = Table.read(folder / "pairs.ecsv")
    pairs["star"] = [f"star {i}" for i in range(N - 2)]
    pairs["mg_fe"] = np.linspace(0, 1, N - 2)
    pairs.write(tmp_path / "pairs.ecsv")
    command = ["build", str(out), *both(folder), "--lossless", "--pairs"]
    assert main([*command, str(tmp_path / "pairs.ecsv")]) == 0
    assert f"{N - 2} pairs" in capsys.readouterr().out
    stored = PairedStore(out)
    assert list(stored.source.ids) == list(pairs["star"])
    assert list(stored.target.meta["mg_fe"]) == list(pairs["mg_fe"])
    X, _ = data(folder)
    np.testing.assert_array_equal(stored.source.flux, X[: N - 2].flux)


def test_fit_and_score_read_a_store_on_demand(store, tmp_path, monkeypatch, capsys):
    out, seen = str(tmp_path / "m.skops"), []
    fit = PCARidge.fit
    monkeypatch.setattr(
        PCARidge, "fit", lambda *args: (seen.extend(args[1:]), fit(*args))[1]
    )
    command = ["--store", str(store), "--quiet"]
    settings = ["--set", "n_components=2", "n_products=0", "alpha=1.0"]
    assert main(["fit", *command, "--out", out, "--hold-out", "0.25", *settings]) == 0
    assert len(seen) == 2
    assert all(side.is_lazy and len(side) == N - 4 for side in seen)
    held_out = f"{out}.held_out.txt"
    assert main(["score", out, *command, "--stars", held_out]) == 0
    printed = capsys.readouterr().out
    stored = PairedStore(store)
    rows = np.isin(stored.source.ids, Path(held_out).read_text().split())
    plain = PCARidge(n_components=2, n_products=0, alpha=1.0)
    plain.fit(stored.source[~rows], stored.target[~rows])
    score = plain.score(stored.source[rows], stored.target[rows])
    assert specxfer.read_card(out)["metrics"]["score_held_out"] == score
    assert f"score: {score:.4f}" in printed


# ---------------------------------------------------------------------- exit codes
def test_files_that_cannot_be_read_are_1(model, folder, tmp_path, capsys):
    pytest.importorskip("zarr")
    (tmp_path / "bad.npz").write_bytes(b"no")
    command = ["translate", model, "--quiet", "--out", str(tmp_path / "out")]
    command += ["--source", str(folder / "apogee"), str(tmp_path / "bad.npz")]
    assert main(command) == 1
    found = capsys.readouterr()
    assert "1 of 17 files could not be read" in found.err
    assert "17 stars" in found.out
    empty = ["--source", str(tmp_path / "none"), "--target", str(folder / "galah")]
    assert main(["score", model, *empty, "--quiet"]) == 1
    assert f"{tmp_path / 'none'} does not exist" in capsys.readouterr().err
    empty[1] = str(tmp_path / "none*")
    assert main(["score", model, *empty, "--quiet"]) == 1
    assert "no source spectrum could be read" in capsys.readouterr().err


def test_surveys_the_wrong_way_round(folder, tmp_path, capsys):
    paths = ["--source", str(folder / "galah"), "--target", str(folder / "apogee")]
    reason = "looks like GALAH DR4: use read_galah"
    for command in (["build", "p.zarr"], ["fit", "--out", "m.skops"]):
        command[-1] = str(tmp_path / command[-1])
        assert main([*command, *paths, "--quiet"]) == 1
        said = capsys.readouterr().err
        assert reason in said
        assert "as apogee: " in said or "as one of apogee: " in said
    pairs = ["--pairs", str(folder / "pairs.ecsv")]
    assert main(["build", str(tmp_path / "p"), *paths, "--quiet", *pairs]) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert "swapped" in said


def test_build_leaves_out_what_cannot_be_read_and_says_so(folder, tmp_path, capsys):
    bad = tmp_path / "2M00000015+0000001.npz"  # as its name says
    bad.write_bytes(b"no")
    good = sorted(map(str, (folder / "apogee").iterdir()))[:3]
    command = ["build", str(tmp_path / "pairs.zarr"), "--source", *good, str(bad)]
    command += ["--target", str(folder / "galah"), "--quiet", "--on-error"]
    assert main([*command, "raise"]) == 1
    assert "call again" in capsys.readouterr().err
    for _ in range(2):  # and again, when it is done
        assert main([*command, "skip"]) == 1
        found = capsys.readouterr()
        assert "1 files could not be read" in found.err
        assert bad.name in found.err
        assert "3 pairs of 4" in found.out
    report = PairedStore(tmp_path / "pairs.zarr").report
    assert report["file"][report["status"] == "refused"].tolist() == [str(bad)]
    assert main([*command[:-1], "--lossless"]) == 1
    assert "holds a store of another run" in capsys.readouterr().err


def test_a_store_that_is_none_or_names_no_star_is_1(folder, tmp_path, capsys):
    out = ["--out", str(tmp_path / "m.skops")]
    assert main(["fit", "--store", str(folder), *out]) == 1
    assert "is no part of a store" in capsys.readouterr().err
    X, y = (Spectra(np.ones((3, 4)), wave=None, medium=None) for _ in "Xy")
    PairedStore.build(tmp_path / "nameless.zarr", X, y)
    assert main(["fit", "--store", str(tmp_path / "nameless.zarr"), *out]) == 1
    assert "does not say of which star" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ["--source", "a"],
        ["--source", "a", "--pairs", "p"],
        ["--store", "s", "--target", "b"],
        ["--store", "s", "--pairs", "p"],
    ],
)
@pytest.mark.parametrize("command", [["fit", "--out", "m"], ["score", "m"]])
def test_pairs_come_from_files_or_from_a_store(model, tmp_path, given, command):
    if command[0] == "score":
        command = ["score", model]
    with pytest.raises(SystemExit) as stop:
        main([*command, *given])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "no model file"), (None, "No such file")]
)
def test_a_model_that_cannot_be_read_is_1(folder, tmp_path, capsys, content, said):
    path = tmp_path / "model.skops"
    if content is not None:
        path.write_bytes(content)
    assert main(["score", str(path), *both(folder)]) == 1
    assert said in capsys.readouterr().err
    assert main(["score", str(path), *both(folder), "--traceback"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        ["--set", "no_such=1"],
        ["--set", "n_components"],
        ["--set", "n_components=abc"],
        ["--hold-out", "1.5"],
        ["--model", "magic"],
    ],
)
def test_wrong_usage_is_2(folder, tmp_path, change):
    out = tmp_path / "m.skops"
    with pytest.raises(SystemExit) as stop:
        main(["fit", *both(folder), "--out", str(out), *change])
    assert stop.value.code == 2
    assert not out.exists()


def test_a_model_is_not_overwritten_unasked(model, folder):
    before = Path(model).read_bytes()
    with pytest.raises(SystemExit) as stop:
        main(["fit", *both(folder), "--out", model])
    assert stop.value.code == 2
    assert Path(model).read_bytes() == before


def test_interrupted_is_130_and_goes_on(model, folder, tmp_path, monkeypatch, capsys):
    zarr = pytest.importorskip("zarr")
    out = tmp_path / "out"
    command = ["translate", model, "--source", str(folder / "apogee"), "--quiet"]
    command += ["--out", str(out)]

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("specxfer.catalog._translate_catalog._write", interrupted)
        assert main(command) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (out / "table.fits").exists()
    assert main(command) == 0
    flux = zarr.open_group(out / "spectra.zarr", mode="r")["flux"][:]
    assert np.isfinite(flux[:, galah_wave() > 7000]).sum() == 0
    assert np.isfinite(flux).any(axis=1).all()


def test_a_build_that_was_interrupted_goes_on(store, folder, tmp_path, monkeypatch):
    out = tmp_path / "pairs.zarr"
    command = ["build", str(out), *both(folder)]

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("specxfer.io._store_folder.StoreFolder.finish", interrupted)
        assert main(command) == 130
    with pytest.raises(ValueError, match="not finished"):
        PairedStore(out)
    assert main(command) == 0
    assert contents(out) == contents(store)


def test_stars_in_one_survey_only(folder, tmp_path, capsys):
    other = Spectra(
        np.ones((2, 4096)), np.full((2, 4096), 1e4), wave=galah_wave(3), medium="air",
        ids=["2M11111111-1111111", "2M22222222-2222222"],
    )  # fmt: skip
    write_galah(other, tmp_path / "galah")
    command = ["fit", "--source", str(folder / "apogee"), "--quiet", "--target"]
    command += [str(tmp_path / "galah"), "--out", str(tmp_path / "m.skops")]
    assert main(command) == 1
    assert "no star is in both" in capsys.readouterr().err
    assert main([*command, "--pairs", str(folder / "pairs.ecsv")]) == 1
    assert "none of the target spectra is in" in capsys.readouterr().err


# ---------------------------------------------------------------------------- help
@pytest.mark.parametrize("command", ["build", "fit", "translate", "score"])
def test_help_shows_an_example_that_parses(command, capsys):
    from specxfer._command_line import _parser

    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    example = text.split("example:\n")[1].split("\n\n")[0]
    words = example.replace("\\\n", " ").split()
    assert words[:2] == ["specxfer", command]
    assert _parser().parse_args(words[1:]).run
    assert "exit codes:" in text


def test_as_a_module(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["specxfer", "fit"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("specxfer", run_name="__main__")
    assert stop.value.code == 2
    assert "usage: specxfer fit" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == specxfer.__version__


def test_lines_are_those_of_the_survey():
    from specxfer._command_line import _parser
    from specxfer._commands import _lines

    command = ["translate", "m", "--source", "x", "--out", "y", "--lines"]
    for given, expected in (("all", load_lines("galah")), ("key", None)):
        options = _parser().parse_args([*command, given])
        found = _lines(options, "galah")
        assert len(found) == (8 if expected is None else len(expected))
    assert apogee_wave().size == 8575
