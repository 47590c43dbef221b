"""Fill the tables of docs/networks.md: features and costs of the networks of configs/network/.

python benchmarks/networks_table.py             # at 512 x 512, into the document
python benchmarks/networks_table.py --size 128  # a quick look, on the screen alone
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import lightning_seg.networks
from lightning_seg.heads import ClassificationHead
from lightning_seg.networks import Network, no_pretrained_weights

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "networks.md"
CLASSES = 6
REFERENCE = "unet_resnet18.yaml"

SOURCES = {
    "CCNet": "Huang et al. 2019",
    "DeepLabV2": "Chen et al. 2017",
    "DeepLabV3Plus": "Chen et al. 2018",
    "DenseUNet": "Huang et al. 2017, Jégou et al. 2017",
    "FuseNet": "Hazirbas et al. 2016",
    "GSCNN": "Takikawa et al. 2019",
    "PSANet": "Zhao et al. 2018",
    "PSPNet": "Zhao et al. 2017",
    "ResUNetA": "Diakogiannis et al. 2020",
    "SMPNetwork": "segmentation-models-pytorch",
    "SegNet": "Badrinarayanan et al. 2017",
    "TransformersNetwork": "transformers",
    "Unet": "Ronneberger et al. 2015",
}


class Model(nn.Module):
    """A network and a classifier."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.head = ClassificationHead(network.out_channels, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, C, H, W) to scores (B, K, h, w)."""
        return self.head(self.network(image))["logits"]


def build(config: dict[str, Any], **options: Any) -> Model:
    """The configured network without pretrained weights, and a classifier."""
    kind = getattr(lightning_seg.networks, config["class_path"])
    in_channels = 4 if kind.__name__ == "FuseNet" else 3
    with no_pretrained_weights():
        return Model(kind(in_channels, **config.get("init_args", {}) | options))


def image_for(model: Model, size: int) -> Tensor:
    """One random image on the model's device."""
    device = next(model.parameters()).device
    return torch.rand(1, model.network.in_channels, size, size, device=device)


def multiply_adds(model: Model, size: int) -> float:
    """Multiply-adds of a forward pass in evaluation mode."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(image_for(model, size))
    return counter.get_total_flops() / 2


class _Storages(TorchDispatchMode):
    """Remembers every storage that operations give, without keeping it alive."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **kwargs or {})
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.seen[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        return output


def activation_bytes(model: Model, size: int) -> int:
    """Memory that a forward pass in training keeps for the backward pass."""
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    image = image_for(model, size)
    with _Storages() as storages:
        output = model.train()(image)
    alive = (
        size
        for cdata, (reference, size) in storages.seen.items()
        if cdata not in own and not reference.expired()
    )
    total = sum(alive)
    del output
    return total


def seconds(model: Model, image: Tensor) -> float:
    """CPU time of one forward pass in evaluation."""
    start = time.process_time()
    with torch.inference_mode():
        model(image)
    return time.process_time() - start


def relative_time(model: Model, reference: Model, size: int, repeats: int) -> float:
    """The median ratio of the CPU times of two models' forward passes, channels last.

    The passes alternate, and CPU time excludes waiting, so other work on the machine slows both
    alike.
    """
    models = [m.eval().to(memory_format=torch.channels_last) for m in (model, reference)]
    images = [image_for(m, size).contiguous(memory_format=torch.channels_last) for m in models]
    ratios = []
    for _ in range(repeats + 1):  # the first pair warms up
        own, other = map(seconds, models, images)
        ratios.append(own / other)
    return statistics.median(ratios[1:])


def cost(path: Path, reference: Model, size: int, repeats: int) -> str:
    """A row of the table of costs."""
    config = yaml.safe_load(path.read_text())
    with torch.device("meta"):  # counts need no arithmetic
        model = build(config)
        parameters = sum(p.numel() for p in model.parameters())
        macs = multiply_adds(model, size)
        memory = f"{activation_bytes(model, size) / 2**30:.2f} GiB"
        try:
            keeping, saving = (build(config, checkpointing=choice) for choice in (False, True))
        except (TypeError, ValueError):  # the network, or the encoder, has no such option
            pass
        else:
            kept, saved = (activation_bytes(m, size) / 2**30 for m in (keeping, saving))
            memory = f"{kept:.2f} GiB / {saved:.2f}"
    ratio = relative_time(build(config), reference, size, repeats)
    return (
        f"| `{path.name}` | {parameters / 1e6:.2f} M | {macs / 1e9:.1f} G | {memory} "
        f"| {ratio:.2g} |"
    )


def kind(path: Path) -> str:
    """A row of the table of networks."""
    config = yaml.safe_load(path.read_text())
    name = config["class_path"]
    with torch.device("meta"):
        network = build(config).network
    features = [f"{network.out_channels} at {network.stride}"]
    for feature, channels in [
        ("auxiliary", network.auxiliary_channels),
        ("edge", network.edge_channels),
    ]:
        if channels:
            stride = network.feature_strides[feature]
            features.append(f"`{feature}`: {channels} at {stride}")
    encoder = config.get("init_args", {}).get("encoder", "its own")
    source = SOURCES.get(name, "")
    return f"| `{name}` | `{path.name}` | {encoder} | {'; '.join(features)} | {source} |"


def processor() -> str:
    """The CPU's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the image in pixels")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of passes timed, after one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted((ROOT / "configs" / "network").glob("*.yaml"))
    tables = {"networks": ["| network | file | encoder | features | source |", "|---" * 5 + "|"]}
    tables["networks"] += map(kind, paths)
    print("\n".join(tables["networks"]))
    costs = ["| file | parameters | multiply-adds | activations | forward |", "|---" * 5 + "|"]
    print("\n".join(costs))
    reference = build(yaml.safe_load((ROOT / "configs" / "network" / REFERENCE).read_text()))
    for path in paths:
        costs.append(cost(path, reference, arguments.size, arguments.repeats))
        print(costs[-1], flush=True)
    tables["cost"] = [f"{processor()}, one thread:", "", *costs]
    if arguments.size == parser.get_default("size"):
        DOCUMENT.write_text(filled(DOCUMENT.read_text(), tables))


def filled(text: str, tables: dict[str, list[str]]) -> str:
    """The document with its tables, which lie between comments of their names, replaced."""
    for name, lines in tables.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        _, after = rest.split(f"<!-- end of {name} -->\n")
        table = "\n".join(lines)
        text = f"{before}<!-- {name} -->\n{table}\n<!-- end of {name} -->\n{after}"
    return text


if __name__ == "__main__":
    main()
