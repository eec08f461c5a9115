import torch
from torch import nn

from include.satellite.models.networks import PatchCnn, SequenceLstm, parameter_count, seeded


def test_the_documented_cnn_has_1_143_204_parameters() -> None:
    network = PatchCnn(bands=4, size=64, classes=4)
    assert parameter_count(network) == 1_143_204
    assert network(torch.zeros(2, 4, 64, 64)).shape == (2, 4)


def test_the_documented_lstm_has_545_921_parameters() -> None:
    network = SequenceLstm(features=1)
    assert parameter_count(network) == 545_921
    assert network(torch.zeros(3, 10, 1)).shape == (3,)


def test_other_bands_patches_and_features_fit() -> None:
    assert PatchCnn(bands=7, size=16)(torch.zeros(2, 7, 16, 16)).shape == (2, 4)
    assert SequenceLstm(features=4)(torch.zeros(2, 6, 4)).shape == (2,)


def test_relu_after_pooling_gives_what_the_documented_order_gives() -> None:
    network = PatchCnn(bands=4, size=16)
    documented: list[nn.Module] = []
    for start in range(0, len(network.features), 4):
        convolution, norm, pool, _ = network.features[start : start + 4]
        documented += [convolution, norm, nn.ReLU(), pool]
    patches = torch.randn(8, 4, 16, 16)
    values, gradients = [], []
    for features in (network.features, nn.Sequential(*documented)):
        network.zero_grad()
        found = features(patches)
        found.square().sum().backward()
        values.append(found.detach())
        gradients.append([weights.grad.clone() for weights in features.parameters()])
    assert torch.equal(*values)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_lstm_reads_the_whole_sequence() -> None:
    network = SequenceLstm(features=1).eval()
    sequences = torch.randn(1, 10, 1).requires_grad_()
    network(sequences).sum().backward()
    assert (sequences.grad.abs() > 0).all()


def test_first_weights_depend_on_the_seed_alone_and_leave_other_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = seeded(1, SequenceLstm, 1)
    assert torch.equal(torch.rand(1), expected)
    same, other = seeded(1, SequenceLstm, 1), seeded(2, SequenceLstm, 1)
    pairs = list(zip(first.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
