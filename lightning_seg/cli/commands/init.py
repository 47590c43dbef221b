"""``lightning-seg init FOLDER``: write a configuration that fits a folder of images and masks."""

import argparse
from importlib import import_module
from pathlib import Path

from lightning_seg.errors import InputError
from lightning_seg.own_files import refuse_foreign


def run(argv: list[str]) -> None:
    """Run ``lightning-seg init`` with these arguments; what is refused at once needs no torch."""
    arguments = _parser().parse_args(argv)
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Give a folder of images and masks.")
    arguments.output = Path(arguments.output or f"{folder.resolve().name}.yaml")
    refuse_foreign([arguments.output])
    import_module("lightning_seg.cli.commands.init_config").write(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lightning-seg init",
        description="Look at a folder of images and masks and write a configuration that fits it: "
        "folders, classes, splits, and crop and batch sizes for this machine. Prints what it found "
        "and assumed, and the next commands.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", help="The folder that holds images and masks.")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="The YAML file to write. Default: the folder's name, in the working directory.",
    )
    parser.add_argument(
        "--images", metavar="NAME", help="The images' folder, below FOLDER. Default: found."
    )
    parser.add_argument("--masks", metavar="NAME", help="The masks' folder. Default: found.")
    parser.add_argument(
        "--image_suffix",
        metavar="TEXT",
        help="Ending of image names, such as _sat.",
    )
    parser.add_argument(
        "--mask_suffix", metavar="TEXT", help="Ending of mask names, such as _mask."
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="Names of the classes, in the order of their numbers, or of their colours by red, "
        "green and blue; for those of ISPRS, in the order of its benchmark.",
    )
    parser.add_argument(
        "--ignored",
        nargs="+",
        type=int,
        metavar="NUMBER",
        help="Numbers of unlabelled pixels in the masks; of colours, the grey level. Default: 255, "
        "negative ones and what the header of a raster calls no data.",
    )
    return parser
