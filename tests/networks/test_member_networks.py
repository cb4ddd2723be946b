"""MemberNetworks: what goes into each member."""

import pytest
import torch

from specxfer.networks import GatedEnsemble, MemberNetworks, SpectrumEncoder

N, P, K, OUT, M = 6, 100, 3, 4, 2


def ensemble(n_in):
    found = GatedEnsemble(n_in, 5, n_members=M, width=8, gate_width=8)
    with torch.no_grad():
        found.outer.normal_()
    return found


@pytest.fixture(autouse=True)
def _own_seed():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(1)
        yield


@pytest.fixture
def spectra():
    flux, ivar = 0.1 * torch.randn(N, P), torch.full((N, P), 1e4)
    ivar[:, ::7] = 0
    return flux, ivar


def encoders():
    return [SpectrumEncoder(P, widths=(8,), n_out=OUT).eval() for _ in range(M)]


def test_without_encoders_it_is_the_ensemble():
    inner, scores = ensemble(K), torch.randn(N, K)
    assert torch.equal(MemberNetworks(inner)(scores), inner(scores))
    assert torch.equal(MemberNetworks(inner)(scores, torch.ones(N, K)), inner(scores))


def test_every_member_has_its_own_encoder(spectra):
    inner, own = ensemble(OUT), encoders()
    networks = MemberNetworks(inner, own)
    before = networks(*spectra)
    expected = inner(torch.stack([encode(*spectra) for encode in own], dim=1))
    torch.testing.assert_close(before, expected)
    with torch.no_grad():
        for weights in own[1].parameters():
            weights += 0.1
    changed = (networks(*spectra) != before).any(dim=2).any(dim=0)
    assert changed.tolist() == [False, True]


def test_scores_come_before_what_encoders_give(spectra):
    inner, own, scores = ensemble(K + OUT), encoders(), torch.randn(N, K)
    found = torch.stack([encode(*spectra) for encode in own], dim=1)
    same = scores[:, None].expand(-1, M, -1)
    torch.testing.assert_close(
        MemberNetworks(inner, own)(*spectra, scores),
        inner(torch.cat([same, found], dim=2)),
    )


def test_masked_pixels_do_not_reach_the_members(spectra):
    flux, ivar = spectra
    networks = MemberNetworks(ensemble(OUT), encoders())
    other = torch.where(ivar > 0, flux, 99.0)
    torch.testing.assert_close(networks(other, ivar), networks(flux, ivar))


def test_some_members_with_encoders_of_their_own(spectra):
    scores = torch.randn(N, K)
    networks = MemberNetworks(ensemble(K + OUT), encoders())
    found = networks.some([1])(*spectra, scores)
    torch.testing.assert_close(found, networks(*spectra, scores)[:, [1]])
    alone = MemberNetworks(ensemble(K))
    torch.testing.assert_close(alone.some([1])(scores), alone(scores)[:, [1]])
