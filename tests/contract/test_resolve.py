"""What uv and torchferry make of each other: real uv, real wheels, an index on localhost, and nothing from outside."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from support import nouns
from support.index_server import Fault, IndexServer
from support.sdist_factory import make_sdist
from support.wheel_factory import make_pure, make_torch, make_wheel, stand_in_indexes

from torchferry import compat, index, lockfile
from torchferry.errors import IntegrityError, LockError, SourceError
from torchferry.model import BuiltWheel, Lock, Variant
from torchferry.resolve import expand_requirements, glibc, installer, resolve, torch_source, uv_target

LINUX = "cp311-cp311-linux_x86_64"
PLAIN = "cp311-cp311-manylinux1_x86_64"
TORCH = {
    "cu118": f"torch-2.1.2+cu118-{LINUX}.whl",
    "cu121": f"torch-2.1.2-{PLAIN}.whl",
    "cu124": f"torch-2.6.0-{PLAIN}.whl",
    "cpu": f"torch-2.1.2+cpu-{LINUX}.whl",
}
COMPANIONS = "torchaudio==2.1.2", "torchvision==0.16.2", "numpy<2"
CPU_VERSION_FILE = "__version__ = '2.1.2+cpu'\ncuda = None\nhip = None\n"


class Shop:
    """Indexes that a test may change, served on localhost, and one resolution after the other against them."""

    def __init__(self, server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self._monkeypatch = monkeypatch
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        # The stand-in torch indexes have cu118 and cpu; cu121 and cu124 are the plain wheels of the default index.
        monkeypatch.delenv("TORCHFERRY_TORCH_INDEX")
        for name in ("cu118", "cpu"):
            self.set(**{f"TORCHFERRY_TORCH_INDEX_{name.upper()}": f"{server.url}/whl/{name}"})

    @property
    def pypi(self) -> Path:
        return self.server.root / "pypi"

    def torch_folder(self, name: str) -> Path:
        return self.server.root / "whl" / name

    def set(self, **environ: str) -> None:
        for name, value in environ.items():
            self._monkeypatch.setenv(name, value)

    def sources(self, variant: Variant) -> index.Sources:
        return index.sources_for(variant, os.environ, {}, index.uv_config(os.environ))

    def lock(
        self, variant: Variant, requirements: str = "ferrypure\n", *, previous: str | None = None,
        built: tuple[tuple[BuiltWheel, Path], ...] = (),
    ) -> Lock:
        table = compat.load()
        return resolve(
            variant, sources=self.sources(variant), compat=table, requirements=requirements,
            asked=lockfile.asked(variant, requirements, table.constraints(variant)), previous=previous,
            base_digest=None, built=built,
        )


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in wheels, made once: uv's own takes a while."""
    return stand_in_indexes(tmp_path_factory.mktemp("stock")).root


