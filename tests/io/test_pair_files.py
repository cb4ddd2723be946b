"""Pairs of files are of the stars that the files say, or of the rows of a table."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from specxfer._commands import read_best_apogee
from specxfer.io import read_apogee, read_galah
from specxfer.io._pair_files import join_names, pair_files

SURVEYS = ("apogee", "galah")
STARS = [f"2M0000000{i}+000000{i}" for i in range(4)]
SPECTRA = [f"13111800110100{i}" for i in range(3)]


@pytest.fixture(scope="module")
def folders(write, tmp_path_factory):
    """Four stars of APOGEE under strange names, the last twice; three of GALAH."""
    root = tmp_path_factory.mktemp("pairs")
    apogee, galah = root / "apogee", root / "galah"
    apogee.mkdir(), galah.mkdir()
    for i, star in enumerate(STARS):
        write.aspcapstar(apogee / f"{9 - i}.fits", obj=star)
    write.apstar(apogee / "again.fits", obj=STARS[3])
    for i, spectrum in enumerate(SPECTRA):
        name = STARS[i + 1].removeprefix("2M")
        write.galah_dr4(galah, spectrum, **{"2MASS_ID": name})
    return apogee, galah


def test_files_of_the_same_star_are_pairs(folders):
    apogee, galah = folders
    (source, target), stars, rows = pair_files([apogee], [galah], SURVEYS)
    assert stars.tolist() == [STARS[i] for i in (3, 2, 1, 3)]
    assert rows is None
    named = [f"{apogee}/{name}.fits" for name in (6, 7, 8, "again")]
    assert source == named
    for star, a, b in zip(stars, source, target):
        assert [path[-6] for path in b] == ["1", "2", "3", "4"]
        assert read_apogee(a)[0].ids.tolist() == [star]
        assert read_galah(b)[0].ids.tolist() == [star]


def test_or_the_rows_of_a_table_are(folders):
    table = Table(
        {
            "star": ["a", "b", "b", "nowhere"],
            "source_apogee_id": [STARS[0], STARS[3], STARS[3], "2M99999999+9999999"],
            "source_telescope": ["apo25m", "apo25m", "lco25m", "apo25m"],
            "target_sobject_id": [int(SPECTRA[i]) for i in (2, 0, 0, 0)],
        }
    )
    (source, target), stars, rows = pair_files(*map(list, zip(folders)), SURVEYS, table)
    assert sorted(zip(stars, (path.split("/")[-1] for path in source))) == [
        ("a", "9.fits"),
        ("b", "6.fits"),
        ("b", "again.fits"),
    ]
    assert table["star"][rows].tolist() == stars.tolist()
    for row, paths in zip(rows, target):
        assert {path.split("/")[-1][:15] for path in paths} == {
            str(table["target_sobject_id"][row])
        }


def test_files_that_cannot_be_read_go_by_their_names(folders, tmp_path):
    bad = tmp_path / f"aspcapStar-{STARS[1]}.fits"
    bad.write_bytes(b"no FITS")
    (source, _), stars, _ = pair_files([bad], [folders[1]], SURVEYS)
    assert (source, stars.tolist()) == ([str(bad)], [STARS[1]])
    torn = tmp_path / f"{SPECTRA[0]}1.fits"
    whole = folders[1] / f"{SPECTRA[0]}2.fits"
    torn.write_bytes(whole.read_bytes()[:4000])
    (tmp_path / whole.name).write_bytes(whole.read_bytes())
    _, stars, _ = pair_files([folders[0]], [tmp_path / "*[12].fits"], SURVEYS)
    assert stars.tolist() == [STARS[1]]  # of the second CCD


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, r"no star is in both: source has 1 spectra, as x.*crossmatch"),
        ({"star": ["x"]}, "no column source_apogee_id"),
        (
            {"star": ["x"], "source_apogee_id": ["z"], "target_sobject_id": [5]},
            "none of the source spectra is in the table.*has source_apogee_id z",
        ),
        (
            {
                "star": ["x", "y"],
                "source_apogee_id": ["x", "z"],
                "target_sobject_id": [6, 5],
            },
            "no row of the table has its spectra in both",
        ),
    ],
)
def test_no_pair_is_an_error(table, said):
    source = {"star": np.array(["x"]), "apogee_id": np.array(["x"])}
    target = {"star": np.array(["y"]), "sobject_id": np.array(["5"])}
    with pytest.raises(ValueError, match=said):
        join_names(source, target, None if table is None else Table(table))


def test_stars_without_a_name_are_no_pair():
    names = {"star": np.array(["", "a"])}
    i, j, stars, _ = join_names(names, names)
    assert (i.tolist(), j.tolist(), stars.tolist()) == ([1], [1], ["a"])


def test_no_files_is_an_error(folders):
    with pytest.raises(ValueError, match="target names no file"):
        pair_files([folders[0]], [], SURVEYS)


def test_of_a_file_with_two_spectra_the_best_is_read(write, tmp_path):
    def better(hdus):
        hdus[4].data["snr"] = 300

    two = write.mwmstar(tmp_path / "two.fits", edit=better)
    one = write.mwmstar(tmp_path / "one.fits", (1, 0))
    spectra, report = read_best_apogee([two, one])
    assert spectra.meta["telescope"].tolist() == ["lco25m", "apo25m"]
    assert report["file"].tolist() == [str(two), str(one)]
    with fits.open(two) as hdus:
        assert len(hdus[3].data) == len(hdus[4].data) == 1
    none, report = read_best_apogee(tmp_path / "none.fits")
    assert (len(none), report["status"].tolist()) == (0, ["refused"])
