import math

import pytest
import torch

from hagnifinder.model import AdaptiveScaling, Hagnifinder, fold_batch_norm

EXAMPLE = torch.tensor([-1.0, 1.0, -2.0, 2.0, 300.0])


@pytest.mark.parametrize(
    ("unbiased", "expected"), [(False, (0.01236, 0.02472, 3.7078)), (True, (0.01105, 0.02211, 3.3164))]
)
def test_scaling_gives_the_published_example_under_either_variance(
    unbiased: bool, expected: tuple[float, float, float]
) -> None:
    small, double, large = expected

    scaled = AdaptiveScaling(unbiased=unbiased)(EXAMPLE)

    assert torch.allclose(scaled, torch.tensor([-small, small, -double, double, large]), rtol=1e-3)


def test_scaling_equals_the_paper_formula_with_the_largest_magnitude_in_it() -> None:
    x = torch.randn(32, 20) * 700
    top = x.abs().max()
    papers = x / top * math.sqrt(2.2) / (x / top).std()

    assert torch.allclose(AdaptiveScaling()(x), papers, rtol=1e-4)


def test_no_gradient_runs_through_the_factor() -> None:
    x = torch.randn(4, 20, requires_grad=True)
    module = AdaptiveScaling()

    module(x).sum().backward()

    assert x.grad is not None
    assert torch.allclose(x.grad, torch.full_like(x.grad, float(module.batch_factor(x))))


def test_with_the_frozen_factor_an_answer_does_not_depend_on_its_company() -> None:
    x = torch.randn(8, 20)
    module = AdaptiveScaling()

    in_company, alone = module(x)[:1], module(x[:1])
    assert not torch.allclose(in_company, alone)

    module.freeze(0.5)
    assert torch.equal(module(x)[:1], module(x[:1]))
    assert torch.equal(module(x), x * 0.5)


def test_a_batch_without_spread_is_left_as_it_is() -> None:
    assert torch.equal(AdaptiveScaling()(torch.ones(1, 20)), torch.ones(1, 20))


def test_the_variance_window_of_the_first_code_never_lets_a_batch_pass() -> None:
    # It rescales unless the variance of x / max|x| lies in [1.4, 2.4]; numbers in [-1, 1] cannot get there.
    worst = torch.tensor([1.0, -1.0] * 320)

    assert float(worst.var()) < 1.4


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="resnet18"):
        Hagnifinder("resnet9000")


def test_merging_the_batch_normalisation_changes_no_answer() -> None:
    torch.manual_seed(0)
    network = Hagnifinder()
    network.scaling.freeze(0.3)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        network.train()(x)  # gives the running statistics something to be
        expected = network.eval()(x)
        folded = fold_batch_norm(network)(x)

    assert torch.allclose(folded, expected, atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
