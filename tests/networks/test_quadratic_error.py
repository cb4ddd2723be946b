"""QuadraticError: the squared residuals of all pixels, without the pixels."""

import pytest
import torch

from specxfer.networks import QuadraticError

N, M, K, P = 6, 3, 4, 50


@pytest.fixture
def world():
    """Coefficients, targets, and the weighted squared residuals of every pixel."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    basis, mean, y, outputs = drawn(K, P), drawn(P), drawn(N, P), drawn(N, M, K)
    w = drawn(N, P).square()
    w[drawn(N, P) > 0.5] = 0  # masked
    y = torch.where(w > 0, y, 1e6)
    targets = {
        "gram 0": (basis * w[:, None]) @ basis.T,
        "projection": (w * (y - mean)) @ basis.T,
        "judges": drawn(N, M).square(),
    }
    left = y[:, None] - mean - outputs @ basis
    of_mean = (w * (y - mean).square()).sum(dim=1)
    return outputs, targets, (w[:, None] * left.square()).sum(dim=2), of_mean


def test_equals_the_sum_over_pixels(world):
    outputs, targets, square, of_mean = world
    found = QuadraticError().of_each(outputs, targets)
    expected = 1 + square - of_mean[:, None]
    # what the masked pixels hold is of no account, though it is 1e6
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_judges_weigh_stars_and_members(world):
    outputs, targets, *_ = world
    loss = QuadraticError()
    each, judges = loss.of_each(outputs, targets), targets["judges"]
    expected = (each * judges).sum() / judges.sum()
    torch.testing.assert_close(loss(outputs, targets), expected)


def test_who_does_not_judge_does_not_count(world):
    outputs, targets, *_ = world
    judges = targets["judges"].clone()
    judges[2], judges[:, 1] = 0, 0
    targets = targets | {"judges": judges}
    other = outputs.clone()
    other[2], other[:, 1] = 50.0, -50.0
    loss = QuadraticError()
    torch.testing.assert_close(loss(other, targets), loss(outputs, targets))


def test_gradient_is_twice_the_normal_equations(world):
    outputs, targets, *_ = world
    outputs = outputs.clone().requires_grad_()
    QuadraticError()(outputs, targets).backward()
    judges = targets["judges"]
    normal = outputs.detach() @ targets["gram 0"] - targets["projection"][:, None]
    expected = 2 * normal * (judges / judges.sum())[:, :, None]
    torch.testing.assert_close(outputs.grad, expected)


def test_lowest_at_weighted_least_squares(world):
    outputs, targets, *_ = world
    best = torch.linalg.solve(targets["gram 0"], targets["projection"])
    best = best[:, None].expand(-1, M, -1)
    loss = QuadraticError().of_each
    assert (loss(best + 0.1 * outputs, targets) > loss(best, targets)).all()


def test_half_precision_outputs_are_summed_in_single(world):
    outputs, targets, *_ = world
    targets = {name: values.float() for name, values in targets.items()}
    half, loss = outputs.bfloat16(), QuadraticError()
    found = loss(half, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(half.float(), targets))
