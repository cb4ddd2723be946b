"""Arrays that are not packed are written without zarr, byte for byte as it would."""

import os

import numpy as np
import pytest

from specxfer.catalog._run_folder import STARS, write_plain

zarr = pytest.importorskip("zarr", reason="no zarr: pip install 'specxfer[catalog]'")


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("shape", [(), (7,)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_bytes_are_those_of_zarr(shape, dtype, rng, tmp_path):
    n = 3 * STARS + 2
    values = rng.normal(size=(n, *shape)).astype(dtype)
    values[5] = np.nan
    values[STARS : 2 * STARS] = np.nan  # a chunk that is not written at all
    for name in ("zarr", "plain"):
        group = zarr.create_group(tmp_path / name)
        array = group.create_array(
            "flux",
            shape=values.shape,
            dtype=dtype,
            chunks=(STARS, *shape),
            compressors=None,
            fill_value=np.nan,
        )
        for rows in (slice(0, 2 * STARS), slice(2 * STARS, n)):
            if name == "zarr":
                array[rows] = values[rows]
            else:
                folder = tmp_path / "plain" / "flux"
                write_plain(folder, values[rows], rows.start, np.dtype(dtype))
    written = contents(tmp_path / "plain")
    assert written == contents(tmp_path / "zarr")
    assert len([name for name in written if "/c/" in name]) == 3
    again = zarr.open_group(tmp_path / "plain", mode="r")["flux"][:]
    np.testing.assert_array_equal(again, values)


def test_what_another_run_left_is_written_over(rng, tmp_path):
    kind = np.dtype("f4")
    write_plain(tmp_path, np.ones((STARS, 3)), 0, kind)
    write_plain(tmp_path, np.zeros((STARS, 3)), 0, kind)
    assert contents(tmp_path) == {"c/0/0": bytes(STARS * 3 * 4)}
    write_plain(tmp_path, np.full((STARS, 3), np.nan), 0, kind)
    assert contents(tmp_path) == {}


def test_a_write_that_fails_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_plain(tmp_path, np.ones((2, 3)), STARS, np.dtype("f4"))
    assert caught.value.filename == str(tmp_path / "c" / "1" / "0")
    assert contents(tmp_path) == {}
