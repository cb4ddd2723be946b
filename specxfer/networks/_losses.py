"""What the losses share: residuals, weights and noise of a batch."""

import torch

SMALLEST = 1e-14  # of a variance: a flux is not better than 1e-7 in float32


def residuals(outputs, targets):
    """Residual flux, its noise variance and weight, each of shape (n, n_pixels_out).

    In float32 at least; 0, 1 and 0 where the target is unknown, whatever its flux is.
    """
    flux = outputs["flux"]
    flux = flux.to(torch.promote_types(flux.dtype, torch.float32))
    ivar = targets["ivar"].to(flux.dtype)
    known = ivar > 0
    residual = torch.where(known, flux - targets["flux"], 0.0)
    noise = torch.where(known, ivar, 1.0).reciprocal()
    weight = known.to(flux.dtype)
    if "weight" in targets:
        weight = weight * targets["weight"].to(flux.dtype)[:, None]
    return residual, noise, weight


def weighted_mean(loss, weight):
    """Mean of the loss over pixels with weight; 0 if there are none."""
    return (weight * loss).sum() / weight.sum().clamp(min=SMALLEST)
