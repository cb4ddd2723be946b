"""Catalogues: the same as in memory, whatever interrupts them."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

import specxfer
from specxfer import Spectra
from specxfer.abundances import AbundanceRegressor
from specxfer.catalog import CatalogError
from specxfer.catalog._run_folder import RunFolder
from specxfer.compose import TargetWindow
from specxfer.linear import PCARidge
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import GapMasker

zarr = pytest.importorskip("zarr", reason="no zarr: pip install 'specxfer[catalog]'")

WINDOWS = [(5003.5, 5008.5), (5010.0, 5015.0)]


def stars(n, seed):
    """Source and target of stars that differ in three ways."""
    weights = np.random.default_rng(0)
    rng = np.random.default_rng(seed)
    kinds = rng.normal(size=(n, 3))
    sides = []
    for start, p in ((15000, 30), (5000, 20)):
        flux = 0.9 + 0.03 * np.tanh(kinds @ weights.normal(size=(3, p)))
        flux += rng.normal(0, 0.01, flux.shape)
        sides.append(
            Spectra(
                flux.astype("f4"),
                np.full((n, p), 1e4, "f4"),
                wave=start + np.arange(p),
                medium="vacuum",
                ids=[f"star {i}" for i in range(n)],
                resolution=rng.normal(25000, 1000, n),
                meta={
                    "teff": 4800 + 300 * kinds[:, 0],
                    "logg": 2.5 + kinds[:, 1] / 10,
                    "fe_h": kinds[:, 2] / 5,
                    "ba_fe": kinds[:, 0] / 10 + rng.normal(0, 0.02, n),
                },
            )
        )
    return sides


@pytest.fixture(scope="module")
def model():
    return PCARidge(3).fit(*stars(100, 1))


@pytest.fixture(scope="module")
def new():
    return stars(300, 2)[0]


def read(out):
    group = zarr.open_group(out / "spectra.zarr", mode="r")
    return {name: array[:] for name, array in group.arrays()}, dict(group.attrs)


def table_of(out):
    return QTable.read(out / "table.fits", character_as_bytes=False, mask_invalid=False)


def contents(folder):
    """Every file below a folder and its bytes."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stored(spectra, folder):
    """The same spectra, memory-mapped."""
    for name in ("flux", "ivar"):
        np.save(folder / f"{name}.npy", getattr(spectra, name))
    maps = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("flux", "ivar")}
    return spectra.replace(**maps)


# ------------------------------------------------------------------------ what it holds
def test_it_is_what_the_model_predicts_in_memory(model, new, tmp_path):
    out = specxfer.translate_catalog(model, new, tmp_path / "out", chunk_rows=64)
    arrays, attrs = read(out)
    flux, std = specxfer.predict_std(model, new)
    np.testing.assert_array_equal(arrays["flux"], flux)
    np.testing.assert_array_equal(arrays["std"], std)
    np.testing.assert_array_equal(arrays["support"], specxfer.support(model, new))
    assert attrs["wave"] == model.wave_out_.tolist()
    assert attrs["medium"] == "vacuum"
    table = table_of(out)
    assert list(table["id"]) == list(new.ids)
    np.testing.assert_array_equal(table["supported"], table["support"] <= 1)
    assert sorted(path.name for path in out.iterdir()) == [
        "run.json",
        "spectra.zarr",
        "table.fits",
    ]


def test_it_is_as_spectra_again(model, new, tmp_path):
    out = specxfer.translate_catalog(model, new, tmp_path / "out")
    group = zarr.open_group(out / "spectra.zarr", mode="r")
    again = Spectra(
        group["flux"][:], wave=group.attrs["wave"], medium=group.attrs["medium"]
    )
    np.testing.assert_array_equal(again.flux, model.predict(new))


def test_it_does_what_it_is_asked_and_no_more(model, new, tmp_path):
    out = specxfer.translate_catalog(
        model, new, tmp_path / "out", std=False, support=False, table="ecsv"
    )
    arrays, _ = read(out)
    assert list(arrays) == ["flux"]
    np.testing.assert_array_equal(arrays["flux"], model.predict(new))
    assert Table.read(out / "table.ecsv").colnames == ["id"]


