"""
One star in two surveys
=======================

The same giant as an APOGEE-like and a GALAH-like survey see it: a noisy optical
spectrum full of lines of heavy elements, and a good infrared one with hardly any.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.lines import load_lines

# %%
# Whole spectra, with the gaps between the detectors; here 100 Å of each side.

X, y, _ = make_paired_spectra(
    32, giant_fraction=1.0, snr_source=150, snr_target=40, random_state=0
)
star = int(np.argmax(np.where(X.meta["fe_h"] < 0, X.meta["s_process"], -np.inf)))

# %%
# Windows of lines of heavy elements are shaded. In the infrared they are lines of
# cerium, neodymium and ytterbium, a few per cent deep; in the optical there are more,
# of more elements, and stronger ones.

figure, axes = plt.subplots(2, 1, figsize=(7.5, 4.8), layout="constrained")
for ax, spectra, survey, limits, title in (
    (axes[0], X, "apogee", (16_325, 16_425), "source: near infrared, in vacuum"),
    (axes[1], y, "galah", (4_740, 4_840), "target: optical, in air"),
):
    near = (spectra.wave > limits[0]) & (spectra.wave < limits[1])
    ax.plot(spectra.wave[near], spectra.flux[star, near], color="0.2", linewidth=0.6)
    for line in load_lines(survey):
        if limits[0] < line.wave < limits[1]:
            ax.axvspan(
                line.lo, line.hi, color="#E69F00", alpha=0.6, linewidth=0, zorder=0
            )
            ax.text(
                line.wave, 1.14, line.species, fontsize="x-small",
                rotation="vertical", ha="center", va="bottom",
            )  # fmt: skip
    ax.set(xlim=limits, ylim=(0.3, 1.4), ylabel="flux / continuum")
    ax.set_title(title, fontsize="medium", loc="left")
axes[1].set_xlabel("wavelength [Å]")
plt.show()
