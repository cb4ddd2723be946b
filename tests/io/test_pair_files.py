"""Pairs of files are of the stars that the files say, or of the rows of a table."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from specxfer._command_line import main
from specxfer._commands import read_best_apogee
from specxfer.io import PairedStore, StoreError, pair_files, read_apogee, read_galah
from specxfer.io._pair_names import match_names

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
    source, target, stars, rows, dropped = pair_files([apogee], [galah])
    assert stars.tolist() == [STARS[i] for i in (3, 2, 1, 3)]
    assert rows is None
    assert [*zip(dropped["table"], dropped["why"])] == [
        ("source", "no target spectrum of its star")
    ]
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
    source, target, stars, rows, _ = pair_files(*folders, table)
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
    source, _, stars, *_ = pair_files([bad], [folders[1]])
    assert (source, stars.tolist()) == ([str(bad)], [STARS[1]])
    torn = tmp_path / f"{SPECTRA[0]}1.fits"
    whole = folders[1] / f"{SPECTRA[0]}2.fits"
    torn.write_bytes(whole.read_bytes()[:4000])
    (tmp_path / whole.name).write_bytes(whole.read_bytes())
    stars = pair_files([folders[0]], [tmp_path / "*[12].fits"]).ids
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
        match_names(source, target, None if table is None else Table(table))


def test_stars_without_a_name_are_no_pair():
    names = {"star": np.array(["", "a"])}
    i, j, stars, rows, dropped = match_names(names, names)
    assert (i.tolist(), j.tolist(), stars.tolist()) == ([1], [1], ["a"])
    why = "nothing says which star it is of"
    assert (rows, dropped) == (None, [("source", 0, why), ("target", 0, why)])


def test_no_files_is_an_error(folders):
    with pytest.raises(ValueError, match="target names no file"):
        pair_files([folders[0]], [])
    with pytest.raises(ValueError, match="surveys has 'x'"):
        pair_files(*folders, surveys=("apogee", "x"))


GAIA = 3335074476514836608  # 19 digits: a float would round it


@pytest.fixture
def sdss5(write, tmp_path):
    """Files of SDSS-V, and three spectra of GALAH, whose names hardly meet."""
    apogee, galah = tmp_path / "sdss5", tmp_path / "galah"
    apogee.mkdir(), galah.mkdir()

    def star(sdss_id, **names):
        path = apogee / f"mwmStar-0.6.0-{sdss_id}.fits"
        return str(write.mwmstar(path, (1, 0), sdss_id=sdss_id, **names))

    def spectrum(i, tmass="None", gaia="None"):
        cards = {"2MASS_ID": tmass, "GAIA_ID": str(gaia)}
        return list(map(str, write.galah_dr4(galah, SPECTRA[i], **cards)))

    return apogee, galah, star, spectrum


def test_files_are_paired_by_gaia_where_2mass_does_not_name_them(sdss5):
    apogee, galah, star, spectrum = sdss5
    nameless = star(7, obj="", gaia=GAIA)
    star(8, obj="", gaia=GAIA + 1)  # the same number as a float: another star
    spectra = [spectrum(0, STARS[1][2:], GAIA), spectrum(1, gaia=GAIA), spectrum(2)]
    found = pair_files(apogee, galah)
    assert found.source == [nameless] * 2
    assert found.target == spectra[:2]
    assert found.ids.tolist() == [STARS[1]] * 2  # one star: its 2MASS name for both
    assert sorted(map(tuple, found.dropped["table", "why"].iterrows())) == [
        ("source", "no target spectrum of its star"),
        ("target", "no source spectrum of its star"),
    ]
    assert "mwmStar-0.6.0-8.fits" in found.dropped["name"][0]
    assert "2 pairs of spectra of 1 stars" in str(found)
    assert "−1      source: no target spectrum of its star, as" in str(found)


def test_identifiers_that_contradict_each_other_make_no_pair(sdss5):
    apogee, galah, star, spectrum = sdss5
    star(7, obj=STARS[0], gaia=GAIA)
    good = star(8, obj=STARS[1], gaia=GAIA + 2)
    star(9, obj=STARS[2], gaia=GAIA + 4)
    spectrum(0, STARS[0][2:], GAIA + 1)  # two stars to Gaia, one to 2MASS
    whole = spectrum(1, STARS[1][2:], GAIA + 2)
    spectrum(2, STARS[3][2:], GAIA + 4)
    found = pair_files(apogee, galah)
    assert (found.source, found.target) == ([good], [whole])
    pairs = found.dropped[found.dropped["table"] == "pair"]
    assert pairs["why"].tolist() == [
        f"their Gaia DR3 ids differ ({GAIA} and {GAIA + 1})",
        f"their 2MASS ids differ ({STARS[2][2:]} and {STARS[3][2:]})",
    ]
    others = found.dropped[found.dropped["table"] != "pair"]
    assert set(others["why"]) == {"its identifiers contradict those of every partner"}
    assert len(others) == 4


def test_two_surveys_of_sdss_are_paired_by_its_own_number(sdss5, write, tmp_path):
    apogee, _, star, _ = sdss5
    again = tmp_path / "again"
    again.mkdir()
    files = [star(7, obj=""), star(8, obj="")]
    other = write.mwmstar(again / "x.fits", (0, 1), obj=STARS[0], sdss_id=8)
    found = pair_files(apogee, again, surveys=("apogee", "apogee"))
    assert (found.source, found.target) == ([files[1]], [str(other)])
    assert found.ids.tolist() == [STARS[0]]


def test_a_table_finds_files_of_sdss_by_their_number(sdss5):
    apogee, galah, star, spectrum = sdss5
    files = [star(7, obj=""), star(8, obj=STARS[1]), star(9, obj=STARS[2])]
    spectra = [spectrum(i) for i in range(2)]
    (apogee / "mwmStar-0.6.0-6.fits").write_bytes(b"torn")  # goes by its name
    table = Table(
        {
            "star": ["a", "b", "c", "d", "e"],
            "source_sdss_id": [7, 8, -1, 9, 6],
            "source_apogee_id": ["", STARS[1], "", STARS[3], ""],
            "target_sobject_id": [*map(int, SPECTRA), int(SPECTRA[0]), int(SPECTRA[1])],
        }
    )
    found = pair_files(apogee, galah, table)
    torn = str(apogee / "mwmStar-0.6.0-6.fits")
    assert sorted(zip(found.ids, found.source, found.target)) == [
        ("a", files[0], spectra[0]),
        ("b", files[1], spectra[1]),
        ("e", torn, spectra[1]),
    ]
    assert table["star"][found.rows].tolist() == found.ids.tolist()
    assert sorted(map(tuple, found.dropped.iterrows())) == [
        (
            "source",
            files[2],
            "its apogee_id and sdss_id are those of different rows of the table",
        ),
        ("table", "row 2", "no source spectrum of it is there"),
        ("table", "row 2", "no target spectrum of it is there"),
        ("table", "row 3", "no source spectrum of it is there"),
    ]


def test_a_store_of_files_that_gaia_pairs(sdss5, tmp_path):
    apogee, galah, star, spectrum = sdss5
    star(7, obj="", gaia=GAIA)
    spectrum(0, STARS[1][2:], GAIA)
    found = pair_files(apogee, galah)
    files = found.source, found.target
    read = {"read_source": read_apogee, "read_target": read_galah}
    store = PairedStore.build(tmp_path / "a.zarr", *files, ids=found.ids, **read)
    assert store.source.ids.tolist() == [STARS[1]]
    assert store.source.meta["sdss_id"].tolist() == [7]
    assert store.source.meta["gaia_id"].tolist() == [str(GAIA)]
    with pytest.raises(StoreError, match=r"as of specxfer\.io\.pair_files"):
        PairedStore.build(tmp_path / "b.zarr", *files, **read)


def test_the_command_builds_what_gaia_pairs_and_lists_the_rest(sdss5, tmp_path, capsys):
    apogee, galah, star, spectrum = sdss5
    star(7, obj="", gaia=GAIA)
    alone = star(8, obj="", gaia=GAIA + 1)
    spectrum(0, STARS[1][2:], GAIA)
    out = tmp_path / "pairs.zarr"
    command = ["build", f"{out}/", "--source", str(apogee), "--target", str(galah)]
    for _ in range(2):  # and again, when it is done
        assert main([*command, "--quiet"]) == 0
        said = capsys.readouterr().err
        assert "1 pairs of spectra of 1 stars" in said
        assert f"−1      source: no target spectrum of its star, as {alone}" in said
        assert f"{out}.dropped.ecsv" in said
    assert PairedStore(out).source.ids.tolist() == [STARS[1]]
    dropped = Table.read(f"{out}.dropped.ecsv")
    assert [tuple(row) for row in dropped.iterrows()] == [
        ("source", alone, "no target spectrum of its star")
    ]


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
    none, report = read_best_apogee(str(tmp_path / "none*.fits"))
    assert (len(none), report["status"].tolist()) == (0, ["refused"])
