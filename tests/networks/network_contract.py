"""What every network of the room keeps to."""

import copy

import pytest
import torch
import torch.nn.functional as F

from lightning_seg.heads import (
    ClassificationHead,
    ConditionedMultiTaskHead,
    SignedDistanceHead,
)
from lightning_seg.losses import CrossEntropyLoss, MapL1Loss
from lightning_seg.networks import Network

SIZES = [(64, 96), (33, 70), (97, 50), (1, 40)]
CLASSES = 3


class NetworkContract:
    """Inherit it as ``Test<Network>`` and give `make`: a small variant of the network.

    Attributes:
        in_channels: Bands of the images it is tried on.
        other_channels: Further numbers of bands that must work.
        checkpoints: Whether the network takes ``checkpointing``.
        bfloat16_error: What bfloat16 may change, relative to the features' norm.
    """

    in_channels = 3
    other_channels = (1, 5)
    checkpoints = True
    bfloat16_error = 0.1

    def make(self, in_channels: int, **options) -> Network:
        raise NotImplementedError

    def made(self, in_channels: int | None = None, **options) -> Network:
        torch.manual_seed(0)
        return self.make(in_channels or self.in_channels, **options)

    def exported(self) -> Network:
        """The variant whose export is tried."""
        return self.made()

    def image(self, height, width, channels=None):
        generator = torch.Generator().manual_seed(0)
        return torch.rand(2, channels or self.in_channels, height, width, generator=generator)

    @pytest.mark.parametrize("size", SIZES)
    def test_features_have_the_stated_channels_and_strides(self, size):
        network = self.made().eval()
        with torch.no_grad():
            features = network(self.image(*size))
        channels = {
            "decoder": network.out_channels,
            "auxiliary": network.auxiliary_channels,
            "edge": network.edge_channels,
        }
        for name, count in channels.items():
            assert (name in features) == (count > 0)
        for name, maps in features.items():
            stride = network.feature_strides.get(name, network.stride)
            assert maps.shape[-2:] == tuple(-(-side // stride) for side in size), name
            assert maps.shape[:2] == (2, channels.get(name, maps.shape[1])), name
            assert maps.isfinite().all(), name

    def test_the_gradient_reaches_every_parameter(self):
        network = self.made()
        sum(maps.square().mean() for maps in network(self.image(64, 96)).values()).backward()
        without = [name for name, p in network.named_parameters() if p.grad is None]
        assert without == []

    def test_any_number_of_bands_works(self):
        for in_channels in self.other_channels:
            network = self.made(in_channels).eval()
            with torch.no_grad():
                assert network(self.image(64, 64, in_channels))["decoder"].isfinite().all()

    def test_a_wrong_number_of_bands_says_so(self):
        with pytest.raises(ValueError, match="7 channels but the network was built for"):
            self.made()(self.image(64, 64, 7))

    def test_an_image_without_pixels_is_refused(self):
        with pytest.raises(ValueError, match="0 x 40 pixels"):
            self.made()(self.image(0, 40))

    def test_a_batch_of_one_can_be_trained_on(self):
        network = self.made()
        network(self.image(64, 96)[:1])["decoder"].sum().backward()

    def test_a_single_image_too_small_to_be_normalised_names_the_least_size(self):
        network = self.made()
        if network.normalized_stride == 1:
            pytest.skip("no map has a single value")
        least = network.normalized_stride + 1
        with pytest.raises(ValueError, match=f"at least {least} pixels"):
            network(self.image(least - 1, 1)[:1])
        assert network(self.image(least, 1)[:1])["decoder"].isfinite().all()

    def test_a_padded_image_gives_the_same_as_one_of_the_full_size(self):
        network = self.made().eval()
        x = self.image(64, 96)
        with torch.no_grad():
            whole, direct = network(x), network.features(network.normalize(x))
        for name, maps in whole.items():
            torch.testing.assert_close(maps, direct[name])

    def test_channels_last_gives_the_same(self):
        network = self.made().eval()
        x = self.image(64, 96)
        with torch.no_grad():
            expected = network(x)
            network.to(memory_format=torch.channels_last)
            found = network(x.to(memory_format=torch.channels_last))
        assert_same(found, expected)

    def test_bfloat16_autocast_gives_nearly_the_same(self):
        network = self.made().eval()
        x = self.image(64, 96)
        with torch.no_grad():
            expected = network(x)["decoder"]
            with torch.autocast("cpu", torch.bfloat16):
                found = network(x)["decoder"]
        assert ((found - expected).norm() / expected.norm()) < self.bfloat16_error

    def test_checkpointing_changes_nothing_but_memory(self):
        if not self.checkpoints:
            pytest.skip("has no checkpointing")
        plain, saving = self.made(), self.made(checkpointing=True)
        saving.load_state_dict(plain.state_dict())
        for network in (plain, saving):
            torch.manual_seed(0)  # of the dropout
            network(self.image(64, 64))["decoder"].square().mean().backward()
        gradients = [{n: p.grad for n, p in net.named_parameters()} for net in (plain, saving)]
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(dict(saving.named_buffers()), dict(plain.named_buffers()))

    @pytest.mark.parametrize(
        "head", [ClassificationHead, SignedDistanceHead, ConditionedMultiTaskHead]
    )
    def test_it_trains_with_a_head(self, head):
        trained = Trained(self.made(), head)
        before = copy.deepcopy(trained.state_dict())
        losses = [trained.step() for _ in range(2)]
        assert all(loss.isfinite() for loss in losses)
        changed = [not torch.equal(v, before[k]) for k, v in trained.state_dict().items()]
        assert sum(changed) > 0.5 * len(changed)

    @pytest.mark.slow
    def test_a_batch_can_be_learnt_by_heart(self):
        trained = Trained(self.made(), ClassificationHead)
        for _ in range(150):
            trained.step()
        assert trained.mean_iou() > 0.95

    @pytest.mark.slow
    def test_it_compiles(self):
        network = self.made().eval()
        with torch.no_grad():
            expected = network(self.image(64, 96))
            found = torch.compile(network, fullgraph=True)(self.image(64, 96))
        assert_same(found, expected)

    @pytest.mark.slow
    def test_its_training_compiles(self):
        plain = self.made()
        for module in plain.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.p = 0.0
        compiled = copy.deepcopy(plain)
        for network, call in ((plain, plain), (compiled, torch.compile(compiled))):
            network.zero_grad()
            call(self.image(64, 96))["decoder"].square().mean().backward()
        for (name, p), q in zip(plain.named_parameters(), compiled.parameters(), strict=True):
            scale = p.grad.abs().max().item()
            torch.testing.assert_close(
                q.grad, p.grad, rtol=1e-2, atol=1e-2 * scale + 1e-6, msg=lambda m, n=name: n + m
            )

    @pytest.mark.slow
    def test_it_exports_for_any_size(self):
        network = self.exported().eval()
        least = {"batch": 1, "height": 64, "width": 64}
        batch, height, width = (torch.export.Dim(n, min=m, max=4096) for n, m in least.items())
        shapes = {"image": {0: batch, 2: height, 3: width}}
        program = torch.export.export(network, (self.image(96, 160),), dynamic_shapes=shapes)
        for size in [(96, 160), (64, 97), (201, 140)]:
            with torch.no_grad():
                assert_same(program.module()(self.image(*size)), network(self.image(*size)))

    @pytest.mark.slow
    def test_onnx_gives_the_same_logits_for_any_size(self, tmp_path):
        onnxruntime = pytest.importorskip("onnxruntime")
        model = Logits(self.exported()).eval()
        path = tmp_path / "network.onnx"
        torch.onnx.export(
            model,
            (self.image(96, 160),),
            path,
            dynamo=True,
            dynamic_shapes={"x": {0: "batch", 2: "height", 3: "width"}},
        )
        session = onnxruntime.InferenceSession(path)
        for batch, height, width in [(2, 96, 160), (1, 64, 97), (3, 201, 140)]:
            x = self.image(height, width)[[0] * batch]
            (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
            with torch.no_grad():
                assert (torch.from_numpy(found) - model(x)).abs().max() < 1e-4


class Logits(torch.nn.Module):
    """A network and a classifier."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.head = ClassificationHead(network.out_channels, CLASSES)

    def forward(self, x):
        return self.head(self.network(x))["logits"]


class Trained(torch.nn.Module):
    """A network and a head in a plain training loop on one batch."""

    def __init__(self, network, head):
        super().__init__()
        torch.manual_seed(0)
        self.network = network
        self.head = head(network.out_channels, CLASSES)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=2e-3)
        self.image, self.mask = scene(network.in_channels)

    def predictions(self):
        maps = self.head(self.network(self.image))
        size = self.mask.shape[-2:]
        return {k: F.interpolate(v, size, mode="bilinear") for k, v in maps.items()}

    def step(self):
        self.optimizer.zero_grad()
        predictions = self.predictions()
        loss = CrossEntropyLoss()(predictions["logits"], self.mask)
        regressed = {name for name in predictions if name not in self.head.scores}
        for name, target in self.head.targets(self.image, self.mask, regressed).items():
            loss = loss + MapL1Loss()(predictions[name], target, self.mask)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def mean_iou(self):
        self.eval()
        labels = self.predictions()["logits"].argmax(dim=1)
        of_class = [(labels == k, self.mask == k) for k in range(CLASSES)]
        return sum((p & t).sum() / (p | t).sum() for p, t in of_class).item() / CLASSES


def scene(channels):
    """Two images of three regions, each of its own colour, in noise."""
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    disk = ((y - 40) ** 2 + (x - 36) ** 2 < 28**2).long()
    mask = torch.stack([disk.where(x < 72, 2), disk.flip(0).where(y < 66, 2)])
    colours = torch.tensor([[0.2, 0.5, 0.3], [0.8, 0.3, 0.4], [0.4, 0.6, 0.9]])
    colours = colours[mask].permute(0, 3, 1, 2)[:, [i % 3 for i in range(channels)]]
    noise = torch.rand(colours.shape, generator=torch.Generator().manual_seed(1))
    return 0.8 * colours + 0.2 * noise, mask


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, maps in expected.items():
        torch.testing.assert_close(found[name], maps, rtol=1e-4, atol=1e-4)
