"""
Twins
=====

Two stars with the same temperature, gravity and composition of light elements may
differ in barium. Does the translator know which of them has more?
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer import translate
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.metrics import equivalent_width
from specxfer.validation import twins_test

X, y, truth = make_paired_spectra(
    1200, size="small", giant_fraction=1.0, random_state=5
)
train, test = np.arange(600), np.arange(600, 1200)
line = load_lines("galah", names="Ba II 6497")
model = PCARidge(n_components=20).fit(X[train], y[train])

# %%
# Twins by hand: the hundred pairs of giants that are nearest to each other in four
# labels, no star in two pairs.

LABELS = ["teff", "logg", "fe_h", "alpha_fe"]
labels = np.stack([X.meta[name] for name in LABELS], axis=1)[test]
labels = (labels - labels.mean(axis=0)) / labels.std(axis=0)
distance = np.linalg.norm(labels[:, None] - labels, axis=2)
first, second = np.triu_indices(len(test), 1)
pairs, taken = [], set()
for k in np.argsort(distance[first, second]):
    pair = {first[k], second[k]}
    if not pair & taken:
        taken |= pair
        pairs.append((first[k], second[k]))
    if len(pairs) == 100:
        break
a, b = np.transpose(pairs)

# %%
# By the labels, the two spectra of a pair should be the same. A translator that has
# only learnt the labels would put every pair on the horizontal line.

true = equivalent_width(truth[test], line)[0][:, 0]
found = equivalent_width(translate(model, X[test]), line)[0][:, 0]
right = np.mean(np.sign(true[a] - true[b]) == np.sign(found[a] - found[b]))

figure, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
ax.axhline(0, color="0.7", linewidth=1)
ax.axline((0, 0), slope=1, color="0.5", linewidth=1)
ax.scatter(true[a] - true[b], found[a] - found[b], s=16, color="#0072B2", linewidth=0)
ax.set(
    title=f"100 pairs of twins: the stronger one is told in {right:.0%}",
    xlabel="true difference of W(Ba II 6497) [mÅ]",
    ylabel="predicted difference [mÅ]",
)
ax.title.set_fontsize("medium")
plt.show()

# %%
# `twins_test` does this without the truth, from noisy spectra, with a model for each
# fold.

found = twins_test(PCARidge(n_components=20), X, y, line, labels=LABELS, cv=2)
found["line", "n_pairs", "rms_observed", "rms_predicted", "slope", "correlation", "p"]
