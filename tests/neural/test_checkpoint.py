import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from specxfer.neural import CheckpointError, TrainingWarning
from specxfer.neural._checkpoint import Checkpoints, differences, sketch

SCRIPT = Path(__file__).with_name("resumable.py")


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(SCRIPT)


@pytest.fixture(scope="module")
def unbroken(script):
    return script["run"]()


def assert_same(trained, other):
    """The same bits, but for the seconds it took."""
    assert trained.state.keys() == other.state.keys()
    for name, value in other.state.items():
        np.testing.assert_array_equal(trained.state[name], value)
    assert list(trained.history) == list(other.history)
    for name in trained.history.keys() - {"seconds"}:
        np.testing.assert_array_equal(trained.history[name], other.history[name])
    assert (trained.best_epoch, trained.stopped) == (other.best_epoch, other.stopped)


def test_killed_and_resumed_is_as_never_broken_off(tmp_path, unbroken):
    folder, result = tmp_path / "run", tmp_path / "result.npz"
    call = [sys.executable, SCRIPT, folder, result]
    killed = subprocess.run([*call, "3", "2"])  # in the midst of the fourth epoch
    assert killed.returncode == -signal.SIGKILL
    assert not result.exists()
    assert [f.name for f in Checkpoints(folder).files()] == [
        "epoch-000003.ckpt", "epoch-000002.ckpt"]  # fmt: skip
    subprocess.run(call, check=True)
    with np.load(result) as resumed:
        for name, value in (unbroken.state | unbroken.history).items():
            if name != "seconds":
                np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def test_writing_checkpoints_changes_nothing(tmp_path, script, unbroken):
    assert_same(script["run"](tmp_path), unbroken)


def test_a_finished_training_returns_at_once(tmp_path, script, monkeypatch):
    done = script["run"](tmp_path)
    monkeypatch.setattr("os.kill", lambda *_: pytest.fail("it went on training"))
    again = script["run"](tmp_path, die_at=(0, 1))  # only the first batch is looked at
    assert_same(again, done)
    np.testing.assert_array_equal(again.history["seconds"], done.history["seconds"])


def test_a_torn_file_falls_back_on_the_epoch_before(tmp_path, script, unbroken):
    script["run"](tmp_path)
    newest, before = Checkpoints(tmp_path).files()
    newest.write_bytes(newest.read_bytes()[:-1000])
    with pytest.warns(TrainingWarning, match="000006.ckpt .* torn.* from epoch-000005"):
        resumed = script["run"](tmp_path)
    assert_same(resumed, unbroken)
    damaged = bytearray(before.read_bytes())
    damaged[len(damaged) // 2] ^= 1  # a single bit
    before.write_bytes(damaged)
    newest.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no earlier one: remove it"):
        script["run"](tmp_path)


def test_another_training_is_refused_and_told_apart(tmp_path, script):
    script["run"](tmp_path)
    with pytest.raises(CheckpointError, match=r"learning_rate: 0.01 then, 0.02 now\."):
        script["run"](tmp_path, learning_rate=0.02)
    globals_ = script["run"].__globals__
    with pytest.MonkeyPatch.context() as patch:
        stars = globals_["Stars"]
        patch.setitem(
            globals_, "Stars", lambda *a, **k: _with_other_flux(stars(*a, **k))
        )
        with pytest.raises(CheckpointError, match=r"targets of the first batch: flux"):
            script["run"](tmp_path)
    assert len(Checkpoints(tmp_path).files()) == 2


def _with_other_flux(stars):
    stars.y = stars.y * 1.01
    return stars


def test_a_seed_is_needed_to_resume(tmp_path, script):
    train, network = script["train"], script["Network"]()
    with pytest.raises(ValueError, match="must be an integer"):
        train(
            network,
            script["NoisyLoss"](),
            script["Stars"](),
            random_state=None,
            checkpoint_dir=tmp_path,
        )


def test_sketches_tell_data_apart_but_not_roundings():
    flux = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    then = {"data": sketch({"flux": flux})}
    assert not differences(then, {"data": sketch({"flux": flux * (1 + 1e-6)})})
    for other in (flux.flip(0), flux[:, :-1], flux * 1.01, flux + 0.01):
        assert differences(then, {"data": sketch({"flux": other})})


def test_differences_name_the_line_of_a_network():
    then, now = (repr(torch.nn.Sequential(torch.nn.Dropout(p))) for p in (0.1, 0.2))
    (line,) = differences({"network": then}, {"network": now})
    before, after = (f"(0): Dropout(p={p}, inplace=False)" for p in (0.1, 0.2))
    assert line == f"network: {before} then, {after} now"