@pytest.fixture
def shop(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    root = tmp_path / "served"
    shutil.copytree(stock, root, copy_function=os.link)  # who replaces a file unlinks it first
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_", "TORCHFERRY_")) or "proxy" in name.lower() or name == "COLUMNS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with IndexServer(root) as server:
        yield Shop(server, monkeypatch)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that answers nobody: bound, so that nobody else gets it, and not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def names(lock: Lock) -> list[str]:
    return [wheel.filename for wheel in lock.wheels]


def torch_of(lock: Lock) -> str:
    (found,) = [wheel.filename for wheel in lock.wheels if wheel.name == "torch"]
    return found


# What is locked


@pytest.mark.parametrize("name", ["cu118", "cu121", "cu124", "cpu"])
def test_each_variant_gets_its_own_torch(shop: Shop, name: str) -> None:
    lock = shop.lock(nouns.variant(name))
    assert torch_of(lock) == TORCH[name]
    assert lock.version("ferrypure") == "1.1.0"
    assert lock.installer.filename == f"uv-{metadata.version('uv')}-py3-none-manylinux_2_17_x86_64.whl"


@pytest.mark.parametrize(
    ("name", "cuda"),
    [
        ("cu118", []), ("cpu", []),
        ("cu121", ["nvidia-cublas-cu12 12.1.3.1", "nvidia-cuda-runtime-cu12 12.1.105"]),
        ("cu124", ["nvidia-cublas-cu12 12.4.5.8", "nvidia-cuda-runtime-cu12 12.4.127"]),
    ],
)
def test_each_variant_gets_its_own_cuda_libraries_and_no_others(shop: Shop, name: str, cuda: list[str]) -> None:
    lock = shop.lock(nouns.variant(name))
    assert [f"{wheel.name} {wheel.version}" for wheel in lock.wheels if wheel.name.startswith("nvidia")] == cuda


@pytest.mark.parametrize("name", ["cu118", "cu121"])
def test_size_and_hash_are_those_of_the_files_whether_the_index_tells_them_or_not(shop: Shop, name: str) -> None:
    lock = shop.lock(nouns.variant(name))
    for wheel in (*lock.wheels, lock.installer):
        path = next(shop.server.root.rglob(wheel.filename))
        assert (wheel.size, wheel.sha256) == (path.stat().st_size, _sha256(path))


@pytest.mark.parametrize("name", ["cu118", "cu121"])
def test_a_lock_names_no_host_and_no_url(shop: Shop, name: str) -> None:
    text = lockfile.dump(shop.lock(nouns.variant(name)), nouns.variant(name))
    for word in ("://", "127.0.0.1", "localhost", str(shop.server.server_port), str(shop.server.root), "url"):
        assert word not in text
    assert f'path = "{name}/{TORCH[name]}"' in text


def test_the_same_question_gives_the_same_text_and_the_text_gives_the_lock(shop: Shop) -> None:
    variant = nouns.variant("cu121")
    lock = shop.lock(variant)
    text = lockfile.dump(lock, variant)
    shop.set(UV_CACHE_DIR=os.environ["UV_CACHE_DIR"] + "-2")
    assert lockfile.dump(shop.lock(variant), variant) == text
    assert lockfile.parse(text, file="pylock.toml") == lock
    assert lock.fingerprint == lockfile.asked(variant, "ferrypure\n", compat.load().constraints(variant))


def test_the_same_wheels_behind_another_mirror_give_the_same_text(shop: Shop, tmp_path: Path) -> None:
    variant = nouns.variant("cu118")
    text = lockfile.dump(shop.lock(variant), variant)
    with IndexServer(shop.server.root) as other:
        shop.set(UV_DEFAULT_INDEX=other.default_index, TORCHFERRY_TORCH_INDEX_CU118=f"{other.url}/whl/cu118")
        shop.set(UV_CACHE_DIR=str(tmp_path / "another-cache"))
        assert lockfile.dump(shop.lock(variant), variant) == text
        assert other.asked("/whl/cu118/torch/")


def test_wheels_are_sorted_by_name_whatever_the_order_of_requirements(shop: Shop) -> None:
    make_wheel(shop.pypi, "zebra", "1.0")
    make_wheel(shop.pypi, "ant", "1.0")
    lock = shop.lock(nouns.variant("any"), "zebra\nferrypure\nant\n")
    assert [wheel.name for wheel in lock.wheels] == ["ant", "ferrypure", "zebra"]


def test_a_service_without_torch_and_without_requirements_is_locked(shop: Shop) -> None:
    lock = shop.lock(nouns.variant("any"), "\n")
    assert (lock.wheels, lock.installer.name) == ((), "uv")


def test_a_named_torch_index_is_used_even_where_the_default_index_has_the_build(shop: Shop) -> None:
    make_torch(shop.torch_folder("cu121"), "2.1.2", "cu121", "12.1")
    shop.set(TORCHFERRY_TORCH_INDEX=shop.server.torch_index)
    assert torch_of(shop.lock(nouns.variant("cu121"))) == f"torch-2.1.2+cu121-{LINUX}.whl"


def test_only_torch_and_its_family_come_from_the_torch_index(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_CONFIG")  # with it, uv would not look into our pyproject.toml for more indexes
    shop.set(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), XDG_CONFIG_DIRS=str(tmp_path))
    make_pure(shop.torch_folder("cu118"), "9.0.0")
    lock = shop.lock(nouns.variant("cu118"))
    assert lock.version("ferrypure") == "1.1.0"
    assert not shop.server.asked("/whl/cu118/ferrypure/")


def test_what_was_included_is_resolved_and_fingerprinted_as_if_written_in_place(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "requirements.in").write_text("-r more.in\n", encoding="utf-8")
    (tmp_path / "more.in").write_text("ferrypure==1.0.0\n", encoding="utf-8")
    text = expand_requirements(tmp_path / "requirements.in", tmp_path)
    lock = shop.lock(nouns.variant("any"), text)
    assert lock == shop.lock(nouns.variant("any"), "ferrypure==1.0.0\n")


# Pins


def test_pins_are_kept_until_an_upgrade_is_asked_for(shop: Shop) -> None:
    variant = nouns.variant("cu121")
    old = shop.lock(variant, "ferrypure==1.0.0\n")
    previous = lockfile.dump(old, variant)
    assert shop.lock(variant, "ferrypure\n", previous=previous).wheels == old.wheels
    assert shop.lock(variant, "ferrypure\n", previous=None).version("ferrypure") == "1.1.0"


def test_a_pin_that_no_longer_fits_is_given_up_and_only_that_one(shop: Shop) -> None:
    variant = nouns.variant("any")
    make_wheel(shop.pypi, "other", "1.0")
    previous = lockfile.dump(shop.lock(variant, "ferrypure==1.0.0\nother\n"), variant)
    make_wheel(shop.pypi, "other", "2.0")
    shop.set(UV_CACHE_DIR=os.environ["UV_CACHE_DIR"] + "-2")
    lock = shop.lock(variant, "ferrypure>1\nother\n", previous=previous)
    assert (lock.version("ferrypure"), lock.version("other")) == ("1.1.0", "1.0")


def test_numpy_is_bound_for_a_torch_that_was_built_with_numpy_1(shop: Shop) -> None:
    for version in ("1.26.4", "2.0.1"):
        make_wheel(shop.pypi, "numpy", version, tag="cp311-cp311-manylinux_2_17_x86_64")
    found = {name: shop.lock(nouns.variant(name), "numpy\n").version("numpy") for name in ("cu121", "cu124", "any")}
    assert found == {"cu121": "1.26.4", "cu124": "2.0.1", "any": "2.0.1"}
    with pytest.raises(LockError, match="numpy>=2 and numpy<2"):
        shop.lock(nouns.variant("cu121"), "numpy>=2\n")


def test_a_bound_brings_in_nothing_by_itself(shop: Shop) -> None:
    make_wheel(shop.pypi, "numpy", "1.26.4")
    variant = nouns.variant("cpu")
    assert set(COMPANIONS) <= set(compat.load().constraints(variant))
    assert [wheel.name for wheel in shop.lock(variant, "\n").wheels] == ["torch"]


# Another platform


def test_an_aarch64_variant_asks_for_aarch64_wheels_on_any_machine(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = "cp311-cp311-manylinux2014_aarch64"
    make_wheel(shop.pypi, "torch", "2.1.2", files={"torch/version.py": CPU_VERSION_FILE}, tag=arm)
    make_wheel(shop.pypi, "uv", metadata.version("uv"), tag="py3-none-manylinux_2_17_aarch64")
    for platform in ("x86_64", "aarch64"):
        make_wheel(shop.pypi, "fast", "1.0", tag=f"cp311-cp311-manylinux_2_17_{platform}")
    monkeypatch.delenv("TORCHFERRY_TORCH_INDEX_CPU")
    lock = shop.lock(nouns.variant("cpu", architecture="aarch64"), "fast\nferrypure\n")
    assert names(lock) == [
        "fast-1.0-cp311-cp311-manylinux_2_17_aarch64.whl", "ferrypure-1.1.0-py3-none-any.whl", f"torch-2.1.2-{arm}.whl",
    ]
    assert lock.installer.filename.endswith("_aarch64.whl")


@pytest.mark.parametrize(
    ("tag", "changes", "said"),
    [
        ("cp311-cp311-manylinux_2_17_x86_64", {"architecture": "aarch64"}, "manylinux_2_17_x86_64"),
        ("cp311-cp311-manylinux_2_17_x86_64", {"python": "3.12"}, "cp311"),
        ("cp311-cp311-manylinux_2_38_x86_64", {}, "manylinux_2_38_x86_64"),
        ("cp311-cp311-macosx_11_0_arm64", {}, "macosx_11_0_arm64"),
        ("cp311-cp311-win_amd64", {}, "win_amd64"),
    ],
)
def test_a_package_without_a_wheel_for_the_target_is_refused_by_name(
    shop: Shop, tag: str, changes: dict[str, str], said: str
) -> None:
    make_wheel(shop.pypi, "native", "1.0", tag=tag)
    variant = nouns.variant("any", **changes)
    with pytest.raises(LockError, match=r"a package has no wheel for .*\n(.*\n)*.*`native` \(v1\.0\)") as caught:
        shop.lock(variant, "native\n")
    assert f"Python {variant.python} on {variant.architecture} Linux" in caught.value.message
    assert said in caught.value.message
    assert "sdists: [NAME]" in caught.value.cure


def test_a_version_with_a_wheel_for_the_target_goes_before_a_newer_one_without(shop: Shop) -> None:
    make_wheel(shop.pypi, "native", "1.0", tag="cp311-cp311-manylinux_2_36_x86_64")
    make_wheel(shop.pypi, "native", "2.0", tag="cp311-cp311-manylinux_2_38_x86_64")
    assert shop.lock(nouns.variant("cu121"), "native\n").version("native") == "1.0"


def test_glibc_is_that_of_the_base_and_never_newer_than_uv_knows() -> None:
    debian = {
        suite: nouns.variant(service=dataclasses.replace(
            nouns.SERVICE, base=dataclasses.replace(nouns.SERVICE.base, debian=suite)
        ))
        for suite in ("bullseye", "bookworm", "trixie")
    }
    assert [glibc(variant) for variant in debian.values()] == [(2, 31), (2, 36), (2, 41)]
    assert uv_target(debian["bullseye"])[-1] == "x86_64-manylinux_2_31"
    assert uv_target(debian["trixie"])[-1] == "x86_64-manylinux_2_40"
    assert uv_target(nouns.variant("any", architecture="aarch64", python="3.12"))[-4:] == (
        "--python-version", "3.12", "--python-platform", "aarch64-manylinux_2_28",
    )


def test_uv_knows_the_platform_of_every_base(shop: Shop) -> None:
    for suite in ("bullseye", "bookworm", "trixie"):
        base = dataclasses.replace(nouns.SERVICE.base, debian=suite)
        variant = nouns.variant(service=dataclasses.replace(nouns.SERVICE, base=base))
        assert installer(variant, shop.sources(variant)).name == "uv"


# Refusals: no solution


@pytest.mark.parametrize("name", ["cu118", "cu121"])
def test_a_package_that_wants_another_torch_is_named(shop: Shop, name: str) -> None:
    make_wheel(shop.pypi, "wants-other", "1.0", requires=["torch==2.6.0"])
    with pytest.raises(LockError, match=r"wants-other depend on torch==2\.6\.0") as caught:
        shop.lock(nouns.variant(name), "ferrypure\nwants-other\n")
    assert caught.value.message.startswith(f"stt-engine-{name}: wanted torch==")
    assert "every package of an image shares one torch" in caught.value.cure


def test_a_package_that_wants_an_older_torch_only_is_taken_in_a_version_that_fits(shop: Shop) -> None:
    make_wheel(shop.pypi, "wants", "1.0", requires=["torch<2.2"])
    make_wheel(shop.pypi, "wants", "2.0", requires=["torch>=2.2"])
    assert shop.lock(nouns.variant("cu118"), "wants\n").version("wants") == "1.0"
    assert shop.lock(nouns.variant("cu124"), "wants\n").version("wants") == "2.0"


@pytest.mark.parametrize("missing", ["nowhere", "pytorch", "my-torch"])
def test_an_unknown_package_is_refused_by_its_own_name(shop: Shop, missing: str) -> None:
    with pytest.raises(LockError, match=f"Because {missing} was not found") as caught:
        shop.lock(nouns.variant("cu118"), f"{missing}\n")
    assert "requirement named above" in caught.value.cure


def test_a_package_with_a_source_only_is_refused_by_name_unless_sdists_allows_it(shop: Shop, tmp_path: Path) -> None:
    make_sdist(tmp_path / "stock", "ferry-tool", "1.0")
    shop.set(UV_FIND_LINKS=str(tmp_path / "stock"))
    with pytest.raises(LockError, match=r"ferry-tool==1\.0 has no usable wheels") as caught:
        shop.lock(nouns.variant("any"), "ferry-tool\n")
    assert caught.value.cure.endswith("sdists: [NAME] in the service")


def test_a_wheel_that_was_built_here_is_locked_with_how_it_was_made(shop: Shop, tmp_path: Path) -> None:
    path = make_wheel(tmp_path / "built", "ferry-tool", "1.0")
    row = BuiltWheel(
        name="ferry-tool", sdist="ferry-tool-1.0.tar.gz", sdist_sha256="a" * 64, sdist_size=9, requires=(),
    )
    lock = shop.lock(nouns.variant("any"), "ferry-tool\n", built=((row, path),))
    assert [(wheel.filename, wheel.size, wheel.sha256) for wheel in lock.wheels] == [
        (path.name, path.stat().st_size, _sha256(path))
    ]
    assert lock.built == (row,)


@pytest.mark.parametrize("form", ["{url}", "file://{path}"])
def test_a_requirement_by_url_is_refused_by_name(shop: Shop, form: str) -> None:
    filename = "ferrypure-1.0.0-py3-none-any.whl"
    place = form.format(url=shop.server.file_url(filename), path=shop.pypi / filename)
    with pytest.raises(LockError, match=r"ferrypure 1\.0\.0: the resolver found no wheel") as caught:
        shop.lock(nouns.variant("any"), f"ferrypure @ {place}\n")
    assert "cannot be locked by hash" in caught.value.cure


def test_a_line_that_is_no_requirement_is_shown(shop: Shop) -> None:
    with pytest.raises(LockError, match="no such comparison operator"):
        shop.lock(nouns.variant("any"), "ferrypure>>1\n")


# Refusals: sources


def test_a_torch_index_that_cannot_be_reached_is_named_with_what_was_wanted_and_the_cure(
    shop: Shop, closed_port: int
) -> None:
    where = f"http://127.0.0.1:{closed_port}/whl/cu118"
    shop.set(TORCHFERRY_TORCH_INDEX_CU118=where)
    with pytest.raises(SourceError) as caught:
        shop.lock(nouns.variant("cu118"))
    assert caught.value.message.startswith(
        f"stt-engine-cu118: wanted torch==2.1.2+cu118 from {where}; a source did not answer:\n"
    )
    assert "Connection refused" in caught.value.message
    assert "TORCHFERRY_TORCH_INDEX_CU118=URL" in caught.value.cure
    assert not shop.server.asked("/pypi/simple/torch/")  # where another build lies


def test_a_default_index_that_cannot_be_reached_is_named_with_its_variable(shop: Shop, closed_port: int) -> None:
    where = f"http://127.0.0.1:{closed_port}/simple/"
    shop.set(UV_DEFAULT_INDEX=where)
    with pytest.raises(SourceError, match=f"{where}ferrypure/") as caught:
        shop.lock(nouns.variant("any"))
    assert "UV_DEFAULT_INDEX=URL" in caught.value.cure


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(kind="status", status=503), "503"),
        (Fault(kind="status", status=403), "torch was not found"),
        (Fault(kind="status", status=404), "torch was not found"),
        (Fault(kind="page"), r"no version of torch==2\.1\.2\+cu118"),
    ],
)
def test_a_torch_index_that_answers_badly_is_never_replaced_by_another(shop: Shop, fault: Fault, said: str) -> None:
    shop.server.fail("/whl/cu118/torch/", fault)
    with pytest.raises(SourceError, match=said) as caught:
        shop.lock(nouns.variant("cu118"))
    assert f"torch==2.1.2+cu118 from {shop.server.url}/whl/cu118" in caught.value.message
    assert "TORCHFERRY_TORCH_INDEX_CU118=URL" in caught.value.cure
    assert not shop.server.asked("/pypi/simple/torch/")


