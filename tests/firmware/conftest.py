"""Firmware of a model that can be worked out by hand, built once a board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from firmware_model import MODEL, Build, usable
from numpy.typing import NDArray

from vadgen.build.platformio import build_project, create_project


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds the model's firmware for a board; returns the ELF file."""
    built: dict[str, Path] = {}

    def build_once(name: str) -> Path:
        if name not in built:
            board = usable(name)
            out = tmp_path_factory.mktemp(name)
            built[name] = build_project(create_project(out, board, MODEL), board)
        return built[name]

    return build_once


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Three images that ask for no misbehaviour."""
    images = np.random.default_rng(5).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = (0, 128, 249)
    return images
