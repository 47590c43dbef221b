"""Makes a weights file of a ResNet-101 that was trained on COCO, for DeepLab.

    python benchmarks/make_coco_weights.py weights/resnet101_coco.pth

and ``--model.network.weights weights/resnet101_coco.pth``. It is the encoder of torchvision's
DeepLab v3, trained on those images of COCO that hold classes of PASCAL VOC, from ImageNet; its
names are those of timm's ``resnet101``. torchvision downloads it once (240 MB); ``--state FILE``
takes a file of its state dict that lies here already.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

ENCODER = "backbone."


def encoder_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors of a torchvision DeepLab v3, under timm's names."""
    return {
        name.removeprefix(ENCODER): tensor.contiguous()
        for name, tensor in state.items()
        if name.startswith(ENCODER)
    }


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the file to write, *.pth")
    parser.add_argument("--state", type=Path, help="torchvision's state dict, if it is here")
    options = parser.parse_args()
    if options.state is not None:
        state = torch.load(options.state, map_location="cpu", weights_only=True)
    else:
        from torchvision.models.segmentation import DeepLabV3_ResNet101_Weights

        state = DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1.get_state_dict()
    encoder = encoder_of(state)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(encoder, options.out)
    print(f"{len(encoder)} tensors in {options.out}")


if __name__ == "__main__":
    main()
