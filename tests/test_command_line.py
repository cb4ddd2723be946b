"""specxfer fit, translate, score: what they do is what the library does."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable, Table

import specxfer
from specxfer import Spectra
from specxfer._command_line import main
from specxfer.io import apogee_wave, galah_wave, read_apogee, read_galah, write_galah
from specxfer.linear import PCARidge
from specxfer.lines import load_lines

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
    score = specxfer.load(model).score(X[rows], y[rows])
    assert f"score: {score:.4f}" in capsys.readouterr().out
    table = Table.read(out)
    assert table.meta["score"] == pytest.approx(score)
    assert list(table["line"]) == ["Ba II 6497"] or "Ba II 6497" in table["line"]
    assert main([*command, "--out", str(out), "--overwrite"]) == 0
    with pytest.raises(SystemExit) as stop:  # it is there already
        main([*command, "--out", str(out)])
    assert stop.value.code == 2


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
    assert "no source spectrum could be read" in capsys.readouterr().err


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
@pytest.mark.parametrize("command", ["fit", "translate", "score"])
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
    from specxfer._command_line import _lines, _parser

    command = ["translate", "m", "--source", "x", "--out", "y", "--lines"]
    for given, expected in (("all", load_lines("galah")), ("key", None)):
        options = _parser().parse_args([*command, given])
        found = _lines(options, "galah")
        assert len(found) == (8 if expected is None else len(expected))
    assert apogee_wave().size == 8575
