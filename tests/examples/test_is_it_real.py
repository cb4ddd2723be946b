"""The example of the validation suite runs, and finds what was put in."""

import runpy
import warnings
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the example draws figures")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "is_it_real.py"


def test_it_runs(tmp_path, capsys):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    main = runpy.run_path(str(EXAMPLE))["main"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "too few", UserWarning)
        main(["--n-stars", "240", "--out", str(tmp_path / "new")])
    text = capsys.readouterr().out
    for number in range(1, 9):
        assert f"\n{number}. " in text
    assert "identical translations: 0.0" in text
    assert (tmp_path / "new" / "skill.png").exists()
    assert (tmp_path / "new" / "attribution.png").exists()
