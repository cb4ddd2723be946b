"""Speed and memory of CNNTranslator beside its bare networks, in the same run.

Three parts:

- train: steps a second of the training core with its batches, without and with the
  judging after every epoch, over those of the same networks, loss and optimiser (AdamW,
  clipping) on one batch that is there already. The bar: 0.85. And over those of a plain
  skorch NeuralNetRegressor with torch's default loader, row by row, on the same arrays.
  Sizes are the estimator's defaults, stars are random numbers.
- predict: stars a second over those of the bare products in float32 on tensors that are
  there: source pixels with the filters of every fold, the networks, coefficients with
  target pixels. The bar: 0.7 without noise. Also with the noise of every pixel, where
  each star has filters of its own, and with standard deviations; and what five members
  take over two, of the networks alone and of a prediction.
- memory: see `benchmarks.cnn_memory`.

Peers in turn in every round; printed are medians of times and of ratios of neighbours.
Where other work shares the cores, ``OMP_NUM_THREADS=1`` keeps threads from waiting for
others that do not run.

    OMP_NUM_THREADS=1 python -m benchmarks.cnn_speed [train predict memory]
    python -m benchmarks.cnn_speed predict --p 3000 --q 4000 --n-train 300
"""

import argparse
import sys
import time

import numpy as np
import torch
from torch import nn

from benchmarks.cnn_memory import memory_of_a_fit, timed
from benchmarks.linear_speed import (
    Spectrographs,
    verdict,
)
from benchmarks.neural_batches import plain_skorch
from specxfer import Spectra
from specxfer.networks import QuadraticError
from specxfer.neural import CNNTranslator, Schedule, train
from specxfer.neural._member_training import MemberTraining
from specxfer.neural._target_scores import TargetScores
from specxfer.neural._weights import decay_groups, load_arrays

PARTS = ("train", "predict", "memory")
BARS = {"train": 0.85, "predict": 0.7}
N_OUT = 80  # of the whole target, and of the lines
EPOCHS = 3  # of each training that is timed; the first is left out


# ------------------------------------------------------------------------- training
class Stacked(nn.Module):
    """`QuadraticError` of one array of targets, which is what skorch takes."""

    def forward(self, outputs, target):
        half = N_OUT // 2
        parts = target.split([half**2, half**2, N_OUT, outputs.shape[1]], dim=1)
        grams = [part.unflatten(1, (half, half)) for part in parts[:2]]
        targets = {f"gram {i}": gram for i, gram in enumerate(grams)}
        targets |= {"projection": parts[2], "judges": parts[3]}
        return QuadraticError()(outputs, targets)


def made_up(model, n, seed=0):
    """A `MemberTraining` on random numbers, as `CNNTranslator.fit` makes one."""
    rng = np.random.default_rng(seed)
    k, m = model.n_components, model.n_members
    scores = rng.standard_normal((n, k), "f4")
    half = N_OUT // 2
    truth = np.tanh(scores @ rng.standard_normal((k, N_OUT), "f4") / np.sqrt(k))
    grams = []
    for _ in range(2):
        root = rng.standard_normal((n, half, 8), "f4") / np.float32(np.sqrt(8 * half))
        grams.append(root @ root.transpose(0, 2, 1))
    both = np.split(truth[:, :, None], 2, axis=1)
    parts = [np.matmul(gram, part)[:, :, 0] for gram, part in zip(grams, both)]
    projection = np.concatenate(parts, axis=1).astype("f4")
    one, ones = np.ones(N_OUT), np.ones(n)
    target = TargetScores(projection, tuple(grams), truth, one, one, ones, ones)
    left_out = np.arange(n)[:, None] % m == np.arange(m)
    device = torch.device("cpu")
    return MemberTraining(
        model, None, None, scores, [], target, left_out, ones, device, seed
    )


class Bare:
    """Steps on one batch that is there already."""

    def __init__(self, network, batch, settings):
        self.network, self.criterion = network, QuadraticError()
        self.inputs, self.targets = (
            {name: t.clone() for name, t in part.items()} for part in batch
        )
        groups = decay_groups(network, settings.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, settings.learning_rate, fused=True)
        self.clip = Schedule().clip

    def seconds(self, n_steps):
        """Seconds a step."""
        start = time.perf_counter()
        for _ in range(n_steps):
            self.optimizer.zero_grad()
            self.criterion(self.network(**self.inputs), self.targets).backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
            self.optimizer.step()
        return (time.perf_counter() - start) / n_steps


def training_speed(n, n_rounds):
    """Print step rates; whether the bars are met."""
    model = CNNTranslator(max_epochs=EPOCHS, patience=None)
    made = made_up(model, n)
    members = made._new_members()
    batches = made._batches(members, True)
    n_steps = len(batches)
    settings = Schedule(
        max_epochs=EPOCHS, learning_rate=model.learning_rate, patience=None
    )
    bare = Bare(members.new(0), next(batches.epoch(0)), model)
    target = made.target
    judges = (~made.left_out).astype("f4")
    grams = [gram.reshape(n, -1) for gram in target.grams]
    stacked = np.hstack([*grams, target.projection, judges])
    net = plain_skorch(members.new(0), model.batch_size, Stacked)

    def steps_alone():
        trained = train(members.new(0), QuadraticError(), batches, settings=settings)
        return np.median(trained.history["seconds"][1:]) / n_steps

    def as_fit_does():
        trained = made.train()[1]
        return np.median(trained.history["seconds"][1:]) / n_steps

    def skorch():
        start = time.perf_counter()
        net.partial_fit({"flux": made.scores}, stacked)
        return (time.perf_counter() - start) / n_steps

    cases = {"steps": steps_alone, "whole": as_fit_does, "skorch": skorch}
    found = {name: [] for name in cases}
    bare.seconds(n_steps)
    for _ in range(n_rounds):
        for name, case in cases.items():
            before = bare.seconds(n_steps)
            seconds = case()
            found[name].append((seconds, (before + bare.seconds(n_steps)) / 2))
    print(
        f"{n} stars, {n_steps} steps an epoch of {model.batch_size} stars, "
        f"{model.n_members} members, {N_OUT} coefficients, {torch.get_num_threads()} "
        "threads"
    )
    print(f"{'':8} {'step [ms]':>10} {'resident [ms]':>14}")
    ratio = {}
    for name, pairs in found.items():
        fed, resident = np.array(pairs).T
        ratio[name] = np.median(resident / fed)
        print(
            f"{name:8} {1e3 * np.median(fed):10.2f} {1e3 * np.median(resident):14.2f}"
        )
    bar = BARS["train"]
    met = [verdict("step rate / on a resident batch", ratio["steps"], bar, True)]
    what = "the same with the judging of every epoch"
    met.append(verdict(what, ratio["whole"], bar, True))
    for name in ("steps", "whole"):
        over = np.median(np.array(found["skorch"])[:, 0] / np.array(found[name])[:, 0])
        print(f"{name + ': rate / plain skorch':58} {over:7.2f}")
    return met


