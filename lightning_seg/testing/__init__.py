"""Tiny copies of the datasets in their official layouts and formats, to test configs without data.

Each writer creates real files (TIFF, paletted PNG, JPEG, 16-bit depth and so on) of synthetic
scenes. The dataset's module reads them like the real ones. The writer returns the expected masks:
``{split: {name: (H, W) uint8 of 0..K-1 and 255}}``. All writers take these arguments:

    root: The folder to write to, the module's ``root``.
    size: Height and width of the images.
    seed: Random seed of the scenes.

Example::

    from lightning_seg import testing
    from lightning_seg.data import CityscapesDataModule

    testing.write_cityscapes("tiny", size=(64, 128))
    data = CityscapesDataModule("tiny", batch_size=1, num_workers=0)
"""

from lightning_seg.errors import needs

with needs("train", "lightning_seg.testing"):
    from lightning_seg.testing.faces import write_celebamask_hq, write_helen
    from lightning_seg.testing.files import Masks
    from lightning_seg.testing.folder import write_folder
    from lightning_seg.testing.indoors import write_sunrgbd
    from lightning_seg.testing.objects import write_voc
    from lightning_seg.testing.remote_sensing import (
        write_dfc2015,
        write_inria,
        write_potsdam,
        write_vaihingen,
    )
    from lightning_seg.testing.streets import (
        write_camvid,
        write_camvid_original,
        write_cityscapes,
    )

__all__ = [
    "Masks",
    "write_camvid",
    "write_camvid_original",
    "write_celebamask_hq",
    "write_cityscapes",
    "write_dfc2015",
    "write_folder",
    "write_helen",
    "write_inria",
    "write_potsdam",
    "write_sunrgbd",
    "write_vaihingen",
    "write_voc",
]
