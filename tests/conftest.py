"""Puts tests/ on the path, so that tests of every folder share tests/support."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
