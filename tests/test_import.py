"""What `import specxfer` may and may not bring along."""

import subprocess
import sys

import pytest

HEAVY = ["torch", "skorch", "matplotlib", "zarr", "dask", "h5py", "skops"]


def modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def imported():
    return modules_after("import specxfer")


@pytest.mark.parametrize("heavy", HEAVY)
def test_import_is_light(imported, heavy):
    assert "specxfer" in imported
    assert heavy not in imported


@pytest.mark.parametrize("room", ["networks", "neural", "plotting", "io", "datasets"])
def test_rooms_are_not_entered_by_the_front_door(imported, room):
    assert f"specxfer.{room}" not in imported


def test_every_public_name_is_there_and_listed():
    import specxfer

    assert sorted(set(specxfer.__all__)) == sorted(specxfer.__all__)
    for name in specxfer.__all__:
        assert getattr(specxfer, name) is not None
        assert name in dir(specxfer)


def test_rooms_open_when_they_are_named():
    code = "import specxfer; specxfer.linear.PCARidge; specxfer.velocity"
    found = modules_after(code)
    assert {"specxfer.linear", "specxfer.velocity"} <= found
    assert not {"torch", "matplotlib"} & found


def test_what_is_not_there_is_an_attribute_error():
    import specxfer

    assert not hasattr(specxfer, "PCARidge")
    assert {"linear", "neural", "translate"} <= set(dir(specxfer))
