"""UNetArrays: the network's formula, and no bit owed to other stars."""

import numpy as np
import pytest
import torch

from specxfer.networks import UNet
from specxfer.neural import arrays_of
from specxfer.neural._unet_arrays import UNetArrays


def networks(n_pixels):
    torch.manual_seed(0)
    network = UNet(n_pixels, 3, width=8)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return network, UNetArrays.of(arrays_of(network))


@pytest.mark.parametrize("n_pixels", [1, 5, 40])
def test_the_formula_is_that_of_the_network(rng, n_pixels):
    network, arrays = networks(n_pixels)
    x, told = rng.standard_normal((60, n_pixels)), rng.standard_normal((20, 3))
    x, told = x.astype("f4"), told.astype("f4")
    with torch.no_grad():
        of_stars = torch.tensor(np.repeat(told, 3, axis=0))
        expected = network.found(torch.tensor(x), torch.full((60, 1), 0.7), of_stars)
    found = arrays(x, 0.7, told, repeats=3)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-3)


def test_a_star_owes_no_bit_to_others(rng):
    _, arrays = networks(30)
    x = rng.standard_normal((900, 30)).astype("f4")
    told = rng.standard_normal((300, 3)).astype("f4")
    found = arrays(x, 0.7, told, repeats=3)
    some = arrays(x[600:603], 0.7, told[200:201], repeats=3)
    np.testing.assert_array_equal(found[600:603], some)


def test_before_training_it_says_nothing(rng):
    arrays = UNetArrays.of(arrays_of(UNet(6, 2)))
    assert not arrays.trained
    assert not arrays(rng.standard_normal((4, 6)), 0.7, np.zeros((4, 2))).any()
