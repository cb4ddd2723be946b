"""GatedArrays: the trained ensemble without torch."""

import numpy as np
import pytest
import torch

from specxfer.networks import GatedEnsemble
from specxfer.neural._gated_arrays import ROWS, GatedArrays

N_IN, N_OUT, M, LEADING = 7, 4, 3, 2


def pair(dtype):
    """A network with every weight drawn anew, so that nothing is 0, and its arrays."""
    ensemble = GatedEnsemble(
        N_IN, N_OUT, n_members=M, n_leading=LEADING, width=6, gate_width=5
    ).to(dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in ensemble.parameters():
            weights.normal_(0, 0.5, generator=generator)
    ensemble.requires_grad_(False)
    state = {f"a.{k}": v.numpy() for k, v in ensemble.state_dict().items()}
    return ensemble, GatedArrays.of(state, "a.")


@pytest.fixture(params=[False, True], ids=["shared", "own"])
def x(request, rng):
    return rng.normal(size=(5, M, N_IN) if request.param else (5, N_IN))


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-6), (torch.float32, 1e-4)]
)
def test_what_the_network_makes(x, dtype, rtol):
    ensemble, arrays = pair(dtype)
    out = arrays(x)
    assert out.dtype == np.dtype(str(dtype).removeprefix("torch."))
    expected = ensemble(torch.from_numpy(x).to(dtype)).numpy()
    np.testing.assert_allclose(out, expected, rtol=rtol, atol=rtol)


def test_jacobian_against_that_of_torch(x):
    ensemble, arrays = pair(torch.float64)

    def of_all(by):  # the input of all members moves together
        shifted = torch.from_numpy(x[2]) + by
        return ensemble(shifted[None])[0].mean(dim=0)

    expected = torch.autograd.functional.jacobian(
        of_all, torch.zeros(N_IN, dtype=torch.float64)
    )
    np.testing.assert_allclose(
        arrays.jacobian(x)[2], expected.numpy().T, rtol=1e-5, atol=1e-6
    )


def test_same_bits_alone_and_in_company(rng):
    _, arrays = pair(torch.float32)
    x = rng.normal(size=(2 * ROWS + 9, N_IN))
    whole, slopes = arrays(x), arrays.jacobian(x)
    for rows in ([3], [ROWS], slice(-5, None), slice(100, 900)):
        np.testing.assert_array_equal(arrays(x[rows]), whole[rows])
        np.testing.assert_array_equal(arrays.jacobian(x[rows]), slopes[rows])


def test_far_stars_give_numbers():
    _, arrays = pair(torch.float32)
    for x in (1e3 * np.ones((1, N_IN)), -1e3 * np.ones((1, N_IN))):
        assert np.isfinite(arrays(x)).all()
        assert np.isfinite(arrays.jacobian(x)).all()


def test_no_stars():
    _, arrays = pair(torch.float32)
    assert arrays(np.empty((0, N_IN))).shape == (0, M, N_OUT)
