"""
Stars unlike those of the training
==================================

A translator gives an answer for any spectrum. `support` tells whether to use it: above
1 a star is unlike all that the model has seen.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer import support
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge

X, y, _ = make_paired_spectra(1500, size="small", random_state=8)
metals = np.asarray(X.meta["fe_h"])

# %%
# The model sees metal-rich stars alone, and only two thirds of them.

kept = np.arange(len(X)) % 3 == 0
train = (metals > -0.5) & ~kept
model = PCARidge(n_components=20).fit(X[train], y[train])

# %%
# Some stars of the third that was kept get an emission line, 10% of the continuum high,
# such as a remnant of a sky line: no star of the training has one.

rows = np.flatnonzero(kept)
odd = np.isin(rows, rows[metals[rows] > -0.5][:15])
flux = X.flux[rows]
flux[odd] += 0.1 * np.exp(-0.5 * ((X.wave - 16_384) / 0.3) ** 2)
found = support(model, X[rows].replace(flux=flux))

# %%
figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
for which, label, color, marker, size in (
    ((metals[rows] > -0.5) & ~odd, "like the training stars", "#0072B2", "o", 10),
    (metals[rows] <= -0.5, "more metal-poor than any of them", "#E69F00", "s", 10),
    (odd, "with a line in emission", "#D55E00", "^", 28),
):
    ax.scatter(
        metals[rows][which], found[which], s=size, color=color, marker=marker,
        linewidth=0, label=label,
    )  # fmt: skip
ax.axhline(1, color="0.5", linewidth=1)
ax.axvline(-0.5, color="0.5", linewidth=1, linestyle=":")
ax.set(xlabel="[Fe/H] [dex]", ylabel="support", yscale="log")
ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
ax.minorticks_off()
ax.legend(fontsize="small")
plt.show()

# %%
# ``translate(model, X).meta["supported"]`` says the same, star by star. It is no proof:
# of stars just outside the training, some look as if they were inside.

inside = (metals[rows] > -0.5) & ~odd
for name, which in {"inside": inside, "metal-poor": ~inside & ~odd, "odd": odd}.items():
    print(f"{name:>10}: {np.mean(found[which] > 1):.0%} of {which.sum()} flagged")