@pytest.mark.parametrize("other", ["cpu", "cu999"])
def test_a_torch_index_that_lacks_the_build_is_no_source(shop: Shop, other: str) -> None:
    shop.set(TORCHFERRY_TORCH_INDEX_CU118=f"{shop.server.url}/whl/{other}")
    said = f"wanted torch==2.1.2.cu118 from .*/whl/{other}, which is not there"
    with pytest.raises(SourceError, match=said) as caught:
        shop.lock(nouns.variant("cu118"))
    assert "TORCHFERRY_TORCH_INDEX_CU118=URL" in caught.value.cure
    assert not shop.server.asked("/pypi/simple/torch/")


@pytest.mark.parametrize("columns", ["40", "63", "80", "100"])
def test_uv_is_understood_wherever_it_breaks_its_lines(shop: Shop, columns: str) -> None:
    shop.set(COLUMNS=columns)
    make_wheel(shop.pypi, "native", "1.0", tag="cp311-cp311-win_amd64")
    make_sdist(shop.server.root / "sources", "ferry-tool", "1.0")
    with pytest.raises(LockError, match="a package has no wheel for Python"):
        shop.lock(nouns.variant("any"), "native\n")
    shop.set(TORCHFERRY_TORCH_INDEX_CU118=f"{shop.server.url}/whl/nowhere")
    with pytest.raises(SourceError, match="which is not there"):
        shop.lock(nouns.variant("cu118"))
    shop.set(TORCHFERRY_TORCH_INDEX_CU118=f"{shop.server.url}/whl/cpu")
    with pytest.raises(SourceError, match="which is not there"):
        shop.lock(nouns.variant("cu118"))
    shop.set(UV_FIND_LINKS=str(shop.server.root / "sources"))
    with pytest.raises(LockError, match="a package has no wheel for Python"):
        shop.lock(nouns.variant("any"), "ferry-tool\n")


