"""Batches, networks and the training core, as a translator will use them."""

import numpy as np
import torch

from specxfer import Spectra
from specxfer.networks import (
    GaussianLikelihood,
    LinearDecoder,
    LogVarianceHead,
    ScoreEncoder,
    SpectrumEncoder,
    Translation,
    weighted_basis,
)
from specxfer.neural import Augmentation, Batches, Schedule, load_arrays, train

N, P, Q, NOISE = 600, 96, 40, 0.02


def world(rng):
    """Saturated target lines: what a linear translator cannot follow."""
    u = rng.standard_normal((N, 2))
    shape = 0.05 * np.sin(np.outer([1, 3], np.arange(P)) / 5)
    x = 0.9 + u @ shape + 0.005 * rng.standard_normal((N, P))
    lines = np.exp(-0.5 * ((np.arange(Q) - np.array([[10], [28]])) / 2) ** 2)
    truth = 1 - np.tanh(np.exp(0.7 * u)) @ (0.4 * lines)
    y = truth + NOISE * rng.standard_normal(truth.shape)
    y[rng.random(y.shape) < 0.1] = np.nan
    sides = (x, 0.005, 15000.0, "vacuum"), (y, NOISE, 5000.0, "air")
    X, Y = (
        Spectra(
            flux.astype("f4"),
            np.full(flux.shape, noise**-2.0),
            wave=start + np.arange(flux.shape[1]),
            medium=medium,
        )
        for flux, noise, start, medium in sides
    )
    return X, Y, truth


def error_of(encoder, rng, epochs=60, scatter=1e-3, **augmentation):
    """Relative error on stars left out, and the standard deviation stated there."""
    X, Y, truth = world(rng)
    train_rows, test_rows = np.arange(0, 450), np.arange(450, N)
    mean_in = np.nanmean(X.flux, axis=0)
    mean = np.nanmean(Y.flux[train_rows], axis=0)
    left, ivar = np.nan_to_num(Y.flux - mean)[train_rows], Y.weights()[train_rows]
    basis = weighted_basis([(left, ivar)], 4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Translation(
            encoder(mean_in),
            LinearDecoder(32, basis),
            LogVarianceHead(32, np.full(Q, np.log(scatter**2))),
        )
    common = {
        "mean_in": mean_in,
        "inputs": {"base": np.broadcast_to(mean, Y.shape).astype("f4")},
    }
    augment = Augmentation(mean_in=mean_in, wave=X.wave, **augmentation)
    parts = [
        Batches(X, Y, rows=train_rows, batch_size=64, augmentation=augment, **common),
        Batches(X, Y, rows=test_rows, shuffle=False, batch_size=150, **common),
    ]
    settings = Schedule(max_epochs=epochs, learning_rate=5e-3, patience=None)
    trained = train(network, GaussianLikelihood(), *parts, settings=settings)
    load_arrays(network, trained.state).eval()
    inputs, _ = next(parts[1].epoch(0))
    with torch.no_grad():
        out = network(**inputs)
    error = np.sqrt(np.mean((out["flux"].numpy() - truth[test_rows]) ** 2))
    std = np.exp(0.5 * out["log_variance"].numpy())
    return error / truth[test_rows].std(axis=0).mean(), std, error


def test_scores_are_translated_better_than_by_any_linear_model(rng):
    def encoder(mean_in):
        shape = np.sin(np.outer([1, 3], np.arange(P)) / 5).T
        return ScoreEncoder(shape, widths=(32, 32), scales=1.0, n_out=32)

    share, std, error = error_of(encoder, rng)
    X, _, truth = world(np.random.default_rng(20260101))
    A = np.column_stack([X.flux, np.ones(N)])
    linear = A[450:] @ np.linalg.lstsq(A[:450], truth[:450], rcond=None)[0]
    assert error < 0.6 * np.sqrt(np.mean((linear - truth[450:]) ** 2))
    assert share < 0.3
    # what is stated is the error of the noise-free flux, not that of the observed
    assert np.sqrt(np.mean(std**2)) < 0.5 * NOISE


def test_convolutions_learn_from_perturbed_spectra(rng):
    def encoder(mean_in):
        return SpectrumEncoder(P, widths=(8, 16), n_out=32, pooling="flatten")

    share, _, _ = error_of(encoder, rng, 20, noise=0.5, masked=0.1, velocity=0.2)
    assert share < 0.5
