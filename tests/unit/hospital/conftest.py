"""One small hospital, written once for all tests that look at it. Nobody tunes on its seed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.hospital.hospital import hospital, write
from tests.hospital.people import SMALL

SEED: Final = 21


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hospital")
    write(hospital(SMALL, SEED), place)
    return place