def test_a_default_index_that_lacks_the_torch_is_no_source(shop: Shop) -> None:
    (shop.pypi / TORCH["cu121"]).unlink()  # 2.6.0 stays
    with pytest.raises(SourceError, match=r"wanted torch=+2\.1\.2 from the default index, which is not there"):
        shop.lock(nouns.variant("cu121"))


# Refusals: other bytes


@pytest.mark.parametrize("by", ["index", "folder"])
def test_a_wheel_named_cu118_that_holds_a_cpu_build_is_refused(shop: Shop, tmp_path: Path, by: str) -> None:
    folder = shop.torch_folder("cu118") if by == "index" else tmp_path / "links"
    (shop.torch_folder("cu118") / TORCH["cu118"]).unlink()
    make_wheel(folder, "torch", "2.1.2+cu118", files={"torch/version.py": CPU_VERSION_FILE}, tag=LINUX)
    shop.set(UV_FIND_LINKS="" if by == "index" else str(folder))
    with pytest.raises(IntegrityError) as caught:
        shop.lock(nouns.variant("cu118"))
    assert caught.value.message == (
        "torch 2.1.2+cu118 is not the cu118 build that stt-engine-cu118 promises: torch/version.py says 2.1.2+cpu, "
        "wanted +cu118; torch/version.py says CUDA None, wanted 11.8"
    )


