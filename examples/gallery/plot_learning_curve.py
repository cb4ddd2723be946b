"""
How many stars does it take?
============================

More stars in common may or may not help. scikit-learn's own tools answer: a translator
is an estimator like any other, and `Spectra` slice like an array.
"""

from matplotlib import pyplot as plt
from sklearn.model_selection import learning_curve

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics import line_flux_scorer, signed_root
from specxfer.model_selection import StarKFold

X, y, _ = make_paired_spectra(900, size="small", random_state=19)

# %%
# `StarKFold` never puts two spectra of one star on both sides of a split. The score is
# the mean squared error of the flux at eight lines of heavy elements, the noise taken
# off.

scorer = line_flux_scorer(load_lines("galah", names=KEY_LINES))
figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for n_components, color, marker in ((5, "#E69F00", "s"), (25, "#0072B2", "o")):
    sizes, _, scores = learning_curve(
        PCARidge(n_components=n_components),
        X,
        y,
        train_sizes=[75, 150, 300, 600],
        cv=StarKFold(3),
        scoring=scorer,
    )
    error = signed_root(-scores)
    middle, spread = error.mean(axis=1), error.std(axis=1)
    ax.errorbar(
        sizes, middle, spread, color=color, marker=marker, capsize=2,
        label=f"{n_components} components",
    )  # fmt: skip
ax.set(
    xscale="log",
    xlabel="number of training stars",
    ylabel="rms error at the lines [flux / continuum]",
)
ax.set_xticks(sizes, [f"{n}" for n in sizes])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# Bars are the scatter of three folds. With few components more stars soon add nothing:
# what the spectrum still tells lies outside these components.
