"""The compatibility table: every pair is complete, every refusal names what exists instead."""

from __future__ import annotations

from datetime import date
from importlib import resources

import pytest
from packaging.version import Version

from torchferry.compat import Compat, load, refuse, sm_names
from torchferry.compat_rows import Row, TorchRow
from torchferry.compat_table import parse_table
from torchferry.errors import CompatError
from torchferry.model import Base, Release, Service, Variant

TABLE = resources.files("torchferry").joinpath("compat.yaml").read_text("utf-8")
SERVICE = Service(
    name="stt-engine", source="app", requirements="app/requirements.in", command=("python", "-m", "stt_engine"),
    base=Base(debian="bookworm"),
)
PAIRS = [(row, build) for row in load().table.torch for build in row.builds]


def variant(name: str, torch: str | None, *, python: str = "3.11", architecture: str = "x86_64") -> Variant:
    return Variant(
        release=Release(name="stt", version="1.0.0"), service=SERVICE, name=name, torch=torch, python=python,
        architecture=architecture,
    )


def refusal(wanted: Variant) -> CompatError:
    with pytest.raises(CompatError) as caught:
        load().require(wanted)
    return caught.value


def all_rows(compat: Compat) -> list[Row]:
    table = compat.table
    return [
        *table.cuda, *table.torch, *table.capabilities, *table.companions, *table.build_requirements,
        *table.generations, *table.gpus, *table.cudnn, *table.runtimes,
    ]


# what the table holds


@pytest.mark.parametrize(("row", "build"), PAIRS, ids=[f"{row.version}-{build}" for row, build in PAIRS])
def test_every_pair_of_torch_and_build_is_complete(row: TorchRow, build: str) -> None:
    wanted = variant(build, row.version, python=row.pythons[-1])
    load().require(wanted)
    assert f"torchvision=={row.torchvision}" in load().constraints(wanted)
    if wanted.cuda is None:
        assert load().capabilities(row.version, build) == ()
        return
    cuda = load().cuda(wanted.cuda)
    assert Version(cuda.floor) <= Version(cuda.toolkit_driver)
    assert load().capabilities(row.version, build)
    assert load().torch_index(build) == f"https://download.pytorch.org/whl/{build}"


def test_every_row_has_a_known_source_and_its_day() -> None:
    rows = all_rows(load())
    assert {row.checked for row in rows} == {date(2026, 11, 23)}
    assert {name for row in rows for name in row.source} == set(load().table.sources)


def test_torch_rows_ascend_by_number_not_by_letter() -> None:
    versions = [row.version for row in load().table.torch]
    assert versions.index("2.9.1") < versions.index("2.10.0")
    assert (versions[0], versions[-1]) == ("2.0.0", "2.14.1")


def test_torch_2_1_2_as_its_wheels_are() -> None:
    row = load().torch("2.1.2")
    assert row is not None
    assert (row.builds, row.pythons, row.glibc) == (("cu118", "cu121", "cpu"), ("3.8", "3.9", "3.10", "3.11"), "2.17")
    assert load().capabilities("2.1.2", "cu118") == ("37", "50", "60", "70", "75", "80", "86", "90")
    assert load().capabilities("2.1.2", "cu121") == ("50", "60", "70", "75", "80", "86", "90")


def test_kepler_ends_with_cu118_and_blackwell_begins_with_cu128() -> None:
    kepler = {build for row, build in PAIRS if "37" in load().capabilities(row.version, build)}
    blackwell = [(row.version, build) for row, build in PAIRS if "100" in load().capabilities(row.version, build)]
    assert kepler == {"cu117", "cu118"}
    assert blackwell[0] == ("2.7.0", "cu128")


def test_one_pin_for_cu118_cu121_and_cu124_is_one_of_four() -> None:
    three = {"cu118", "cu121", "cu124"}
    having = [row.version for row in load().table.torch if three <= set(row.builds)]
    assert having == ["2.4.0", "2.4.1", "2.5.0", "2.5.1"]


@pytest.mark.parametrize(("version", "found"), [("2.1", "2.1.0"), ("2.1.2", "2.1.2")])
def test_torch_is_found_by_version_not_by_spelling(version: str, found: str) -> None:
    row = load().torch(version)
    assert row is not None
    assert row.version == found


@pytest.mark.parametrize("version", ["2.1.9", "2.1.2+cu121", "2.10", "two"])
def test_only_releases_in_the_table_are_found(version: str) -> None:
    row = load().torch(version)
    assert (row and row.version) == ("2.10.0" if version == "2.10" else None)


