"""An ONNX file of a network without timm, run with onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from lightning_seg.heads import ClassificationHead
from lightning_seg.inference.export import Predictor, exported_program, save_onnx
from lightning_seg.networks import ResUNetA

network = ResUNetA(3, initial_filters=4)
predictor = Predictor(network, ClassificationHead(network.out_channels, 2)).eval()
save_onnx(exported_program(predictor, (64, 64)), Path("model.onnx"), {"class_names": ["a", "b"]})
image = torch.rand(1, 3, 64, 64)
(logits,) = onnxruntime.InferenceSession("model.onnx").run(["logits"], {"image": image.numpy()})
with torch.no_grad():
    np.testing.assert_allclose(logits, predictor(image).numpy(), atol=1e-4)
