"""Puts tests/ on the path, so that tests of every folder share tests/support; and no test fails for being slow."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("torchferry", deadline=None)
settings.load_profile("torchferry")
