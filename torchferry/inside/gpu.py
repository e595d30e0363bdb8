"""A computation on every GPU of a container: a device's name proves nothing, a right result does.

Exit status 0 and a line for each GPU, else 1 and what torch or ctranslate2 said.
"""

import importlib
import importlib.util
import sys
from typing import Any

SIDE = 256


def computed(torch: Any) -> list[str]:
    """A matrix product on each GPU, exact in every precision that a GPU may choose; raises what torch raises."""
    count = torch.cuda.device_count()
    if not count:
        torch.ones(1, device="cuda")  # says why there is none
        raise RuntimeError("torch sees no GPU")
    lines = []
    for number in range(count):
        ones = torch.ones((SIDE, SIDE), device=f"cuda:{number}")
        total = float((ones @ ones).sum().item())
        if total != SIDE**3:
            raise RuntimeError(f"GPU {number} computed {total}, expected {SIDE**3}")
        lines.append(f"GPU {number}: {torch.cuda.get_device_name(number)}, torch {torch.__version__}")
    return lines


def main() -> int:
    """Ask torch, and ctranslate2 where it is installed: it finds its CUDA libraries in another way."""
    try:
        lines = computed(importlib.import_module("torch"))
        if importlib.util.find_spec("ctranslate2"):
            ctranslate2 = importlib.import_module("ctranslate2")
            if not ctranslate2.get_cuda_device_count():
                raise RuntimeError("ctranslate2 sees no GPU")
            lines.append(f"ctranslate2 {ctranslate2.__version__}: sees it too")
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("; ".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
