"""
Abundances of stars that GALAH never saw
========================================

The reason for all this: [X/Fe] of heavy elements for stars with an infrared spectrum
only.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer.abundances import AbundanceRegressor
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge

X, y, _ = make_paired_spectra(800, size="small", giant_fraction=1.0, random_state=10)
train, test = np.arange(600), np.arange(600, 800)

# %%
# Spectra are translated, their lines measured, and abundances regressed on these widths
# and the stellar parameters. The widths it learns from are those of stars that their
# translator never saw, as those of new stars will be.

ELEMENTS = ["Ce", "Ba", "Eu"]
model = AbundanceRegressor(
    PCARidge(n_components=20),
    ELEMENTS,
    labels=("teff", "logg", "fe_h", "alpha_fe"),
    cv=2,
)
model.fit(X[train], y[train])
found, std = model.predict(X[test], return_std=True)

# %%
# Beside each element stands a null, the same regression without the spectrum. Where it
# does as well, the abundance is no measurement, and is marked as not informed.

model.skill_["element", "domain", "rms", "rms_null", "skill", "q", "informed"]

# %%
figure, axes = plt.subplots(
    1, 3, figsize=(8, 3.4), sharex=True, sharey=True, layout="constrained"
)
for k, (ax, element) in enumerate(zip(axes, ELEMENTS)):
    true = np.asarray(X.meta[f"{element.lower()}_fe"])[test]
    ax.errorbar(
        true, found[:, k], std[:, k], fmt="o", markersize=2, elinewidth=0.4,
        color="#0072B2", ecolor="0.75",
    )  # fmt: skip
    ax.axline((0, 0), slope=1, color="black", linewidth=1)
    rms, null = (model.skill_[name][k] for name in ("rms", "rms_null"))
    ax.set(
        title=f"{element}: {rms:.2f}\nfrom labels alone {null:.2f}",
        xlabel=f"true [{element}/Fe] [dex]",
    )
    ax.title.set_fontsize("medium")
axes[0].set_ylabel("from translated spectra [dex]")
plt.show()

# %%
# Barium is nearly as good as cerium, since one process makes both. Most europium comes
# of another, which the infrared does not show: stars rich in it stay near the mean of
# stars like them, as they must. A [Eu/Fe] from such spectra is hardly more than a guess
# from the labels, and ``rms`` beside ``rms_null`` says so.
