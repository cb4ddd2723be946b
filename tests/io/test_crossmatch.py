"""crossmatch on made-up surveys whose truth is known, and on real catalogues."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table

from specxfer.io import crossmatch, default_cuts
from specxfer.model_selection import StarKFold

N_STARS = 60


def universe(rng, n=N_STARS):
    """Stars far from each other, named by Gaia and 2MASS."""
    ra = np.linspace(5, 355, n) + rng.uniform(0, 1, n)
    dec = rng.uniform(-80, 20, n)
    names = SkyCoord(ra, dec, unit="deg")
    hms = names.ra.to_string("hour", sep="", precision=2, pad=True)
    dms = names.dec.to_string("deg", sep="", precision=1, alwayssign=True, pad=True)
    tmass = [h.replace(".", "") + d.replace(".", "") for h, d in zip(hms, dms)]
    return Table(
        {
            "ra": ra,  # in 2016.0
            "dec": dec,
            "pmra": rng.normal(0, 20, n),
            "pmdec": rng.normal(0, 20, n),
            "dr2": 10**18 + rng.permutation(n) * 12_345_678_901 + 1,
            "dr3": 10**18 + rng.permutation(n) * 12_345_678_901 + 2,
            "tmass": tmass,
            "teff": rng.choice([4700.0, 5900.0], n),
            "logg": rng.choice([2.4, 4.3], n),
        }
    )


def moved(stars, year):
    """Positions in another year."""
    t = year - 2016.0
    ra = stars["ra"] + t * stars["pmra"] / 3.6e6 / np.cos(np.radians(stars["dec"]))
    return ra, stars["dec"] + t * stars["pmdec"] / 3.6e6


def apogee(stars, rows, **changes):
    """As allStar of DR17: 2MASS positions, EDR3 ids and proper motions."""
    s = stars[rows]
    ra, dec = moved(s, 2000.0)
    columns = {
        "APOGEE_ID": np.char.add("2M", s["tmass"]).astype("S18"),
        "TELESCOPE": np.full(len(s), "apo25m"),
        "FIELD": [f"{i:03d}+00" for i in range(len(s))],
        "FILE": [f"apStar-dr17-2M{name}.fits" for name in s["tmass"]],
        "RA": ra,
        "DEC": dec,
        "GAIAEDR3_SOURCE_ID": s["dr3"],
        "GAIAEDR3_PMRA": s["pmra"],
        "GAIAEDR3_PMDEC": s["pmdec"],
        "SNR": np.linspace(100, 200, len(s)),
        "STARFLAG": np.full(len(s), 512),
        "TEFF": s["teff"],
        "LOGG": s["logg"],
    }
    return Table(columns | changes)


def galah(stars, rows, **changes):
    """As allspec of DR4."""
    s = stars[rows]
    columns = {
        "sobject_id": 131118001101000 + np.arange(len(s)),
        "tmass_id": s["tmass"],
        "gaiadr3_source_id": s["dr3"],
        "ra": s["ra"],
        "dec": s["dec"],
        "flag_sp": np.zeros(len(s), int),
        "flag_red": np.zeros(len(s), int),
        "snr_px_ccd3": np.linspace(40, 90, len(s)),
        "teff": s["teff"],
        "logg": s["logg"],
    }
    return Table(columns | changes)


@pytest.fixture
def stars(rng):
    return universe(rng)


@pytest.fixture
def surveys(stars, rng):
    """Catalogues with repeats, and the row pairs that are of one star."""
    rows = rng.choice(40, 50), 15 + rng.choice(40, 60)
    truth = {(i, j) for i, a in enumerate(rows[0]) for j, b in enumerate(rows[1])
             if a == b}  # fmt: skip
    return apogee(stars, rows[0]), galah(stars, rows[1]), truth, rows


def row_pairs(pairs):
    return set(zip(pairs["source_row"].tolist(), pairs["target_row"].tolist()))


WAYS = ("source_id", "tmass", "sky")


# --------------------------------------------------------------------------- truth
@pytest.mark.parametrize("on", WAYS)
def test_all_pairs_are_found_and_no_others(surveys, stars, on):
    source, target, truth, rows = surveys
    pairs, report = crossmatch(source, target, on=on)
    assert len(pairs) == len(truth)
    assert row_pairs(pairs) == truth
    np.testing.assert_array_equal(
        pairs["star"], np.char.add("2M", stars["tmass"][rows[0][pairs["source_row"]]])
    )
    assert (pairs["separation"] < 0.01).all()
    assert len(report.ambiguous) == 0
    giant = (pairs["teff"] < 5500) & (pairs["logg"] < 3.5)
    assert list(pairs["domain"]) == list(np.where(giant, "giant", "dwarf"))
    assert pairs["source_apogee_id"].dtype.kind == "U"
    np.testing.assert_array_equal(
        pairs["target_sobject_id"], target["sobject_id"][pairs["target_row"]]
    )


@pytest.mark.parametrize("on", WAYS)
@pytest.mark.parametrize("repeats", ["all", "best"])
@pytest.mark.parametrize("ambiguous", ["drop", "keep"])
def test_the_order_of_rows_does_not_matter(surveys, rng, on, repeats, ambiguous):
    source, target, _, _ = surveys
    source["SNR"][::3] = 120.0  # ties
    source["STARFLAG"][4] |= 8
    target["tmass_id"][7] = target["tmass_id"][8]  # a contradiction
    target["ra"][9], target["dec"][9] = target["ra"][10], target["dec"][10]
    options = {"on": on, "repeats": repeats, "ambiguous": ambiguous}
    pairs, report = crossmatch(source, target, **options)
    for _ in range(3):
        a, b = rng.permutation(len(source)), rng.permutation(len(target))
        again, report_again = crossmatch(source[a], target[b], **options)
        again["source_row"] = a[again["source_row"]]
        again["target_row"] = b[again["target_row"]]
        for name in pairs.colnames:
            np.testing.assert_array_equal(again[name], pairs[name])
        assert repr(report_again) == repr(report)
        for name in ("star", "why", "kept", "separation"):
            np.testing.assert_array_equal(
                report_again.ambiguous[name], report.ambiguous[name]
            )


@pytest.mark.parametrize("on", WAYS)
@pytest.mark.parametrize("repeats", ["all", "best"])
def test_every_row_is_accounted_for(surveys, on, repeats):
    source, target, _, _ = surveys
    target["tmass_id"][7] = "None"
    target["snr_px_ccd3"][3:6] = [np.nan, 29.9, -9999]
    target["flag_red"][10] = 1 << 6
    pairs, report = crossmatch(source, target, on=on, repeats=repeats)
    for side, table in (("source", source), ("target", target)):
        rows = report.dropped[report.dropped["table"] == side]
        used = len(np.unique(pairs[f"{side}_row"]))
        assert rows["dropped"].sum() + used == len(table)
        assert rows["left"][-1] == used


def test_surveys_with_no_star_in_common(stars):
    for on in WAYS:
        pairs, report = crossmatch(
            apogee(stars, np.arange(20)), galah(stars, np.arange(30, 50)), on=on
        )
        assert len(pairs) == 0
        assert "0 pairs" in repr(report)
    empty, _ = crossmatch(apogee(stars, np.arange(0)), galah(stars, np.arange(9)))
    assert set(empty.colnames) == set(pairs.colnames)


# ------------------------------------------------------------------------- repeats
def test_repeats_share_a_star_and_stay_together(surveys):
    source, target, _, rows = surveys
    pairs, report = crossmatch(source, target)
    codes = np.unique(pairs["star"], return_inverse=True)[1]
    truly = rows[0][pairs["source_row"]]
    assert len(np.unique(codes)) == len(np.unique(truly)) == report.counts["n_stars"]
    for star in np.unique(truly):
        chosen = pairs[truly == star]
        assert (chosen["n_source"] == (rows[0] == star).sum()).all()
        assert (chosen["n_target"] == (rows[1] == star).sum()).all()
    X = np.zeros((len(pairs), 3))
    for train, test in StarKFold(3).split(X, groups=pairs["star"]):
        assert not set(truly[train]) & set(truly[test])


def test_the_best_repeat_is_that_of_the_best_snr(surveys):
    source, target, _, rows = surveys
    best, _ = crossmatch(source, target, repeats="best")
    assert len(np.unique(best["star"])) == len(best)
    for row in best:
        star = rows[0][row["source_row"]]
        assert row["source_snr"] == source["SNR"][rows[0] == star].max()
        assert row["target_snr"] == target["snr_px_ccd3"][rows[1] == star].max()


def test_a_spectrum_listed_twice_is_taken_once(stars):
    source = apogee(stars, [0, 0, 1], FIELD=["a", "a", "b"], SNR=[90.0, 110.0, 95.0])
    target = galah(stars, [0, 1, 1], sobject_id=[1, 2, 2])
    pairs, report = crossmatch(source, target)
    assert sorted(pairs["source_snr"]) == [95.0, 110.0]
    assert len(pairs) == 2
    assert report.dropped["dropped"][0] == 1
    assert "listed twice" in repr(report)


def test_two_names_of_one_star_are_one_group(stars):
    """A star that Gaia resolves in two, of one 2MASS id."""
    source = apogee(stars, [0, 1, 2])
    target = galah(stars, [0, 1, 2])
    for table, name in ((source, "APOGEE_ID"), (target, "tmass_id")):
        table[name][1] = table[name][0]
    pairs, report = crossmatch(source, target)
    assert len(pairs) == 3
    assert len(np.unique(pairs["star"])) == 2
    assert "1 stars have several identifiers" in repr(report)


# ---------------------------------------------------------------------------- cuts
def test_default_cuts_are_made_and_reported(stars):
    source = apogee(stars, np.arange(6))
    source["STARFLAG"] = [0, 1 << 3, 1 << 18, 1 << 22, 1, -9999]
    source["SNR"] = [100, 100, 100, 100, 100, 49.9]
    target = galah(stars, np.arange(6))
    pairs, report = crossmatch(source, target)
    assert sorted(pairs["source_row"]) == [0, 4]  # bad pixels are masked one by one
    dropped = {row["why"]: int(row["dropped"]) for row in report.dropped}
    assert dropped["SNR below 50"] == 1
    assert dropped["STARFLAG bit 3: VERY_BRIGHT_NEIGHBOR"] == 1
    assert dropped["STARFLAG bit 22: RV_FAIL"] == 1
    everything, _ = crossmatch(source, target, source_cuts={})
    assert len(everything) == 6


def test_no_signal_to_noise_is_not_enough(stars):
    target = galah(stars, np.arange(4))
    target["snr_px_ccd3"] = MaskedColumn([50, 50, np.nan, -9999], mask=[0, 1, 0, 0])
    pairs, report = crossmatch(apogee(stars, np.arange(4)), target)
    assert list(pairs["target_row"]) == [0]
    assert "−3        no snr_px_ccd3" in repr(report)


def test_cuts_may_be_changed(stars):
    source, target = apogee(stars, np.arange(8)), galah(stars, np.arange(8))
    source["ASPCAPFLAG"] = [1 << 23, 0, 1 << 23, 0, 0, 0, 0, 0]
    source["good"] = [True] * 7 + [False]
    cuts = default_cuts(source) | {"aspcapflag": (23,), "SNR": 120, "good": True}
    pairs, _ = crossmatch(source, target, source_cuts=cuts)
    keep = (source["SNR"] >= 120) & (source["ASPCAPFLAG"] == 0) & source["good"]
    assert sorted(pairs["source_row"]) == list(np.flatnonzero(keep))


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ({"CHI2": 3}, "no column 'CHI2'"),
        ({"STARFLAG": "bad"}, "a tuple of bits"),
        ({"STARFLAG": (64,)}, "a tuple of bits"),
        ({"SNR": (3,)}, "expected whole numbers"),
        ({"FIELD": 3}, "expected numbers"),
    ],
)
def test_cuts_that_cannot_be_made(stars, cuts, message):
    source, target = apogee(stars, [0]), galah(stars, [0])
    with pytest.raises(ValueError, match=message):
        crossmatch(source, target, source_cuts=cuts)


def test_flags_of_the_third_release(stars):
    target = Table(
        {
            "sobject_id": np.arange(5),
            "star_id": stars["tmass"][:5],
            "dr2_source_id": stars["dr2"][:5],
            "dr3_source_id": stars["dr3"][:5],
            "flag_sp": [0, 1, 8, 32, 512],
            "snr_c3_iraf": np.full(5, 60.0),
        }
    )
    pairs, _ = crossmatch(apogee(stars, np.arange(5)), target)
    assert list(pairs["target_row"]) == [0, 1]  # RUWE says nothing of the spectrum


# --------------------------------------------------------------------- identifiers
def test_forms_of_identifiers(stars):
    n = 8
    source, target = apogee(stars, np.arange(n)), galah(stars, np.arange(n))
    names = list(stars["tmass"][:n])
    source["APOGEE_ID"] = [f" 2M{names[0]} ", f"2MASS J{names[1]}", *names[2:]]
    target["tmass_id"] = np.array([f"{name}  ".encode() for name in names])
    pairs, _ = crossmatch(source, target, on="tmass")
    assert len(pairs) == n
    ids = [str(i) for i in stars["dr3"][:n]]
    source["GAIAEDR3_SOURCE_ID"] = [f"Gaia DR3 {ids[0]}", *ids[1:]]
    target["gaiadr3_source_id"] = np.array(
        [*(int(i) for i in ids[:-1]), None], dtype=object
    )
    pairs, _ = crossmatch(source, target, on="source_id")
    assert len(pairs) == n - 1


@pytest.mark.parametrize("missing", [0, -1, -9999, None])
def test_no_source_id_matches_nothing(stars, missing):
    source, target = apogee(stars, np.arange(5)), galah(stars, np.arange(5))
    for table, name in (
        (source, "GAIAEDR3_SOURCE_ID"),
        (target, "gaiadr3_source_id"),
    ):
        values = np.array(table[name])
        values[[1, 3]] = 0 if missing is None else missing
        mask = np.isin(np.arange(5), [1, 3]) & (missing is None)
        table[name] = MaskedColumn(values, mask=mask)
    pairs, report = crossmatch(source, target)
    assert list(np.sort(pairs["source_row"])) == [0, 2, 4]
    assert "−2        no Gaia DR3 source_id" in repr(report)


@pytest.mark.parametrize("missing", ["", "None", "-", "AP17333-16545", "VESTA", "nan"])
def test_no_designation_matches_nothing(stars, missing):
    source, target = apogee(stars, np.arange(5)), galah(stars, np.arange(5))
    names = np.array(target["tmass_id"]).astype("U20")
    names[[1, 3]] = missing
    target["tmass_id"] = names
    source["APOGEE_ID"] = names
    pairs, _ = crossmatch(source, target, on="tmass")
    assert list(np.sort(pairs["source_row"])) == [0, 2, 4]


def test_rounded_source_ids_are_refused(stars):
    pd = pytest.importorskip("pandas")
    source, target = apogee(stars, np.arange(5)), galah(stars, np.arange(5))
    whole = np.array(target["gaiadr3_source_id"])
    for rounded in (
        whole.astype(float),
        whole.astype(np.float32),
        np.where(np.arange(5) == 2, np.nan, whole),
        [f"{float(i):.1f}" for i in whole],
        [f"{i:.15e}" for i in whole.astype(float)],
        np.array([*whole[:-1], float(whole[-1])], dtype=object),
    ):
        target["gaiadr3_source_id"] = rounded
        with pytest.raises(ValueError, match="integers or text"):
            crossmatch(source, target)
        pairs, _ = crossmatch(source, target[["tmass_id", "sobject_id"]], on="tmass")
        assert len(pairs) == 5
    frame = pd.DataFrame({"gaiadr3_source_id": [*whole[:-1], None]})
    with pytest.raises(ValueError, match="integers or text"):
        crossmatch(source, frame)
    with pytest.raises(ValueError, match="leave it out"):
        crossmatch(source, frame.astype({"gaiadr3_source_id": object}))


def test_pandas_with_nullable_integers(stars):
    pd = pytest.importorskip("pandas")
    whole = [int(i) for i in stars["dr3"][:4]]
    frame = pd.DataFrame({"gaiadr3_source_id": pd.array([*whole, None], dtype="Int64")})
    pairs, report = crossmatch(apogee(stars, np.arange(4)), frame)
    assert sorted(pairs["gaia_id"]) == sorted(whole)
    assert "no quality cut by default" in repr(report)


def test_other_releases_number_stars_anew(stars):
    """DR2 ids against DR3 ids: refused, whatever they look like."""
    source, target = apogee(stars, np.arange(5)), galah(stars, np.arange(5))
    source.rename_column("GAIAEDR3_SOURCE_ID", "GAIA_SOURCE_ID")  # as in DR16
    with pytest.raises(ValueError, match="source has Gaia DR2 ids and target DR3"):
        crossmatch(source, target)
    target["gaia_dr2_source_id"] = stars["dr2"][:5]
    source["GAIA_SOURCE_ID"] = stars["dr2"][:5]
    pairs, _ = crossmatch(source, target)
    assert len(pairs) == 5
    np.testing.assert_array_equal(np.sort(pairs["gaia_id"]), np.sort(stars["dr3"][:5]))


def test_a_column_that_does_not_say_its_release(stars):
    source, target = apogee(stars, np.arange(5)), galah(stars, np.arange(5))
    target.rename_column("gaiadr3_source_id", "source_id")
    with pytest.raises(ValueError, match="does not say which release"):
        crossmatch(source, target)
    pairs, _ = crossmatch(source, target, target_columns={"gaia_dr3": "source_id"})
    assert len(pairs) == 5
    target["ref_epoch"] = 2016.0
    assert len(crossmatch(source, target)[0]) == 5
    target["ref_epoch"] = 2015.5  # then they are of DR2
    with pytest.raises(ValueError, match="target DR2"):
        crossmatch(source, target)
    source["GAIAEDR3_SOURCE_ID"] = [f"Gaia DR2 {i}" for i in stars["dr3"][:5]]
    with pytest.raises(ValueError, match="expected ids of Gaia DR3"):
        crossmatch(source, galah(stars, np.arange(5)))


def test_what_is_missing_is_said(stars):
    source, target = apogee(stars, [0, 1]), Table({"sobject_id": [1, 2]})
    for on, message in (
        ("source_id", "needs Gaia ids in both"),
        ("tmass", "needs 2MASS ids in both"),
        ("sky", "needs positions"),
    ):
        with pytest.raises(ValueError, match=message):
            crossmatch(source, target, on=on)
    with pytest.raises(ValueError, match="on is 'gaia'"):
        crossmatch(source, target, on="gaia")
    with pytest.raises(ValueError, match="no role 'colour'"):
        crossmatch(source, target, target_columns={"colour": "x"})
    with pytest.raises(ValueError, match="no column 'x'"):
        crossmatch(source, target, target_columns={"ra": "x"})


# --------------------------------------------------------------------- ambiguities
def test_identifiers_that_contradict_each_other(stars):
    source, target = apogee(stars, np.arange(6)), galah(stars, np.arange(6))
    target["tmass_id"][2] = stars["tmass"][50]
    target["dec"][4] += 1.0  # degree
    pairs, report = crossmatch(source, target)
    assert sorted(pairs["source_row"]) == [0, 1, 3, 5]
    assert list(report.ambiguous["source_row"]) == [2, 4] or list(
        report.ambiguous["source_row"]
    ) == [4, 2]
    assert set(report.ambiguous["why"]) == {"2MASS ids differ", 'more than 60" apart'}
    assert not report.ambiguous["kept"].any()
    kept, report = crossmatch(source, target, ambiguous="keep")
    assert len(kept) == 6
    assert report.ambiguous["kept"].all()


def test_a_neighbour_makes_a_position_ambiguous(stars):
    source, target = apogee(stars, np.arange(3)), galah(stars, [0, 1, 2, 2])
    target["dec"][3] += 0.6 / 3600
    target["tmass_id"][3] = ""
    target["gaiadr3_source_id"][3] = stars["dr3"][55]
    source["GAIAEDR3_SOURCE_ID"] = 0
    pairs, report = crossmatch(source, target, on="sky")
    assert sorted(pairs["source_row"]) == [0, 1]
    assert list(report.ambiguous["target_row"]) == [2, 3] or list(
        report.ambiguous["target_row"]
    ) == [3, 2]
    kept, report = crossmatch(source, target, on="sky", ambiguous="keep")
    assert row_pairs(kept) == {(0, 0), (1, 1), (2, 2)}
    assert len(crossmatch(source, target, on="sky", radius=0.3)[0]) == 3


def test_rows_without_names_at_one_place_are_repeats(stars):
    source, target = apogee(stars, [0, 1]), galah(stars, [0, 0, 1])
    target.remove_columns(["tmass_id", "gaiadr3_source_id"])
    target["ra"][1] += 0.02 / 3600
    pairs, report = crossmatch(source, target, on="sky")
    assert row_pairs(pairs) == {(0, 0), (0, 1), (1, 2)}
    assert len(report.ambiguous) == 0


def test_a_wrong_name_does_not_draw_a_row_to_another_place(stars):
    """Row 1 bears the name of row 0 and is elsewhere: it is matched where it is."""
    source, target = apogee(stars, [0, 1, 2]), galah(stars, [0, 1, 2])
    target["gaiadr3_source_id"][1] = target["gaiadr3_source_id"][0]
    target["tmass_id"][1] = ""
    for ambiguous in ("drop", "keep"):
        pairs, report = crossmatch(source, target, on="sky", ambiguous=ambiguous)
        assert (pairs["separation"] < 0.01).all()
        doubts = row_pairs(report.ambiguous)
        assert doubts == {(1, 1)}
        assert row_pairs(pairs) | doubts == {(0, 0), (1, 1), (2, 2)}


def test_a_repeat_without_a_name_is_a_repeat(stars):
    source, target = apogee(stars, [0]), galah(stars, [0, 0])
    target["tmass_id"][1], target["gaiadr3_source_id"][1] = "", -1
    pairs, _ = crossmatch(source, target, on="sky")
    assert len(pairs) == 2
    assert len(np.unique(pairs["star"])) == 1


def test_an_older_release_does_not_speak_against_a_newer(stars):
    source, target = apogee(stars, [0, 1]), galah(stars, [0, 1])
    source["gaia_dr2_source_id"] = stars["dr2"][:2]
    target["gaia_dr2_source_id"] = stars["dr2"][[0, 9]]
    assert len(crossmatch(source, target)[0]) == 2


# ------------------------------------------------------------------------- the sky
def test_fast_stars_are_found_by_their_proper_motion(stars):
    stars["pmra"], stars["pmdec"] = 900.0, -1500.0  # 28″ in 16 years
    source, target = apogee(stars, np.arange(20)), galah(stars, np.arange(20))
    pairs, report = crossmatch(source, target, on="sky")
    assert len(pairs) == 20
    assert pairs["separation"].max() < 0.05
    assert not report.remarks
    source.remove_columns(["GAIAEDR3_PMRA", "GAIAEDR3_PMDEC"])
    pairs, report = crossmatch(source, target, on="sky")
    assert len(pairs) == 0
    assert "no proper motions" in repr(report)
    target["pmra"], target["pmdec"] = stars["pmra"][:20], stars["pmdec"][:20]
    pairs, _ = crossmatch(source, target, on="sky")  # the target is moved instead
    assert len(pairs) == 20


def test_the_epoch_may_be_given(stars):
    stars["pmra"], stars["pmdec"] = 300.0, 0.0
    source, target = apogee(stars, np.arange(9)), galah(stars, np.arange(9))
    source["RA"], source["DEC"] = moved(stars[:9], 1990.0)
    assert len(crossmatch(source, target, on="sky")[0]) == 0
    pairs, _ = crossmatch(source, target, on="sky", source_columns={"epoch": 1990.0})
    assert len(pairs) == 9
    source["ref_epoch"] = 1990.0
    assert len(crossmatch(source, target, on="sky")[0]) == 9


def test_across_the_meridian_and_at_the_pole(stars):
    stars = stars[:2]
    stars["ra"], stars["dec"] = [359.99999, 10.0], [-30.0, -89.99999]
    stars["pmra"] = stars["pmdec"] = 0.0
    source, target = apogee(stars, [0, 1]), galah(stars, [0, 1])
    source["RA"] = [0.00001, 190.0]
    source["DEC"] = [-30.0, -89.99999]
    pairs, _ = crossmatch(source, target, on="sky")
    np.testing.assert_allclose(pairs["separation"], [0.062, 0.072], atol=1e-3)


def test_units_are_converted(stars):
    source, target = apogee(stars, np.arange(5)), galah(stars, np.arange(5))
    hours = target["ra"] / 15
    target["ra"] = hours
    target["ra"].unit = "hourangle"
    assert len(crossmatch(source, QTable(target), on="sky")[0]) == 5
    target["ra"].unit = "km"
    with pytest.raises(ValueError, match="is in km; expected deg"):
        crossmatch(source, target, on="sky")


# ------------------------------------------------------------------------- domains
def test_labels_come_from_one_survey(stars):
    source, target = apogee(stars, np.arange(4)), galah(stars, np.arange(4))
    source["TEFF"] = [4500, 4500, -9999, np.nan]
    source["LOGG"] = [2.0, 4.6, 2.0, 2.0]
    target["teff"], target["logg"] = [6000, 6000, 4800, np.nan], [4.4, 4.4, 2.5, 2.5]
    pairs, report = crossmatch(source, target)
    order = np.argsort(pairs["source_row"])
    assert list(pairs["domain"][order]) == ["giant", "dwarf", "giant", "unknown"]
    assert list(pairs["logg"][order][:3]) == [2.0, 4.6, 2.5]
    assert report.counts["n_unknown"] == 1
    pairs, _ = crossmatch(source, target, labels="target")
    order = np.argsort(pairs["source_row"])
    assert list(pairs["domain"][order]) == ["dwarf", "dwarf", "giant", "unknown"]


# -------------------------------------------------------------------- other surveys
def test_the_names_of_sdss_v(stars):
    s = stars[:5]
    source = Table(
        {
            "sdss_id": 54392540 + np.arange(5),
            "sdss4_apogee_id": np.char.add("2M", s["tmass"]),
            "gaia_dr2_source_id": s["dr2"],
            "gaia_dr3_source_id": s["dr3"],
            "telescope": np.full(5, "apo25m"),
            "snr": [100.0, 100, 100, 100, 20],
            "spectrum_flags": [0, 1 << 22, 0, 0, 0],
            "teff": s["teff"],
            "logg": s["logg"],
        }
    )
    for on in ("source_id", "tmass"):
        pairs, report = crossmatch(source, galah(stars, np.arange(5)), on=on)
        assert sorted(pairs["source_row"]) == [0, 2, 3]
        assert report.surveys == ("SDSS-V", "GALAH DR4")
        assert (pairs["source_sdss_id"] == source["sdss_id"][pairs["source_row"]]).all()


def test_a_catalogue_of_other_columns(stars):
    source = Table({"who": stars["tmass"][:4], "SN": [1.0, 2, 3, 4]})
    columns = {"tmass": "who", "snr": "SN"}
    pairs, _ = crossmatch(
        source, galah(stars, np.arange(4)), on="tmass", source_columns=columns,
        source_cuts={"sn": 2}, repeats="best",
    )  # fmt: skip
    assert sorted(pairs["source_row"]) == [1, 2, 3]
    assert list(np.sort(pairs["source_snr"])) == [2, 3, 4]


def test_inputs_are_not_changed(surveys):
    source, target, _, _ = surveys
    before = source.copy(), target.copy()
    for on in WAYS:
        crossmatch(source, target, on=on)
    assert (source == before[0]).all()
    assert (target == before[1]).all()


# ---------------------------------------------------------------------------- real
@pytest.mark.filterwarnings("ignore")  # units of the file that astropy does not know
def test_real_catalogues(shared):
    folder = shared / "real" / "crossmatch"
    stars = Table.read(folder / "apogeedr17_stars_excerpt.csv")
    source = Table({"APOGEE_ID": [f"2M{name}" for name in stars["tmass_id"]]})
    pairs, report = crossmatch(source, stars, on="tmass")
    assert row_pairs(pairs) == {(i, i) for i in range(30)}
    assert list(np.unique(pairs["star"])) == sorted(source["APOGEE_ID"])
    assert report.counts["n_stars"] == len(set(stars["tmass_id"]))
    # the Gaia benchmark stars: repeats of a few bright stars, many without an id
    benchmarks = Table.read(folder / "galah_dr3_sobject_GBS.fits")
    for on in WAYS:
        pairs, report = crossmatch(
            benchmarks, benchmarks, on=on, source_cuts={}, target_cuts={}
        )
        assert report.surveys == ("GALAH DR3", "GALAH DR3")
        good = {
            "source_id": ~benchmarks["source_id"].mask,
            "tmass": ~benchmarks["tmass_id"].mask,
            "sky": np.ones(len(benchmarks), bool),
        }[on]
        itself = pairs["source_row"] == pairs["target_row"]
        assert itself.sum() <= good.sum()
        names = np.asarray(benchmarks["object_name"])
        assert (names[pairs["source_row"]] == names[pairs["target_row"]]).mean() > 0.5
        if on == "source_id":
            assert itself.sum() == good.sum()
