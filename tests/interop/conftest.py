"""Files as the authors' code writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a torch file, in the form of the authors' time."""

    def write(content: Any, name: str = "model.pth.tar", zipped: bool = False) -> Path:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
        return tmp_path / name

    return write
