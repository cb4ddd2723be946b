import gc
import pickle
import random
import weakref

import numpy as np
import pytest
import sklearn
import torch

from specxfer.neural import Schedule, TrainingError, TrainingWarning, arrays_of, train


class Stars:
    """Batches of a linear truth; each epoch in its own order."""

    def __init__(self, n_batches=4, rows=16, seed=0, noise=0.0, shuffle=True):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n_batches * rows, 5))
        y = x @ np.random.default_rng(99).normal(size=(5, 2))
        y += noise * rng.normal(size=y.shape)
        self.x, self.y = (torch.tensor(a, dtype=torch.float32) for a in (x, y))
        self.n_batches, self.shuffle = n_batches, shuffle
        self.n_open = 0

    def __len__(self):
        return self.n_batches

    def epoch(self, number):
        self.n_open += 1
        try:
            order = np.arange(len(self.x))
            if self.shuffle:
                np.random.default_rng([1, number]).shuffle(order)
            for rows in np.split(order, self.n_batches):
                yield {"flux": self.x[rows]}, {"flux": self.y[rows]}
        finally:
            self.n_open -= 1


class Linear(torch.nn.Module):
    """A linear network from one start, with dropout if asked for."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.layer = torch.nn.utils.skip_init(torch.nn.Linear, 5, 2)
        with torch.no_grad():
            self.layer.weight.fill_(0.1)
            self.layer.bias.zero_()
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, flux):
        return self.layer(self.dropout(flux))


def squares(outputs, targets):
    return (outputs - targets["flux"]).square().mean()


def fast(**changes):
    return Schedule(**({"max_epochs": 5, "learning_rate": 0.05} | changes))


# ------------------------------------------------------------------- optimisation
def test_a_quadratic_problem_ends_at_its_least_squares():
    stars = Stars(n_batches=1, rows=200, noise=0.5)
    trained = train(
        Linear(), squares, stars,
        settings=Schedule(max_epochs=400, learning_rate=0.1, weight_decay=0, ema=0.9),
    )  # fmt: skip
    design = np.c_[stars.x, np.ones(200)].astype(float)
    expected = np.linalg.lstsq(design, stars.y.double().numpy(), rcond=None)[0]
    np.testing.assert_allclose(trained.state["layer.weight"], expected[:5].T, atol=1e-4)
    np.testing.assert_allclose(trained.state["layer.bias"], expected[5], atol=1e-4)
    assert trained.stopped == "max_epochs"
    assert trained.best_epoch == len(trained.history["epoch"]) == 400


def test_it_is_adamw_on_clipped_gradients_and_a_weighted_average_of_its_path():
    """The same by hand, step for step."""
    stars = Stars()
    settings = fast(ema=0.7, clip=0.01, weight_decay=0.3, max_epochs=3)
    trained = train(Linear(), squares, stars, settings=settings)
    network = Linear()
    optimizer = torch.optim.AdamW(
        [
            {"params": [network.layer.weight], "weight_decay": 0.3},
            {"params": [network.layer.bias], "weight_decay": 0.0},
        ]
    )
    path = []
    for epoch in range(3):
        for inputs, targets in stars.epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(len(path), 12)
            optimizer.zero_grad()
            squares(network(**inputs), targets).backward()
            norm = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
            assert norm > 0.01
            for p in network.parameters():
                p.grad *= 0.01 / norm
            optimizer.step()
            path.append(arrays_of(network)["layer.weight"])
    share = 0.7 ** np.arange(12)[::-1]
    expected = np.tensordot(share / share.sum(), path, axes=1)
    np.testing.assert_allclose(trained.state["layer.weight"], expected, atol=1e-5)
    assert trained.history["learning_rate"][-1] == settings.rate(11, 12)


def test_gradients_shorter_than_the_clip_are_left_alone():
    results = [
        train(Linear(), squares, Stars(), settings=fast(clip=clip)).state
        for clip in (None, 1e3)
    ]
    np.testing.assert_array_equal(*[r["layer.weight"] for r in results])


def test_frozen_weights_stay():
    network = Linear()
    network.layer.bias.requires_grad_(False)
    trained = train(network, squares, Stars(), settings=fast())
    assert (trained.state["layer.bias"] == 0).all()
    assert (trained.state["layer.weight"] != 0.1).all()


def test_a_criterion_learns_too():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.log_s = torch.nn.Parameter(torch.zeros(()))

        def forward(self, outputs, targets):
            return squares(outputs, targets) * torch.exp(-self.log_s) + self.log_s

    criterion = Scaled()
    settings = Schedule(max_epochs=150, learning_rate=0.1, ema=0.9)
    train(Linear(), criterion, Stars(noise=0.5), settings=settings)
    assert np.exp(criterion.log_s.item()) == pytest.approx(0.25, rel=0.3)


def test_bfloat16_is_near_float32_and_weights_stay_float32():
    def recorded(outputs, targets):
        seen.add(outputs.dtype)
        return squares(outputs, targets)

    seen, results = set(), []
    for autocast in ("float32", "bfloat16"):
        settings = fast(max_epochs=30)
        done = train(Linear(), recorded, Stars(), settings=settings, autocast=autocast)
        results.append(done.state["layer.weight"])
    assert seen == {torch.float32, torch.bfloat16}
    assert results[1].dtype == np.float32
    assert (results[0] != results[1]).any()
    np.testing.assert_allclose(*results, atol=0.02)
    with pytest.raises(ValueError, match="expected 'bfloat16', 'float32'"):
        train(Linear(), squares, Stars(), autocast="float16")


# ------------------------------------------------------------- which weights are kept
def test_the_weights_of_the_best_epoch_are_kept_and_training_stops():
    """A loss that falls, then rises, as the weights walk past what is right."""
    seen = []

    def monitor(module):
        assert not module.training
        seen.append(arrays_of(module))
        return {"error": abs(len(seen) - 4)}

    network = Linear()
    trained = train(
        network, squares, Stars(),
        settings=fast(max_epochs=20, patience=3, watch="error"), monitor=monitor,
    )  # fmt: skip
    assert trained.stopped == "patience"
    assert trained.best_epoch == 4
    assert trained.history["error"].tolist() == [3, 2, 1, 0, 1, 2, 3]
    for name, value in seen[3].items():
        np.testing.assert_array_equal(trained.state[name], value)
        np.testing.assert_array_equal(arrays_of(network)[name], value)
    assert not network.training


def test_the_validation_loss_is_that_of_the_kept_weights():
    validation = Stars(2, seed=5, noise=0.3, shuffle=False)
    network = Linear(dropout=0.5)
    trained = train(network, squares, Stars(), validation, settings=fast(ema=0.95))
    with torch.no_grad():
        loss = squares(network(validation.x), {"flux": validation.y})
    best = trained.history["valid_loss"].min()
    assert best == pytest.approx(float(loss), rel=1e-6)
    assert trained.history["valid_loss"][trained.best_epoch - 1] == best


def test_validation_and_monitoring_do_not_disturb_training():
    def drawing(module):
        return {"drawn": float(torch.rand(()))}

    def noisy(outputs, targets):
        return squares(outputs, targets) + 0.1 * torch.randn(())

    settings = fast(watch="train_loss")
    results = [
        train(Linear(0.3), noisy, Stars(), validation, settings=settings, monitor=m)
        for validation, m in ((None, None), (Stars(2, seed=3), drawing))
    ]
    np.testing.assert_array_equal(*[r.history["train_loss"] for r in results])
    np.testing.assert_array_equal(*[r.state["layer.weight"] for r in results])
    assert len(set(results[1].history["drawn"])) == 1  # every epoch draws the same


def test_training_draws_anew_in_each_epoch_and_validation_the_same():
    drawn = {True: [], False: []}

    class Drawing(torch.nn.Module):
        def forward(self, outputs, targets):
            drawn[self.training].append(torch.rand(()).item())
            return squares(outputs, targets)

    def monitor(module):
        monitored.append(torch.rand(()).item())
        return {}

    monitored = []
    for validation in (Stars(2), None):
        train(
            Linear(),
            Drawing(),
            Stars(),
            validation,
            settings=fast(),
            monitor=monitor,
        )
    assert len(set(drawn[True][:20])) == 20
    assert drawn[True][20:] == drawn[True][:20]
    assert drawn[False] == drawn[False][:2] * 5
    assert len(set(monitored)) == 1


def test_history_has_an_array_for_everything():
    trained = train(
        Linear(), squares, Stars(), Stars(2, seed=3), settings=fast(),
        monitor=lambda module: {"bias": module.layer.bias.abs().sum()},
    )  # fmt: skip
    names = ["epoch", "train_loss", "valid_loss", "learning_rate", "bias", "seconds"]
    assert list(trained.history) == names
    assert trained.history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert {a.shape for a in trained.history.values()} == {(5,)}
    assert (trained.history["seconds"] > 0).all()
    assert "torch" not in pickle.dumps(trained).decode("latin-1")


@pytest.mark.parametrize(
    ("found", "watch"), [({"train_loss": 1}, None), ({"a": 1}, "b"), ({}, "b")]
)
def test_monitored_names_that_do_not_fit_are_refused(found, watch):
    with pytest.raises(ValueError, match="the monitor gave"):
        train(
            Linear(), squares, Stars(), settings=fast(watch=watch),
            monitor=lambda module: found,
        )  # fmt: skip


def test_watching_what_nothing_gives_is_refused():
    with pytest.raises(ValueError, match=r"'line_error', which nothing gives"):
        train(Linear(), squares, Stars(), settings=fast(watch="line_error"))
    with pytest.raises(ValueError, match=r"'valid_loss', which nothing gives"):
        train(Linear(), squares, Stars(), settings=fast(watch="valid_loss"))


# ----------------------------------------------------------------------- randomness
def test_the_same_seed_gives_the_same_bits_and_another_others():
    def weights(seed):
        settings = fast()
        done = train(
            Linear(0.3), squares, Stars(), settings=settings, random_state=seed
        )
        return done.state["layer.weight"]

    np.testing.assert_array_equal(weights(4), weights(4))
    np.testing.assert_array_equal(
        weights(np.random.RandomState(4)), weights(np.random.RandomState(4))
    )
    assert (weights(4) != weights(5)).any()
    assert (weights(None) != weights(None)).any()


@pytest.mark.parametrize("fails", [False, True])
def test_global_state_is_as_before(fails):
    def drawing(outputs, targets):
        loss = squares(outputs, targets) + 0.1 * torch.randn(())
        return loss * (torch.nan if fails else 1)

    def state():
        return (
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
        )

    before = state()
    for seed in (0, None):
        try:
            train(
                Linear(0.3), drawing, Stars(), settings=fast(), random_state=seed,
                autocast="bfloat16",
            )  # fmt: skip
        except TrainingError:
            assert fails
        else:
            assert not fails
    assert state() == before


def test_metadata_routing_of_scikit_learn_may_be_on():
    expected = train(Linear(), squares, Stars(), Stars(2), settings=fast())
    with sklearn.config_context(enable_metadata_routing=True):
        found = train(Linear(), squares, Stars(), Stars(2), settings=fast())
    np.testing.assert_array_equal(
        found.state["layer.weight"], expected.state["layer.weight"]
    )


# ----------------------------------------------------------------- what goes wrong
def breaks_at(step, how):
    """A criterion that fails at a step, counted from 0."""
    calls = iter(range(10**6))

    def criterion(outputs, targets):
        loss = squares(outputs, targets)
        return how(loss) if next(calls) == step else loss

    return criterion


def test_a_loss_that_is_not_finite_stops_with_the_last_good_weights():
    good = train(Linear(), squares, Stars(), settings=fast(max_epochs=5))
    stars, network = Stars(), Linear()
    criterion = breaks_at(9, lambda loss: loss * torch.inf)
    message = (
        r"epoch 3, step 2 of 4: the loss is inf .*finite, so .*learning_rate below"
    )
    with pytest.raises(TrainingError, match=message) as caught:
        train(network, criterion, stars, settings=fast(max_epochs=5))
    trained = pickle.loads(pickle.dumps(caught.value)).trained
    assert (trained.best_epoch, trained.stopped) == (2, "failed")
    np.testing.assert_array_equal(
        trained.history["train_loss"], good.history["train_loss"][:2]
    )
    np.testing.assert_array_equal(
        trained.state["layer.weight"], network.layer.weight.detach()
    )
    assert np.isfinite(trained.state["layer.weight"]).all()
    assert stars.n_open == 0  # whatever reads ahead has been told to stop


def test_a_gradient_that_is_not_finite_moves_no_weight():
    def root(loss):  # finite, and infinitely steep
        return (loss - loss.detach()).sqrt()

    network = Linear()
    with pytest.raises(TrainingError, match=r"step 1 of 4: the loss is 0 .* nan"):
        train(network, breaks_at(0, root), Stars(), settings=fast())
    assert (network.layer.weight == 0.1).all()


def test_data_that_are_not_finite_are_named():
    stars = Stars(shuffle=False)
    stars.y[17, 1] = torch.nan
    with pytest.raises(
        TrainingError, match=r"step 2 .* targets\['flux'\] has 1 values"
    ):
        train(Linear(), squares, stars, settings=fast())
    with pytest.raises(
        TrainingError, match=r"valid_loss is nan while .* validation st"
    ):
        train(Linear(), squares, Stars(), stars, settings=fast())


def test_the_checkpoint_holds_the_last_good_weights(tmp_path):
    criterion = breaks_at(9, lambda loss: loss * torch.nan)
    call = {"settings": fast(), "checkpoint_dir": tmp_path}
    with pytest.raises(TrainingError) as caught:
        train(Linear(), criterion, Stars(), **call)
    saved = sorted(tmp_path.glob("*.ckpt"))[-1]
    best = torch.load(saved, weights_only=True)["best"]["module.layer.weight"]
    np.testing.assert_array_equal(best, caught.value.trained.state["layer.weight"])


def test_an_interruption_ends_training_with_the_best_weights(tmp_path):
    def interrupt(loss):
        raise KeyboardInterrupt

    unbroken = train(Linear(), squares, Stars(), settings=fast())
    call = {"settings": fast(), "checkpoint_dir": tmp_path}
    criterion = breaks_at(10, interrupt)
    criterion.__qualname__ = squares.__qualname__
    stars = Stars()
    with pytest.warns(TrainingWarning, match="after 2 of 5 epochs"):
        trained = train(Linear(), criterion, stars, **call)
    assert (trained.stopped, trained.best_epoch) == ("interrupted", 2)
    assert len(trained.history["epoch"]) == 2
    assert stars.n_open == 0
    resumed = train(Linear(), squares, Stars(), **call)
    np.testing.assert_array_equal(
        resumed.state["layer.weight"], unbroken.state["layer.weight"]
    )


def test_an_interruption_of_the_first_epoch_is_one():
    def interrupt(loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Linear(), breaks_at(2, interrupt), Stars(), settings=fast())


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match="there are no batches"):
        train(Linear(), squares, Stars(n_batches=0, rows=0))


def test_nothing_of_a_training_lingers():
    stars, network = Stars(), Linear()
    refs = weakref.ref(stars), weakref.ref(network)
    gc.disable()
    try:
        train(network, squares, stars, settings=fast())
        assert all(p.grad is None for p in network.parameters())
        del stars, network
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()


# -------------------------------------------------------------------------- progress
@pytest.mark.parametrize("verbose", [0, 1])
def test_one_bar_or_nothing(verbose, capsys):
    trained = train(
        Linear(),
        squares,
        Stars(),
        Stars(2),
        settings=fast(),
        verbose=verbose,
        monitor=lambda module: {"line_error": 0.0123},
    )
    out, err = capsys.readouterr()
    assert out == ""
    if not verbose:
        assert err == ""
        return
    last = err.split("\r")[-1]
    assert err.count("\n") == 1
    loss = f"valid_loss={trained.history['valid_loss'][-1]:.4g}"
    for part in ("epoch 5/5", "20/20", "train_loss=", loss, "line_error=0.0123"):
        assert part in last
