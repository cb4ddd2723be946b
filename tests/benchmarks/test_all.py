"""The tables of benchmarks reach the documentation as they are."""

import importlib
import re

import pytest
from astropy.table import Table

from benchmarks import all as benchmarks_all
from benchmarks.sections import ROOT, Section, conditions, write


@pytest.fixture
def section():
    rows = [("Ba II 6497", 0.01234), ('the "best", so far', float("nan"))]
    table = Table(rows=rows, names=["line", "rms"])
    table["rms"].unit, table["rms"].format = "dex", ".3f"
    return Section("Errors", "Of one seed.", table)


def test_a_table_keeps_formats_units_and_quotes(section):
    assert section.to_rst().splitlines() == [
        "Errors",
        "------",
        "",
        "Of one seed.",
        "",
        ".. csv-table::",
        "   :header-rows: 1",
        "",
        '   "line", "rms [dex]"',
        '   "Ba II 6497", "0.012"',
        '   "the ""best"", so far", ""',
    ]


def test_only_the_section_that_was_measured_is_replaced(section, tmp_path):
    page = tmp_path / "page.rst"
    page.write_text("Page\n====\n")
    write(page, "first", [section], "*yesterday*")
    write(page, "second", [section], "*yesterday*")
    before = page.read_text()
    write(page, "first", [section], "*today*")
    assert page.read_text() == before.replace("*yesterday*", "*today*", 1)
    assert before.startswith("Page\n====\n\n.. begin first\n")


def test_a_run_writes_what_was_chosen(monkeypatch, tmp_path, section, capsys):
    for name in benchmarks_all.PAGES:
        (tmp_path / f"{name}.rst").write_text("Page\n====\n")
    monkeypatch.setattr(benchmarks_all, "measured", lambda name, data: ([section], "-"))
    benchmarks_all.main(["--only", "nearest"], docs=tmp_path)
    assert "Ba II 6497" in capsys.readouterr().out
    assert "begin" not in (tmp_path / "performance.rst").read_text()
    benchmarks_all.main(["--only", "nearest", "--write-docs"], docs=tmp_path)
    assert ".. begin nearest" in (tmp_path / "performance.rst").read_text()
    assert "begin" not in (tmp_path / "accuracy.rst").read_text()


def test_what_is_no_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        benchmarks_all.main(["--only", "nonsense"])
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("name", benchmarks_all.NAMES)
def test_every_benchmark_has_sections(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").sections)


def test_the_pages_hold_what_benchmarks_wrote():
    """And nothing of benchmarks that are no more; not all need to have been run."""
    for page, names in benchmarks_all.PAGES.items():
        text = (ROOT / "docs" / f"{page}.rst").read_text()
        written = re.findall(
            r"^\.\. begin (\w+)\n(.*?)^\.\. end \1\n", text, re.M | re.S
        )
        assert len(written) == text.count(".. begin") == text.count(".. end")
        for name, part in written:
            assert name in names
            assert f"*Measured by* ``python -m benchmarks.all --only {name}``" in part


def test_conditions_name_machine_and_versions_and_nothing_private():
    text = conditions()
    assert "numpy 2" in text
    assert "cores" in text
    assert "/" not in text
