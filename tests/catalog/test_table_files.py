"""A table put together from parts is, to the byte, the table of all rows."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, vstack

from specxfer.catalog._table_files import FORMATS, put_together


def part(rng, names, problem=""):
    n = len(names)
    return QTable(
        {
            "id": np.array(names),
            "support": rng.normal(size=n),
            "supported": rng.normal(size=n) > 0,
            "ew_Ba": np.where(rng.normal(size=n) > 0, rng.normal(size=n), np.nan)
            * u.mAA,
            "ba_fe": np.where(rng.normal(size=n) > 0, rng.normal(size=n), np.nan)
            * u.dex,
            "problem": np.array([problem] * n),
        }
    )


@pytest.mark.parametrize("form", ["fits", "ecsv"])
@pytest.mark.parametrize(
    "names",
    [
        [["a", "b"], ["c", "d"], ["e"]],
        [["a", "b"], ["star c", "d"], ["e"], ["star f"]],
        [["star a"], ["b", "c"]],
        [["only"]],
    ],
)
def test_all_rows_in_order(names, form, rng, tmp_path):
    tables = [part(rng, some, "torn" if i == 1 else "") for i, some in enumerate(names)]
    paths = [tmp_path / f"{i}.{form}" for i in range(len(tables))]
    for path, table in zip(paths, tables):
        path.write_bytes(FORMATS[form](table))
    whole = tmp_path / f"table.{form}"
    put_together(paths, whole)
    assert whole.read_bytes() == FORMATS[form](vstack(tables))


def test_dex_is_said_without_a_warning_and_nan_stays(rng, tmp_path):
    given = part(rng, ["a", "b", "c"])
    given["ba_fe"][1] = np.nan
    given["problem"] = np.array(["", "torn", ""])
    for form in ("fits", "ecsv"):
        path = tmp_path / f"0.{form}"
        path.write_bytes(FORMATS[form](given))
        put_together([path], tmp_path / f"table.{form}")
    table = QTable.read(tmp_path / "table.fits", mask_invalid=False)
    assert table["ba_fe"].info.description == "dex"
    np.testing.assert_array_equal(table["ba_fe"], given["ba_fe"].value)
    assert (table["problem"] == "").tolist() == [True, False, True]
    assert QTable.read(tmp_path / "table.ecsv")["ba_fe"].unit == u.dex
