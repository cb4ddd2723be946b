import sys
import types

import numpy as np
import pytest
from astropy.table import QTable

from specxfer.plotting import SkillDisplay


def skills(skill=(0.6, 0.2, 0.1, -0.05), skilful=(True, True, False, False)):
    skill = np.array(skill)
    return QTable(
        {
            "line": np.repeat(["Ba II 6497", "Eu II 6645"], 2),
            "domain": ["giant", "dwarf"] * 2,
            "skill": skill,
            "skill_lo": skill - 0.1,
            "skill_hi": skill + 0.2,
            "skilful": list(skilful),
        }
    )


def test_bars_are_the_skills_side_by_side():
    display = SkillDisplay.from_table(skills()).plot()
    giants, dwarfs = (display.bars_[domain] for domain in ("giant", "dwarf"))
    assert [bar.get_height() for bar in giants] == [0.6, 0.1]
    assert [bar.get_height() for bar in dwarfs] == [0.2, -0.05]
    assert [bar.get_alpha() for bar in giants] == [1, 0.35]
    for left, right in zip(giants, dwarfs):
        assert left.get_x() + left.get_width() < right.get_x() + 1e-9
    ax = display.ax_
    assert [t.get_text() for t in ax.get_xticklabels()] == ["Ba II 6497", "Eu II 6645"]
    assert ax.get_ylim() == (-0.1, 1)
    whiskers = np.array([s[:, 1] for c in ax.collections for s in c.get_segments()])
    np.testing.assert_allclose(
        whiskers[[0, 2, 1, 3]], np.c_[skills()["skill_lo"], skills()["skill_hi"]]
    )
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "giants", "dwarfs", "not better than the null"]  # fmt: skip
    swatches = ax.get_legend().findobj(lambda part: part.get_alpha() == 0.35)
    colors = [swatch.get_facecolor() for swatch in swatches]
    assert colors == [giants[1].get_facecolor(), dwarfs[1].get_facecolor()]
    none = SkillDisplay.from_table(skills()).plot(intervals=False)
    assert not none.ax_.collections
    bare = skills()["line", "domain", "skill", "skilful"]
    assert not SkillDisplay.from_table(bare).plot().ax_.collections


def test_what_is_not_known_is_marked_and_what_is_very_bad_is_cut():
    table = skills((0.6, np.nan, -3.2, 0.1), (True, False, False, True))
    display = SkillDisplay.from_table(table).plot()
    ax = display.ax_
    marked = [line for line in ax.lines if line.get_marker() == "x"]
    bar = display.bars_["dwarf"][0]
    found = np.concatenate([line.get_xdata() for line in marked])
    assert found.tolist() == [pytest.approx(bar.get_x() + bar.get_width() / 2)]
    assert ax.get_ylim() == (-1, 1)
    assert [t.get_text() for t in ax.texts] == ["−3.2"]
    assert "not known" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_other_domains_and_missing_rows():
    table = skills()[:3]
    table["domain"] = ["hot", "cool", "hot"]
    display = SkillDisplay.from_table(table).plot()
    assert [len(bars) for bars in display.bars_.values()] == [2, 1]
    colors = {bars[0].get_facecolor() for bars in display.bars_.values()}
    assert len(colors) == 2


def test_an_estimator_goes_through_the_null_test(monkeypatch):
    calls = []
    validation = types.ModuleType("specxfer.validation")
    validation.null_test = lambda *args, **kw: calls.append((args, kw)) or skills()
    monkeypatch.setitem(sys.modules, "specxfer.validation", validation)
    display = SkillDisplay.from_estimator("model", "X", "y", ["line"], null="mean")
    assert calls == [(("model", "X", "y", ["line"]), {"null": "mean"})]
    assert len(display.table) == 4


def test_it_draws_where_it_is_told_to():
    import matplotlib.pyplot as plt

    figure, (_, ax) = plt.subplots(2, 1)
    display = SkillDisplay.from_table(skills()).plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match=r"\['skilful'\]"):
        SkillDisplay.from_table(skills()["line", "domain", "skill"])
    with pytest.raises(ValueError, match="empty"):
        SkillDisplay.from_table(skills()[:0])
