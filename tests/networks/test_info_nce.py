"""InfoNCE: its limits, its symmetry, and who is whose rival."""

import math

import torch
from torch.nn import functional

from specxfer.networks import InfoNCE

LOSS = InfoNCE()
ONE = torch.tensor(1.0, dtype=torch.float64)


def points(n, k, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, k, generator=generator, dtype=torch.float64)
    return functional.normalize(x, dim=1)


def test_nothing_told_is_log_n():
    same = points(1, 3).expand(7, 3)
    assert math.isclose(LOSS(same, same, 5 * ONE).item(), math.log(7))
    assert math.isclose(LOSS(points(7, 3), points(7, 3, 1), 0 * ONE), math.log(7))


def test_the_mean_of_cross_entropies_of_both_directions():
    s, t, own = points(6, 4), points(6, 4, 1), torch.arange(6)
    product = 3 * s @ t.T
    expected = functional.cross_entropy(product, own)
    expected = (expected + functional.cross_entropy(product.T, own)) / 2
    torch.testing.assert_close(LOSS(s, t, 3 * ONE), expected)
    torch.testing.assert_close(LOSS(t, s, 3 * ONE), expected)


def test_gradients_are_those_of_the_formula():
    """Whatever is barred, and as far apart as products of embeddings may be."""
    star = torch.tensor([0, 1, 1, 2, 3, 4, 4, 5])
    weight = torch.tensor([1, 2, 0.5, 0, 1, 1, 3, 1], dtype=torch.float64)
    own, there = torch.eye(8, dtype=torch.bool), weight > 0
    rivals = (star[None] != star[:, None]) & there[None] & there[:, None]
    for scale in (1.0, 30.0, 3000.0):
        given = [points(8, 4), points(8, 4, 1), torch.tensor(scale).double()]
        found, expected = ([v.clone().requires_grad_() for v in given] for _ in "12")
        LOSS(*found, weight, star).backward()
        s, t, of_scale = expected
        product = of_scale * s @ t.T
        barred = product.masked_fill(~(own | rivals), -torch.inf)
        each = (barred.logsumexp(0) + barred.logsumexp(1)) / 2 - product.diagonal()
        ((weight * each).sum() / weight.sum()).backward()
        for a, b in zip(found, expected):
            assert a.grad.isfinite().all()
            torch.testing.assert_close(a.grad, b.grad)


def test_rows_without_weight_might_as_well_not_be_there():
    s, t = points(8, 4), points(8, 4, 1)
    weight = torch.tensor([1, 2, 0, 1, 0, 1, 1, 3.0], dtype=torch.float64)
    there = weight > 0
    expected = LOSS(s[there], t[there], 3 * ONE, weight[there])
    torch.testing.assert_close(LOSS(s, t, 3 * ONE, weight), expected)
    assert LOSS(s, t, 3 * ONE, 0 * weight) == 0


def test_a_weight_of_two_counts_twice():
    s, t = points(4, 3), points(4, 3, 1)
    each = [
        LOSS(s, t, ONE, torch.eye(4, dtype=torch.float64)[i] + 1e-9) for i in range(4)
    ]
    weight = torch.tensor([2.0, 1, 1, 1], dtype=torch.float64)
    expected = (2 * each[0] + sum(each[1:])) / 5
    torch.testing.assert_close(LOSS(s, t, ONE, weight), expected, rtol=1e-6, atol=0)


def test_rows_of_one_star_are_no_rivals():
    s, t = points(4, 3), points(4, 3, 1)
    star = torch.tensor([0, 1, 1, 2])
    product = 2 * s @ t.T
    barred = product.clone()
    barred[1, 2] = barred[2, 1] = -torch.inf
    expected = (barred.logsumexp(0) + barred.logsumexp(1)) / 2 - product.diagonal()
    torch.testing.assert_close(LOSS(s, t, 2 * ONE, star=star), expected.mean())
    alone = LOSS(s, t, 2 * ONE, star=torch.zeros(4))
    assert alone.abs() < 1e-12


def test_the_likeliest_scale_is_the_inverse_variance():
    """Partners that differ by normal errors: the loss is lowest at 1 / variance."""
    generator = torch.Generator().manual_seed(3)
    angle = 2 * math.pi * torch.rand(2000, generator=generator)
    other = angle + 0.1 * torch.randn(2000, generator=generator)
    s, t = (torch.stack([a.cos(), a.sin()], dim=1) for a in (angle, other))
    losses = {k: LOSS(s, t, torch.tensor(float(k))).item() for k in (25, 100, 400)}
    assert min(losses, key=losses.get) == 100
