"""What networks are told about pixels, and what they make of noise and masks."""

import numpy as np
import torch

LARGEST_IVAR = 1e3  # times the typical: a star without noise is as good as this


def as_float32(values):
    """A float32 tensor of its own memory."""
    if not isinstance(values, torch.Tensor):
        values = torch.from_numpy(np.array(values, dtype=np.float32))
    return values.detach().to("cpu", torch.float32, copy=True)


def per_pixel(values, n_pixels, name, positive=True):
    """One number per pixel as a float32 tensor of shape (n_pixels,)."""
    values = as_float32(values)
    if values.shape not in [(), (n_pixels,)]:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; expected one number or "
            f"({n_pixels},), one number per pixel."
        )
    good = torch.isfinite(values) & ((values > 0) | (not positive))
    if not good.all():
        kind = "positive and finite" if positive else "finite"
        raise ValueError(
            f"{name} has {int((~good).sum())} values that are not {kind}: give unseen "
            "pixels those of typical ones."
        )
    return values.expand(n_pixels).clone()


def as_matrix(values, name):
    """A finite table of numbers as a float32 tensor of shape (n, p)."""
    values = as_float32(values)
    if values.ndim != 2 or not values.numel() or not torch.isfinite(values).all():
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; expected a table of finite "
            "numbers with at least one row and one column."
        )
    return values


def check_pixels(flux, ivar, n_pixels):
    """Raise unless flux and ivar have shape (n, n_pixels)."""
    if flux.shape != ivar.shape or flux.shape[1:] != (n_pixels,):
        raise ValueError(
            f"flux has shape {tuple(flux.shape)} and ivar {tuple(ivar.shape)}; "
            f"expected (n, {n_pixels}) for both: the network was made for {n_pixels} "
            "pixels."
        )


def known_flux(flux, known):
    """The flux where it is known, else 0 whatever it is, so not even NaN passes."""
    return torch.where(known, flux, 0.0)


def noise_level(ivar, typical):
    """log(1 + ivar / typical ivar): of order 1, and 0 where the flux is unknown."""
    return torch.log1p((ivar / typical).clamp(max=LARGEST_IVAR))


def with_features(x, features, n_features):
    """Columns of x (n, k), then those of features (n, n_features)."""
    found = 0 if features is None else features.shape[-1]
    if found != n_features:
        raise ValueError(
            f"got {found} features per star; expected {n_features}, as many as "
            "n_features said when the network was made."
        )
    return torch.cat([x, features], dim=1) if n_features else x
