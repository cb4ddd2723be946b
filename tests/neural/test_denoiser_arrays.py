"""DenoiserArrays: the network's F, with a mixture and without, and its derivatives."""

import numpy as np
import pytest
import torch

from specxfer.networks import Denoiser
from specxfer.neural import arrays_of
from specxfer.neural._denoiser_arrays import DenoiserArrays
from specxfer.neural._mixture import Mixture

D, M, STARS, REPEATS = 3, 2, 4, 5


def state_of(rng, n_gaussians, learnt=True):
    torch.manual_seed(0)
    state = arrays_of(Denoiser(D, M, 8, n_gaussians=n_gaussians))
    if n_gaussians:
        half = rng.standard_normal((n_gaussians, D, D)) / 2
        covariance = half @ half.transpose(0, 2, 1) + 0.2 * np.eye(D)
        share = rng.dirichlet(np.ones(n_gaussians))
        mixture = Mixture(share, rng.standard_normal((n_gaussians, D)), covariance)
        state |= {f"mixture.{k}": v for k, v in mixture.state().items()}
    for name in state if learnt else ():
        if not name.startswith("mixture"):
            state[name] = 0.5 * rng.standard_normal(state[name].shape)
    return state


def network_of(state, n_gaussians):
    network = Denoiser(D, M, 8, n_gaussians=n_gaussians).double()
    network.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    return network


@pytest.mark.parametrize(("n_gaussians", "learnt"), [(0, True), (2, True), (3, False)])
@pytest.mark.parametrize("each_its_own", [False, True])
def test_arrays_do_what_the_network_does(rng, n_gaussians, learnt, each_its_own):
    state = state_of(rng, n_gaussians, learnt)
    arrays = DenoiserArrays.of(state, np.float64)
    x, told = rng.standard_normal((STARS * REPEATS, D)), rng.standard_normal((STARS, M))
    angle = rng.uniform(0.1, 1.5, (STARS, 1)) if each_its_own else 0.7
    of_rows = np.repeat(np.broadcast_to(angle, (STARS, 1)), REPEATS, axis=0)
    given = torch.tensor(x), torch.tensor(of_rows), torch.tensor(told)
    given = *given[:2], given[2].repeat_interleave(REPEATS, dim=0)
    network = network_of(state, n_gaussians)
    with torch.no_grad():
        expected = network.found(*given).numpy()
    np.testing.assert_allclose(arrays(x, angle, told, REPEATS), expected, atol=1e-12)
    value, slopes = arrays.jacobian(x, angle, told, REPEATS)
    np.testing.assert_allclose(value, expected, atol=1e-12)
    for i, step in enumerate(1e-6 * np.eye(D)):
        ahead, behind = (arrays(x + s, angle, told, REPEATS) for s in (step, -step))
        np.testing.assert_allclose(slopes[:, i], (ahead - behind) / 2e-6, atol=1e-7)


def test_rows_owe_nothing_to_their_company(rng):
    arrays = DenoiserArrays.of(state_of(rng, 2))
    x = rng.standard_normal((300, D)).astype("f4")
    told = rng.standard_normal((300, M)).astype("f4")
    alone = arrays(x[7:8], 0.7, told[7:8])
    assert (arrays(x, 0.7, told)[7] == alone[0]).all()


def test_trained_is_what_makes_anything_but_gaussian_draws(rng):
    assert not DenoiserArrays.of(state_of(rng, 0, learnt=False)).trained
    assert DenoiserArrays.of(state_of(rng, 0)).trained
    assert DenoiserArrays.of(state_of(rng, 2, learnt=False)).trained
