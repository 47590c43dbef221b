"""Label tables of the datasets, written out to detect swapped colours or numbers."""

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data import (
    CamVidDataModule,
    CelebAMaskHQDataModule,
    CityscapesDataModule,
    DFC2015DataModule,
    HELENDataModule,
    ISPRSDataModule,
    SUNRGBDDataModule,
    VOCDataModule,
)

ISPRS = {
    (255, 255, 255): "impervious surface",
    (0, 0, 255): "building",
    (0, 255, 255): "low vegetation",
    (0, 255, 0): "tree",
    (255, 255, 0): "car",
    (255, 0, 0): "clutter",
}
DFC2015 = {
    (255, 255, 255): "impervious",
    (0, 0, 128): "water",
    (255, 0, 0): "clutter",
    (0, 255, 255): "low vegetation",
    (0, 0, 255): "building",
    (0, 255, 0): "tree",
    (255, 0, 255): "boat",
    (255, 255, 0): "car",
}
# The 32 colours of the original release, by their names there.
CAMVID = {
    (64, 128, 64): "pedestrian",  # Animal
    (192, 0, 128): "building",  # Archway
    (0, 128, 192): "bicyclist",  # Bicyclist
    (0, 128, 64): "building",  # Bridge
    (128, 0, 0): "building",  # Building
    (64, 0, 128): "car",  # Car
    (64, 0, 192): "pedestrian",  # CartLuggagePram
    (192, 128, 64): "pedestrian",  # Child
    (192, 192, 128): "pole",  # Column_Pole
    (64, 64, 128): "fence",  # Fence
    (128, 0, 192): "road",  # LaneMkgsDriv
    (192, 0, 64): "road",  # LaneMkgsNonDriv
    (128, 128, 64): "sign",  # Misc_Text
    (192, 0, 192): "bicyclist",  # MotorcycleScooter
    (128, 64, 64): "car",  # OtherMoving
    (64, 192, 128): "sidewalk",  # ParkingBlock
    (64, 64, 0): "pedestrian",  # Pedestrian
    (128, 64, 128): "road",  # Road
    (128, 128, 192): "sidewalk",  # RoadShoulder
    (0, 0, 192): "sidewalk",  # Sidewalk
    (192, 128, 128): "sign",  # SignSymbol
    (128, 128, 128): "sky",  # Sky
    (64, 128, 192): "car",  # SUVPickupTruck
    (0, 0, 64): "pole",  # TrafficCone
    (0, 64, 64): "sign",  # TrafficLight
    (192, 64, 128): "car",  # Train
    (128, 128, 0): "tree",  # Tree
    (192, 128, 192): "car",  # Truck_Bus
    (64, 0, 64): "building",  # Tunnel
    (192, 192, 0): "tree",  # VegetationMisc
    (0, 0, 0): None,  # Void
    (64, 192, 0): "building",  # Wall
}


@pytest.mark.parametrize(
    ("module", "colors"),
    [
        (ISPRSDataModule(area="potsdam"), ISPRS),
        (ISPRSDataModule(area="vaihingen", labels="eroded"), ISPRS | {(0, 0, 0): None}),
        (DFC2015DataModule(), DFC2015),
        (CamVidDataModule(form="original"), CAMVID),
    ],
    ids=["potsdam", "vaihingen_eroded", "dfc2015", "camvid_original"],
)
def test_every_colour_is_its_class(tmp_path, module, colors):
    path = tmp_path / "label.png"
    Image.fromarray(np.array([list(colors)], np.uint8)).save(path)
    names = dict(enumerate(module.class_names)) | {255: None}
    actual = [names[number] for number in module.decoder.read(path)[0].tolist()]
    assert actual == list(colors.values())
    assert set(actual) - {None} == set(module.class_names)


@pytest.mark.parametrize(
    ("module", "colors"), [(ISPRSDataModule, ISPRS), (DFC2015DataModule, DFC2015)]
)
def test_classes_are_numbered_in_the_order_of_the_benchmark(module, colors):
    assert module().class_names == tuple(colors.values())
    assert module().class_colors == tuple(colors)


