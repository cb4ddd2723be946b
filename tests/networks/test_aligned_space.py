"""AlignedSpace and its loss: nothing is lost on the sphere, and sides stay apart."""

import pytest
import torch

from specxfer.networks import AlignedSpace, AlignmentLoss, InfoNCE, QuadraticError

N, K, N_TARGET, N_SOURCE = 9, 5, 7, 3


def drawn(*size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=torch.float64)


@pytest.fixture
def space():
    """With every weight drawn anew, so that nothing is 0."""
    found = AlignedSpace(
        K, N_TARGET, N_SOURCE, n_embedding=4, n_private=2, width=6, radius=3.0
    ).double()
    with torch.no_grad():
        for i, weights in enumerate(found.parameters()):
            weights.copy_(0.5 * drawn(*weights.shape, seed=i + 1))
    return found.requires_grad_(False)


def test_no_length_is_lost_on_the_sphere(space):
    h = 4 * drawn(N, 3)
    points = space.lifted(h)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(N).double())
    torch.testing.assert_close(space.dropped(points), h)


def test_products_are_squared_distances_where_the_radius_is_large(space):
    h, other = drawn(N, 3), drawn(N, 3, seed=1)
    space.radius.fill_(1e3)
    product = 1e6 * (space.lifted(h) * space.lifted(other)).sum(dim=1)
    expected = 1e6 - (h - other).square().sum(dim=1) / 2
    torch.testing.assert_close(product, expected, rtol=0, atol=1e-3)


def test_starts_linear_and_at_the_scale_of_the_radius():
    space = AlignedSpace(K, N_TARGET, N_SOURCE, n_embedding=4, radius=5.0)
    x = drawn(N, K).float()
    expected = x @ space.linear["source"].weight.T
    torch.testing.assert_close(space.encoded(x, "source"), expected)
    torch.testing.assert_close(space(x, target=x)["scale"], torch.tensor(25.0))


@pytest.mark.parametrize("side", ["source", "target"])
def test_slopes_against_finite_differences(space, side):
    x, step = drawn(N, K), 1e-5
    for i in range(K):
        by = torch.zeros_like(x)
        by[:, i] = step
        numeric = space.encoded(x + by, side) - space.encoded(x - by, side)
        torch.testing.assert_close(
            space.slopes(x, side)[:, :, i], numeric / (2 * step), rtol=1e-6, atol=1e-8
        )


def test_each_side_is_decoded_from_its_own_embedding_and_latents(space):
    x, t = drawn(N, K), drawn(N, K, seed=1)
    before = space(x, target=t)
    changed = space(x + 1, target=t)
    names = "coefficients", "features"
    for i, side in enumerate(("source", "target")):
        for name in names:
            moved = (before[name] != changed[name]).any(dim=2).any(dim=0)
            assert moved.tolist() == [True, False]
        assert (before[side] == changed[side]).all() == (i == 1)
    # private latents: of the own side's reconstruction alone
    for own, name, i in (("target", "coefficients", 1), ("source", "features", 0)):
        weight = space.private[own].weight
        kept = weight.clone()
        weight += 0.3
        after = space(x, target=t)
        weight.copy_(kept)
        moved = [(after[n] != before[n]).any(dim=2).any(dim=0) for n in names]
        assert [m.tolist() for m in moved if m.any()] == [[i == 0, i == 1]]
        assert (after[name][:, i] != before[name][:, i]).any()
        assert (after["source"] == before["source"]).all()


def case(seed=0):
    """Outputs and targets of a batch; gram of rank 1 in two parts."""
    root = drawn(N, 4, seed=seed)
    outputs = {
        "source": torch.nn.functional.normalize(drawn(N, 3, seed=1), dim=1),
        "target": torch.nn.functional.normalize(drawn(N, 3, seed=2), dim=1),
        "scale": torch.tensor(2.0).double(),
        "coefficients": drawn(N, 2, 4, seed=3),
        "features": drawn(N, 2, N_SOURCE, seed=4),
    }
    targets = {
        "projection": root,
        "gram 0": torch.eye(1).double().expand(N, 1, 1),
        "gram 1": torch.eye(3).double().expand(N, 3, 3),
        "features": drawn(N, N_SOURCE, seed=5),
        "has": torch.ones(N, 2).double(),
        "pair": torch.ones(N).double(),
        "star": torch.arange(N),
    }
    return outputs, targets


def test_the_loss_is_the_sum_of_its_parts():
    outputs, targets = case()
    pixels = QuadraticError().of_each(outputs["coefficients"], targets).mean(dim=0)
    left = outputs["features"] - targets["features"][:, None]
    features = left.square().mean(dim=(0, 2))
    partners = InfoNCE()(outputs["source"], outputs["target"], outputs["scale"])
    expected = 2 * partners + 3 * (pixels[0] + features[1])
    expected = expected + 5 * (pixels[1] + features[0])
    torch.testing.assert_close(AlignmentLoss(2, 3, 5)(outputs, targets), expected)


@pytest.mark.parametrize(("missing", "left"), [(0, 1), (1, 0)])
def test_one_side_alone_is_reconstructed_and_nothing_else(missing, left):
    outputs, targets = case()
    rows = torch.arange(N) < 4
    targets["has"][rows, missing] = 0
    targets["pair"][rows] = 0
    before = AlignmentLoss(1, 1, 1)(outputs, targets)
    name, other = ("features", "coefficients")[:: 1 if missing else -1]

    def moved(name, column):
        changed = {k: v.clone() for k, v in outputs.items()}
        changed[name][0, column] += 1
        return AlignmentLoss(1, 1, 1)(changed, targets) != before

    own = 0 if left == 0 else 1
    assert moved(name, own)  # its own side from its own embedding
    assert not moved(name, 1 - own)
    assert not moved(other, 0)
    assert not moved(other, 1)
