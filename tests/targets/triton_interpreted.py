"""Script that runs the Triton kernels under Triton's interpreter on the CPU.

The interpreter must be chosen before Triton is imported. Every case is printed as JSON with the
largest difference from OpenCV's way.
"""

import json
import math
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
from signed_distance_reference import VOID, patches

from lightning_seg.targets import inner_distance, signed_distance
from lightning_seg.targets._inner_distance_torch import torch_inner_distance
from lightning_seg.targets._inner_distance_triton import triton_column_pass
from lightning_seg.targets._signed_distance_triton import triton_signed_distance

# Images, height, width, classes, of which the last may be absent, labels, patches' size, share of
# void, what void is, clip. Tiles are 16 x 64 pixels.
QUICK = [
    (2, 17, 3, 4, 3, 2, 0.1, "ignore", 3.0),
    (1, 2, 70, 3, 2, 9, 0.1, "background", 10.5),
    (1, 18, 4, 3, 2, 40, 0.3, "ignore", None),
]
THOROUGH = [
    (2, 37, 65, 5, 5, 9, 0.1, "background", None),
    (2, 20, 70, 3, 2, 7, 0.0, "ignore", 10.5),
    (1, 50, 9, 21, 20, 4, 0.1, "ignore", 300.0),
    (1, 64, 64, 2, 2, 30, 0.9, "ignore", 127.0),
    (1, 40, 130, 4, 2, 25, 0.0, "background", 32.0),
    (1, 35, 20, 3, 2, 11, 0.5, "background", 0.5),
    (1, 280, 3, 2, 2, 140, 0.0, "ignore", 260.0),
    (1, 16, 64, 6, 5, 8, 0.05, "ignore", 2.5),
    (1, 1, 1, 2, 1, 1, 0.0, "ignore", 1.0),
    (2, 5, 6, 3, 1, 9, 1.0, "background", 4.0),
]


def largest_difference(one, other):
    return (one - other).abs().max().item()


def main(cases):
    for images, height, width, num_classes, labels, size, share, void, clip in cases:
        maps = [patches(seed, height, width, labels, size, share) for seed in range(images)]
        mask = torch.from_numpy(np.stack(maps))
        case = {"size": [images, height, width], "clip": clip, "void": void}
        limit = math.hypot(height, width) if clip is None else clip
        actual = triton_signed_distance(mask, num_classes, limit, VOID, void == "background")
        expected = signed_distance(mask, num_classes, clip, void=void)
        print(json.dumps(case | {"difference": largest_difference(actual, expected)}), flush=True)
        for metric in ("euclidean", "chessboard"):
            actual = torch_inner_distance(
                mask,
                num_classes,
                metric == "chessboard",
                VOID,
                void == "background",
                triton_column_pass,
            )
            expected = inner_distance(mask, num_classes, metric, void=void)
            case |= {"metric": metric, "difference": largest_difference(actual, expected)}
            print(json.dumps(case), flush=True)


if __name__ == "__main__":
    main({"quick": QUICK, "thorough": THOROUGH}[sys.argv[1]])
