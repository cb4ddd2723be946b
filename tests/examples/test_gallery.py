import runpy
from pathlib import Path

import numpy as np
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
    displays = {name.removesuffix("Display").lower() for name in plotting.__all__}
    assert drawn == displays
    for name in names:
        pixels = imread(tmp_path / "new" / f"{name}.png")[..., :3]
        assert pixels.shape[1] == 1000  # 5 inches
        assert pixels.std() > 0.05


def test_slopes_are_those_of_a_linear_model():
    """Of a model whose line weakens by what one source pixel gains."""
    from specxfer import Spectra

    class Linear:
        def predict(self, X):
            flux = np.ones((len(X), 5))
            flux[:, 2] = 0.5 + 0.3 * (np.asarray(X)[:, 1] - 1)
            return flux

    y = Spectra(np.ones((1, 5)), wave=np.arange(5000.0, 5005), medium="air")
    star = Spectra(np.ones((1, 3)), wave=[16e3, 16001, 16002], medium="vacuum")
    found = runpy.run_path(str(GALLERY))["slopes"](Linear(), star, (5001, 5003), y)
    np.testing.assert_allclose(found, [0, -300, 0], atol=1e-9)
