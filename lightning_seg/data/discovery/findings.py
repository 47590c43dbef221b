"""Settings that were found, and remarks on them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Findings:
    """Settings of `FolderDataModule`, and remarks on what was assumed."""

    settings: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