@pytest.mark.parametrize(
    ("torch", "architecture", "build"),
    [
        ("2.1.2", "x86_64", "cu121"), ("2.1.2", "aarch64", "cpu"), ("2.5.1", "x86_64", "cu124"),
        ("2.6.0", "x86_64", "cu124"), ("2.11.0", "aarch64", "cu130"), ("2.1.2", "riscv64", None),
        ("9.9", "x86_64", None),
    ],
)
def test_what_the_plain_wheel_is(torch: str, architecture: str, build: str | None) -> None:
    assert load().pypi_build(torch, architecture) == build


# drivers


@pytest.mark.parametrize(
    ("release", "floor", "toolkit", "require"),
    [
        ("11.8", "450.80.02", "520.61.05", "cuda>=11.0 driver>=450"),
        ("12.1", "525.60.13", "530.30.02", "cuda>=12.0 driver>=525"),
        ("12.4", "525.60.13", "550.54.14", "cuda>=12.0 driver>=525"),
        ("13.0", "580.65.06", "580.65.06", "cuda>=13.0 driver>=580"),
    ],
)
def test_driver_floors(release: str, floor: str, toolkit: str, require: str) -> None:
    row = load().cuda(release)
    assert (row.floor, row.toolkit_driver, row.require_cuda) == (floor, toolkit, require)


def test_no_requirement_refuses_a_driver_that_minor_compatibility_covers() -> None:
    for row in load().table.cuda:
        cuda, driver = row.require_cuda.split(" ")
        assert "," not in row.require_cuda  # a comma would be AND
        assert "<" not in row.require_cuda  # no driver is too new
        assert Version(driver.removeprefix("driver>=")) <= Version(row.floor)
        assert cuda == f"cuda>={row.release.split('.')[0]}.0"


def test_an_unknown_cuda_release_is_refused_with_those_that_exist() -> None:
    with pytest.raises(CompatError, match=r"CUDA 12\.7") as caught:
        load().cuda("12.7")
    assert "12.6, 12.8" in caught.value.cure


# what goes with a torch


def test_constraints_of_torch_2_1_2() -> None:
    lines = ("torchaudio==2.1.2", "torchvision==0.16.2", "numpy<2", "transformers<4.57")
    assert load().constraints(variant("cu121", "2.1.2")) == lines


def test_numpy_is_bound_before_torch_2_3_only() -> None:
    bound = [row.version for row in load().table.torch if "numpy<2" in load().constraints(variant("cpu", row.version))]
    assert (bound[0], bound[-1]) == ("2.0.0", "2.2.2")
    assert bound == [row.version for row in load().table.torch if Version(row.version) < Version("2.3")]


def test_no_torchaudio_after_it_ended() -> None:
    assert load().constraints(variant("cu130", "2.12.1")) == ("torchvision==0.27.1",)
    assert "torchaudio==2.11.0" in load().constraints(variant("cu130", "2.11.0"))


def test_a_service_without_torch_has_no_constraints_and_no_problems() -> None:
    assert load().constraints(variant("any", None)) == ()
    assert load().problems(variant("any", None, python="3.7")) == ()


def test_source_distributions_are_built_with_pkg_resources_at_hand() -> None:
    assert load().build_constraints == ("setuptools<81",)


# refusals


def test_cu124_with_torch_2_1_2_is_refused_with_the_news_that_cu121_suffices() -> None:
    error = refusal(variant("cu124", "2.1.2"))
    assert error.message == (
        "stt-engine-cu124: torch 2.1.2 has no cu124 build, it has cu118, cu121 and cpu. "
        "The nearest torch with cu124: 2.4.0. "
        "cu121 already runs on every driver that cu124 runs on: both need 525.60.13 or newer."
    )
    assert error.cure == "take cu121 with torch 2.1.2, or cu124 with torch 2.4.0"


def test_the_nearest_torch_is_named_on_both_sides() -> None:
    assert "nearest torch with cu129: 2.8.0 and 2.11.0" in refusal(variant("cu129", "2.10.0")).message


def test_no_stand_in_for_gpus_that_only_the_wanted_build_serves() -> None:
    error = refusal(variant("cu128", "2.6.0"))  # Blackwell
    assert "already runs" not in error.message
    assert error.cure == "take cu118, cu124, cu126 or cpu with torch 2.6.0, or cu128 with torch 2.7.0"


def test_no_stand_in_that_needs_a_newer_driver() -> None:
    without_kepler = Compat(table=parse_table(TABLE.replace('"37", ', "")))
    (problem,) = without_kepler.problems(variant("cu118", "2.14.1"))
    assert "already runs" not in problem.message


def test_no_stand_in_whose_code_is_for_a_newer_gpu_of_the_same_major() -> None:
    assert "already runs" not in refusal(variant("cu129", "2.7.0")).message  # Volta: 75 does not serve a 70


