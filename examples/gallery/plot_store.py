"""
Pairs that do not fit into memory
=================================

Thirty thousand pairs of full spectra are 10 to 20 GB. A `PairedStore` keeps them on
disk in half of the space of float32, and fits read it block by block.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.io import PairedStore
from specxfer.linear import PCARidge

X, y, _ = make_paired_spectra(600, size="small", snr_target=(20, 150), random_state=12)
folder = tempfile.TemporaryDirectory()

# %%
# From spectra in memory here; from files of the surveys, with ``read_source=`` and
# ``read_target=``, when there are many. A build that was killed goes on where it was.

path = Path(folder.name) / "pairs.zarr"
PairedStore.build(path, X, y)

# %%
# Opened again, flux and noise stay on disk, and rows are only an index.

store = PairedStore(path)
store.source

# %%
# So it goes wherever `Spectra` go.

stored = PCARidge(n_components=20).fit(store.source[:500], store.target[:500])
direct = PCARidge(n_components=20).fit(X[:500], y[:500])

# %%
# What do 16 bits cost? Flux is rounded to steps of 6.1e-5 of the continuum, and noise
# to 0.2%. Predictions of the two models differ a little more than that, and by a
# hundredth of the noise or less in nearly all pixels.

good = y.ivar > 0
rounding = (store.target.flux - y.flux)[good]
noise = y.ivar[good] ** -0.5
models = (stored.predict(X[500:]) - direct.predict(X[500:])).ravel()

figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
bins = np.geomspace(1e-7, 0.3, 90)
for values, label, color in (
    (rounding, "rounding of the stored flux", "#0072B2"),
    (models, "prediction: fitted to the store − to memory", "#E69F00"),
    (noise, "noise of the target spectra, 1σ", "0.5"),
):
    values = np.abs(values[values != 0])
    share = np.full(len(values), 100 / len(values))
    ax.hist(
        values, bins, weights=share, histtype="stepfilled", alpha=0.6, color=color,
        label=label,
    )  # fmt: skip
ax.set(xscale="log", xlabel="flux / continuum", ylabel="share of pixels [%]")
ax.legend(fontsize="small", loc="upper left")
ax.set_ylim(top=1.35 * ax.get_ylim()[1])
plt.show()

# %%
folder.cleanup()
