"""Encoders: what they see, what they must not see, and where they look."""

import numpy as np
import pytest
import torch

from specxfer.networks import ScoreEncoder, SpectrumEncoder

P = 300


def make(kind, n_pixels=P, **options):
    torch.manual_seed(0)
    if kind == "scores":
        components = np.linalg.qr(np.random.default_rng(0).normal(size=(n_pixels, 1)))[
            0
        ]
        encoder = ScoreEncoder(components, widths=(16, 8), n_out=5, **options)
    else:
        options = {"widths": (8, 12), "n_out": 5, "pooling": kind} | options
        encoder = SpectrumEncoder(n_pixels, **options)
    return encoder.double()


def spectra(n=4, n_pixels=P):
    rng = torch.Generator().manual_seed(1)
    flux = 0.05 * torch.randn(n, n_pixels, generator=rng, dtype=torch.double)
    ivar = 1e4 * torch.rand(n, n_pixels, generator=rng, dtype=torch.double)
    known = torch.rand(n, n_pixels, generator=rng) > 0.2
    return flux, ivar * known


KINDS = ["attention", "flatten", "scores"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_pixels", [1, 2, 5, 15, 16, 17, 301])
def test_any_length(kind, n_pixels):
    flux, ivar = spectra(n_pixels=n_pixels)
    out = make(kind, n_pixels)(flux, ivar)
    assert out.shape == (4, 5)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1e30, torch.nan, torch.inf])
def test_masked_flux_has_no_influence(kind, value):
    flux, ivar = spectra()
    encoder = make(kind)
    other = torch.where(ivar > 0, flux, value)
    assert not torch.equal(other, flux)
    torch.testing.assert_close(
        encoder(other, ivar), encoder(flux, ivar), rtol=0, atol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_masked_flux_has_no_gradient(kind):
    flux, ivar = spectra()
    flux = flux.masked_fill(ivar == 0, torch.nan).requires_grad_()
    encoder = make(kind)
    encoder(flux, ivar).square().sum().backward()
    known = ivar > 0
    assert (flux.grad[~known] == 0).all()
    assert (flux.grad[known] != 0).all()
    for parameter in encoder.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_star_does_not_depend_on_its_batch(kind):
    flux, ivar = spectra(8)
    encoder = make(kind).train()
    together = encoder(flux, ivar)
    alone = torch.cat([encoder(flux[[i]], ivar[[i]]) for i in range(8)])
    torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-12)
    mates = torch.cat([flux[:1], 1e6 * flux[1:]])
    torch.testing.assert_close(encoder(mates, ivar)[0], together[0])


@pytest.mark.parametrize("kind", KINDS)
def test_noise_and_flux_are_seen(kind):
    flux, ivar = spectra()
    encoder = make(kind)
    out = encoder(flux, ivar)
    assert (encoder(flux, 4 * ivar) - out).abs().max() > 1e-4
    assert (encoder(2 * flux, ivar) - out).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_star_without_a_known_pixel_or_without_noise_is_finite(kind):
    flux, ivar = spectra()
    flux.requires_grad_()
    ivar[0] = 0
    ivar[1] = torch.inf
    out = make(kind)(flux, ivar)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(flux.grad).all()


@pytest.mark.parametrize("kind", KINDS)
def test_features_join_in(kind):
    flux, ivar = spectra()
    encoder = make(kind, n_features=2)
    features = torch.zeros(4, 2, dtype=torch.double)
    changed = features.clone()
    changed[0] = 1
    difference = encoder(flux, ivar, changed) - encoder(flux, ivar, features)
    assert difference[0].abs().max() > 1e-3
    assert (difference[1:] == 0).all()
    with pytest.raises(ValueError, match="got 0 features per star; expected 2"):
        encoder(flux, ivar)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_are_of_order_one(kind):
    flux, ivar = spectra(16)
    scales = {"scales": 0.05} if kind == "scores" else {}
    std = make(kind, **scales)(flux, ivar).std()
    assert 0.1 < std < 10


def test_only_the_receptive_field_is_seen():
    encoder = make("flatten", 1000)
    flux, ivar = torch.zeros(2, 1, 1000, dtype=torch.double)
    ivar = ivar + 1e4
    before, _ = encoder.positions(flux, ivar)
    # kernels of 7 at steps of 1, 4 (three), 4 * 4 (two): ±3 × (1 + 3 × 4 + 2 × 16)
    reach = 3 * (1 + 3 * 4 + 2 * 16)
    for pixel in (0, 400, 413, 999):
        changed = flux.clone()
        changed[0, pixel] = 0.3
        after, _ = encoder.positions(changed, ivar)
        differs = (after != before).any(dim=-1)[0]
        middle = 16 * torch.arange(len(differs))
        assert torch.equal(differs, (middle - pixel).abs() <= reach)


