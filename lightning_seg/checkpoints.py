"""Lookup and safe reading of checkpoints."""

import re
import zlib
from glob import glob
from os.path import exists, isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile, is_zipfile

from lightning_seg.errors import InputError

if TYPE_CHECKING:  # torch is slow to import
    from torch import Tensor

CHECKPOINTS = "checkpoints"


def find_checkpoint(ckpt_path: str | None, run_dir: Path) -> str | None:
    """Return the path of a run's ``last`` or ``best`` checkpoint, or the given path; None for None.

    ``auto`` is ``last``, or else ``best`` (a run may be killed between the two), or else None.

    Raises:
        InputError: The file does not exist or is not a checkpoint.
    """
    if ckpt_path is None:
        return None
    folder = run_dir / CHECKPOINTS
    if ckpt_path == "auto":
        ckpt_path = next((n for n in ("last", "best") if (folder / f"{n}.ckpt").is_file()), None)
        if ckpt_path is None:
            return None
    path = folder / f"{ckpt_path}.ckpt" if ckpt_path in ("last", "best") else Path(ckpt_path)
    if not isfile(path):  # unlike `Path.is_file`, not an error for long names
        existing = ", ".join(path.name for path in list_checkpoints(folder)) or "none"
        raise InputError(
            f"--ckpt_path {ckpt_path}: {path} does not exist. Checkpoints in {folder}: {existing}. "
            "Give last or best with the run's --run_dir, or the path of a checkpoint."
        )
    if not is_zipfile(path):
        raise InputError(
            f"--ckpt_path {ckpt_path}: {path} is not a checkpoint or is truncated. Give another."
        )
    return str(path)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return a folder's checkpoints, sorted, without what a killed process left unfinished."""
    return sorted(path for path in folder.glob("*.ckpt") if not path.name.startswith("."))


def find_checkpoints(ckpt_path: str | None, run_dir: Path) -> list[str]:
    """Return the paths of all checkpoints that ``--ckpt_path`` names.

    Several are listed in brackets, ``[a.ckpt, b.ckpt]``, or given by a pattern such as
    ``runs/fold*/checkpoints/best.ckpt``; each is found as by `find_checkpoint`.

    Raises:
        InputError: A file does not exist or is not a checkpoint, or nothing matches a pattern.
    """
    if ckpt_path is None:
        return []
    names = [ckpt_path]
    if re.fullmatch(r"\[.*\]", ckpt_path, re.S) and not exists(ckpt_path):
        names = [name.strip().strip("'\"") for name in ckpt_path[1:-1].split(",")]
        names = [name for name in names if name]
        if not names or "auto" in names:
            raise InputError(
                f"--ckpt_path {ckpt_path}: a list names one checkpoint or more, and auto stands "
                "alone. Give paths, best or last."
            )
    found: list[str | None] = []
    for name in names:
        matches = [name]
        if re.search("[*?]", name) and not exists(name):
            matches = sorted(glob(name, recursive=True))
            if not matches:
                raise InputError(
                    f"--ckpt_path {ckpt_path}: no file matches {name}. Check the pattern."
                )
        found += [find_checkpoint(match, run_dir) for match in matches]
    return [path for path in found if path is not None]


def checksum(path: str | Path) -> str | None:
    """Return a checksum that tells checkpoints apart, without reading their tensors.

    It is made of the checksums that the file's format holds; None for other formats.
    """
    if not is_zipfile(path):
        return None
    with ZipFile(path) as archive:
        parts = [(part.filename, part.CRC) for part in archive.infolist()]
    return f"{zlib.crc32(repr(parts).encode()):08x}"


def read_checkpoint(path: str | Path, weights_only: bool = True) -> dict[str, Any]:
    """Read a checkpoint to the CPU and check it; with ``weights_only``, no code in it is run.

    The checksum (CRC-32) that the format holds for each tensor is compared, which PyTorch itself
    does not do.

    Raises:
        InputError: The file is damaged, is not a checkpoint, holds Python objects beside tensors
            and plain data, or has weights that are not finite.
    """
    content = read_tensors(path, weights_only)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise InputError(
            f"{path} is not a checkpoint of a training run: it has no state_dict. Give one "
            "written by fit."
        )
    check_finite(state, path)
    return content


def read_tensors(path: str | Path, weights_only: bool = True) -> Any:
    """Return the content of a file of ``torch.save`` or safetensors, see `read_checkpoint`."""
    import torch
    from torch.serialization import pickle

    if Path(path).suffix == ".safetensors":
        return _read_safetensors(path)
    _check_whole(Path(path))
    try:
        return torch.load(path, map_location="cpu", weights_only=weights_only)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found is None:
            raise _unreadable(path, error) from error
        raise InputError(
            f"{path} holds a Python object ({found[1]}), and loading such objects can run any "
            "code. If you trust its origin, load it with weights_only=False in Python, "
            "--weights_only false (fit, validate, test, predict), --model.trust_weights true "
            "(with --model.weights) or --trust_checkpoint (export)."
        ) from error
    except Exception as error:
        raise _unreadable(path, error) from error


def _read_safetensors(path: str | Path) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def check_finite(state: dict[str, "Tensor"], path: str | Path) -> None:
    """Raise if a tensor has a value that is NaN or infinite, but for masks of 0 and -inf."""
    for name, tensor in state.items():
        # Both are NaN if one value is; several times as fast as `isfinite` of every value.
        number = hasattr(tensor, "is_floating_point") and tensor.is_floating_point()
        values = tensor.aminmax() if number and tensor.numel() else ()
        if not all(value.isfinite() for value in values) and not _is_mask(tensor):
            raise InputError(
                f"{path}: the tensor {name} has values that are not finite (NaN or infinite). "
                "Its training had failed; give an earlier checkpoint."
            )


def _is_mask(tensor: "Tensor") -> bool:
    """Return whether a tensor has the form of an attention mask: 0 and -inf."""
    return bool(((tensor == 0) | tensor.isneginf()).all())


def mismatch(error: RuntimeError) -> str | None:
    """Return the first difference that ``load_state_dict`` found; None if it found none."""
    text = str(error)
    if "loading state_dict" not in text:
        return None
    several = text.count("size mismatch for") + text.count('"') // 2
    more = f" ({several - 1} more tensors do not fit)" if several > 1 else ""
    shapes = re.search(
        r"size mismatch for (\S+): .*?Size\((.*?)\) from checkpoint.*?Size\((.*?)\)", text, re.S
    )
    if shapes:
        name, there, here = shapes.groups()
        return f"{name} has the shape {there} in the checkpoint, but {here} in the model{more}"
    absent = re.search(r"(Missing|Unexpected) key\(s\) in state_dict: \"([^\"]+)", text)
    if absent is None:
        return " ".join(text.split())[:200]
    where = "the checkpoint" if absent[1] == "Missing" else "the model"
    return f"{absent[2]} is not in {where}{more}"


def _check_whole(path: Path) -> None:
    """Raise if a record of the file differs from its checksum; formats without any pass."""
    if not is_zipfile(path):
        return
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
    except (BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error) as error:
        raise _unreadable(path, error) from error
    if damaged is not None:
        raise InputError(
            f"{path} is damaged: its part {damaged} differs from its checksum. Copy it again, or "
            "give another checkpoint."
        )


def _unreadable(path: str | Path, error: BaseException) -> InputError:
    reason = " ".join(str(error).split())[:100]
    return InputError(
        f"{path} is cut off, damaged or not a checkpoint ({reason}). Give another one."
    )
