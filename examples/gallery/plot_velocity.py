"""
Bearing errors of velocity
==========================

Real spectra are not perfectly at rest. What does an error of the source's velocity
cost, and does training with such errors help?
"""

from matplotlib import pyplot as plt

from specxfer.compose import Augmented
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.validation import velocity_sensitivity

X, y, _ = make_paired_spectra(700, size="small", random_state=20)
line = load_lines("galah", names=[KEY_LINES[1]])

# %%
# `Augmented` trains on copies of the source that differ at random as surveys do.

models = {
    "as they are": PCARidge(n_components=20),
    "augmented: 0.5 km/s": Augmented(
        PCARidge(n_components=20), n_copies=2, velocity=0.5, random_state=0
    ),
}

figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), layout="constrained")
for (name, model), color, marker in zip(models.items(), ("#D55E00", "#0072B2"), "^o"):
    model.fit(X[:500], y[:500])
    found = velocity_sensitivity(
        model, X[500:], y[500:], line, [-2.4, -1.2, -0.4, 0, 0.4, 1.2, 2.4]
    )
    for ax, domain in zip(axes, ("giant", "dwarf")):
        rows = found[found["domain"] == domain]
        ax.plot(
            rows["shift"].value, rows["rms"], color=color, marker=marker, markersize=4,
            label=name,
        )  # fmt: skip
        ax.set(title=f"{domain}s", xlabel="error of the source's velocity [km/s]")
axes[0].set_ylabel("rms error at Ba II 6497 [flux / continuum]")
axes[0].legend(fontsize="small")
plt.show()

# %%
# Training with errors costs a little where there are none, and saves much where there
# are. Augment by what your spectra really have:
# :class:`specxfer.preprocessing.VelocityCheck` measures it.
