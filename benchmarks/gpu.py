"""Equality of a GPU with the CPU, then its times beside their aims, as a Markdown table.

    PYTHONPATH=. python benchmarks/gpu.py
    PYTHONPATH=. python benchmarks/gpu.py --device cpu --quick    # seconds, to try the script

Needs torch, timm, torchmetrics, SciPy and OpenCV alone, no data and no weights. Labels are crops of
synthetic streets, methods the files of configs/method/ on one U-Net.

First, targets, metrics and the loss and gradient of each method must be those of the CPU: integers
and counts exactly, distances within 1e-4 px, E-measure within 1e-12, loss within 1e-4 and gradient
(norm of the difference) within 1e-3 of their size. The script ends at the first that is not.

Then it measures, in milliseconds of the device's own clock where it has one:

- signed distances of 16 x 512 x 512 pixels and 19 classes; the limit is writing their output once;
- the training step of each method (forward, targets, losses, backward, optimiser of learning rate
  0) relative to that of cross entropy in the same round, median of all rounds;
- the boundary metrics of an image of 1024 x 2048 pixels relative to DeepLab v3+'s forward pass.

Surface distances (a k-d tree) and causes of errors (OpenCV) are computed on the CPU whatever the
device; their time includes the copies.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

try:
    import timm  # noqa: F401 (imported late by the networks)
    import torch
    import yaml
    from distances import hardware
    from metrics import CLASSES, HEIGHT, VOID, WIDTH, near, noisy, street
    from torch import Tensor, nn

    from lightning_seg import heads, losses
    from lightning_seg.inference.test_time_augmentation import resize
    from lightning_seg.losses import ClassWeights
    from lightning_seg.metrics import functional as measures
    from lightning_seg.networks import DeepLabV3Plus, EdgeNetwork, Network, Unet
    from lightning_seg.targets import (
        boundary_distance,
        class_boundary,
        inner_distance,
        semantic_edges,
        signed_distance,
    )
    from lightning_seg.targets._signed_distance_torch import torch_signed_distance
    from lightning_seg.targets._triton import runs_triton
except ModuleNotFoundError as error:
    sys.exit(
        f"No module {error.name}. The script needs torch, timm, torchmetrics, scipy and "
        "opencv-python-headless, and starts in the repository as: "
        "PYTHONPATH=. python benchmarks/gpu.py"
    )

CONFIGS = Path(__file__).parent.parent / "configs" / "method"
REFERENCE = "cross_entropy"
DISTANCE_AIM, STEP_AIM, METRIC_AIM = 0.5, 1.15, 0.10
BATCH = 16  # label maps whose distances are measured
CPU = " (on the CPU)"

Call = Callable[[], object]
Maps = dict[str, Tensor]


class Method(NamedTuple):
    """A head and its loss terms."""

    head: heads.Head
    terms: list[losses.WeightedLoss]

    def modules(self) -> nn.ModuleList:
        """Head and losses."""
        return nn.ModuleList([self.head, *(term.loss for term in self.terms)])

    def targets(self, image: Tensor, mask: Tensor) -> Maps:
        """Targets of the regressed maps."""
        regressed = {str(term.prediction) for term in self.terms} - set(self.head.scores)
        return self.head.targets(image, mask, regressed)

    def loss(self, predictions: Maps, targets: Maps, mask: Tensor) -> Tensor:
        """Weighted sum of all terms."""
        total = torch.zeros((), device=mask.device)
        for term in self.terms:
            name = str(term.prediction)
            maps = (predictions[name], *([targets[name]] if name in targets else []), mask)
            total = total + term.weight * term.loss(*maps)
        return total


def make_method(name: str, in_channels: int) -> Method:
    """The method of a file, made without the command line's packages."""
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]

    def make(package: Any, entry: dict[str, Any], *arguments: int) -> Any:
        settings = dict(entry.get("init_args", {}))
        if "edge_network" in settings:
            settings["edge_network"] = EdgeNetwork(CLASSES)
        return getattr(package, entry["class_path"])(*arguments, **settings)

    terms = [
        losses.WeightedLoss(**(term | {"loss": make(losses, term["loss"])}))
        for term in config["losses"].values()
    ]
    method = Method(make(heads, config["head"], in_channels, CLASSES), terms)
    for module in method.modules().modules():
        if isinstance(module, ClassWeights) and module.balance is not None:
            module.resolve([1.0] * CLASSES)
    return method


def method_names() -> list[str]:
    """All methods, cross entropy first."""
    return [REFERENCE, *sorted({path.stem for path in CONFIGS.glob("*.yaml")} - {REFERENCE})]


