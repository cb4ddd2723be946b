"""AlignmentTranslator: what the space keeps, finds and costs, beside its peers.

The pairs and the protocol of `benchmarks.cnn_accuracy`. Printed for giants and dwarfs:
how much larger than CNNTranslator's the rms error at the key lines is, decoded and
retrieved, with 95% intervals over test stars. The bar: an interval of the decoded error
that reaches down to 0. Then

- retrieval among 1,000 test stars, source against noisy target: how often the partner
  is first, and among the first five, and its median rank; the same among the 100 stars
  most alike in the four labels. Beside the space: by the true Teff, logg, [Fe/H] and
  [alpha/Fe] of the star on the source's side, and on the other what the target spectra
  tell of them, or how a spectrum of these labels should look.
- alignment and uniformity (Wang & Isola 2020, ICML), and the gap between the means of
  the two sides.
- rms errors of labels learnt from the embeddings of half the test stars, beside those
  from as many principal components of the source.
- `specxfer.validation.twins_test` of the decoded test stars: whether pairs alike in the
  four labels are told apart at the key lines.

The space was developed with the test stars of fold 0 in sight; --fold takes others.
What rows of one survey alone are worth is measured by `benchmarks.alignment_unpaired`,
what an epoch costs by `benchmarks.alignment_speed`, and twins of a simulated kind are
made by `benchmarks.alignment_twins`.

    OMP_NUM_THREADS=1 python -m benchmarks.alignment --data DIR --fold 1
"""

import argparse
import os
import pickle
import sys
from pathlib import Path

import numpy as np
from sklearn.covariance import empirical_covariance
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

from benchmarks.cnn_accuracy import Task, told
from specxfer.linear import SpectralPCA
from specxfer.lines import KEY_LINES, load_lines
from specxfer.neural import AlignmentTranslator, CNNTranslator
from specxfer.validation import twins_test

LABELS = ["teff", "logg", "feh", "alpha"]
LEARNT = ["teff", "logg", "feh", "Ba_fe"]
N_AMONG, N_ALIKE = 1000, 100


def larger(task, domain, base, own):
    """By how much the summed rms error at the key lines is larger, and its interval."""
    stars = task.stars[domain]
    every = np.full((stars.sum(), 1), 1 / stars.sum())
    weights = np.hstack([every, task.shares[domain]])
    before, after = (
        np.sqrt(e[task.key][:, stars] @ weights).sum(axis=0) for e in (base, own)
    )
    ratio = after / before - 1
    return ratio[0], *np.quantile(ratio[1:], [0.025, 0.975])


def ranks(distance):
    """Place of each row's partner, its column of the same number, from 1."""
    return 1 + (distance < np.diag(distance)[:, None]).sum(axis=1)


def retrieval(name, distance, alike):
    """Print how well partners are found among all, and among those alike."""
    rank = ranks(distance)
    own = np.take_along_axis(distance, alike, axis=1)
    close = 1 + (own < np.diag(distance)[:, None]).sum(axis=1)
    columns = [(r == 1, r <= 5, r) for r in (rank, close)]
    line = "  ".join(
        f"{first.mean():6.3f} {five.mean():6.3f} {np.median(r):4.0f}"
        for first, five, r in columns
    )
    print(f"{name:36} {line}")
    return (rank <= 5).mean()


def distances(a, b, miss=None):
    """Distances between rows of a and b; in units of the covariance `miss`."""
    if miss is not None:
        root = np.linalg.cholesky(np.linalg.inv(miss + 1e-6 * np.eye(len(miss))))
        a, b = a @ root, b @ root
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(square, 0)


class Labels:
    """The labels of training and test stars, centred and of unit variance."""

    def __init__(self, pairs, n_train):
        self.train, self.test = (
            np.column_stack([np.asarray(s.meta[name], float) for name in LABELS])
            for s in (pairs.y[:n_train], pairs.y_test)
        )
        mean, scale = self.train.mean(axis=0), self.train.std(axis=0)
        self.train, self.test = (self.train - mean) / scale, (self.test - mean) / scale

    def of_spectra(self, scores, scores_test):
        """Distances by labels that target spectra tell, in units of their errors."""
        model = make_pipeline(
            StandardScaler(),
            PolynomialFeatures(2),
            RidgeCV(np.logspace(-2, 3, 6)),
        ).fit(scores[:, :12], self.train)
        miss = empirical_covariance(self.train - model.predict(scores[:, :12]))
        told_by_spectra = model.predict(scores_test[:, :12])
        return lambda some: distances(self.test[some], told_by_spectra[some], miss)

    def of_looks(self, scores, scores_test):
        """Distances by how spectra of such labels look."""
        model = make_pipeline(PolynomialFeatures(4), RidgeCV(np.logspace(-3, 2, 6)))
        model.fit(self.train, scores)
        miss = empirical_covariance(scores - model.predict(self.train))
        looks = model.predict(self.test)
        return lambda some: distances(looks[some], scores_test[some], miss)