def test_the_eleven_numbers_of_camvid():
    names = "sky building pole road sidewalk tree sign fence car pedestrian bicyclist"
    assert CamVidDataModule().class_names == tuple(names.split())


CITYSCAPES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip


def test_cityscapes_ids_become_train_ids(tmp_path):
    module = CityscapesDataModule()
    assert module.class_names == tuple(CITYSCAPES.values())
    ids = [*range(34), 255]  # 255 is -1 in a file of 8 bits
    path = tmp_path / "label.png"
    Image.fromarray(np.array([ids], np.uint8)).save(path)
    expected = [list(CITYSCAPES).index(i) if i in CITYSCAPES else 255 for i in ids]
    assert module.decoder.read(path)[0].tolist() == expected


def test_voc_classes_and_the_first_entries_of_the_palette(tmp_path):
    module = VOCDataModule()
    names = (
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
        "motorbike person pottedplant sheep sofa train tvmonitor"
    )
    assert [name.replace(" ", "") for name in module.class_names] == names.split()
    assert module.class_colors[:10] == (
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128),
        (0, 128, 128), (128, 128, 128), (64, 0, 0), (192, 0, 0),
    )  # fmt: skip
    image = Image.fromarray(np.array([[*range(21), 255]], np.uint8))
    image.putpalette(bytes(768))  # the index counts, whatever its colour
    image.save(tmp_path / "label.png")
    assert Image.open(tmp_path / "label.png").mode == "P"
    assert module.decoder.read(tmp_path / "label.png")[0].tolist() == [*range(21), 255]


def test_the_18_parts_of_celebamask_hq_are_painted_in_the_owners_order(tmp_path):
    parts = (
        "skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat ear_r "
        "neck_l neck cloth"
    )
    for number, part in enumerate(parts.split()):
        shown = np.zeros((1, 18), np.uint8)
        shown[:, number:] = 255  # every later part covers the end of it
        Image.fromarray(shown).save(tmp_path / f"00000_{part}.png")
    module = CelebAMaskHQDataModule()
    assert module.decoder.read(tmp_path / "00000")[0].tolist() == list(range(1, 19))
    assert module.class_names == (
        "background", "skin", "nose", "eyeglasses", "left eye", "right eye", "left brow",
        "right brow", "left ear", "right ear", "mouth", "upper lip", "lower lip", "hair", "hat",
        "earring", "necklace", "neck", "cloth",
    )  # fmt: skip


def test_the_eleven_masks_of_helen(tmp_path):
    module = HELENDataModule()
    assert module.class_names == (
        "background", "skin", "left brow", "right brow", "left eye", "right eye", "nose",
        "upper lip", "inner mouth", "lower lip", "hair",
    )  # fmt: skip
    (tmp_path / "face").mkdir()
    for number in range(11):
        soft = np.where(np.arange(11) == number, 200, 5).astype(np.uint8)[None]
        Image.fromarray(soft).save(tmp_path / "face" / f"face_lbl{number:02}.png")
    assert module.decoder.read(tmp_path / "face")[0].tolist() == list(range(11))


def test_the_37_classes_of_sun_rgbd_are_counted_from_1(tmp_path):
    module = SUNRGBDDataModule()
    names = (
        "wall floor cabinet bed chair sofa table door window bookshelf picture counter blinds desk "
        "shelves curtain dresser pillow mirror floor_mat clothes ceiling books fridge tv paper "
        "towel shower_curtain box whiteboard person night_stand toilet sink lamp bathtub bag"
    )
    assert [name.replace(" ", "_") for name in module.class_names] == names.split()
    path = tmp_path / "label.png"
    Image.fromarray(np.arange(38, dtype=np.uint8)[None]).save(path)
    assert module.decoder.read(path)[0].tolist() == [255, *range(37)]
