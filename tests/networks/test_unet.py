"""UNet: right for Gaussians of any covariance before training, and any length."""

import pytest
import torch

from specxfer.networks import DenoisingError, UNet


def test_before_training_it_is_right_for_gaussian_pixels():
    """Of any covariance, as noise has the same: σ_data is 1 in every direction."""
    root = torch.randn(5, 5, dtype=torch.double)
    covariance = root @ root.T
    sigma = torch.rand(50, dtype=torch.double) * 10
    z = torch.randn(50, 5, dtype=torch.double)
    denoiser = UNet(5, 2).double()
    with torch.no_grad():
        found = denoiser.denoised(z, sigma, torch.randn(50, 2, dtype=torch.double))
    for i in range(3):
        total = (1 + sigma[i] ** 2) * covariance
        posterior = covariance @ torch.linalg.solve(total, z[i])
        torch.testing.assert_close(found[i], posterior)


@pytest.mark.parametrize("n_pixels", [1, 7, 8, 100])
def test_any_length_and_no_star_knows_of_another(n_pixels):
    torch.manual_seed(0)
    denoiser = UNet(n_pixels, 2, width=8)
    for weight in denoiser.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    x, angle, told = torch.randn(4, n_pixels), torch.rand(4, 1), torch.randn(4, 2)
    with torch.no_grad():
        found = denoiser.found(x, angle, told)
        alone = denoiser.found(x[2:3], angle[2:3], told[2:3])
    assert found.shape == (4, n_pixels)
    torch.testing.assert_close(found[2:3], alone, rtol=1e-3, atol=1e-3)


def test_every_pixel_is_told_of_every_other():
    """Lines of one element may lie at both ends."""
    torch.manual_seed(0)
    denoiser = UNet(150, 2, width=8)
    for weight in denoiser.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    x = torch.randn(1, 150, requires_grad=True)
    denoiser.found(x, torch.ones(1, 1), torch.zeros(1, 2))[0, 0].backward()
    assert (x.grad != 0).all()


def test_sizes_are_positive():
    with pytest.raises(ValueError, match="n_pixels is 0; expected 1 or more"):
        UNet(0, 2)


def test_it_learns_two_kinds():
    """A line that is weak or strong: noisy ones are put to one of the two."""
    torch.manual_seed(0)
    line = torch.tensor([0.0, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0])
    pixels = (2.0 * torch.randint(2, (4000, 1)) - 1) * line
    denoiser, error = UNet(7, 1, width=16), DenoisingError()
    optimizer = torch.optim.Adam(denoiser.parameters(), 3e-3)
    targets, told = {"weight": torch.ones(256)}, torch.zeros(256, 1)
    for _ in range(300):
        some = pixels[torch.randint(4000, (256,))]
        noise = torch.randn(256, 1) * line
        angle = torch.rand(256, 1) * 1.5
        loss = error(denoiser(told, some, noise, angle), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        z = torch.tensor([[-1.0], [0.5], [1.5]]) * line
        found = denoiser.denoised(z, torch.full((3,), 0.6), told[:3])
    expected = torch.tanh(torch.tensor([[-1.0], [0.5], [1.5]]) / 0.6**2) * line
    torch.testing.assert_close(found, expected, atol=0.15, rtol=0)