def test_coverage_is_the_known_share_of_the_pixels_around():
    encoder = SpectrumEncoder(16, widths=(4,), kernel_size=3, stride=2)
    ivar = torch.ones(1, 16)
    ivar[0, 4:9] = 0
    _, coverage = encoder.positions(torch.zeros(1, 16), ivar)
    expected = [1, 1, 1 / 3, 0, 1 / 3, 1, 1, 1]
    torch.testing.assert_close(coverage[0], torch.tensor(expected))


def shifted_outputs(pooling, shift):
    """Outputs for a line, and for the same line `shift` pixels on."""
    encoder = make(pooling, 1200)
    pixels = torch.arange(1200, dtype=torch.double)
    lines = [-0.3 * torch.exp(-(((pixels - c) / 4) ** 2)) for c in (600, 600 + shift)]
    flux = torch.stack(lines)
    return encoder(flux, torch.full_like(flux, 1e4))


def test_attention_finds_a_line_anywhere_until_it_has_learnt_where():
    first, second = shifted_outputs("attention", 16 * 7)
    torch.testing.assert_close(first, second)


def test_flattened_positions_know_where_a_line_is():
    first, second = shifted_outputs("flatten", 16 * 7)
    assert (first - second).norm() > 0.1 * first.norm()


def test_attention_gives_masked_positions_no_weight():
    encoder = make("attention", 640)
    x, coverage = encoder.positions(*spectra(2, 640))
    coverage = coverage.clone()
    coverage[:, 10:] = 0
    pooled = encoder.pool(x, coverage)
    x = x.clone()
    x[:, 10:] = 1e6
    torch.testing.assert_close(encoder.pool(x, coverage), pooled)


def test_attention_weighs_positions_by_their_coverage():
    pool = make("attention", 640).pool
    x = torch.zeros(1, 40, 12, dtype=torch.double)
    x[:, :20] += torch.arange(12)
    torch.nn.init.zeros_(pool.queries)
    coverage = torch.ones(1, 40, dtype=torch.double)
    coverage[:, 20:] = 0.5
    expected = (torch.arange(12) * 2 / 3).double().repeat(8)[None]
    torch.testing.assert_close(pool(x, coverage), expected)
    assert (pool(x, 0 * coverage) == 0).all()


def test_scores_are_whitened_projections():
    rng = np.random.default_rng(0)
    components, scales = np.linalg.qr(rng.normal(size=(30, 3)))[0], [3.0, 2.0, 1.0]
    mean = rng.normal(size=30)
    encoder = ScoreEncoder(components, mean, widths=(), scales=scales, n_out=4).double()
    torch.nn.init.eye_(encoder.head.weight)
    torch.nn.init.zeros_(encoder.head.bias)
    flux = rng.normal(size=(5, 30))
    ivar = np.full((5, 30), 1e4)
    ivar[0, 7] = 0
    known = np.where(ivar > 0, flux - mean, 0)
    found = encoder(torch.from_numpy(flux), torch.from_numpy(ivar))
    scores = known @ components / scales
    np.testing.assert_allclose(found[:, :3].detach(), scores, rtol=1e-5, atol=1e-6)
    noise = np.log(2) * np.array([29 / 30, 1, 1, 1, 1])
    np.testing.assert_allclose(found[:, 3].detach(), noise, rtol=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
def test_components_change_only_where_they_may(trainable):
    flux, ivar = spectra()
    encoder = make("scores", trainable=trainable)
    encoder(flux, ivar).square().sum().backward()
    assert (encoder.projection.grad is not None) == trainable


def test_the_components_given_are_copied():
    components = np.ones((30, 2), dtype=np.float32)
    encoder = ScoreEncoder(components)
    components[:] = 0
    assert (encoder.projection == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_near_float32(kind):
    flux, ivar = (x.float() for x in spectra())
    encoder = make(kind).float()
    out = encoder(flux, ivar)
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(flux, ivar)
    rough.float().square().sum().backward()
    assert (rough - out).norm() < 0.03 * out.norm()
    assert all(torch.isfinite(p.grad).all() for p in encoder.head.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel_size is 4; expected an odd number"),
        ({"stride": 5}, "stride is 5 with kernel_size 7; expected 1 to 4"),
        ({"widths": ()}, "widths is \\(\\); expected one positive width a stage"),
        ({"pooling": "max"}, "pooling is 'max'; expected one of"),
        ({"flux_scale": 0}, "flux_scale has 1 values that are not positive"),
        ({"typical_ivar": [1.0, 2.0]}, "typical_ivar has shape \\(2,\\); expected"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SpectrumEncoder(P, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_another_number_of_pixels_is_refused(kind):
    flux, ivar = spectra(n_pixels=P + 1)
    with pytest.raises(ValueError, match="the network was made for 300 pixels"):
        make(kind)(flux, ivar)
    with pytest.raises(ValueError, match="expected \\(n, 300\\) for both"):
        make(kind)(flux[:, :P], ivar)


def test_components_must_be_a_table():
    with pytest.raises(ValueError, match="projection has shape \\(3,\\)"):
        ScoreEncoder([1.0, 2.0, 3.0])
