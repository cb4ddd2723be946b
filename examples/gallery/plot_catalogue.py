"""
A catalogue of stars
====================

`translate_catalog` takes any number of stars from disk to disk: spectra, their errors,
support, and a table of equivalent widths.
"""

import tempfile
from pathlib import Path

import numpy as np
from astropy.table import QTable
from matplotlib import pyplot as plt

import specxfer
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines

X, y, _ = make_paired_spectra(2400, size="small", random_state=13)
model = PCARidge(n_components=20).fit(X[:600], y[:600])
new = X[600:]

# %%
# A run that is broken off goes on when the same call is made again, and ends with the
# same bytes. ``n_jobs=`` shares the chunks out among processes, or over a cluster.

folder = tempfile.TemporaryDirectory()
out = specxfer.translate_catalog(
    model, new, Path(folder.name) / "catalogue", lines=load_lines("galah", "Ba")
)
table = QTable.read(out / "table.fits")
table[:5]

# %%
# The rows are those of the input, so what is known of the stars stands beside them: how
# the line of barium grows towards cool, luminous and metal-rich stars.

known = new.meta
good = np.asarray(table["supported"])
figure, ax = plt.subplots(figsize=(5.6, 4), layout="constrained")
points = ax.scatter(
    known["teff"][good], known["logg"][good], s=7, linewidth=0,
    c=table["ew_Ba_II_6497"][good].value, cmap="viridis",
)  # fmt: skip
ax.scatter(
    known["teff"][~good], known["logg"][~good], s=24, marker="x", color="#D55E00",
    linewidth=1, label=f"{(~good).sum()} stars unlike the training stars",
)  # fmt: skip
ax.set(xlabel="Teff [K]", ylabel="log g [dex]")
ax.invert_xaxis()
ax.invert_yaxis()
ax.legend(fontsize="small")
figure.colorbar(points, label="translated equivalent width of Ba II 6497 [mÅ]")
plt.show()

# %%
folder.cleanup()
