import numpy as np
import pytest
from astropy.table import QTable, Table, vstack

from specxfer.plotting import ComparisonDisplay

MODELS, LINES, DOMAINS = (
    ["one", "two"],
    ["Ba II 6497", "Eu II 6645"],
    ["giant", "dwarf"],
)


def comparison(table=Table):
    rows = [(m, n, d) for n in LINES for d in DOMAINS for m in MODELS]
    model, line, domain = (list(column) for column in zip(*rows))
    rms = np.linspace(0.01, 0.024, len(rows))
    found = {"model": model, "line": line, "domain": domain, "rms": rms}
    found |= {"rms_lo": rms - 0.001, "rms_hi": rms + 0.002}
    found["rms_null"] = np.repeat([0.03, 0.02, 0.031, 0.021], 2)
    return table(found)


def marks(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found.get_xdata(), found.get_ydata()


def test_a_mark_for_each_model_and_line_in_its_domain():
    table = comparison()
    display = ComparisonDisplay.from_table(table).plot()
    assert [ax.get_title() for ax in display.axes_] == ["giants", "dwarfs"]
    names = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert names == LINES
    for ax, domain in zip(display.axes_, DOMAINS):
        for model in MODELS:
            rows = table[(table["model"] == model) & (table["domain"] == domain)]
            x, y = marks(ax, model)
            np.testing.assert_array_equal(x, rows["rms"])
            assert np.round(y).tolist() == [0, 1]
        segments = np.concatenate([c.get_segments() for c in ax.collections])
        level = segments[segments[:, 0, 1] == segments[:, 1, 1]]
        rows = table[table["domain"] == domain]
        assert sorted(level[:, 0, 0]) == pytest.approx(sorted(rows["rms_lo"]))
        assert sorted(level[:, 1, 0]) == pytest.approx(sorted(rows["rms_hi"]))
        upright = segments[segments[:, 0, 0] == segments[:, 1, 0]]
        assert upright[:, 0, 0].tolist() == list(dict.fromkeys(rows["rms_null"]))
        assert ax.get_xlim()[0] == 0
        top, bottom = ax.get_ylim()
        assert top > bottom  # the first line is above
    first, second = (marks(display.ax_, model)[1] for model in MODELS)
    assert (first < second).all()  # nothing hides the other
    assert [t.get_text() for t in display.figure_.legends[0].get_texts()] == [
        "one", "two", "null"]  # fmt: skip


def test_errors_far_below_the_noise_are_drawn_below_zero():
    table = comparison()
    table["rms"][0] = -0.002
    assert ComparisonDisplay.from_table(table).plot().ax_.get_xlim()[0] < -0.002


def test_a_null_that_is_a_model_is_drawn_once():
    table = comparison()
    null = table[table["model"] == "two"]
    null["rms"] = null["rms_null"]
    null.replace_column("model", ["null"] * len(null))
    display = ComparisonDisplay.from_table(vstack([table, null])).plot()
    labels = [t.get_text() for t in display.figure_.legends[0].get_texts()]
    assert labels == ["one", "two", "null"]


def test_units_and_missing_values():
    table = comparison(QTable)
    table["rms_null"] = np.nan
    table.meta["unit"] = "mÅ"
    table["rms"][1] = table["rms_lo"][1] = np.nan
    display = ComparisonDisplay.from_table(table).plot()
    assert display.figure_.get_supxlabel() == "rms error [mÅ]"
    assert len(display.figure_.legends[0].get_texts()) == 2
    bare = table["model", "line", "domain", "rms", "rms_lo", "rms_hi"]
    assert len(ComparisonDisplay.from_table(bare).plot(xlabel="e").axes_) == 2


def test_it_draws_where_it_is_told_to():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2)
    display = ComparisonDisplay.from_table(comparison())
    assert display.plot(axes).axes_.tolist() == axes.tolist()
    with pytest.raises(ValueError, match="one a domain, 2"):
        display.plot(axes[:1])
    display.plot(axes[0])
    assert axes[0] not in figure.axes
    assert display.figure_ in figure.subfigs


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match="'rms'"):
        ComparisonDisplay.from_table(comparison()["model", "line", "domain"])
