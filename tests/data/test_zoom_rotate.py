import albumentations as A
import cv2
import numpy as np
import pytest
from jsonargparse import ArgumentParser

from lightning_seg import testing
from lightning_seg.data import ISPRSDataModule, SegmentationDataModule, ZoomRotate
from lightning_seg.data.transforms import TransformPipeline
from lightning_seg.errors import InputError

SIZE = 96


def squares() -> tuple[np.ndarray, np.ndarray]:
    """A mask of four quadrants, and an image that shows it."""
    mask = np.kron([[0, 1], [2, 3]], np.ones((SIZE // 2, SIZE // 2))).astype(np.uint8)
    return np.repeat(mask[..., None] * np.uint8(60), 3, axis=2), mask


def matrix_of(transform: A.DualTransform, seed: int) -> np.ndarray:
    """Return the linear map of a transform, from its effect on rows and columns."""
    rows, columns = np.indices((SIZE, SIZE)).astype(np.float32) / SIZE
    image = np.stack([columns, rows, np.ones_like(rows)], axis=2)
    pipeline = TransformPipeline([transform])
    moved, _ = pipeline(image, None, seed)
    # Far from where the picture was reflected, values change by a constant from pixel to pixel.
    steps = [np.gradient(moved[..., k], axis=axis) for k in (0, 1) for axis in (1, 0)]
    actual = [float(np.median(np.abs(step))) * SIZE for step in steps]
    return np.array(actual).reshape(2, 2)


@pytest.mark.parametrize("seed", range(8))
def test_both_axes_are_zoomed_by_one_factor(seed):
    inverse = matrix_of(ZoomRotate(zoom=(0.5, 1.25)), seed)
    lengths = np.linalg.norm(inverse, axis=0)
    assert lengths[0] == pytest.approx(lengths[1], rel=0.05)
    assert 1 / 1.25 - 0.05 < lengths[0] < 2.1


def test_affine_draws_each_axis_separately_and_so_is_unsuitable():
    affine = A.Affine(scale=(0.5, 1.25), border_mode=cv2.BORDER_REFLECT_101, p=1.0)
    ratios = []
    for seed in range(20):
        lengths = np.linalg.norm(matrix_of(affine, seed), axis=0)
        ratios.append(max(lengths) / min(lengths))
    assert max(ratios) > 1.5


def test_image_and_mask_move_together():
    image, mask = squares()
    pipeline = TransformPipeline([ZoomRotate()])
    for seed in range(20):
        moved, labels = pipeline(image, mask, seed)
        inside = cv2.erode((moved[..., 0] % 60 == 0).astype(np.uint8), np.ones((5, 5))) > 0
        assert (moved[..., 0][inside] == labels[inside] * 60).mean() > 0.97
        assert set(np.unique(labels)) <= {0, 1, 2, 3}


def test_the_random_centre_is_a_fixed_point_anywhere_in_the_image():
    transform = ZoomRotate(zoom=(0.5, 0.5), rotate=(30.0, 30.0))
    centres = []
    for seed in range(200):
        transform.set_random_seed(seed)
        drawn = transform.get_params_dependent_on_data({"shape": (SIZE, 2 * SIZE, 3)}, {})
        matrix = drawn["matrix"][:2]
        centres.append(np.linalg.solve(np.eye(2) - matrix[:, :2], matrix[:, 2]))
    centres = np.array(centres)
    assert centres.min() >= 0
    assert (centres.max(axis=0) <= (2 * SIZE - 1, SIZE - 1)).all()
    assert (centres.max(axis=0) > (1.9 * SIZE, 0.9 * SIZE)).all()
    assert (centres.min(axis=0) < (0.1 * SIZE, 0.1 * SIZE)).all()


def test_areas_beyond_the_border_are_reflected_without_repeating_it():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mask = image[..., 0] % 4
    shift = np.array([[1.0, 0, 3], [0, 1, 0], [0, 0, 1]])
    transform = ZoomRotate()
    moved, labels = transform.apply(image, shift), transform.apply_to_mask(mask, shift)
    for actual, given in ((moved, image), (labels, mask)):
        np.testing.assert_array_equal(actual[:, 3:], given[:, :-3])
        np.testing.assert_array_equal(actual[:, :3], given[:, 3:0:-1])


def test_elevation_moves_with_the_image_and_keeps_its_values(tmp_path):
    testing.write_potsdam(tmp_path)
    data = ISPRSDataModule(
        tmp_path,
        bands="RGBIR",
        elevation=True,
        train_tiles=["2_10"],
        val_tiles=["3_12"],
        test_tiles=["2_13"],
        crop_size=32,
        num_workers=0,
        train_transforms=[ZoomRotate()],
    )
    data.setup("fit")
    stored = data.dataset("val", data.pairs("train"))[0]["image"][4]
    elevation = data.datasets["train"][0]["image"][4]
    assert elevation.shape == (32, 32)
    assert set(elevation.unique().tolist()) <= set(stored.unique().tolist())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zoom": (1.25, 0.25)}, "smaller number first"),
        ({"zoom": (0.0, 1.0)}, "above 0"),
        ({"rotate": (10.0, -10.0)}, "smaller number first"),
    ],
)
def test_invalid_ranges_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ZoomRotate(**settings)


def test_it_can_be_named_in_a_configuration():
    given = {"class_path": "lightning_seg.data.ZoomRotate", "init_args": {"zoom": [0.25, 1.25]}}
    init_args = {"root": "x", "train_transforms": [given]}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationDataModule, "data")
    parsed = parser.parse_object(
        {"data": {"class_path": "CamVidDataModule", "init_args": init_args}}
    )
    made = parser.instantiate(parsed).data
    (transform,) = made.train_pipeline._compose.transforms
    assert isinstance(transform, ZoomRotate)
    assert transform.zoom == (0.25, 1.25)
