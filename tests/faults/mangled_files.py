"""Mangled images, masks and lists: each is read or refused by name, within a limit of memory.

python -m tests.faults.mangled_files 20000 --seed 0
"""

import argparse
import logging
import multiprocessing
import resource
import signal
import struct
import sys
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from lightning_seg.data.reading import tiff
from lightning_seg.data.reading.image_files import image_size, read_image, read_label
from lightning_seg.data.reading.labels import IdLabels
from lightning_seg.data.reading.text_lists import plain_name, read_lines
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError

# Address space beyond that of the process with its libraries: less than a bomb would take.
MEMORY = 2 * 2**30
_SECONDS = 20
_LARGEST = 2**28
_WORDS = (0, 1, 2, 14, 64, 255, 2**15, 2**16 - 1, 2**16, 2**24, 2**28, 2**31 - 1, 2**31, 2**32 - 1)

Sources = dict[str, tuple[str, bytes, int]]


def sources() -> Sources:
    """Return the files to mangle: by name, their suffix, content and channels."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    rgb = cv2.resize(coarse, (90, 70), interpolation=cv2.INTER_LINEAR)
    ids = (rgb[..., 0] // 86).astype(np.uint8)
    files: Sources = {}

    def pillow(name: str, kind: str, image: Image.Image, channels: int, **options: Any) -> None:
        stream = BytesIO()
        image.save(stream, kind, **options)
        suffix = {"TIFF": ".tif", "JPEG": ".jpg"}.get(kind, f".{kind.lower()}")
        files[name] = suffix, stream.getvalue(), channels

    def raster(name: str, pixels: np.ndarray, channels: int, **options: Any) -> None:
        stream = BytesIO()
        tifffile.imwrite(stream, pixels, **options)
        files[name] = ".tif", stream.getvalue(), channels

    palette = Image.fromarray(ids)
    palette.putpalette(random.integers(0, 256, 768, dtype=np.uint8).tobytes())
    pillow("png", "PNG", Image.fromarray(rgb), 3)
    pillow("png of ids", "PNG", Image.fromarray(ids), 1)
    pillow("png with palette", "PNG", palette, 3)
    pillow("png with alpha", "PNG", Image.fromarray(np.dstack([rgb, ids * 127])), 3)
    pillow("png of 16-bit ids", "PNG", Image.fromarray(ids.astype(np.uint16)), 1)
    _, encoded = cv2.imencode(".png", rgb.astype(np.uint16) * 257)
    files["png of 16-bit colours"] = ".png", encoded.tobytes(), 3
    pillow("jpeg", "JPEG", Image.fromarray(rgb), 3)
    pillow("progressive jpeg", "JPEG", Image.fromarray(rgb), 3, progressive=True)
    pillow("bmp", "BMP", Image.fromarray(rgb), 3)
    pillow("webp", "WEBP", Image.fromarray(rgb), 3)
    pillow("lossless webp", "WEBP", Image.fromarray(rgb), 3, lossless=True)
    pillow("lzw tiff", "TIFF", Image.fromarray(rgb), 3, compression="tiff_lzw")
    pillow("jpeg tiff", "TIFF", Image.fromarray(rgb), 3, compression="jpeg")
    raster("tiff", rgb, 3, photometric="rgb")
    raster("tiff of strips", rgb, 3, photometric="rgb", rowsperstrip=8)
    raster("deflate tiff", rgb, 3, photometric="rgb", rowsperstrip=16, compression="zlib")
    raster("tiled tiff", rgb, 3, photometric="rgb", tile=(32, 32), compression="zlib")
    pillow("packbits tiff", "TIFF", Image.fromarray(ids), 1, compression="packbits")
    raster("big tiff", ids, 1, bigtiff=True, tile=(16, 16))
    raster("signed tiff", ids.astype(np.int16), 1, byteorder=">", compression="zlib")
    raster("bands apart", rgb.transpose(2, 0, 1), 3, photometric="rgb", planarconfig="separate")
    raster("float tiff", rgb[..., 0].astype(np.float32) / 255, 1, compression="zlib")
    names = "".join(f"town/bild_{index}_größe.png\n" for index in range(9))
    files["utf-8 list"] = ".txt", names.encode("utf-8-sig"), 0
    files["utf-16 list"] = ".txt", names.replace("\n", "\r\n").encode("utf-16"), 0
    return files


def mangle(content: bytes, random: np.random.Generator) -> bytes:
    """Return the content with bits flipped, words of the header replaced, or parts cut out."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 4))):
        kind, place = random.integers(7), int(random.integers(max(len(data), 1)))
        if not data:
            break
        if kind == 0:
            for _ in range(int(random.integers(1, 9))):
                data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + int(random.integers(1, 40))]
        elif kind == 3:
            data[place : place + 16] = random.bytes(len(data[place : place + 16]))
        elif kind == 4:
            data[place:place] = random.bytes(int(random.integers(1, 40)))
        else:  # a word of the header, or of a TIFF's directory at its start or end
            near = int(random.integers(min(len(data), 300)))
            near = near if random.integers(2) else len(data) - 1 - near
            word = int(random.choice(_WORDS))
            order = "<" if random.integers(2) else ">"
            size = "HI"[int(random.integers(2))] if word < 2**16 else "I"
            packed = struct.pack(order + size, word)
            data[near : near + len(packed)] = packed
    if data[:4] == b"\x89PNG" and random.integers(2):
        data = _with_right_checksums(data)
    return bytes(data)