def test_a_plain_torch_of_another_cuda_is_refused(shop: Shop) -> None:
    (shop.pypi / TORCH["cu121"]).unlink()
    made = make_torch(shop.pypi, "2.1.2", None, "11.8")
    assert made.name == TORCH["cu121"]
    with pytest.raises(IntegrityError, match=r"says 2\.1\.2\+cu118, wanted \+cu121; .* CUDA 11\.8, wanted 12\.1"):
        shop.lock(nouns.variant("cu121"))


def test_a_server_without_parts_of_files_leaves_the_look_into_torch_to_fetch(shop: Shop) -> None:
    shop.server.fail(f"/{TORCH['cu118']}", Fault(kind="ignore-range"))
    assert torch_of(shop.lock(nouns.variant("cu118"))) == TORCH["cu118"]


# torch's family


def _torchaudio(shop: Shop) -> None:
    make_wheel(shop.pypi, "torchaudio", "2.1.2", requires=["torch==2.1.2"], tag=PLAIN)
    make_wheel(shop.torch_folder("cu118"), "torchaudio", "2.1.2+cu118", requires=["torch==2.1.2"], tag=LINUX)
    make_wheel(shop.pypi, "audio-user", "1.0", requires=["torchaudio"])


@pytest.mark.parametrize("line", ["torchaudio", "torchaudio>=2 ; python_version < '3.13'", "TorchAudio  # sound"])
def test_a_required_torchaudio_comes_from_the_index_of_torch(shop: Shop, line: str) -> None:
    _torchaudio(shop)
    lock = shop.lock(nouns.variant("cu118"), f"torch\naudio-user\n{line}\n")
    assert lock.version("torchaudio") == "2.1.2+cu118"
    assert not shop.server.asked("/pypi/simple/torchaudio/")


