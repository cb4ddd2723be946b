"""Denoiser: the Gaussian's before training, and the mean of what was noisy after."""

import numpy as np
import torch

from specxfer.networks import Denoiser, DenoisingError


def test_before_training_it_is_right_for_gaussian_latents():
    denoiser = Denoiser(3, 2)
    z, sigma = torch.randn(50, 3), torch.rand(50) * 10
    with torch.no_grad():
        found = denoiser.denoised(z, sigma, torch.randn(50, 2))
    torch.testing.assert_close(found, z / (1 + sigma[:, None] ** 2))


def test_what_is_wanted_leads_to_the_latents():
    """D from the wanted F is the latents themselves, at any noise level."""
    denoiser = Denoiser(3, 2)
    u, noise = torch.randn(2, 50, 3, dtype=torch.double)
    angle = torch.rand(50, 1, dtype=torch.double) * 1.5
    wanted = denoiser.double().compared(torch.zeros(50, 2).double(), u, noise, angle)
    x = torch.cos(angle) * u + torch.sin(angle) * noise
    clean = torch.cos(angle) * x + torch.sin(angle) * wanted["wanted"]
    torch.testing.assert_close(clean, u)


def test_it_learns_a_scale_and_a_mean_that_depend_on_the_star():
    torch.manual_seed(0)
    kind = torch.randint(2, (4000, 1)).float()
    u = torch.randn(4000, 1) * (0.3 + 0.9 * kind) + kind
    denoiser, error = Denoiser(1, 1, width=16), DenoisingError()
    optimizer = torch.optim.Adam(denoiser.parameters(), 1e-2)
    targets = {"weight": torch.ones(4000)}
    for _ in range(300):
        loss = error(denoiser(kind, u[:, None]), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    told, z = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5], [0.5]])
    with torch.no_grad():
        found = denoiser.denoised(z, torch.ones(2), told)[:, 0].numpy()
    variance, mean = np.array([0.3, 1.2]) ** 2, np.array([0.0, 1.0])
    expected = mean + variance / (variance + 1) * (0.5 - mean)
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_stars_without_weight_do_not_count():
    outputs = {"found": torch.zeros(2, 1), "wanted": torch.tensor([[1.0], [9.0]])}
    loss = DenoisingError()(outputs, {"weight": torch.tensor([1.0, 0.0])})
    assert loss == 1
