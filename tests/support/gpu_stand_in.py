"""What NVIDIA's container toolkit adds to an engine, doing nothing: a GPU that is asked for is granted, and absent."""

from __future__ import annotations

from pathlib import Path

HOOK = "nvidia-container-runtime-hook"
"""Docker looks for this name on PATH once, when it starts, and runs it before each container that asks for a GPU."""

DEVICE = """\
cdiVersion: 0.3.0
kind: nvidia.com/gpu
devices:
  - name: all
    containerEdits:
      env: ["NVIDIA_VISIBLE_DEVICES=all"]
"""


def write_hook(folder: Path) -> Path:
    """Make the folder with the hook in it, for dockerd's PATH; each call is a line in ``calls`` beside it."""
    folder.mkdir(parents=True)
    hook = folder / HOOK
    hook.write_text(f"#!/bin/sh\ncat >/dev/null\necho \"$*\" >>'{folder}/calls'\n", encoding="utf-8")
    hook.chmod(0o755)
    return folder


def write_device(folder: Path) -> None:
    """Tell a folder of CDI, the Container Device Interface, of a device that changes next to nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nvidia.yaml").write_text(DEVICE, encoding="utf-8")