def test_a_stand_in_with_the_same_floor_goes_before_one_with_a_lower_floor() -> None:
    assert refusal(variant("cu121", "2.6.0")).cure == "take cu124 with torch 2.6.0, or cu121 with torch 2.5.1"


def test_a_stand_in_from_an_older_cuda_names_both_floors() -> None:
    message = refusal(variant("cu124", "2.0.1")).message
    assert message.endswith("it needs 450.80.02 or newer, cu124 525.60.13.")


@pytest.mark.parametrize("name", ["cu122", "cu999"])
def test_a_build_that_no_torch_has(name: str) -> None:
    error = refusal(variant(name, "2.1.2"))
    assert f"No torch in the table has {name}." in error.message
    assert name not in error.cure


@pytest.mark.parametrize(
    ("torch", "instead"), [("2.1.9", "2.1.2 or 2.2.0"), ("1.13.1", "2.0.0"), ("2.99.0", "2.14.1"), ("two", "2.14.1")]
)
def test_an_unknown_torch_is_refused_with_its_neighbours(torch: str, instead: str) -> None:
    error = refusal(variant("cu121", torch))
    assert error.message.startswith(f"stt-engine-cu121: torch {torch} is not in the table")
    assert error.cure.startswith(f"take torch {instead};")
    with pytest.raises(CompatError, match="not in the table"):
        load().constraints(variant("cu121", torch))


def test_a_python_without_wheels_is_refused_with_a_torch_that_has_python_and_build() -> None:
    error = refusal(variant("cu121", "2.1.2", python="3.12"))
    assert "no wheels for Python 3.12, it has them for 3.8, 3.9, 3.10 and 3.11" in error.message
    assert error.cure == "take Python 3.11, or torch 2.2.0"
    assert refusal(variant("cu118", "2.7.1", python="3.14")).cure == "take Python 3.13"


def test_cuda_builds_for_another_architecture_are_not_promised() -> None:
    assert "aarch64" in refusal(variant("cu121", "2.1.2", architecture="aarch64")).message
    load().require(variant("cpu", "2.1.2", architecture="aarch64"))


def test_all_problems_of_all_variants_are_told_at_once() -> None:
    wrong = [variant("cu124", "2.1.2", python="3.12"), variant("cu118", "2.8.0")]
    with pytest.raises(CompatError) as caught:
        load().require_all([*wrong, variant("cu121", "2.1.2")])
    lines = caught.value.message.splitlines()
    assert [line.split(":")[0] for line in lines] == ["stt-engine-cu124", "stt-engine-cu124", "stt-engine-cu118"]


def test_nothing_to_refuse() -> None:
    refuse(())


def test_capabilities_of_what_does_not_exist_are_refused() -> None:
    with pytest.raises(CompatError, match=r"2\.1\.2 has no cu124"):
        load().capabilities("2.1.2", "cu124")
    with pytest.raises(CompatError, match=r"2\.10\.0 has no cu129"):  # 2.8.0 and 2.11.0 have
        load().capabilities("2.10.0", "cu129")
    with pytest.raises(CompatError, match="not in the table"):
        load().capabilities("2.1.9", "cpu")


def test_capabilities_in_the_words_of_torch() -> None:
    assert sm_names(("75", "90a", "120+PTX")) == ("sm_75", "sm_90a", "sm_120")


# a malformed table


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("torchvision: 0.16.2", "torchvision: 0.16", r"row 5: torchvision must be quoted text"),
        ('glibc: "2.17"', "glibc: 2.17", "glibc must be quoted text"),
        ("builds: [cu118, cu121, cpu]", "builds: []", "builds must be a list"),
        ("builds: [cu118, cu121, cpu]", "builds: [cu12, cpu]", "cu12"),
        ("builds: [cu118, cu121, cpu]", "builds: [cu118, cu120, cu121, cpu]", "cu120: 0 lists of capabilities, a "),
        ("builds: [cu118, cu121, cpu]", "builds: [cu118, cu127, cu121, cpu]", "cu127: 0 lists of capabilities, no "),
        ("pypi: {x86_64: cu121, aarch64: cpu}", "pypi: {x86_64: cu124}", "PyPI's x86_64 build is not among its builds"),
        ("pypi: {x86_64: cu121, aarch64: cpu}", "pypi: cu121", "pypi: expected a mapping"),
        ("version: 2.1.2", "version: 2.1.1", r"torch 2\.1\.1 has 2 rows"),
        ('release: "12.1"', 'release: "12.0"', r"CUDA 12\.0 has 2 rows"),
        ('torch: ">=2.1,<2.6", build: cu121', 'torch: ">=2.0,<2.6", build: cu118', "2 lists of capabilities"),
        ('torch: ">=2.1,<2.6"', 'torch: "=>2.1"', "Invalid specifier"),
        ("numpy: \"<2\"", "nunpy: \"<2\"", "unknown: nunpy"),
        ("checked: 2026-11-23", "checked: today", "checked must be a day"),
        ("checked: 2026-11-23", "seen: 2026-11-23", "checked must be a day"),
        ("source: [experiment]", "source: [hearsay]", "is 'hearsay'"),
        ("source: [experiment], ", "", "source must be a list"),
        ("index: https", "index: http", "index must be"),
        ("index: https", "colour: red\nindex: https", "top level: unknown: colour"),
        ("cuda:\n", "cuda: {}\nrest:\n", "cuda must be a list of rows"),
    ],
)
def test_a_malformed_table_is_refused(good: str, bad: str, said: str) -> None:
    assert good in TABLE
    with pytest.raises(ValueError, match=said):
        parse_table(TABLE.replace(good, bad, 1))


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(ValueError, match="top level: expected a mapping"):
        parse_table("")


