"""Decoders and the variance head: nothing at first, exact lengths, local detail."""

import numpy as np
import pytest
import torch

from specxfer.networks import (
    ConvDecoder,
    LinearDecoder,
    LogVarianceHead,
    SpectrumEncoder,
    Translation,
)


def basis(k=3, n_pixels=50):
    return np.random.default_rng(0).normal(size=(k, n_pixels))


def code(n=4, n_in=6):
    return torch.randn(n, n_in, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_pixels", [1, 2, 15, 16, 17, 1000])
def test_exact_length_of_convolutions(n_pixels):
    out = ConvDecoder(6, n_pixels, widths=(8, 4))(code())
    assert out.shape == (4, n_pixels)
    assert (out == 0).all()


@pytest.mark.parametrize("blocks", [0, 1])
def test_coarse_positions_become_neighbouring_pixels(blocks):
    torch.manual_seed(0)
    # each number that comes in is one coarse position
    decoder = ConvDecoder(
        25, 25 * 16 - 3, widths=(8, 4), kernel_size=7, stride=4, blocks=blocks
    ).double()
    torch.nn.init.zeros_(decoder.coarse.weight)
    for position in range(25):
        torch.nn.init.normal_(
            decoder.coarse.weight.data[8 * position : 8 * position + 8, position]
        )
    torch.nn.init.normal_(decoder.stages[-1][-1].weight)
    silent = decoder(torch.zeros(1, 25, dtype=torch.double))
    position = 12
    one = torch.zeros(1, 25, dtype=torch.double)
    one[0, position] = 1
    changed = torch.nonzero((decoder(one) != silent)[0])[:, 0]
    kernels = 2 * blocks + 1  # of each stage
    # pixels that come of the coarse positions within 3 a kernel, then of finer ones
    first = position * 4 - 3 * kernels * 4
    last = position * 4 + 3 + 3 * kernels * 4
    first, last = (first - 3 * kernels) * 4, (last + 3 * kernels) * 4 + 3
    assert torch.equal(changed, torch.arange(first, last + 1))


def test_convolutions_learn_detail_of_single_pixels():
    torch.manual_seed(0)
    decoder = ConvDecoder(6, 64, widths=(8, 8))
    target = torch.zeros(4, 64)
    target[:, 30] = 0.2 * code()[:, 0]
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (decoder(code()) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.02 * target.square().mean()


def test_a_linear_decoder_gives_coefficients_times_basis():
    decoder = LinearDecoder(6, basis())
    assert (decoder(code()) == 0).all()
    torch.nn.init.normal_(decoder.coefficients.weight)
    coefficients = decoder.coefficients(code()).detach().numpy()
    found = decoder(code()).detach()
    np.testing.assert_allclose(found, coefficients @ basis(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda trainable: LinearDecoder(6, basis(), trainable=trainable),
        lambda trainable: LogVarianceHead(
            6, np.zeros(50), basis=basis(), trainable=trainable
        ),
    ],
    ids=["flux", "variance"],
)
def test_the_basis_changes_only_where_it_may(make, trainable):
    module = make(trainable)
    module(code()).sum().backward()
    assert (module.basis.grad is not None) == trainable
    assert (module.coefficients.weight.grad != 0).any()


def test_the_basis_given_is_copied():
    given = torch.ones(2, 5)
    decoder = LinearDecoder(6, given)
    given[:] = 0
    assert (decoder.basis == 1).all()


def test_variance_starts_as_given_and_stays_within_bounds():
    start = np.linspace(-12, -6, 50)
    head = LogVarianceHead(6, start, bound=2.0)
    given = torch.from_numpy(start).float().expand(4, 50)
    torch.testing.assert_close(head(code()), given, rtol=0, atol=0)
    torch.nn.init.constant_(head.coefficients.bias, 1e-3)
    torch.testing.assert_close(head(code()), given + 1e-3, rtol=0, atol=1e-5)
    torch.nn.init.constant_(head.coefficients.bias, -100)
    torch.testing.assert_close(head(code()), given - 2)


@pytest.mark.parametrize(("k", "n_pixels"), [(1, 10), (2, 10), (5, 50), (16, 7)])
def test_triangles_share_every_pixel(k, n_pixels):
    shapes = LogVarianceHead(6, np.zeros(n_pixels), basis=k).basis
    assert shapes.shape == (k, n_pixels)
    assert (shapes >= 0).all()
    torch.testing.assert_close(shapes.sum(dim=0), torch.ones(n_pixels))


def translation(decoder):
    torch.manual_seed(0)
    encoder = SpectrumEncoder(40, widths=(4,), n_out=6, n_features=1)
    return Translation(encoder, decoder, LogVarianceHead(6, np.full(50, -8.0)))


@pytest.mark.parametrize(
    "decoder",
    [LinearDecoder(6, basis()), ConvDecoder(6, 50, widths=(4,))],
    ids=["linear", "convolutions"],
)
def test_a_translation_starts_from_its_base(decoder):
    network = translation(decoder)
    base = torch.rand(3, 50)
    batch = {"flux": torch.randn(3, 40), "ivar": torch.ones(3, 40)}
    batch["features"] = torch.ones(3, 1)
    outputs = network(**batch, base=base)
    torch.testing.assert_close(outputs["flux"], base, rtol=0, atol=0)
    assert (outputs["log_variance"] == -8).all()
    assert (network(**batch)["flux"] == 0).all()


def test_a_base_stays_precise_in_bfloat16():
    network = translation(LinearDecoder(6, basis()))
    torch.nn.init.constant_(network.decoder.coefficients.bias, 1e-3)
    base = torch.rand(3, 50)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(
            torch.randn(3, 40),
            torch.ones(3, 40),
            base=base,
            features=torch.ones(3, 1),
        )
    assert outputs["flux"].dtype == outputs["log_variance"].dtype == torch.float32
    expected = base + 1e-3 * torch.from_numpy(basis().sum(axis=0)).float()
    torch.testing.assert_close(outputs["flux"], expected, rtol=0, atol=5e-5)


def test_without_a_head_there_is_no_variance():
    network = Translation(SpectrumEncoder(40), LinearDecoder(64, basis()))
    assert set(network(torch.zeros(3, 40), torch.ones(3, 40))) == {"flux"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearDecoder(6, [1.0]), "basis has shape \\(1,\\)"),
        (lambda: LinearDecoder(6, [[np.nan]]), "expected a table of finite numbers"),
        (lambda: ConvDecoder(6, 50, stride=0), "stride is 0 with kernel_size 7"),
        (lambda: LogVarianceHead(6, np.zeros(9), bound=0), "bound is 0; expected"),
        (lambda: LogVarianceHead(6, [np.nan, 0]), "log_variance has 1 values that"),
        (
            lambda: LogVarianceHead(6, np.zeros(9), basis=basis()),
            "basis has 50 pixels; expected 9",
        ),
    ],
)
def test_what_cannot_work_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
