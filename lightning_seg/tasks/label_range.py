"""Check that labels are classes of the task."""

from collections.abc import Collection, Sequence

from torch import Tensor

from lightning_seg.errors import InputError


def check_label_range(
    mask: Tensor, num_classes: int, ignored: Collection[int], names: Sequence[str] | None
) -> None:
    """Raise unless every label of ``mask`` (B, H, W) is 0..num_classes-1 or ignored.

    Waits for the device once. ``names`` are those of the images, if they are known.

    Raises:
        InputError: Names the first image with another label, and all such labels.
    """
    usable = (mask >= 0) & (mask < num_classes)
    for label in ignored:
        usable |= mask == label
    if usable.all():
        return
    image = int((~usable).flatten(1).any(dim=1).nonzero()[0])
    others = mask[~usable].unique().tolist()
    listed = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
    whose = names[image] if names is not None else f"image {image} of a batch"
    raise InputError(
        f"the mask of {whose} has the label{'s' * (len(others) > 1)} {listed}, expected 0 to "
        f"{num_classes - 1} or {', '.join(map(str, sorted(ignored)))} for ignored pixels. Map the "
        "labels in the dataset, or set num_classes or the losses' ignore_index"
    )
