import pickle

import numpy as np
import pytest
import torch

from specxfer.neural import arrays_of, load_arrays
from specxfer.neural._weights import MovingAverage, decay_groups


def test_the_average_is_the_closed_form_and_forgets_the_initial_weights():
    weight = torch.nn.Parameter(torch.full((3,), 1e6, dtype=torch.float64))
    average = MovingAverage([weight], decay=0.9)
    path = np.random.default_rng(0).normal(size=(30, 3))
    for t, value in enumerate(path, 1):
        weight.data.copy_(torch.tensor(value))
        average.update()
        share = 0.9 ** (t - np.arange(1, t + 1))
        expected = share @ path[:t] / share.sum()
        np.testing.assert_allclose(average.values[0], expected, rtol=1e-12)


def test_swapping_shows_the_average_and_brings_the_weights_back():
    weight = torch.nn.Parameter(torch.zeros(1))
    average = MovingAverage([weight], decay=0.5)
    for value in (3.0, 6.0):
        weight.data.fill_(value)
        average.update()
    for _ in range(2):  # twice is as once
        average.swap(True)
        assert weight.item() == 5
    average.swap(False)
    assert weight.item() == 6
    assert average.values[0].item() == 5


def test_matrices_decay_and_biases_norms_and_vectors_do_not():
    module = torch.nn.Sequential(
        torch.nn.Conv1d(1, 2, 3), torch.nn.LayerNorm([2, 4]), torch.nn.Linear(4, 1)
    )
    module.scale = torch.nn.Parameter(torch.ones(5))
    module.bias_table = torch.nn.Parameter(torch.ones(5, 5))
    module[2].weight.requires_grad_(False)
    decaying, other = decay_groups(module, 0.3)
    assert decaying["weight_decay"] == 0.3
    assert other["weight_decay"] == 0
    assert [p is module[0].weight for p in decaying["params"]] == [True]
    expected = {module.scale, module.bias_table, module[0].bias, module[2].bias}
    assert set(other["params"]) == expected | set(module[1].parameters())


def test_arrays_are_copies_with_buffers_and_come_back():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    module(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    arrays = pickle.loads(pickle.dumps(arrays_of(module)))
    assert all(type(a) is np.ndarray for a in arrays.values())
    assert arrays["1.num_batches_tracked"] == 1
    other = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    for array in arrays.values():
        array.flags.writeable = False  # as joblib maps them
    load_arrays(other, arrays)
    for name, array in arrays_of(module).items():
        np.testing.assert_array_equal(arrays_of(other)[name], array)
    with torch.no_grad():
        other[0].weight.zero_()
    assert (arrays["0.weight"] != 0).all()


def test_bfloat16_survives():
    module = torch.nn.Linear(2, 1).bfloat16()
    other = load_arrays(torch.nn.Linear(2, 1).bfloat16(), arrays_of(module))
    assert torch.equal(other.weight, module.weight)


def test_arrays_of_another_network_are_refused():
    arrays = arrays_of(torch.nn.Linear(2, 1))
    with pytest.raises(ValueError, match=r"only one side has bias"):
        load_arrays(torch.nn.Linear(2, 1, bias=False), arrays)
    with pytest.raises(ValueError, match=r"weight has shape \(1, 2\), expected \(1, 3"):
        load_arrays(torch.nn.Linear(3, 1), arrays)