@pytest.mark.parametrize("form", ["fits", "ecsv"])
def test_lines_have_widths_and_errors_from_the_covariance(form, model, new, tmp_path):
    lines = WINDOWS
    out = specxfer.translate_catalog(
        model, new, tmp_path / "out", lines=lines, table=form, chunk_rows=64
    )
    arrays, _ = read(out)
    _, std = specxfer.predict_std(model, new)
    np.testing.assert_array_equal(arrays["std"], std)
    table = QTable.read(out / f"table.{form}")
    ew, ew_err = equivalent_width(specxfer.translate(model, new), lines)
    for i, name in enumerate(("5003.50-5008.50", "5010.00-5015.00")):
        for start, expected in (("ew", ew), ("e_ew", ew_err)):
            found = table[f"{start}_{name}"].to_value(u.mAA)
            np.testing.assert_allclose(found, expected[:, i], rtol=1e-9)


def test_abundances_stand_beside_them(new, tmp_path):
    X, y = stars(70, 1)
    regressor = AbundanceRegressor(PCARidge(3), ["Ba"], lines=WINDOWS, cv=2)
    regressor.fit(X, y)
    model = PCARidge(3).fit(X, y)
    out = specxfer.translate_catalog(
        model, new[:100], tmp_path / "out", abundances=regressor, table="ecsv"
    )
    table = QTable.read(out / "table.ecsv")
    expected = regressor.predict_table(new[:100])
    for name in ("ba_fe", "e_ba_fe"):
        np.testing.assert_allclose(table[name].value, expected[name].value, rtol=1e-12)
        assert table[name].unit == u.dex
    np.testing.assert_array_equal(table["ba_fe_informed"], expected["ba_fe_informed"])


@pytest.mark.parametrize("per_star", [False, True])
def test_the_resolution_asked_for_is_written(per_star, model, new, tmp_path):
    power = np.linspace(22000, 26000, len(new)) if per_star else 24000.0
    out = specxfer.translate_catalog(
        model, new, tmp_path / "out", resolution=power, chunk_rows=64
    )
    flux, std = specxfer.predict_std(model, new, resolution=power)
    arrays, _ = read(out)
    np.testing.assert_array_equal(arrays["flux"], flux)
    np.testing.assert_array_equal(arrays["std"], std)


def test_compositions_are_seen_through(new, tmp_path):
    model = make_pipeline(GapMasker(), TargetWindow(PCARidge(3), WINDOWS[0]))
    model.fit(*stars(100, 1))
    out = specxfer.translate_catalog(model, new, tmp_path / "out")
    arrays, attrs = read(out)
    np.testing.assert_array_equal(arrays["flux"], model.predict(new))
    assert len(attrs["wave"]) == 20


def test_packed_arrays_hold_the_same(model, new, tmp_path):
    codec = zarr.codecs.ZstdCodec(level=3)
    out = specxfer.translate_catalog(model, new, tmp_path / "a", compressors=codec)
    np.testing.assert_array_equal(read(out)[0]["flux"], model.predict(new))


# ----------------------------------------------------------- the same however it is run
@pytest.fixture(scope="module")
def unbroken(model, new, tmp_path_factory):
    out = tmp_path_factory.mktemp("catalog") / "out"
    specxfer.translate_catalog(model, new, out, lines=WINDOWS, chunk_rows=64)
    return contents(out)


def test_stored_spectra_give_the_same_bytes(model, new, tmp_path, unbroken):
    lazy = stored(new, tmp_path)
    assert lazy.is_lazy
    out = tmp_path / "out"
    specxfer.translate_catalog(model, lazy, out, lines=WINDOWS, chunk_rows=64)
    assert contents(out) == unbroken


@pytest.mark.filterwarnings("ignore:.*joblib will operate in serial mode")
def test_workers_give_the_same_bytes(model, new, tmp_path, unbroken):
    out = tmp_path / "out"
    specxfer.translate_catalog(model, new, out, lines=WINDOWS, chunk_rows=64, n_jobs=2)
    assert contents(out) == unbroken


def test_a_finished_catalogue_is_left_alone(model, new, tmp_path, monkeypatch):
    out = specxfer.translate_catalog(model, new, tmp_path / "out")
    monkeypatch.setattr(RunFolder, "write", None)
    assert specxfer.translate_catalog(model, new, out) == out


