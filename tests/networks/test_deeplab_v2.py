import torch
from network_contract import NetworkContract

from lightning_seg.heads import ClassificationHead
from lightning_seg.networks import DeepLabV2


class TestDeepLabV2(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return DeepLabV2(in_channels, encoder, channels=24, **options)


def test_with_a_1x1_classifier_scores_are_the_sum_of_the_branches_classifiers():
    torch.manual_seed(0)
    network = DeepLabV2(3, "test_resnet", channels=8).eval()
    head = ClassificationHead(8, 5, kernel_size=1)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        actual = head(network(image))["logits"]
        x = network.encoder(network.normalize(image))[-1]
        expected = head.classifier.bias.view(1, -1, 1, 1).clone()
        for branch in network.branches:  # one convolution to class scores each, as in the paper
            weight = torch.einsum("kc,cdyx->kdyx", head.classifier.weight[..., 0, 0], branch.weight)
            bias = head.classifier.weight[..., 0, 0] @ branch.bias
            rate = branch.dilation
            scores = torch.nn.functional.conv2d(x, weight, bias, padding=rate, dilation=rate)
            expected = expected + scores
    torch.testing.assert_close(actual, expected)


def test_rates_are_those_of_the_paper():
    branches = DeepLabV2(3, "test_resnet").branches
    assert [branch.dilation[0] for branch in branches] == [6, 12, 18, 24]
