"""
A star that both surveys observed
=================================

Its translation says what to expect of its target spectrum. `denoise` weighs the noisy
observation against that.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer import denoise, translate
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge

X, y, truth = make_paired_spectra(800, size="small", snr_target=30, random_state=17)
train, test = np.arange(600), np.arange(600, 800)
model = PCARidge(n_components=20).fit(X[train], y[train])

translated = translate(model, X[test], resolution=y[test].resolution)
better = denoise(model, X[test], y[test])

# %%
# The giant richest in the s-process, around Zr I 4772 and Ce II 4774. It was observed
# at a signal-to-noise ratio of 30.

giant = np.asarray(X.meta["giant"])[test]
row = int(np.argmax(np.where(giant, X.meta["s_process"][test], -np.inf)))
part = (y.wave > 4_771.4) & (y.wave < 4_774.6)

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
ax.plot(y.wave[part], y.flux[test][row, part], ".", color="0.6", label="observed")
for spectra, label, color in (
    (translated, "translated", "#E69F00"),
    (better, "denoised, ±1σ", "#0072B2"),
):
    ax.plot(y.wave[part], spectra.flux[row, part], color=color, label=label)
std = better.ivar[row, part] ** -0.5
ax.fill_between(
    y.wave[part],
    better.flux[row, part] - std,
    better.flux[row, part] + std,
    color="#0072B2",
    alpha=0.25,
    linewidth=0,
)
ax.plot(y.wave[part], truth.flux[test][row, part], "k--", linewidth=1, label="truth")
ax.set(xlabel="wavelength in air [Å]", ylabel="flux / continuum")
ax.legend(fontsize="small", ncols=2)
plt.show()

# %%
# Over all stars kept apart, rms error against the truth:

for name, spectra in (
    ("observed", y[test]), ("translated", translated), ("denoised", better)
):  # fmt: skip
    rms = np.sqrt(np.nanmean((spectra.flux - truth.flux[test]) ** 2))
    print(f"{name:>10}: {rms:.4f}")

# %%
# A denoised spectrum is for measuring a star, never for judging a model: it has seen
# the observation.