def test_a_full_disk_loses_nothing(model, new, tmp_path, monkeypatch, unbroken):
    out, write, done = tmp_path / "out", RunFolder.write, []

    def full(folder, result, rows):
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        done.append(rows)
        write(folder, result, rows)

    options = {"lines": WINDOWS, "chunk_rows": 64}
    monkeypatch.setattr(RunFolder, "write", full)
    with pytest.raises(OSError, match="No space left"):
        specxfer.translate_catalog(model, new, out, **options)
    assert not (out / "table.fits").exists()
    monkeypatch.setattr(RunFolder, "write", write)
    again = []
    monkeypatch.setattr(
        RunFolder, "write", lambda *args: (again.append(args[2]), write(*args))
    )
    specxfer.translate_catalog(model, new, out, **options)
    assert len(again) == 3  # of five chunks, two were done
    assert contents(out) == unbroken


KILLS = """
    import os, random, signal, sys
    from pathlib import Path
    import joblib, zarr
    import specxfer

    source, model, out, options = joblib.load(sys.argv[1])
    wanted = int(sys.argv[2])
    random.seed(3)
    progress = []

    def kill_after(n):
        left = [n]  # files opened or renamed in the folder, from any thread
        def hook(event, args):
            if event in ("open", "os.rename") and str(out) in str(args[0]):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)

    while True:
        n = random.randrange(1, 80)
        child = os.fork()
        if not child:
            if len(progress) < wanted:
                kill_after(n)
            specxfer.translate_catalog(model, source, out, **options)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert status == 0
            break
        progress.append(len(list(Path(out).glob("parts/*.fits"))))
    print(*progress)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_killed_at_any_moment_it_ends_with_the_same_bytes(model, tmp_path):
    many = stars(1000, 2)[0]
    options = {"lines": WINDOWS, "chunk_rows": 64}
    plain = specxfer.translate_catalog(model, many, tmp_path / "plain", **options)
    out, run = tmp_path / "out", tmp_path / "run.pkl"
    joblib.dump((many, model, out, options), run)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLS), run, "5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    progress = [int(n) for n in done.stdout.split()]
    assert len(progress) > 2  # kills,
    assert 0 < progress[-1] <= 16  # with some of the chunks done
    assert contents(out) == contents(plain)


def test_what_a_kill_left_half_written_goes(model, new, tmp_path, unbroken):
    out = tmp_path / "out"
    specxfer.translate_catalog(model, new, out, lines=WINDOWS, chunk_rows=64)
    (out / "table.fits").unlink()
    (out / "parts").mkdir()
    for torn in (
        "table.fits.tmp",
        "model.abc.tmp",
        "parts/0000000064.fits.77.tmp",
        "spectra.zarr/flux/c/0/0.f00.partial",
    ):
        (out / torn).write_bytes(b"half")
    specxfer.translate_catalog(model, new, out, lines=WINDOWS, chunk_rows=64)
    assert contents(out) == unbroken


@pytest.mark.parametrize("number", [0, 1, 3, 5, 6, 8, 15, 25, 26])
def test_stopped_at_any_write_it_ends_with_the_same_bytes(
    number, model, new, tmp_path, monkeypatch, unbroken
):
    """Files come into being by a rename: stop at each, and see what is there."""
    done, replace, out = [], os.replace, tmp_path / "out"

    def stops(a, b):
        if len(done) >= number:
            raise OSError(5, "stopped")
        done.append(b)
        replace(a, b)

    options = {"lines": WINDOWS, "chunk_rows": 64}
    monkeypatch.setattr(os, "replace", stops)
    with pytest.raises(OSError, match="stopped"):
        specxfer.translate_catalog(model, new, out, **options)
    monkeypatch.setattr(os, "replace", replace)
    for part in (out / "parts").glob("*.fits"):
        rows = slice(int(part.stem), int(part.stem) + 64)
        for values in read(out)[0].values():
            assert np.isfinite(values[rows]).all()
    specxfer.translate_catalog(model, new, out, **options)
    assert contents(out) == unbroken


# -------------------------------------------------------------------------- another run
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chunk_rows": 128}, "chunk_rows: 1024 then, 128 now"),
        ({"std": False}, "std: True then, False now"),
        ({"lines": WINDOWS}, "lines: None then"),
        ({"model": 5}, "the model or its source"),
        ({"source": 2}, "the model or its source"),
        ({"source": 10}, "n_stars: 300 then, 290 now"),
    ],
)
def test_another_run_is_not_mixed_in(change, said, model, new, tmp_path):
    out = specxfer.translate_catalog(model, new, tmp_path / "out")
    before = contents(out)
    if "model" in change:
        model = PCARidge(change.pop("model")).fit(*stars(100, 1))
    if "source" in change:
        at = change.pop("source")
        new = new[::-1] if at == 2 else new[at:]
    with pytest.raises(CatalogError, match=said):
        specxfer.translate_catalog(model, new, out, **change)
    assert contents(out) == before


def test_a_folder_of_something_else_is_left_alone(model, new, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(CatalogError, match="no catalogue and not empty"):
        specxfer.translate_catalog(model, new, tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"years"}


def test_a_model_read_from_a_file_goes_on_with_the_run(model, new, tmp_path, unbroken):
    pytest.importorskip("skops", reason="no skops")
    specxfer.save(model, tmp_path / "model.skops")
    again = specxfer.load(tmp_path / "model.skops")
    out = tmp_path / "out"
    options = {"lines": WINDOWS, "chunk_rows": 64}
    specxfer.translate_catalog(model, new, out, **options)
    (out / "table.fits").unlink()
    specxfer.translate_catalog(again, new, out, **options)
    assert contents(out) == unbroken


# -------------------------------------------------------------------------------- files
class Reader:
    """Reads a star from a file of numbers; counts nothing, travels to workers."""

    def __init__(self, like):
        self.wave, self.medium = like.wave, like.medium

    def __call__(self, path):
        flux, ivar = np.load(path)
        name = [Path(path).stem]
        return Spectra(
            flux[None], ivar[None], wave=self.wave, medium=self.medium, ids=name
        ), "a report"


@pytest.fixture
def files(new, tmp_path):
    paths = [tmp_path / f"star {i}.npy" for i in range(100)]
    for i, path in enumerate(paths):
        np.save(path, np.stack([new.flux[i], new.ivar[i]]))
    return paths


def test_files_are_read_where_they_are_needed(model, new, files, tmp_path):
    out = specxfer.translate_catalog(
        model, iter(files), tmp_path / "out", reader=Reader(new), chunk_rows=64
    )
    arrays, _ = read(out)
    np.testing.assert_array_equal(arrays["flux"], model.predict(new[:100]))
    assert list(table_of(out)["id"]) == [path.stem for path in files]


def test_files_that_cannot_be_read_are_named_or_left_out(model, new, files, tmp_path):
    for i in (0, 3, *range(64, 100)):
        files[i].write_bytes(b"")
    options = {"reader": Reader(new), "chunk_rows": 64, "lines": WINDOWS}
    with pytest.raises(CatalogError, match=r"star 0\.npy cannot be read \(EOFError"):
        specxfer.translate_catalog(model, files, tmp_path / "a", **options)
    out = specxfer.translate_catalog(
        model, files, tmp_path / "out", on_error="skip", **options
    )
    arrays, _ = read(out)
    read_ones = np.setdiff1d(np.arange(64), [0, 3])
    flux = model.predict(new[:100])
    np.testing.assert_array_equal(arrays["flux"][read_ones], flux[read_ones])
    for values in arrays.values():
        assert np.isnan(values[[0, 3, 64, 99]]).all()
    table = table_of(out)
    assert str(files[3]) in table["problem"][3]
    assert table["problem"][4] == ""
    assert not table["supported"][[0, 3, 64, 99]].any()
    assert table["id"][4] == "star 4"
    widths = table["ew_5003.50-5008.50"].value
    assert np.flatnonzero(np.isfinite(widths)).tolist() == read_ones.tolist()


def test_files_of_more_than_a_star_are_refused(model, new, files, tmp_path):
    with pytest.raises(CatalogError, match=r"of 2 spectra.*expected Spectra of one"):
        specxfer.translate_catalog(
            model, files, tmp_path / "out", reader=lambda path: new[:2]
        )


# ------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"table": "csv"}, ValueError, "table is 'csv'; expected one of"),
        ({"chunk_rows": 100}, ValueError, "chunk_rows is 100; expected a multiple"),
        ({"on_error": "go"}, ValueError, "on_error is 'go'"),
        ({"source": ["a"]}, TypeError, "source is a list; expected Spectra, or paths"),
        ({"source": [], "reader": len}, ValueError, "source holds no star"),
        ({"reader": len}, ValueError, "need no reader"),
        ({"source": "folder", "reader": len}, TypeError, r"list of paths, such as sor"),
        ({"resolution": [1.0, 2.0]}, ValueError, "resolution has 2 values and source"),
    ],
)
def test_wrong_arguments_are_named(change, error, said, model, new, tmp_path):
    change = {"source": new} | change
    source = change.pop("source")
    with pytest.raises(error, match=said):
        specxfer.translate_catalog(model, source, tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_lines_that_are_not_predicted_are_an_error(new, tmp_path):
    X, y = stars(100, 1)
    here, there = (5002, 5006), (5010, 5014)
    model = TargetWindow(PCARidge(3), [here]).fit(X, y)
    with pytest.raises(ValueError, match=r"does not predict \['5010.00-5014.00'\]"):
        specxfer.translate_catalog(model, new, tmp_path / "o", lines=[here, there])
    assert not (tmp_path / "o").exists()


def test_models_that_are_no_translators_are_refused(new, tmp_path):
    plain = LinearRegression().fit(np.ones((3, 30)), np.ones((3, 20)))
    with pytest.raises(TypeError, match="translate_catalog found a LinearRegression"):
        specxfer.translate_catalog(plain, new, tmp_path / "out")


def test_without_zarr_it_says_what_to_install(model, new, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"pip install 'specxfer\[catalog\]'"):
        specxfer.translate_catalog(model, new, tmp_path / "out")


def test_progress_counts_stars(model, new, tmp_path, capsys):
    specxfer.translate_catalog(model, new, tmp_path / "out", verbose=1)
    assert "300/300" in capsys.readouterr().err


# ---------------------------------------------------------------------------- a cluster
CLUSTER = """
    import os, signal, sys
    from pathlib import Path
    import dask
    import joblib
    import numpy as np
    from distributed import Client, LocalCluster
    import specxfer
    from specxfer import Spectra

    run, mark = map(Path, sys.argv[1:])

    def reader(path):
        if Path(path).stem == "star 70" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)  # the worker, in mid-chunk
        flux, ivar = np.load(path)
        wave = 15000 + np.arange(30)
        return Spectra(flux[None], ivar[None], wave=wave, medium="vacuum",
                       ids=[Path(path).stem])

    if __name__ == "__main__":
        files, model, out = joblib.load(run)
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            as cluster,
            Client(cluster) as client,
            joblib.parallel_config(backend="dask"),
        ):
            before = set(client.run(os.getpid).values())
            specxfer.translate_catalog(
                model, files, out, reader=reader, chunk_rows=64
            )
            print("lost", len(before - set(client.run(os.getpid).values())))
