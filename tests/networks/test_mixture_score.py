"""MixtureScore: F of a mixture of Gaussians, against the integral it stands for."""

import numpy as np
import torch

from specxfer.networks import Denoiser
from specxfer.networks._mixture_score import MixtureScore
from specxfer.neural._mixture import Mixture


def score_of(mixture):
    found = MixtureScore(*mixture.mean.shape).double()
    found.load_state_dict({k: torch.tensor(v) for k, v in mixture.state().items()})
    return found


def test_until_loaded_it_is_that_of_a_gaussian():
    assert (MixtureScore(3, 2)(torch.randn(5, 2), torch.rand(5, 1)) == 0).all()


def test_the_mean_of_what_was_noisy():
    """Bayes' theorem on a fine grid of what one number may have been."""
    share, mean, std = np.array([0.7, 0.3]), np.array([-0.5, 1.6]), np.array([0.4, 0.2])
    mixture = Mixture(share, mean[:, None], std[:, None, None] ** 2)
    u = np.linspace(-4, 4, 20001)
    each = np.exp(-(((u[:, None] - mean) / std) ** 2) / 2) / std
    prior = each @ share
    x = np.array([-1.0, 0.2, 0.7, 1.5])
    for angle in (0.02, 0.4, 1.0, 1.5):
        sine, cosine = np.sin(angle), np.cos(angle)
        seen = np.exp(-(((x[:, None] - u * cosine) / sine) ** 2) / 2) * prior
        expected = (seen @ u) / seen.sum(axis=1)
        level = torch.full((4, 1), angle, dtype=torch.double)
        found = score_of(mixture)(torch.tensor(x[:, None]), level).numpy()[:, 0]
        np.testing.assert_allclose(cosine * x + sine * found, expected, atol=1e-6)


def test_both_ends_are_finite():
    mixture = Mixture(np.ones(1), np.array([[0.3]]), np.array([[[0.5]]]))
    x = torch.tensor([[2.0]], dtype=torch.double)
    score = score_of(mixture)
    clean = score(x, torch.zeros(1, 1, dtype=torch.double))
    blind = score(x, torch.full((1, 1), torch.pi / 2, dtype=torch.double))
    torch.testing.assert_close(clean, torch.zeros_like(clean))
    torch.testing.assert_close(blind, torch.full_like(blind, 0.3))


def test_a_denoiser_begins_with_it(rng):
    mean = rng.standard_normal((2, 3))
    covariance = np.stack([np.diag([0.2, 1.0, 0.5]), np.eye(3)])
    mixture = Mixture(np.array([0.4, 0.6]), mean, covariance)
    denoiser, score = Denoiser(3, 2, n_gaussians=2).double(), score_of(mixture)
    denoiser.mixture.load_state_dict(score.state_dict())
    x, angle = torch.randn(6, 3).double(), torch.rand(6, 1).double()
    found = denoiser.found(x, angle, torch.randn(6, 2).double())
    torch.testing.assert_close(found, score(x, angle))
