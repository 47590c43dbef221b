import torch
from network_contract import NetworkContract

from lightning_seg.networks import GSCNN
from lightning_seg.networks.gscnn import gradient_magnitude


class TestGSCNN(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return GSCNN(
            in_channels,
            encoder,
            channels=24,
            low_level_channels=8,
            shape_channels=16,
            **options,
        )


def test_gates_depend_on_encoder_maps_of_three_depths():
    network = GSCNN(3, "test_resnet", output_stride=8)
    assert [network.encoder.strides[i] for i in network.gating] == [4, 8, 8]
    assert network.gating == (1, 2, 4)


def test_edges_have_full_resolution_and_affect_the_features():
    torch.manual_seed(0)
    network = GSCNN(3, "test_resnet", channels=8).eval()
    image = torch.rand(1, 3, 50, 70)
    with torch.no_grad():
        features = network(image)
        assert features["edge"].shape == (1, 1, 50, 70)
        network.shape_stream.leave.weight.zero_()
        assert not torch.equal(network(image)["decoder"], features["decoder"])


def test_the_image_gradient_of_a_step_is_half_its_height_on_both_sides():
    image = torch.zeros(1, 3, 5, 6)
    image[..., 3:] = 1
    expected = torch.tensor([0, 0, 0.5, 0.5, 0, 0]).expand(1, 1, 5, 6)
    torch.testing.assert_close(gradient_magnitude(image), expected, atol=2e-6, rtol=0)
    turned = gradient_magnitude(image.transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(turned, expected, atol=2e-6, rtol=0)


def test_a_constant_image_has_a_finite_gradient():
    image = torch.zeros(1, 3, 4, 4, requires_grad=True)
    gradient_magnitude(image).sum().backward()
    assert image.grad.isfinite().all()