def test_a_plain_torchaudio_beside_a_plain_torch_is_taken(shop: Shop) -> None:
    _torchaudio(shop)
    assert shop.lock(nouns.variant("cu121"), "torch\ntorchaudio\n").version("torchaudio") == "2.1.2"


def test_a_torchaudio_that_only_another_package_wants_is_refused_where_it_is_no_cu118_build(shop: Shop) -> None:
    _torchaudio(shop)
    with pytest.raises(LockError, match=f"torchaudio-2.1.2-{PLAIN}.whl is not a cu118 build like torch") as caught:
        shop.lock(nouns.variant("cu118"), "audio-user\n")
    assert "add torchaudio to app/requirements.in" in caught.value.cure


def test_torchaudio_is_bound_to_its_torch(shop: Shop) -> None:
    _torchaudio(shop)
    make_wheel(shop.pypi, "torchaudio", "2.6.0", tag=PLAIN)  # says nothing about torch, as some releases did
    assert shop.lock(nouns.variant("cu121"), "torchaudio\n").version("torchaudio") == "2.1.2"
    assert shop.lock(nouns.variant("cu124"), "torchaudio\n").version("torchaudio") == "2.6.0"


# Folders


@pytest.mark.parametrize("as_url", [False, True])
def test_a_folder_that_holds_the_build_is_the_source_of_torch(shop: Shop, tmp_path: Path, as_url: bool) -> None:
    folder = tmp_path / "usb-stick"
    make_torch(folder, "2.1.2", "cu118", "11.8")
    shop.set(UV_FIND_LINKS=folder.as_uri() if as_url else str(folder), TORCHFERRY_TORCH_INDEX_CU118="")
    variant = nouns.variant("cu118")
    source = torch_source(variant, shop.sources(variant), compat.load())
    assert source is not None
    assert (source.pin, source.index) == ("torch==2.1.2+cu118", None)
    lock = shop.lock(variant)
    assert torch_of(lock) == TORCH["cu118"]
    assert str(tmp_path) not in lockfile.dump(lock, variant)
    assert not shop.server.asked(".whl", method="HEAD") or not shop.server.asked(f"/{TORCH['cu118']}")