"""


def test_a_cluster_that_loses_a_worker_ends_with_the_same_bytes(
    model, new, files, tmp_path
):
    pytest.importorskip("distributed", reason="no distributed: pip install distributed")
    plain = specxfer.translate_catalog(
        model, files, tmp_path / "plain", reader=Reader(new), chunk_rows=64
    )
    out, run, script = (tmp_path / name for name in ("out", "run.pkl", "cluster.py"))
    joblib.dump((files, model, out), run)
    script.write_text(textwrap.dedent(CLUSTER))
    done = subprocess.run(
        [sys.executable, script, run, tmp_path / "died"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "lost 1" in done.stdout
    assert contents(out) == contents(plain)


class Fatal(Reader):
    """A reader that takes a worker's process along, once."""

    def __init__(self, like, mark):
        super().__init__(like)
        self.mark, self.home = mark, os.getpid()

    def __call__(self, path):
        if "star 70" in path and os.getpid() != self.home and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(path)


@pytest.mark.filterwarnings("ignore:.*A worker stopped:UserWarning")
def test_a_worker_that_dies_is_told_of_and_loses_nothing(model, new, files, tmp_path):
    if joblib.effective_n_jobs(2) < 2:
        pytest.skip("joblib cannot start workers here")
    reader, out = Fatal(new, tmp_path / "died"), tmp_path / "out"
    options = {"reader": reader, "chunk_rows": 64, "n_jobs": 2}
    with pytest.raises(CatalogError, match=r"a worker died.*keeps what is done"):
        specxfer.translate_catalog(model, files, out, **options)
    assert not list(out.glob("model.*"))
    specxfer.translate_catalog(model, files, out, **options)
    np.testing.assert_array_equal(read(out)[0]["flux"], model.predict(new[:100]))