def found_partners(task, model, n_train):
    """Retrieval, by the space and by labels; the ratio of shares among five."""
    pairs = task.pairs
    e, t = model.embed(pairs.X_test), model.embed_target(pairs.y_test)
    scores, of_test = (
        model._components.means(s) for s in (pairs.y[:n_train], pairs.y_test)
    )
    some = np.sort(np.random.default_rng(0).permutation(len(e))[:N_AMONG])
    labels = Labels(pairs, n_train)
    alike = np.argsort(distances(labels.test[some], labels.test[some]), axis=1)
    alike = alike[:, :N_ALIKE]
    print(f"\n{'partner first, in five, median rank':36} of {N_AMONG:13}  of 100 alike")
    own = retrieval("the space", distances(e[some], t[some]), alike)
    retrieval("the space, from the target's side", distances(t[some], e[some]), alike)
    by_labels = [
        retrieval(name, of(some), alike)
        for name, of in (
            ("labels, told by target spectra", labels.of_spectra(scores, of_test)),
            ("labels, by the look of spectra", labels.of_looks(scores, of_test)),
        )
    ]
    for name, other in zip(("told by spectra", "by looks"), by_labels):
        print(f"in five, the space over labels {name}: {own / other:.2f} (bar 2)")
    return e, t


def shape_of_space(e, t):
    """Alignment, uniformity and modality gap."""
    apart = 1 - e @ e.T
    upper = np.triu_indices(len(e), 1)
    print(
        f"\nalignment {np.square(e - t).sum(axis=1).mean():.5f}, uniformity "
        f"{np.log(np.exp(-4 * apart[upper]).mean()):.3f}, modality gap "
        f"{np.linalg.norm(e.mean(axis=0) - t.mean(axis=0)):.4f}, "
        f"stars spread by {np.sqrt(e.var(axis=0).sum()):.3f}"
    )


def learnt_labels(task, e, n_train):
    """Errors of labels from the embeddings, and from principal components."""
    pairs, n = task.pairs, len(e)
    pca = SpectralPCA(e.shape[1]).fit(pairs.X[:n_train])
    features = {"embedding": e, "components": np.asarray(pca.transform(pairs.X_test))}
    half = np.random.default_rng(1).permutation(n) < n // 2
    print(f"\nrms error of labels by {half.sum()} stars' {e.shape[1]} numbers")
    for label in LEARNT:
        values = np.asarray(pairs.truth.meta[label], float)
        scale = values[half].std()
        line = f"{label:6} (spread {scale:7.3f})"
        for name, x in features.items():
            model = make_pipeline(StandardScaler(), SVR(C=10, epsilon=0.01))
            model.fit(x[half], values[half] / scale)
            left = model.predict(x[~half]) * scale - values[~half]
            line += f"  {name} {np.sqrt(np.square(left).mean()):.4f}"
        print(line)


def twins(task, model):
    """Whether test stars alike in four labels are told apart: no fit, the model's."""
    pairs, n = task.pairs, len(task.pairs.X_test)
    found = twins_test(
        FrozenEstimator(model),
        pairs.X_test,
        pairs.y_test,
        load_lines("galah", names=KEY_LINES),
        labels=LABELS,
        cv=[(np.arange(10), np.arange(n))],  # nothing is fitted to the ten
        domains=task.stars,
    )
    print("\ntwins in four labels: what differences at the key lines follow")
    columns = ["line", "domain", "n_pairs", "rms_observed", "rms_predicted"]
    found[[*columns, "slope", "slope_lo", "slope_hi", "q", "follows"]].pprint_all()


def main(data, n_train, seed, fold, keep):
    """Print all; 1 if the bar of decoding is missed."""
    task = Task(data, n_train, fold)
    found = {
        cls.__name__: task.run(cls(random_state=seed), n_train, False)
        for cls in (CNNTranslator, AlignmentTranslator)
    }
    for name, run in found.items():
        told(name, run)
    cnn, own = found.values()
    model = own.model
    if keep:
        keep.write_bytes(pickle.dumps(model))
    print(f"temperature {model.temperature_:.2e}")
    flux = model.predict(
        task.pairs.X_test, how="retrieve", library=task.pairs.y[:n_train]
    )
    left = np.square(flux - np.asarray(task.pairs.truth))
    retrieved = np.stack([left[:, window].mean(axis=1) for window in task.windows])
    met = True
    for domain, stars in task.stars.items():
        decoded = larger(task, domain, cnn.errors, own.errors)
        looked_up = larger(task, domain, cnn.errors, retrieved)
        met &= decoded[1] <= 0
        rms = [np.sqrt(run.square[stars].mean()) for run in (cnn, own)]
        print(
            f"{domain}s, rms at the key lines over that of CNNTranslator, less 1: "
            "decoded {:.3f} [{:.3f}, {:.3f}], ".format(*decoded)
            + "retrieved {:.3f} [{:.3f}, {:.3f}]".format(*looked_up)
            + "; rms of all pixels {:.5f}, {:.5f}; ".format(*rms)
            + "stated "
            + " ".join(f"{v:.3f}" for v in own.stated[domain])
        )
    print(f"decoded no worse: {'reached' if met else 'MISSED'}")
    e, t = found_partners(task, model, n_train)
    shape_of_space(e, t)
    learnt_labels(task, e, n_train)
    twins(task, model)
    return int(not met)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fold", type=int, default=0, choices=range(5))
    parser.add_argument("--keep", type=Path, help="a file to pickle the model to")
    sys.exit(main(**vars(parser.parse_args())))
