"""GatedEnsemble: members that share nothing, linear where they say so."""

import pytest
import torch

from specxfer.networks import GatedEnsemble

N, N_IN, N_OUT, M, LEADING = 5, 7, 4, 3, 2


def drawn(*size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator, dtype=torch.float64)


@pytest.fixture
def ensemble():
    """With every weight drawn anew, so that nothing is 0."""
    found = GatedEnsemble(
        N_IN, N_OUT, n_members=M, n_leading=LEADING, width=6, gate_width=5
    ).double()
    with torch.no_grad():
        for i, weights in enumerate(found.parameters()):
            weights.copy_(0.5 * drawn(*weights.shape, seed=i + 1))
    return found.requires_grad_(False)


def test_nothing_comes_out_before_training():
    out = GatedEnsemble(N_IN, N_OUT, n_members=M)(torch.randn(N, N_IN))
    assert out.shape == (N, M, N_OUT)
    assert (out == 0).all()


def test_the_formula_by_hand(ensemble):
    x = drawn(N, N_IN)
    width, gates = ensemble.width, ensemble.gates.shape[1]
    for m in range(M):
        rows, hidden = slice(m * width, (m + 1) * width), slice(m * gates, None)
        h = x @ ensemble.inner.weight[rows].T + ensemble.inner.bias[rows]
        before = x[:, :LEADING] @ ensemble.hidden.weight[hidden][:gates].T
        before = before + ensemble.hidden.bias[hidden][:gates]
        gate = before * torch.sigmoid(before) @ ensemble.gates[m]
        gate = gate + ensemble.bias_gates[m]
        h = h * (1 + gate[:, :width]) + gate[:, width:]
        expected = h @ ensemble.outer[m] + ensemble.bias_outer[m, 0]
        torch.testing.assert_close(ensemble(x)[:, m], expected)


@pytest.mark.parametrize(
    "name", ["inner", "hidden", "gates", "bias_gates", "outer", "bias_outer"]
)
def test_weights_of_a_member_change_that_member_alone(ensemble, name):
    x = drawn(N, N_IN)
    before = ensemble(x)
    weights = getattr(ensemble, name)
    if isinstance(weights, torch.nn.Linear):
        weights.weight.unflatten(0, (M, -1))[1] += 0.3
    else:
        weights[1] += 0.3
    changed = (ensemble(x) != before).any(dim=2).any(dim=0)
    assert changed.tolist() == [False, True, False]


def test_one_input_is_the_same_input_of_each_member(ensemble):
    x = drawn(N, N_IN)
    same = x[:, None].expand(-1, M, -1)
    torch.testing.assert_close(ensemble(same), ensemble(x))


def test_an_input_of_its_own_reaches_its_member_alone(ensemble):
    x = drawn(N, M, N_IN)
    other = x.clone()
    other[:, 2] += 1
    changed = (ensemble(other) != ensemble(x)).any(dim=2).any(dim=0)
    assert changed.tolist() == [False, False, True]


def test_linear_in_all_but_the_leading_inputs(ensemble):
    x, step = drawn(N, N_IN), drawn(N, N_IN, seed=9)

    def curvature(step):
        return (ensemble(x + step) - 2 * ensemble(x) + ensemble(x - step)).abs().max()

    rest, leading = step.clone(), step.clone()
    rest[:, :LEADING], leading[:, LEADING:] = 0, 0
    assert curvature(rest) < 1e-12
    assert curvature(leading) > 1e-2


def test_a_star_does_not_see_the_others(ensemble):
    x = drawn(N, N_IN)
    other = x.clone()
    other[1:] = 100.0
    torch.testing.assert_close(ensemble(other)[0], ensemble(x)[0])


def test_no_more_leading_inputs_than_inputs():
    ensemble = GatedEnsemble(2, 1, n_leading=6)
    assert ensemble(torch.zeros(3, 2)).shape == (3, 5, 1)


@pytest.mark.parametrize("members", [[1], [2, 0], [0, 1, 2]])
def test_some_members_say_what_they_say_among_all(ensemble, members):
    some = ensemble.some(members)
    x, of_each = drawn(N, N_IN), drawn(N, M, N_IN)
    torch.testing.assert_close(some(x), ensemble(x)[:, members])
    found = some(of_each[:, members])
    torch.testing.assert_close(found, ensemble(of_each)[:, members])
    before = ensemble(x)
    with torch.no_grad():
        for weights in some.parameters():
            weights.zero_()
    assert torch.equal(ensemble(x), before)
