"""
One line first
==============

Can the infrared spectrum of a star tell how strong its barium line at 6497 Å is? This
is the smallest translation there is: one line of the target, from all pixels of the
source.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline

from specxfer import translate
from specxfer.baselines import NullTranslator
from specxfer.compose import TargetWindow
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import Rebinner

# %%
# ``X`` is what an APOGEE-like survey saw, ``y`` what a GALAH-like one saw of the same
# stars, and ``truth`` the latter without noise. Row by row they are the same stars.

X, y, truth = make_paired_spectra(1000, size="small", random_state=0)
train, test = np.arange(700), np.arange(700, 1000)
X

# %%
# `TargetWindow` trains and predicts one window of the target, here with half an Å
# beside it: an equivalent width needs the pixels that the window's edges cut. In the
# source two pixels are made one, which loses little, as APOGEE's pixels are finer than
# its resolution.

barium = load_lines("galah", names="Ba II 6497")
pipeline = make_pipeline(Rebinner(2), PCARidge(n_components=20))
model = TargetWindow(pipeline, windows=barium, pad=0.5)
model.fit(X[train], y[train])

# %%
# A null knows Teff, log g, [Fe/H] and [α/Fe] of the star exactly, and nothing else.
# Barium is partly a function of these, and so the null is far from useless.

labels = NullTranslator("labels", labels=["teff", "logg", "fe_h", "alpha_fe"])
null = TargetWindow(labels, windows=barium, pad=0.5)
null.fit(X[train], y[train])

# %%
# Both predict stars that they have not seen. The equivalent width, the area that the
# line takes out of the spectrum, is what an abundance is measured by.

true = equivalent_width(truth[test], barium)[0][:, 0]
giant = np.asarray(X.meta["giant"])[test]

figure, axes = plt.subplots(
    1, 2, figsize=(7, 3.7), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, fitted) in zip(
    axes, {"from the labels": null, "from the infrared": model}.items()
):
    width = equivalent_width(translate(fitted, X[test]), barium)[0][:, 0]
    for of, label, color, marker in (
        (giant, "giants", "#CC79A7", "o"),
        (~giant, "dwarfs", "#009E73", "s"),
    ):
        rms = np.sqrt(np.mean((width - true)[of] ** 2))
        ax.scatter(
            true[of], width[of], s=9, color=color, marker=marker, linewidth=0,
            label=f"{label}: rms error {rms:.0f} mÅ",
        )  # fmt: skip
    ax.axline((100, 100), slope=1, color="0.5", linewidth=1)
    ax.set(title=name, xlabel="true equivalent width of Ba II 6497 [mÅ]")
    ax.legend(fontsize="small", loc="upper left")
axes[0].set_ylabel("predicted [mÅ]")
plt.show()

# %%
# The infrared has no usable line of barium. But it has lines of cerium and neodymium,
# which the same process makes, and so it tells more about barium than the labels do.
