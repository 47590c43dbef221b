"""Tests that every network passes."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F

from lightning_seg.errors import InputError
from lightning_seg.heads import (
    AuxiliaryHead,
    ClassificationHead,
    ConditionedMultiTaskHead,
    EdgeHead,
    MultiTaskHead,
    PyramidPoolingHead,
    SignedDistanceHead,
)
from lightning_seg.inference import export
from lightning_seg.losses import CrossEntropyLoss, MapL1Loss
from lightning_seg.networks import Network

SIZES = [(64, 96), (33, 70), (97, 50), (1, 40)]
CLASSES = 3
STEPS = 300  # to overfit a batch; most networks need 30
HEADS = {
    "classification": ClassificationHead,
    "pyramid_pooling": PyramidPoolingHead,
    "signed_distance": SignedDistanceHead,
    "multi_task": MultiTaskHead,
    "conditioned": ConditionedMultiTaskHead,
}
FURTHER_HEADS = {"auxiliary": AuxiliaryHead, "edge": EdgeHead}  # beside a classifier
EVERY_HEAD = pytest.mark.parametrize("head", [*HEADS, *FURTHER_HEADS])


class NetworkContract:
    """Tests to inherit as ``Test<Network>``; `make` returns a small variant of the network.

    Attributes:
        in_channels: Channels of the test images.
        other_channels: Other numbers of channels that must work.
        checkpoints: True if the network supports ``checkpointing``.
        dilates: True if it supports ``output_stride``.
        wrong_encoder: A nonexistent encoder and the nearest one; None without a choice.
        bfloat16_error: Largest error of bfloat16, relative to the norm of the features.
    """

    in_channels = 3
    other_channels = (1, 5)
    checkpoints = True
    dilates = False
    wrong_encoder: tuple[str, str] | None = ("resnet19", "resnet18")
    bfloat16_error = 0.1

    def make(self, in_channels: int, **options) -> Network:
        raise NotImplementedError

    def made(self, in_channels: int | None = None, **options) -> Network:
        torch.manual_seed(0)
        return self.make(in_channels or self.in_channels, **options)

    def exported(self) -> Network:
        """Return the variant to export."""
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
        trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        without = [name for name, p in trained if p.grad is None]
        assert without == []

    def test_any_number_of_input_channels_works(self):
        for in_channels in self.other_channels:
            network = self.made(in_channels).eval()
            with torch.no_grad():
                assert network(self.image(64, 64, in_channels))["decoder"].isfinite().all()

    def test_a_wrong_number_of_input_channels_is_refused(self):
        with pytest.raises(ValueError, match="7 channels but the network was built for"):
            self.made()(self.image(64, 64, 7))

    def test_an_image_without_pixels_is_refused(self):
        with pytest.raises(ValueError, match="0 x 40 pixels"):
            self.made()(self.image(0, 40))

    def test_a_batch_of_one_can_be_trained_on(self):
        network = self.made()
        network(self.image(64, 96)[:1])["decoder"].sum().backward()

    def test_a_single_image_too_small_for_batch_norm_names_the_minimum_size(self):
        network = self.made()
        if network.normalized_stride == 1:
            pytest.skip("no map has a single value")
        least = network.normalized_stride + 1
        with pytest.raises(ValueError, match=f"at least {least} pixels"):
            network(self.image(least - 1, 1)[:1])
        assert network(self.image(least, 1)[:1])["decoder"].isfinite().all()

    def test_images_of_the_size_multiple_are_not_padded(self):
        network = self.made().eval()
        x = self.image(64, 128)
        with torch.no_grad():
            whole, direct = network(x), network.features(network.normalize(x))
        for name, maps in whole.items():
            torch.testing.assert_close(maps, direct[name])

    def test_channels_last_gives_the_same_features(self):
        # In double precision: otherwise rounding decides which of two nearly equal values is the
        # maximum, and where unpooling puts it.
        network = self.made().eval().double()
        x = self.image(64, 96).double()
        with torch.no_grad():
            expected = network(x)
            network.to(memory_format=torch.channels_last)
            actual = network(x.to(memory_format=torch.channels_last))
        assert_same(actual, expected)

    def test_bfloat16_autocast_is_close_to_float32(self):
        network = self.made().eval()
        x = self.image(64, 96)
        with torch.no_grad():
            expected = network(x)["decoder"]
            with torch.autocast("cpu", torch.bfloat16):
                actual = network(x)["decoder"]
        assert ((actual - expected).norm() / expected.norm()) < self.bfloat16_error

    def test_checkpointing_gives_the_same_gradients(self):
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

    def test_an_unknown_encoder_suggests_the_nearest(self):
        if self.wrong_encoder is None:
            pytest.skip("has no encoder to choose")
        wrong, nearest = self.wrong_encoder
        with pytest.raises(InputError, match=rf"'{wrong}'.*Did you mean.* {nearest}\b"):
            self.make(self.in_channels, encoder=wrong)

    def test_an_unknown_output_stride_suggests_the_nearest(self):
        if not self.dilates:
            pytest.skip("has no output_stride to choose")
        with pytest.raises(InputError, match=r"no output_stride 12; it has 8, 16, 32.*Choose 8,"):
            self.make(self.in_channels, output_stride=12)

    @EVERY_HEAD
    def test_two_steps_train_every_parameter_with_each_head(self, head):
        trained = Trained(self.made(), head)
        before = copy.deepcopy(trained.state_dict())
        losses = [trained.step() for _ in range(2)]
        assert all(loss.isfinite() for loss in losses)
        for name, parameter in trained.named_parameters():
            assert parameter.isfinite().all(), name
            # Without its head, PSPNet's `auxiliary` gets no gradient and stays unchanged.
            if (parameter.grad is None) != torch.equal(parameter, before[name]):
                # A bias before a batch normalisation only has the gradient of rounding errors.
                assert name.endswith(".bias"), name
                assert parameter.grad.abs().max() < 1e-8, name

    @pytest.mark.slow
    @EVERY_HEAD
    def test_it_overfits_a_batch_with_each_head(self, head):
        trained, actual = Trained(self.made(), head), 0.0
        for step in range(1, STEPS + 1):
            trained.step()
            if step % 10 == 0:
                actual = trained.mean_iou()
            if actual > 0.95:
                return
        pytest.fail(f"a mean IoU of {actual:.3f} after {STEPS} steps")

    @pytest.mark.slow
    def test_evaluation_compiles(self):
        network = self.made().eval()
        with torch.no_grad():
            expected = network(self.image(64, 96))
            actual = torch.compile(network, fullgraph=True)(self.image(64, 96))
        assert_same(actual, expected)

    @pytest.mark.slow
    @pytest.mark.parametrize("checkpointing", [False, True])
    def test_training_compiles(self, checkpointing):
        """Captures the graph and its gradients; `test_evaluation_compiles` runs inductor."""
        if checkpointing and not self.checkpoints:
            pytest.skip("has no checkpointing")
        plain = self.made(**({"checkpointing": True} if checkpointing else {}))
        for module in plain.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.p = 0.0
        compiled = copy.deepcopy(plain)
        torch.compiler.reset()
        captured = torch.compile(compiled, backend="aot_eager", fullgraph=True)
        for network, call in ((plain, plain), (compiled, captured)):
            network.zero_grad()
            call(self.image(64, 96))["decoder"].square().mean().backward()
        for (name, p), q in zip(plain.named_parameters(), compiled.parameters(), strict=True):
            if p.grad is None:
                assert q.grad is None, name
                continue
            scale = p.grad.abs().max().item()
            torch.testing.assert_close(
                q.grad, p.grad, rtol=1e-2, atol=1e-2 * scale + 1e-6, msg=lambda m, n=name: n + m
            )
        torch.testing.assert_close(dict(compiled.named_buffers()), dict(plain.named_buffers()))

    def predictor(self):
        network = self.exported()
        return export.Predictor(network, ClassificationHead(network.out_channels, CLASSES)).eval()

    @pytest.mark.slow
    def test_it_exports_for_any_size(self, tmp_path):
        predictor = self.predictor()
        path = tmp_path / "network.pt2"
        exported = export.exported_program(predictor)
        export.save_program(exported, path, {"classes": CLASSES})
        files = {export.METADATA: ""}
        program = torch.export.load(path, extra_files=files).module()
        assert json.loads(files[export.METADATA]) == {"classes": CLASSES}
        least = export.minimum_size(predictor, exported)
        assert least <= 65
        for batch, height, width in [(2, 224, 352), (1, least, 97), (3, 201, 140), (1, 260, 390)]:
            x = self.image(height, width)[[0] * batch]
            with torch.no_grad():
                torch.testing.assert_close(program(x), predictor(x), rtol=1e-4, atol=1e-4)

    @pytest.mark.slow
    def test_onnx_gives_the_same_logits_for_any_size(self, tmp_path):
        onnxruntime = pytest.importorskip("onnxruntime")
        predictor = self.predictor()
        path = tmp_path / "network.onnx"
        export.save_onnx(export.exported_program(predictor), path, {"classes": CLASSES})
        session = onnxruntime.InferenceSession(path)
        assert session.get_modelmeta().custom_metadata_map == {"classes": str(CLASSES)}
        for batch, height, width in [(2, 224, 352), (1, 64, 97), (3, 201, 140), (1, 1, 9)]:
            x = self.image(height, width)[[0] * batch]
            (actual,) = session.run(["logits"], {"image": x.numpy()})
            with torch.no_grad():
                assert (torch.from_numpy(actual) - predictor(x)).abs().max() < 1e-4


class Trained(torch.nn.Module):
    """A network and a head in a plain training loop on one batch."""

    def __init__(self, network, head):
        super().__init__()
        torch.manual_seed(0)
        self.network = network
        if head in FURTHER_HEADS:
            if not getattr(network, f"{head}_channels"):
                pytest.skip(f"has no feature {head!r}")
            heads = [ClassificationHead(network.out_channels, CLASSES)]
            heads.append(FURTHER_HEADS[head](network, CLASSES))
        else:
            heads = [HEADS[head](network.out_channels, CLASSES)]
        self.heads = torch.nn.ModuleList(heads)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=5e-3)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, STEPS)
        self.image, self.mask = scene(network.in_channels)

    def predictions(self):
        features = self.network(self.image)
        maps = {name: actual for head in self.heads for name, actual in head(features).items()}
        size = self.mask.shape[-2:]
        return {k: F.interpolate(v, size, mode="bilinear") for k, v in maps.items()}

    def step(self):
        self.train()
        self.optimizer.zero_grad()
        predictions = self.predictions()
        loss = 0.0
        for head in self.heads:
            for name in head.scores:
                loss = loss + CrossEntropyLoss()(predictions[name], self.mask)
            regressed = set(head.predictions) - set(head.scores)
            for name, target in head.targets(self.image, self.mask, regressed).items():
                loss = loss + MapL1Loss()(predictions[name], target, self.mask)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    @torch.no_grad()
    def mean_iou(self):
        self.eval()
        labels = self.predictions()["logits"].argmax(dim=1)
        of_class = [(labels == k, self.mask == k) for k in range(CLASSES)]
        return sum((p & t).sum() / (p | t).sum() for p, t in of_class).item() / CLASSES


def scene(channels):
    """Return two noisy images of three regions with one colour each, and their masks."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disk = ((y - 26) ** 2 + (x - 24) ** 2 < 20**2).long()
    mask = torch.stack([disk.where(x < 48, 2), disk.flip(0).where(y < 44, 2)])
    colours = torch.tensor([[0.2, 0.5, 0.3], [0.8, 0.3, 0.4], [0.4, 0.6, 0.9]])
    colours = colours[mask].permute(0, 3, 1, 2)[:, [i % 3 for i in range(channels)]]
    noise = torch.rand(colours.shape, generator=torch.Generator().manual_seed(1))
    return 0.8 * colours + 0.2 * noise, mask


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, maps in expected.items():
        torch.testing.assert_close(actual[name], maps, rtol=1e-4, atol=1e-4)
