"""
Cause, not correlation
======================

A translator learns from stars as nature makes them, in which barium and cerium go up
together. What if only one of them does? In simulated stars that can be tried.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer import translate
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.metrics import equivalent_width

STARS = {"n_stars": 800, "size": "small", "giant_fraction": 1.0, "random_state": 4}
X, y, truth = make_paired_spectra(**STARS)
new = np.arange(600, 800)
model = PCARidge(n_components=20).fit(X[:600], y[:600])
lines = load_lines("galah", names=["Ce II 4774", "Ba II 6497"])

# %%
# The same stars again, to the noise in every pixel, with one abundance raised by 0.3
# dex. The change of each line, as it is and as it is predicted:

figure, axes = plt.subplots(
    1, 2, figsize=(7, 3.6), sharex=True, sharey=True, layout="constrained"
)
for ax, element in zip(axes, ["Ce", "Ba"]):
    shift = {f"{element.lower()}_fe": 0.3}
    X_up, _, truth_up = make_paired_spectra(**STARS, shift=shift)
    true, found = (
        equivalent_width(after, lines)[0] - equivalent_width(before, lines)[0]
        for before, after in (
            (truth[new], truth_up[new]),
            (translate(model, X[new]), translate(model, X_up[new])),
        )
    )
    for k, (color, marker) in enumerate([("#0072B2", "o"), ("#D55E00", "^")]):
        ax.scatter(
            true[:, k], found[:, k], s=12, color=color, marker=marker, linewidth=0,
            label=lines[k].name,
        )  # fmt: skip
    ax.axline((0, 0), slope=1, color="0.5", linewidth=1)
    ax.set(title=f"{element} alone raised by 0.3 dex", xlabel="true change of W [mÅ]")
axes[0].set_ylabel("predicted change of W [mÅ]")
axes[1].legend(loc="upper right")
plt.show()

# %%
# Cerium raised alone moves the predicted cerium line, as it should; the infrared shows
# cerium itself. It also moves the predicted barium line, which it should not: barium
# was inferred from cerium. Barium raised alone is not seen at all.
# :func:`specxfer.validation.counterfactual_test` gives the slopes with their errors.
