"""
When there is nothing to learn
==============================

A translator must find nothing where there is nothing. Here is the same experiment
twice: with giants whose heavy elements scatter, and with giants in which each of them
follows from the light ones.
"""

from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.plotting import SkillDisplay
from specxfer.validation import null_test

lines = load_lines("galah", names=KEY_LINES)

# %%
# `null_test` fits translator and null on the same stars and judges both on others. The
# skill is 1 − MSE / MSE(null): 0 if the spectrum told no more than the labels, 1 if it
# told everything. The null knows all that heavy elements could be guessed from.

LABELS = ["teff", "logg", "fe_h", "alpha_fe", "vmic", "vmac"]


def skill(heavy_scatter):
    X, y, _ = make_paired_spectra(
        500,
        size="small",
        giant_fraction=1.0,
        heavy_scatter=heavy_scatter,
        random_state=2,
    )
    return null_test(PCARidge(n_components=15), X, y, lines, labels=LABELS, cv=2)


# %%
# Full colours are skilful at a false discovery rate of 5%, pale ones are not.

figure = plt.figure(figsize=(6.5, 7), layout="constrained")
above, below = figure.subfigures(2, 1, hspace=0.05)
above.suptitle("heavy elements scatter from star to star")
SkillDisplay.from_table(skill(heavy_scatter=True)).plot(above.subplots())
below.suptitle("heavy elements follow from the light ones")
SkillDisplay.from_table(skill(heavy_scatter=False)).plot(below.subplots())
plt.show()

# %%
# In the lower panel nothing is skilful, and skill is negative: the null knows the
# labels exactly, the translator has to read them from a noisy spectrum. If your own
# null case looks like the upper panel, something leaks: a star on both sides of the
# split, or a null that is too stiff.