# GPUs and what else brings CUDA code


def test_every_generation_is_whole_and_in_order() -> None:
    rows = load().table.generations
    assert [row.name for row in rows] == [
        "Fermi", "Kepler", "Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Ada", "Hopper", "Blackwell",
    ]
    assert {row.name: row.last_branch for row in rows if row.last_branch} == {
        "Fermi": 390, "Kepler": 470, "Maxwell": 580, "Pascal": 580, "Volta": 580,
    }
    listed = [tuple(map(int, one.split("."))) for row in rows for one in row.capabilities]
    assert listed == sorted(listed)


@pytest.mark.parametrize(
    ("capability", "name"), [("3.7", "Kepler"), ("8.9", "Ada"), ("12.1", "Blackwell"), ("9.9", None)]
)
def test_the_generation_of_a_compute_capability(capability: str, name: str | None) -> None:
    row = load().generation(capability)
    assert (row and row.name) == name


@pytest.mark.parametrize(
    ("torch", "major"), [("2.1.2", "8"), ("2.3.1", "8"), ("2.4.0", "9"), ("2.14.1", "9"), ("9.9", None)]
)
def test_the_cudnn_of_a_torch(torch: str, major: str | None) -> None:
    assert load().cudnn(torch) == major


@pytest.mark.parametrize(
    ("package", "version", "needs"),
    [
        ("ctranslate2", "3.24.0", ("11", "8", None)), ("ctranslate2", "4.4.0", ("12", "8", None)),
        ("ctranslate2", "4.7.1", ("12", "9", None)), ("faster-whisper", "1.2.1", (None, None, "ctranslate2<5,>=4")),
        ("onnxruntime-gpu", "1.18.1", ("11", "8", None)), ("onnxruntime-gpu", "1.20.0", ("12", "9", None)),
        ("ctranslate2", "9.0", None), ("numpy", "1.26.4", None),
    ],
)
def test_what_packages_with_cuda_code_look_for(package: str, version: str, needs: tuple[str, str, str] | None) -> None:
    row = load().runtime(package, version)
    assert (row and (row.cuda, row.cudnn, row.requires)) == needs


def test_windows_has_floors_of_its_own_with_a_doubtful_stretch() -> None:
    twelve, eleven = load().cuda("12.4").windows, load().cuda("11.8").windows
    assert (twelve.doubtful_from, twelve.floor, twelve.toolkit_driver) == ("527.41", "528.33", "551.61")
    assert (eleven.doubtful_from, eleven.floor) == (None, "452.39")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ('{capability: "3.7", names: [K80, K80M]', '{capability: "3.7", names: [K80, T4]', "t4 stands in 2 rows"),
        ('{capability: "3.7", names: [K80, K80M]', '{capability: "3.9", names: [K80, K80M]', "no generation has"),
        ('capabilities: ["8.9"]', 'capabilities: ["8.6"]', "8.6 stands in 2 rows"),
        ('last_branch: "390"', 'last_branch: 390', "last_branch must be quoted"),
        ("tegra: true", "tegra: maybe", "tegra must be true or false"),
        ('windows: {floor: "580"}', 'windows: {floor: "580", ceiling: "590"}', "unknown: ceiling"),
    ],
)
def test_a_malformed_row_of_a_gpu_is_refused(good: str, bad: str, said: str) -> None:
    assert good in TABLE
    with pytest.raises(ValueError, match=said):
        parse_table(TABLE.replace(good, bad, 1))