def label_crops(number: int, side: int) -> Tensor:
    """Label maps (number, side, side) int64 with some void, four from the middle of a street."""
    streets = [torch.from_numpy(street(seed)).long() for seed in range(-(-number // 4))]
    rows = slice((HEIGHT - side) // 2, (HEIGHT + side) // 2)
    crops = []
    for crop in range(number):
        left = crop % 4 * (WIDTH - side) // 3
        crops.append(streets[crop // 4][rows, left : left + side])
    labels = torch.stack(crops)
    labels[:, side // 4 : side // 3, side // 4 : side // 2] = VOID
    return labels


def check(name: str, found: Any, expected: Any, tolerance: float = 0.0) -> None:
    """End the script unless all tensors are equal, up to the tolerance in their own units."""
    pairs = (
        [(found, expected)]
        if isinstance(found, Tensor)
        else list(zip(found, expected, strict=True))
    )
    for own, other in pairs:
        own = own.detach().cpu()
        if own.shape != other.shape or own.dtype != other.dtype:
            sys.exit(f"{name}: {own.shape} of {own.dtype}, but {other.shape} of {other.dtype}.")
        apart = (own.double() - other.double()).abs()
        apart = apart.masked_fill((own == other) | (own.isnan() & other.isnan()), 0.0)
        if not bool((apart <= tolerance).all()):
            sys.exit(f"{name}: the device and the CPU differ by up to {float(apart.max()):.3g}.")


def check_targets(mask: Tensor, device: torch.device) -> None:
    for void in ("ignore", "background"):
        for clip in (10.0, 32.0, None):
            expected = signed_distance(mask, CLASSES, clip, VOID, void)
            found = signed_distance(mask.to(device), CLASSES, clip, VOID, void)
            check(f"signed distances, clip {clip}, void {void}", found, expected, 1e-4)
    found = torch_signed_distance(mask.to(device), CLASSES, 32.0, VOID, False)
    expected = signed_distance(mask, CLASSES, 32.0, VOID)
    check("signed distances by torch alone", found, expected, 1e-4)
    for function in (inner_distance, boundary_distance):
        found, expected = (function(labels, CLASSES) for labels in (mask.to(device), mask))
        check(function.__name__, found, expected, 1e-4)
    check(
        "class boundaries", class_boundary(mask.to(device), CLASSES), class_boundary(mask, CLASSES)
    )
    check("semantic edges", semantic_edges(mask.to(device)), semantic_edges(mask))


def metric_calls(pred: Tensor, truth: Tensor) -> dict[str, Callable[[], Any]]:
    """Each metric by name; those that are computed on the CPU are marked."""
    arguments = (pred, truth, CLASSES)
    return {
        "boundary IoU": lambda: measures.boundary_iou_counts(*arguments, ignore_index=VOID),
        "trimap IoU": lambda: measures.trimap_iou_counts(*arguments, ignore_index=VOID),
        "boundary F": lambda: measures.boundary_f_counts(
            *arguments, ignore_index=VOID, void="removed"
        ),
        "E-measure": lambda: measures.e_measure(*arguments, ignore_index=VOID),
        f"surface distances{CPU}": lambda: measures.surface_distances(
            *arguments, ignore_index=VOID
        ),
        f"causes of errors{CPU}": lambda: measures.boundary_errors(*arguments, ignore_index=VOID),
    }


def check_metrics(predictions: list[Tensor], truth: Tensor, device: torch.device) -> None:
    for pred in predictions:
        expected = metric_calls(pred, truth)
        for name, call in metric_calls(pred.to(device), truth.to(device)).items():
            check(name, call(), expected[name](), 1e-12 if name == "E-measure" else 0.0)
        for void in ("removed", "zeroed"):
            counts = [
                measures.boundary_iou_counts(a, b, CLASSES, ignore_index=VOID, void=void)
                for a, b in ((pred.to(device), truth.to(device)), (pred, truth))
            ]
            check(f"boundary IoU, void {void}", *counts)
        for band in ("per_class", "void"):
            counts = [
                measures.trimap_iou_counts(a, b, CLASSES, band=band, ignore_index=VOID)
                for a, b in ((pred.to(device), truth.to(device)), (pred, truth))
            ]
            check(f"trimap IoU, band {band}", *counts)


def check_method(name: str, mask: Tensor, device: torch.device) -> None:
    """Loss and gradient at random predictions, so that no convolution of a network rounds them."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(len(mask), 3, *mask.shape[1:], generator=generator)
    torch.manual_seed(0)
    method = make_method(name, in_channels=8)
    shapes = {n: method.head.channels_of(n) for n in method.head.predictions}
    maps = {
        n: torch.rand(len(mask), channels, *mask.shape[1:], generator=generator)
        for n, channels in shapes.items()
    }

    def outcome(on: torch.device) -> tuple[Maps, Tensor, Maps]:
        method.modules().to(on)
        targets = method.targets(image.to(on), mask.to(on))
        leaves = {n: x.to(on).requires_grad_() for n, x in maps.items()}
        loss = method.loss(leaves, targets, mask.to(on))
        loss.backward()
        return targets, loss, {n: x.grad for n, x in leaves.items() if x.grad is not None}

    own, expected = outcome(device), outcome(torch.device("cpu"))
    for target, maps in expected[0].items():
        check(f"{name}: target {target}", own[0][target], maps, 1e-4)
    check(f"{name}: loss", own[1], expected[1], 1e-4 * float(expected[1].detach().abs()))
    for prediction, gradient in expected[2].items():
        difference = (own[2][prediction].cpu() - gradient).norm() / gradient.norm()
        if not float(difference) <= 1e-3:
            sys.exit(f"{name}: the gradient of {prediction} is off by {float(difference):.3g}.")


class Clock:
    """Milliseconds of calls on a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def once(self, call: Call, calls: int = 1) -> float:
        """Milliseconds a call takes; many at once keep a GPU from waiting for the host."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            for _ in range(calls):
                call()
            return 1e3 * (time.perf_counter() - start) / calls
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        start.record()
        for _ in range(calls):
            call()
        end.record()
        torch.cuda.synchronize(self.device)
        return start.elapsed_time(end) / calls

    def best(self, call: Call, repeats: int, calls: int = 1) -> float:
        """Best of several times, after a call that does not count."""
        call()  # compiles
        return min(self.once(call, calls) for _ in range(repeats))


def make_step(
    network: Network, method: Method, shared: torch.optim.Optimizer, mask: Tensor, bfloat16: bool
) -> Call:
    device = mask.device
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(len(mask), 3, *mask.shape[1:], generator=generator).to(device)
    method.modules().to(device).train()
    optimizers = [shared, torch.optim.AdamW(method.head.parameters(), lr=0.0)]

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            predictions = method.head(network(image))
            predictions = {n: resize(maps, image.shape[-2:]) for n, maps in predictions.items()}
            loss = method.loss(predictions, method.targets(image, mask), mask)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


def step_times(mask: Tensor, options: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds of each method's step in each round; the order turns round."""
    network = Unet(3, encoder=options.encoder, pretrained=False)
    network = network.to(mask.device, memory_format=torch.channels_last).train()
    shared = torch.optim.AdamW(network.parameters(), lr=0.0)
    steps = {
        name: make_step(
            network, make_method(name, network.out_channels), shared, mask, options.bfloat16
        )
        for name in method_names()
    }
    clock = Clock(mask.device)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.warmup + options.repeats):
        for name in list(steps)[:: 1 if number % 2 else -1]:
            milliseconds = clock.once(steps[name])
            if number >= options.warmup:
                times[name].append(milliseconds)
    return times


def forward_time(
    height: int, width: int, device: torch.device, options: argparse.Namespace
) -> float:
    network = DeepLabV3Plus(3, encoder=options.encoder, pretrained=False).eval()
    network = network.to(device, memory_format=torch.channels_last)
    classify = nn.Conv2d(network.out_channels, CLASSES, 1).to(device)
    image = torch.rand(1, 3, height, width, device=device)

    def forward() -> None:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=options.bfloat16),
        ):
            classify(network(image)["decoder"])

    return Clock(device).best(forward, options.repeats)


def row(
    what: str,
    milliseconds: float,
    beside: float | None = None,
    aim: float | None = None,
    ratio: float | None = None,
) -> None:
    """Print a row of the table; the aim is the largest ratio, by default of both times."""
    if ratio is None and beside is not None:
        ratio = milliseconds / beside
    cells = [what, f"{milliseconds:.3f}"]
    cells.append("" if beside is None else f"{beside:.3f}")
    cells.append("" if ratio is None else f"{ratio:.3f}x")
    if aim is None or ratio is None:
        cells += ["", ""]
    else:
        cells += [f"{aim:.2f}x", "yes" if ratio <= aim else "no"]
    print("|", " | ".join(cells), "|", flush=True)


def print_distances(mask: Tensor, options: argparse.Namespace) -> None:
    clock = Clock(mask.device)
    shape = " x ".join(map(str, [*mask.shape, CLASSES]))
    calls = 20 if mask.device.type == "cuda" else 1
    output = torch.empty(len(mask), CLASSES, *mask.shape[1:], device=mask.device)
    writing = clock.best(lambda: output.fill_(-1.0), options.repeats, calls)
    row(f"writing {shape} float32", writing)
    for clip in (32.0, 10.0):
        call = partial(signed_distance, mask, CLASSES, clip, VOID)
        taken = clock.best(call, options.repeats, calls)
        row(f"signed distances, clip {clip:g} px, beside writing", taken, writing)
        if options.with_aims and clip == 32.0:
            row("the same, beside the aim", taken, DISTANCE_AIM, 1.0)


def print_steps(mask: Tensor, options: argparse.Namespace) -> None:
    times = step_times(mask, options)
    plain = times.pop(REFERENCE)
    row(f"step with cross entropy, U-Net with {options.encoder}", median(plain))
    for name, own in times.items():
        ratio = median(a / b for a, b in zip(own, plain, strict=True))
        aim = STEP_AIM if options.with_aims else None
        row(f"step with {name.replace('_', ' ')}", median(own), median(plain), aim, ratio)


def print_metrics(device: torch.device, options: argparse.Namespace) -> None:
    pred, truth = street_pair(options)
    height, width = truth.shape[1:]
    forward = forward_time(height, width, device, options)
    row(f"forward pass of DeepLab v3+ with {options.encoder}, {height} x {width}", forward)
    together = 0.0
    for name, call in metric_calls(pred.to(device), truth.to(device)).items():
        taken = Clock(device).best(call, options.repeats)
        together += 0.0 if CPU in name else taken
        row(f"{name}, beside the forward pass", taken, forward)
    aim = METRIC_AIM if options.with_aims else None
    row("metrics that stay on the device, beside the forward pass", together, forward, aim)


def street_pair(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """A good prediction and its ground truth, (1, H, W) int64."""
    truth = street(0)
    maps = torch.from_numpy(near(truth, 0)).long(), torch.from_numpy(truth).long()
    height, width = (128, 256) if options.quick else truth.shape
    pred, truth = (labels[None, -height:, -width:] for labels in maps)
    return pred, truth


def check_all(options: argparse.Namespace, device: torch.device) -> None:
    """End the script where anything differs from the CPU."""
    check_targets(label_crops(2, options.size), device)
    pred, truth = street_pair(options)
    height, width = truth.shape[1:]
    noise = torch.from_numpy(noisy(street(0), 0)).long()[None, -height:, -width:]
    check_metrics([pred, noise, pred.roll(width // 3, dims=2)], truth, device)
    mask = label_crops(2, min(options.size, 128))
    for name in method_names():
        check_method(name, mask, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", type=int, help="side of the crops in pixels; default: 512")
    parser.add_argument("--batch-size", type=int, help="images in a training step; default: 8")
    parser.add_argument("--encoder", help="default: resnet50")
    parser.add_argument("--float32", action="store_true", help="no autocast to bfloat16 on a GPU")
    parser.add_argument("--repeats", type=int, help="rounds that are measured; default: 10")
    parser.add_argument("--warmup", type=int, help="steps before them; default: 3")
    parser.add_argument("--quick", action="store_true", help="tiny maps and a tiny network")
    options = parser.parse_args()
    options.size = options.size or (64 if options.quick else 512)
    options.batch_size = options.batch_size or (2 if options.quick else 8)
    options.encoder = options.encoder or ("test_resnet" if options.quick else "resnet50")
    options.repeats = options.repeats or (1 if options.quick else 10)
    options.warmup = (0 if options.quick else 3) if options.warmup is None else options.warmup
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("torch finds no GPU. To try the script on the CPU: --device cpu --quick")
    if options.size > HEIGHT:
        sys.exit(f"--size is {options.size}, but the streets are {HEIGHT} pixels high")
    on_gpu = device.type == "cuda"
    options.bfloat16 = on_gpu and not options.float32
    # Aims are those of a GPU at full size.
    options.with_aims = on_gpu and not options.quick

    start = time.perf_counter()
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    check_all(options, device)
    torch.backends.cudnn.allow_tf32 = tf32
    seconds = time.perf_counter() - start
    name = torch.cuda.get_device_name(device) if on_gpu else hardware()
    way = "OpenCV" if device.type == "cpu" else "Triton" if runs_triton(device) else "torch alone"
    print(
        f"Targets, metrics, losses and gradients equal the CPU's ({seconds:.0f} s).\n\n"
        f"{name}; torch {torch.__version__}, {'bfloat16' if options.bfloat16 else 'float32'}, "
        f"distances by {way}, steps of {options.batch_size} images, {options.repeats} rounds\n\n"
        "| what | ms | beside, ms | ratio | aim | met |\n" + "|---" * 6 + "|"
    )
    mask = label_crops(max(BATCH, options.batch_size), options.size).to(device)
    print_distances(mask[:BATCH], options)
    print_steps(mask[: options.batch_size], options)
    print_metrics(device, options)


if __name__ == "__main__":
    main()
