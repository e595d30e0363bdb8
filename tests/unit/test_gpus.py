"""Names of GPUs as nvidia-smi prints them, look-alikes and cut names among them."""

from __future__ import annotations

import pytest

from torchferry.compat import load
from torchferry.gpus import GpuNames

NAMES = GpuNames(table=load().table)


def capability(name: str) -> str | None:
    row = NAMES.row(name)
    return row.capability if row else None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Quadro RTX 6000", "7.5"), ("NVIDIA RTX 6000 Ada Generation", "8.9"), ("NVIDIA RTX A6000", "8.6"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0"), ("RTX 6000", None), ("NVIDIA RTX6000-4Q", "7.5"),
        ("NVIDIA RTX6000-Ada-4Q", "8.9"), ("NVIDIA RTX 4000 SFF Ada Generation", "8.9"),
        ("Quadro RTX 4000", "7.5"),
        ("NVIDIA A10", "8.6"), ("NVIDIA A100-SXM4-40GB", "8.0"), ("A100-SXM4-40GB", "8.0"), ("NVIDIA A10G", "8.6"),
        ("Tesla T4", "7.5"), ("NVIDIA T400", "7.5"), ("GRID T4-4C", "7.5"), ("NVIDIA L4", "8.9"),
        ("NVIDIA L40S", "8.9"),
        ("NVIDIA TITAN X (Pascal)", "6.1"), ("GeForce GTX TITAN X", "5.2"), ("TITAN Xp", "6.1"), ("TITAN V", "7.0"),
        ("TITAN RTX", "7.5"), ("GeForce GTX TITAN", "3.5"), ("GeForce GTX TITAN Black", "3.5"),
        ("GRID K520", "3.0"),
        ("GRID K2", "3.0"), ("GRID M60-8Q", "5.2"), ("GRID V100D-8C", "7.0"), ("Tesla K80", "3.7"),
        ("Tesla V100-SXM2-16GB", "7.0"), ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA GeForce RTX 3050 Laptop GPU", "8.6"),
        ("NVIDIA GeForce RTX 2050", "8.6"), ("GeForce RTX 2080 Ti", "7.5"), ("NVIDIA GeForce MX450", "7.5"),
        ("Quadro M2000M", "5.0"), ("Quadro M2000", "5.2"), ("NVIDIA B200", "10.0"), ("NVIDIA GB10", "12.1"),
        ("Orin (nvgpu)", "8.7"), ("NVIDIA Thor", "11.0"), ("NVIDIA Graphics Device", None), ("", None), ("...", None),
        ("NVIDIA A100X", "8.0"), ("NVIDIA A2", "8.6"), ("Tesla M4", "5.2"), ("NVIDIA GeForce RTX 5060 Ti", "12.0"),
    ],
)
def test_printed_names(name: str, expected: str | None) -> None:
    assert capability(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA GeForce ...", None), ("Tesla P100-PCIE...", "6.0"), ("NVIDIA A100-SXM...", "8.0"),
        ("NVIDIA A100 8...", "8.0"), ("GeForce RTX 208...", "7.5"), ("GeForce RTX 20...", None),
        ("Quadro RTX 600...", "7.5"), ("NVIDIA TITAN X ...", "6.1"), ("GeForce GTX TIT...", None),
        ("GeForce GTX TITAN ...", None), ("NVIDIA RTX A600...", "8.6"), ("NVIDIA RTX ...", None),
        ("NVIDIA A10...", None),
        ("GeForce GTX 108…", "6.1"), ("Tesla V100-SXM2...", "7.0"), ("NVIDIA GeForce RTX 4070 ...", "8.9"),
    ],
)
def test_cut_names(name: str, expected: str | None) -> None:
    assert capability(name) == expected


@pytest.mark.parametrize(
    ("name", "arch", "tegra"),
    [
        ("NVIDIA GH200 480GB", "aarch64", False), ("NVIDIA GB200", "aarch64", False), ("NVIDIA GB10", "aarch64", False),
        ("NVIDIA T4G", "aarch64", False), ("Orin (nvgpu)", "aarch64", True), ("NVIDIA Thor", "aarch64", True),
        ("NVIDIA H100 PCIe", None, False), ("Tesla T4", None, False),
    ],
)
def test_boards_beside_an_arm_cpu(name: str, arch: str | None, tegra: bool) -> None:
    row = NAMES.row(name)
    assert row is not None
    assert (row.arch, row.tegra) == (arch, tegra)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("RTX3090", "8.6"), ("gtx1080ti", "6.1"), ("RTX 2080Ti", "7.5"), ("rtx4070super", "8.9"), ("T4", "7.5"),
        ("nothing", None),
    ],
)
def test_typed_names(typed: str, expected: str | None) -> None:
    row = NAMES.by_hand(typed)
    assert (row and row.capability) == expected


def test_every_entry_of_the_table_is_found_by_its_own_name() -> None:
    assert {name: row.capability for row in NAMES.table.gpus for name in row.names} == {
        name: capability(name) for row in NAMES.table.gpus for name in row.names
    }
