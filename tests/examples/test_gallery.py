import runpy
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the gallery draws figures")

GALLERY = Path(__file__).resolve().parents[2] / "examples" / "gallery.py"


def test_every_display_is_drawn(tmp_path, capsys):
    import matplotlib.pyplot as plt
    from matplotlib.image import imread

    from specxfer import plotting

    plt.switch_backend("agg")
    gallery = runpy.run_path(str(GALLERY))
    gallery["main"](["--n-stars", "120", "--out", str(tmp_path / "new")])
    assert not plt.get_fignums()
    names = [Path(line).stem for line in capsys.readouterr().out.split()]
    drawn = {name.removesuffix("_mean").replace("_", "") for name in names}
    names_ = [name for name in plotting.__all__ if name.endswith("Display")]
    displays = {name.removesuffix("Display").lower() for name in names_}
    assert drawn == displays
    for name in names:
        pixels = imread(tmp_path / "new" / f"{name}.png")[..., :3]
        assert pixels.shape[1] == 1000  # 5 inches
        assert pixels.std() > 0.05