def _with_right_checksums(data: bytearray) -> bytearray:
    """Mend a PNG's checksums, so that what lies behind them is reached."""
    place = 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if place + 12 + length > len(data):
            break
        checksum = zlib.crc32(data[place + 4 : place + 8 + length])
        struct.pack_into(">I", data, place + 8 + length, checksum)
        place += 12 + length
    return data


def try_file(path: Path, channels: int) -> bool:
    """Read a file in all ways; return whether all of it could be read.

    Raises:
        Exception: Anything but an InputError that names the file in a line.
    """
    reads: list[Callable[[], object]]
    if not channels:
        reads = [lambda: [plain_name(line, str(path)) for line in read_lines(path, "")]]
    else:
        reads = [
            lambda: _plausible(read_image(path, channels)),
            lambda: _plausible(read_image(path, channels, Window(3, 5, 20, 30))),
            lambda: _plausible(read_label(path, colors=channels == 3)),
            lambda: IdLabels((0, 1, 2)).read(path),
            lambda: image_size(path),
        ]
    refusals = [_refusal(read) for read in reads]
    for refusal in filter(None, refusals):
        assert path.name in refusal, f"{refusal} does not name the file"
        assert len(refusal) < 1000, "more than a few lines"
        assert "\n" not in refusal, "more than a line"
    return not refusals[0]


def _refusal(read: Callable[[], object]) -> str:
    try:
        read()
    except InputError as error:
        return str(error)
    return ""


def _plausible(array: np.ndarray) -> None:
    assert array.nbytes < _LARGEST, f"an array of {array.nbytes} bytes"


def inputs(first: int, last: int, seed: int) -> Iterator[tuple[int, str, str, bytes, int]]:
    """Yield the number, name, suffix, content and channels of mangled files."""
    files = sources()
    for number in range(first, last):
        random = np.random.default_rng((seed, number))
        name = list(files)[number % len(files)]
        suffix, content, channels = files[name]
        yield number, name, suffix, mangle(content, random), channels


def _work(first: int, last: int, seed: int, folder: Path, pipe: Connection) -> None:
    """Try mangled files in a child process of limited memory, and report each."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    limit = _pages_mapped() * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, _too_slow)
    for number, name, suffix, content, channels in inputs(first, last, seed):
        path = folder / f"mangled_{number}{suffix}"
        path.write_bytes(content)
        pipe.send((number, name, "begun"))
        signal.alarm(_SECONDS)
        # With and without GDAL in turn.
        engine, tiff.rasterio = tiff.rasterio, tiff.rasterio if number // 24 % 2 else None
        try:
            outcome = "read" if try_file(path, channels) else "refused"
        except BaseException:
            outcome = traceback.format_exc()
        finally:
            tiff.rasterio = engine
            signal.alarm(0)
        path.unlink()
        pipe.send((number, name, outcome))
    pipe.send((-1, "", str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))


def _pages_mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0])


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"more than {_SECONDS} seconds")


def run(count: int, seed: int, first: int = 0) -> tuple[Counter[str], dict[int, str], int]:
    """Try mangled files; return the outcomes, the failures by number, and the peak memory in KiB.

    A process that dies is a failure of the file that it read, and another goes on behind it.
    """
    outcomes: Counter[str] = Counter()
    failures: dict[int, str] = {}
    peak, at, end = 0, first, first + count
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        while at < end:
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(target=_work, args=(at, end, seed, Path(folder), sender))
            child.start()
            sender.close()
            number, name = at, ""
            try:
                while True:
                    number, name, outcome = receiver.recv()
                    if number < 0:
                        peak, at = max(peak, int(outcome)), end
                    elif outcome in ("read", "refused"):
                        outcomes[f"{name}: {outcome}"] += 1
                    elif outcome != "begun":
                        outcomes[f"{name}: failed"] += 1
                        failures[number] = f"{name}: {outcome}"
            except EOFError:
                child.join()
            if number >= 0:
                assert name, "the process died before its first file"
                failures[number] = f"{name}: the process died with status {child.exitcode}"
                at = number + 1
    return outcomes, failures, peak


def main(count: int = 20_000, seed: int = 0) -> int:
    """Print what became of mangled files; return 1 if one was neither read nor refused."""
    outcomes, failures, peak = run(count, seed)
    for outcome in ("read", "refused"):
        print(f"{sum(n for name, n in outcomes.items() if name.endswith(outcome)):7} {outcome}")
    print(f"{len(failures):7} failed")
    print(f"{peak / 1024:7.0f} MiB of memory at most, libraries included")
    for number, failure in failures.items():
        print(f"--seed {seed}, number {number}: {failure}", file=sys.stderr)
    return int(bool(failures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.exit(main(arguments.count, arguments.seed))
