"""What a reader is given: files, folders and patterns, and paths that lead nowhere."""

import os

import pytest

from specxfer.io import read_apogee, read_galah
from specxfer.io._files import find_files


@pytest.fixture
def folder(tmp_path, write):
    write.aspcapstar(tmp_path / "a.fits")
    (tmp_path / "deep").mkdir()
    write.galah_dr4(tmp_path / "deep", "131118001101019")
    return tmp_path


@pytest.mark.parametrize("on_error", ["skip", "raise"])
def test_a_path_that_does_not_exist_is_an_error_that_says_what_is_there(
    folder, on_error
):
    for read in (read_apogee, read_galah):
        with pytest.raises(FileNotFoundError) as caught:
            read([folder / "a.fits", folder / "b.fits"], on_error=on_error)
        said = str(caught.value)
        assert said.startswith(f"{folder / 'b.fits'} does not exist: ")
        assert f"{folder} is there and holds a.fits, deep." in said
    with pytest.raises(FileNotFoundError, match=r"\(and 2 more of 4 paths\)"):
        read_apogee([folder / "a.fits", *(folder / name for name in "xyz")])


def test_of_a_path_through_nowhere_the_nearest_folder_is_named(folder):
    with pytest.raises(FileNotFoundError, match=f"{folder}/deep is there and holds"):
        find_files(folder / "deep" / "no" / "such" / "file.fits")
    with pytest.raises(FileNotFoundError, match=r"a\.fits is a file"):
        find_files(folder / "a.fits" / "file.fits")


def test_a_pattern_or_an_empty_folder_that_gives_nothing_is_reported(folder):
    (folder / "empty").mkdir()
    given = [str(folder / "z*.fits"), str(folder / "empty"), str(folder / "a.fits")]
    assert find_files(given) == given
    spectra, report = read_apogee(given)
    assert len(spectra) == 1
    assert list(report["status"]) == ["refused", "refused", "read"]
    assert list(report["file"]) == given


def test_a_link_in_a_folder_that_leads_nowhere_is_reported(folder):
    os.symlink(folder / "gone.fits", folder / "link.fits")
    spectra, report = read_apogee(folder)
    refused = report[report["status"] == "refused"]
    assert f"{folder}/link.fits" in list(refused["file"])
    assert len(spectra) == 1
    with pytest.raises(FileNotFoundError, match=r"link\.fits does not exist"):
        read_apogee(folder / "link.fits")