def test_a_folder_with_another_build_changes_nothing_for_torch(shop: Shop, tmp_path: Path) -> None:
    make_torch(tmp_path / "links", "2.1.2", "cpu", None)
    shop.set(UV_FIND_LINKS=str(tmp_path / "links"))
    assert torch_of(shop.lock(nouns.variant("cu118"))) == TORCH["cu118"]


def test_a_folder_with_wheels_of_several_variants_serves_a_plain_torch_too(shop: Shop, tmp_path: Path) -> None:
    make_torch(tmp_path / "links", "2.1.2", "cu118", "11.8")
    shop.set(UV_FIND_LINKS=str(tmp_path / "links"))
    assert torch_of(shop.lock(nouns.variant("cu121"))) == TORCH["cu121"]


def test_a_folder_with_another_build_of_torchaudio_is_not_taken_beside_a_plain_torch(
    shop: Shop, tmp_path: Path
) -> None:
    _torchaudio(shop)
    make_wheel(tmp_path / "links", "torchaudio", "2.1.2+cu118", requires=["torch==2.1.2"], tag=LINUX)
    shop.set(UV_FIND_LINKS=str(tmp_path / "links"))
    assert shop.lock(nouns.variant("cu121"), "torchaudio\n").version("torchaudio") == "2.1.2"


def test_a_folder_relative_to_where_a_person_stands_is_found(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_torch(tmp_path / "links", "2.1.2", "cu118", "11.8")
    monkeypatch.chdir(tmp_path)
    shop.set(UV_FIND_LINKS="links", TORCHFERRY_TORCH_INDEX_CU118="")
    assert torch_of(shop.lock(nouns.variant("cu118"))) == TORCH["cu118"]


def test_a_folder_with_a_space_in_its_url_holds_torch(shop: Shop, tmp_path: Path) -> None:
    make_torch(tmp_path / "usb stick", "2.1.2", "cu118", "11.8")
    shop.set(UV_FIND_LINKS=(tmp_path / "usb stick").as_uri())
    variant = nouns.variant("cu118")
    source = torch_source(variant, shop.sources(variant), compat.load())
    assert source is not None
    assert source.said == "a find-links folder"


@pytest.mark.parametrize("variable", ["UV_INDEX", "UV_EXTRA_INDEX_URL"])
def test_an_extra_index_of_the_environment_is_not_taken(shop: Shop, variable: str) -> None:
    make_pure(shop.torch_folder("elsewhere"), "9.0.0")
    shop.set(**{variable: f"{shop.server.url}/whl/elsewhere"})
    assert shop.lock(nouns.variant("any")).version("ferrypure") == "1.1.0"


def _sha256(path: Path) -> str:
    return index.files.sha256(path)
