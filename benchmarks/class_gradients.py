"""How hard SEMEDA and Sobel pull at each class, beside cross entropy, in a network that is trained.

    python benchmarks/class_gradients.py RUN --edge_network CHECKPOINT [--batch_size 4]

RUN is the folder of a run, of which the last weights and the validation images are taken. At its
scores, the gradient of each term with respect to a class's score is summed over the pixels of that
class, which it raises on balance (+), and over all others, which it lowers on balance (-). If both
are equal, the term neither favours the class nor suppresses it. Printed are means over the full
batches, in thousandths, and the gradient's norm over that of cross entropy.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_seg.cli.commands.same_frames import load_method
from lightning_seg.losses import CrossEntropyLoss, Loss, SemedaLoss, SobelLoss


def pulls(gradient: Tensor, mask: Tensor) -> Tensor:
    """Return how much the scores of each class rise on it and fall elsewhere, (K, 2)."""
    rows = []
    for label in range(gradient.shape[1]):
        own, score = mask == label, gradient[:, label]
        rows.append(torch.stack([-score[own].sum(), score[~own].sum()]))
    return torch.stack(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--edge_network", type=Path, required=True)
    parser.add_argument("--batch_size", type=int, default=4)
    options = parser.parse_args()
    edges = options.edge_network
    terms: dict[str, Loss] = {
        "cross entropy": CrossEntropyLoss(),
        "SEMEDA (2, 4, 0)": SemedaLoss(edge_network=edges),
        "SEMEDA (0.5, 1, 0)": SemedaLoss(edge_network=edges, weights=(0.5, 1.0, 0.0)),
        "Sobel 4": SobelLoss(weight=4.0),
    }
    method = load_method(options.run, "last")
    data = method.data
    images = data.dataset("val", data.pairs("val"))
    loader = DataLoader(images, options.batch_size, drop_last=True)
    sums = {name: torch.zeros(len(data.class_names), 2) for name in terms}
    norms = dict.fromkeys(terms, 0.0)
    for batch in loader:
        with torch.no_grad():
            scores = method.task.infer(batch["image"])["logits"].float()
        for name, term in terms.items():
            scores = scores.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(term(scores, batch["mask"]), scores)
            sums[name] += pulls(gradient, batch["mask"])
            norms[name] += gradient.norm().item()

    print(f"| term | norm | {' | '.join(data.class_names)} |")
    print(f"|---|---:|{'---:|' * len(data.class_names)}")
    for name, total in sums.items():
        cells = [f"{up:+.1f} {-down:+.1f}" for up, down in (total / len(loader) * 1e3).tolist()]
        print(f"| {name} | {norms[name] / norms['cross entropy']:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