# ------------------------------------------------------------------------ predicting
def spectra(n, seed, p, q, noise="general"):
    """Source and target spectra, see `Spectrographs`."""
    flux, ivar = Spectrographs(p, q).observe(n, seed, noise)
    return [
        Spectra(f, w, wave=4700 + 0.1 * np.arange(f.shape[1]), medium="air")
        for f, w in zip(flux, ivar)
    ]


def bare_prediction(model, flux):
    """Products of matrices that take source to target, as a function."""
    members = model._members
    network = load_arrays(members._build(), members.state).eval()
    filters, folds = model.n_components, len(model._matched.matched._models)
    x = torch.from_numpy(np.nan_to_num(flux))
    left = torch.randn(flux.shape[1], folds * filters)
    right = torch.randn(model.coef_.shape)
    scores, made = torch.empty(len(x), folds * filters), None

    def forward():
        nonlocal made
        with torch.no_grad():
            torch.mm(x, left, out=scores)
            some = scores.unflatten(1, (folds, filters)).mean(dim=1)
            found = network.ensemble(some).mean(dim=1)
            made = torch.mm(found, right) if made is None else made
            torch.mm(found, right, out=made)

    return forward


def prediction_speed(n_train, n_test, p, q, n_rounds):
    """Print prediction rates; whether the bar is met."""
    X, y = spectra(n_train, 1, p, q)
    noisy, _ = spectra(n_test, 2, p, q)
    clean, _ = spectra(n_test, 2, p, q, None)
    models = {m: CNNTranslator(max_epochs=2, n_members=m).fit(X, y) for m in (5, 2)}
    model = models[5]
    cases = {
        "bare": bare_prediction(model, clean.flux),
        "no noise": lambda: model.predict(clean),
        "no noise, two members": lambda: models[2].predict(clean),
        "noise": lambda: model.predict(noisy),
        "noise, two members": lambda: models[2].predict(noisy),
        "base, no noise": lambda: model.base_.predict(clean),
        "base, noise": lambda: model.base_.predict(noisy),
        "standard deviations": lambda: model.predict(noisy, return_std=True),
    }
    features = np.random.default_rng(0).standard_normal((n_test, model.n_components))
    for m in models:
        members = models[m]._members
        cases[f"{m} networks alone"] = lambda members=members: members.outputs(features)
    for case in cases.values():
        case()
    found = {name: [] for name in cases}
    for _ in range(n_rounds):
        for name, case in cases.items():
            found[name].append(timed(case))
    found = {name: np.array(seconds) for name, seconds in found.items()}
    print(f"{n_test} stars, {p} to {q} pixels, {torch.get_num_threads()} threads")
    print(f"{'':24} {'seconds':>8} {'rate / bare':>12}")
    for name, seconds in found.items():
        ratio = np.median(found["bare"] / seconds)
        print(f"{name:24} {np.median(seconds):8.3f} {ratio:12.2f}")

    def over(a, b):
        return np.median(found[a] / found[b])

    what = "prediction without noise: rate / bare"
    met = [verdict(what, over("bare", "no noise"), BARS["predict"], True)]
    for what, a, b in (
        ("networks", "5 networks alone", "2 networks alone"),
        ("prediction without noise", "no noise", "no noise, two members"),
        ("prediction with noise", "noise", "noise, two members"),
    ):
        print(f"{f'five members / two, {what}':58} {over(a, b):7.2f}")
    return met


def main(parts, n, n_train, n_test, p, q, n_rounds, mmap_gb):
    """Print the parts asked for; 1 if a bar is missed."""
    met = []
    if "train" in parts:
        met += training_speed(n, n_rounds)
    if "predict" in parts:
        met += prediction_speed(n_train, n_test, p, q, n_rounds)
    if "memory" in parts:
        met += memory_of_a_fit(mmap_gb, p, q)
    return int(not all(met))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "parts", nargs="*", default=PARTS, help="of " + ", ".join(PARTS)
    )
    parser.add_argument("--n", type=int, default=24_000, help="stars to train on")
    parser.add_argument("--n-train", type=int, default=1000, help="before predicting")
    parser.add_argument("--n-test", type=int, default=4096, help="stars to predict")
    parser.add_argument("--p", type=int, default=7514, help="source pixels")
    parser.add_argument("--q", type=int, default=14_000, help="target pixels")
    parser.add_argument("--n-rounds", type=int, default=5)
    parser.add_argument("--mmap-gb", type=float, default=10)
    sys.exit(main(**vars(parser.parse_args())))
