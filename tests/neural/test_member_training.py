"""MemberTraining: each star is judged by the members that it is left out of."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from specxfer.networks import QuadraticError
from specxfer.neural import CNNTranslator
from specxfer.neural import _member_training as module
from specxfer.neural._member_training import MemberTraining
from specxfer.neural._target_scores import TargetScores

N, K, PARTS = 300, 4, (3, 2)  # stars, features, coefficients of the target's parts


def made(rng, left_out):
    """A training on random numbers, and networks that make something of them."""
    n_members = left_out.shape[1]
    grams = []
    for k in PARTS:
        root = rng.standard_normal((N, k, k))
        grams.append((root @ root.transpose(0, 2, 1)).astype("f4"))
    k = sum(PARTS)
    target = TargetScores(
        rng.standard_normal((N, k)).astype("f4"), tuple(grams), np.zeros((N, k)),
        np.ones(k), np.repeat([2.0, 3.0], PARTS), 20 * rng.random(N), rng.random(N),
    )  # fmt: skip
    settings = CNNTranslator(n_members=n_members, n_components=K, width=8)
    scores, weight = rng.standard_normal((N, K)).astype("f4"), rng.random(N)
    training = MemberTraining(
        settings, None, None, scores, [], target, left_out, weight,
        torch.device("cpu"), 0,
    )  # fmt: skip
    members = training._new_members()
    network = members.new(0)
    with torch.no_grad():
        outer = network.ensemble.outer
        outer += torch.from_numpy(rng.standard_normal(outer.shape)).float()
    return training, members, network


def judged(training, members, network):
    """What the monitor finds."""
    form = SimpleNamespace(name="float32")
    with torch.no_grad():
        batches = training._batches(members, False)
        return training._monitor(batches, form)(network)


def by_hand(training, network, rows):
    """Loss, and error of the last part, of all members on all stars."""
    target = training.target
    with torch.no_grad():
        outputs = network(torch.from_numpy(training.scores[rows])).double().numpy()
    start, parts = 0, []
    for gram, k in zip(target.grams, PARTS):
        o, b = outputs[..., start : start + k], target.projection[rows, start:][:, :k]
        square = np.einsum("nmk,nkl,nml->nm", o, gram[rows], o)
        parts.append(square - 2 * np.einsum("nmk,nk->nm", o, b))
        start += k
    judges = (training.left_out * training.weight[:, None])[rows]
    loss = (judges * (1 + (parts[0] + parts[1]) / 2)).sum() / judges.sum()
    left = parts[1] * target.unit[-1] + target.excess[rows, None]
    total = (judges * target.weight[rows, None]).sum()
    return loss, np.sqrt(max((judges * left).sum(), 0) / total)


@pytest.mark.parametrize(("n_members", "n_parts"), [(5, 5), (2, 3), (6, 4), (4, 2)])
def test_members_judge_as_if_all_stars_passed_through_all(
    rng, monkeypatch, n_members, n_parts
):
    part = rng.integers(n_parts, size=N)
    left_out = np.arange(n_members) % n_parts == part[:, None]
    training, members, network = made(rng, left_out)
    monkeypatch.setattr(module, "VALIDATION_ROWS", 70)
    found = judged(training, members, network)
    loss, error = by_hand(training, network, np.arange(N))
    assert error > 0
    assert found == pytest.approx({"valid_loss": loss, "valid_error": error}, rel=1e-4)


def test_some_stars_judge_for_all_where_there_are_many(rng, monkeypatch):
    left_out = np.arange(N)[:, None] % 4 == np.arange(3)  # a quarter by nobody
    monkeypatch.setattr(module, "MOST_JUDGING", 100)
    training, members, network = made(rng, left_out)
    rows = training._judging
    assert len(np.unique(rows)) == 100
    assert left_out[rows].any(axis=1).all()
    found = judged(training, members, network)
    loss, error = by_hand(training, network, rows)
    assert found == pytest.approx({"valid_loss": loss, "valid_error": error}, rel=1e-4)


def test_the_criterion_judges_training_stars_by_the_other_members(rng):
    left_out = np.arange(N)[:, None] % 5 == np.arange(5)
    training, members, _ = made(rng, left_out)
    inputs, targets = next(training._batches(members, True).epoch(0))
    assert set(inputs) == {"flux", "ivar"}
    share = (targets["judges"] > 0).double().mean().item()
    assert share == pytest.approx(0.8)
    outputs = torch.zeros(len(inputs["flux"]), 5, sum(PARTS))
    assert QuadraticError()(outputs, targets).item() == pytest.approx(1)
