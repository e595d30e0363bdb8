"""Source distributions become pure wheels: the right one, once, without network, with the same bytes everywhere."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.version import Version
from support.sdist_factory import make_backend, make_sdist, write_index
from support.wheel_factory import make_wheel

from torchferry import files, sdist, wheelbuild
from torchferry.errors import FerryError, IntegrityError, LockError, SourceError
from torchferry.index import Sources
from torchferry.layout import Layout
from torchferry.model import Base, BuiltWheel, Lock, Release, Service, Variant, Wheel

Made = tuple[tuple[BuiltWheel, Path], ...]


@pytest.fixture(autouse=True)
def own_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_FIND_LINKS", "UV_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Shop:
    """A project and the folder that is its index."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stock = root / "stock"
        self.index = root / "simple"
        self.layout = Layout(root=root / "project")
        make_backend(self.stock)

    @property
    def sources(self) -> Sources:
        return Sources(default_index=f"{self.index.as_uri()}/")

    def offer(self, *, hashes: bool = True) -> None:
        write_index(self.index, sorted(self.stock.iterdir()), hashes=hashes)

    def sdist(self, name: str = "ferry-tool", version: str = "1.0", files: dict[str, str] | None = None) -> Path:
        return make_sdist(self.stock, name, version, files)

    def build(
        self, requirements: str = "", *, layout: Layout | None = None, sources: Sources | None = None
    ) -> Made:
        return sdist.build_all(variant(), requirements, layout or self.layout, sources or self.sources)

    def build_hook(self, hook: str) -> Made:
        self.sdist(files={"ferry_hook.py": hook})
        self.offer()
        return self.build()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def served(shop: Shop) -> Iterator[Sources]:
    """The shop's index over HTTP."""
    shop.index.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(shop.index))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Sources(default_index=f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


def variant(*names: str) -> Variant:
    service = Service(
        name="web", source="app", requirements="requirements.in", command=("python", "-m", "web"),
        base=Base(debian="bookworm"), sdists=names or ("ferry-tool",),
    )
    return Variant(release=Release(name="web", version="1"), service=service, name="any", python="3.11")


def lock_of(built: BuiltWheel, path: Path, *, version: str = "1.0") -> Lock:
    wheel = Wheel(
        name=built.name, version=version, filename=path.name, size=path.stat().st_size, sha256=files.sha256(path)
    )
    return Lock(fingerprint="f", wheels=(wheel,), installer=wheel, built=(built,))


def refused(kind: type[FerryError], shop: Shop, hook: str) -> str:
    with pytest.raises(kind) as error:
        shop.build_hook(hook)
    assert error.value.cure
    return error.value.message


# What is made


def test_a_wheel_is_made_with_its_recipe(shop: Shop) -> None:
    source = shop.sdist()
    shop.offer()
    ((built, path),) = shop.build()
    assert (built.name, built.sdist) == ("ferry-tool", source.name)
    assert (built.sdist_sha256, built.sdist_size) == (files.sha256(source), source.stat().st_size)
    assert [(wheel.name, wheel.version, wheel.sha256) for wheel in built.requires] == [
        ("ferrybackend", "1.0", files.sha256(shop.stock / "ferrybackend-1.0-py3-none-any.whl"))
    ]
    assert [file.name for file in path.parent.iterdir()] == ["ferry_tool-1.0-py3-none-any.whl"]
    in_folder = shop.layout.wheel_folder(variant()) / path.name
    assert in_folder.read_bytes() == path.read_bytes()


def test_the_wheel_is_whole_and_its_record_true(shop: Shop) -> None:
    ((_, path),) = shop.build_hook("files['ferry_tool-1.0.data/scripts/it'] = b'#!python\\n'")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        contents = {name: wheel.read(name) for name in names}
        assert {entry.date_time for entry in wheel.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in wheel.infolist()} == {0o100644}
    info = "ferry_tool-1.0.dist-info"
    assert names == [
        "ferry_tool-1.0.data/scripts/it", "ferry_tool.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD",
    ]
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(contents[f"{info}/RECORD"].decode("utf-8")))}
    assert rows.pop(f"{info}/RECORD") == ["", ""]
    assert list(rows) == names[:-1]
    for name, (digest, size) in rows.items():
        found = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest()).rstrip(b"=").decode("ascii")
        assert (digest, int(size)) == (f"sha256={found}", len(contents[name]))


def test_two_builds_make_the_same_bytes(shop: Shop) -> None:
    hook = "for number in range(12): files[f'data/{number}.txt'] = b'x' * number"
    ((first, one),) = shop.build_hook(hook)
    ((second, two),) = shop.build(layout=Layout(root=shop.root / "other"))
    assert one != two
    assert one.read_bytes() == two.read_bytes()
    assert first == second


@pytest.mark.parametrize("further", ["", "ferryextra"])
def test_a_wheel_is_built_once(shop: Shop, capsys: pytest.CaptureFixture[str], further: str) -> None:
    make_wheel(shop.stock, "ferryextra", "3.1")
    shop.sdist(files={"further.txt": further})
    shop.offer()
    first = shop.build()
    second = shop.build()
    assert first == second
    assert capsys.readouterr().err.count("ferry-tool-1.0.tar.gz into a wheel") == 1


@pytest.mark.parametrize(
    ("requirements", "version"),
    [
        ("", "2.0"),
        ("other==1\nferry_tool<2  # the older one\n", "1.1"),
        ("-r more.in\nferry-tool==1.0 \\\n    --hash=sha256:00\n", "1.0"),
        ("ferry-tool>=3.0rc0\n", "3.0rc1"),
        ('ferry-tool<2\nferry-tool!=1.1; python_version >= "3"\n', "1.0"),
    ],
)
def test_the_highest_version_that_fits_is_taken(shop: Shop, requirements: str, version: str) -> None:
    for each in ("1.0", "1.1", "2.0", "3.0rc1"):
        shop.sdist(version=each)
    shop.offer()
    ((built, _),) = shop.build(requirements)
    assert built.sdist == f"ferry-tool-{version}.tar.gz"


def test_a_package_with_a_wheel_is_left_to_the_resolver(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.sdist()
    make_wheel(shop.stock, "ferry-tool", "1.0")
    shop.offer()
    assert shop.build() == ()
    assert "ferry-tool 1.0 has a wheel" in capsys.readouterr().err


def test_a_wheel_for_another_machine_is_no_wheel(shop: Shop) -> None:
    shop.sdist()
    make_wheel(shop.stock, "ferry-tool", "1.0", tag="cp311-cp311-win_amd64")
    shop.offer()
    assert len(shop.build()) == 1


def test_what_the_backend_asks_for_further_is_installed_and_recorded(shop: Shop) -> None:
    make_wheel(shop.stock, "ferryextra", "3.1", files={"ferryextra.py": "text = b'from extra'\n"})
    hook = "import ferryextra; files['extra.txt'] = ferryextra.text"
    shop.sdist(files={"ferry_hook.py": hook, "further.txt": "ferryextra>=3"})
    shop.offer()
    ((built, path),) = shop.build()
    assert [wheel.name for wheel in built.requires] == ["ferrybackend", "ferryextra"]
    with zipfile.ZipFile(path) as wheel:
        assert wheel.read("extra.txt") == b"from extra"


@pytest.mark.parametrize(
    ("asked", "version"), [("setuptools", "80.0"), ("setuptools>=61", "80.0"), ("setuptools>=82", "82.0")]
)
def test_setuptools_stays_below_the_bound_of_the_table(shop: Shop, asked: str, version: str) -> None:
    for each in ("70.0", "80.0", "82.0"):
        make_wheel(shop.stock, "setuptools", each)
    pyproject = f'[build-system]\nrequires = ["ferrybackend", "{asked}"]\nbuild-backend = "ferrybackend"\n'
    shop.sdist(files={"pyproject.toml": pyproject})
    shop.offer()
    ((built, _),) = shop.build()
    assert {wheel.name: wheel.version for wheel in built.requires}["setuptools"] == version


def test_a_backend_in_the_source_needs_no_tools(shop: Shop) -> None:
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["backend"]\n'
    backend = "from zipfile import ZipFile\n\n\ndef build_wheel(folder, *words):\n"
    backend += "    name = 'ferry_tool-1.0-py3-none-any.whl'\n"
    backend += "    with ZipFile(folder + '/' + name, 'w') as wheel:\n"
    backend += "        wheel.writestr('ferry_tool-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0')\n    return name\n"
    shop.sdist(files={"pyproject.toml": pyproject, "backend/own.py": backend})
    shop.offer()
    ((built, path),) = shop.build()
    assert built.requires == () and path.name == "ferry_tool-1.0-py3-none-any.whl"


# What is refused


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("files['ferry/_c.cpython-311-x86_64-linux-gnu.so'] = b''", "_c.cpython-311-x86_64-linux-gnu.so"),
        ("files['ferry/libx.so.1.2'] = b''", "libx.so.1.2"),
        ("files['ferry/_c.pyd'] = b''", "_c.pyd"),
        ("files['ferry/program'] = b'\\x7fELF...'", "ferry/program"),
    ],
)
def test_compiled_code_is_refused_by_name(shop: Shop, hook: str, said: str) -> None:
    message = refused(LockError, shop, hook)
    assert message.startswith("ferry-tool: it compiles: ") and said in message
    assert not list(shop.layout.wheels.rglob("ferry_tool*.whl"))


def test_a_wheel_for_one_platform_is_refused(shop: Shop) -> None:
    assert "cp311-cp311-linux_x86_64" in refused(LockError, shop, "tag = 'cp311-cp311-linux_x86_64'")


def test_a_wheel_of_another_version_is_refused(shop: Shop) -> None:
    message = refused(LockError, shop, "name = 'ferry_tool-1.0.1-py3-none-any.whl'")
    assert "says 1.0" in message and "ferry_tool-1.0.1" in message


def test_a_build_has_no_network(shop: Shop) -> None:
    if not wheelbuild.no_network():
        pytest.skip("this machine lets nobody make an empty network namespace")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        message = refused(LockError, shop, f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "it asks for the network, which a build does not have" in message


def test_a_machine_without_namespaces_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wheelbuild.no_network() == ()
    assert "settings alone" in capsys.readouterr().err


def test_nothing_of_a_persons_environment_comes_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-march=native")
    monkeypatch.setenv("PYTHONPATH", str(shop.stock))
    ((_, path),) = shop.build_hook("import os; files['env.txt'] = '\\n'.join(os.environ).encode()")
    with zipfile.ZipFile(path) as wheel:
        seen = wheel.read("env.txt").decode("utf-8").split()
    assert "SOURCE_DATE_EPOCH" in seen
    assert not {"CFLAGS", "PYTHONPATH"} & set(seen)


def test_a_build_that_fails_shows_its_last_lines(shop: Shop) -> None:
    message = refused(LockError, shop, "raise SystemExit('cannot find the tables')")
    assert "ferry-tool: its source distribution cannot be built with ferrybackend 1.0" in message
    assert message.endswith("  cannot find the tables")


def test_a_backend_that_writes_no_wheel_is_refused(shop: Shop) -> None:
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
    shop.sdist(files={"pyproject.toml": pyproject, "own.py": "def build_wheel(*words):\n    return 'gone.whl'\n"})
    shop.offer()
    with pytest.raises(LockError, match=r"own promised gone\.whl and did not write it"):
        shop.build()


def test_a_further_requirement_that_is_none_is_refused(shop: Shop) -> None:
    shop.sdist(files={"further.txt": "!!"})
    shop.offer()
    with pytest.raises(LockError, match="asks for what is no requirement"):
        shop.build()


def test_a_missing_backend_is_named(shop: Shop) -> None:
    shop.sdist(files={"pyproject.toml": '[build-system]\nrequires = ["ferrybackend"]\nbuild-backend = "nowhere"\n'})
    shop.offer()
    with pytest.raises(LockError, match="nowhere"):
        shop.build()


@pytest.mark.parametrize(
    "text", ["[build-system\n", "[build-system]\nbuild-backend = 'x'\n", "[build-system]\nrequires = ['no such!']\n"]
)
def test_a_pyproject_that_makes_no_sense_is_refused(shop: Shop, text: str) -> None:
    shop.sdist(files={"pyproject.toml": text})
    shop.offer()
    with pytest.raises(LockError, match=r"ferry-tool: its pyproject\.toml cannot be understood"):
        shop.build()


def test_tools_that_nobody_has_are_named(shop: Shop) -> None:
    shop.sdist(files={"pyproject.toml": ""})
    shop.offer()
    with pytest.raises(LockError, match="setuptools"):
        shop.build()


def test_a_package_that_nobody_has_is_named(shop: Shop) -> None:
    shop.offer()
    with pytest.raises(LockError, match="ferry-tool, allowed under sdists"):
        shop.build()


def test_a_version_that_nobody_has_is_named(shop: Shop) -> None:
    shop.sdist()
    shop.offer()
    with pytest.raises(LockError, match="ferry-tool>=7"):
        shop.build("ferry-tool>=7")


def test_an_index_that_promises_nothing_is_refused(shop: Shop) -> None:
    shop.sdist()
    shop.offer(hashes=False)
    with pytest.raises(IntegrityError, match=r"ferry-tool-1\.0\.tar\.gz.*gives no SHA-256"):
        shop.build()


# Over the network


def test_an_index_is_asked_over_http(shop: Shop, served: Sources) -> None:
    source = shop.sdist()
    shop.offer()
    ((built, _),) = shop.build(sources=served)
    assert built.sdist_size == source.stat().st_size
    assert files.sha256(shop.layout.sdists_folder / source.name) == built.sdist_sha256


def test_other_bytes_than_promised_are_refused(shop: Shop, served: Sources) -> None:
    name = shop.sdist().name
    shop.offer()
    place = shop.index / "ferry-tool" / name
    place.write_bytes(place.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError, match="ferry-tool"):
        shop.build(sources=served)
    assert not (shop.layout.sdists_folder / name).exists()


def test_an_index_that_is_not_there_is_named(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match="ferry-tool"):
        shop.build(sources=Sources(default_index=f"http://127.0.0.1:{port}/"))


# Restore


def test_a_fresh_clone_makes_the_wheel_again(shop: Shop) -> None:
    shop.sdist()
    shop.offer()
    ((built, path),) = shop.build()
    lock, before = lock_of(built, path), path.read_bytes()
    files.remove_tree(shop.layout.wheels)
    sdist.restore(lock, variant(), shop.layout, shop.sources)
    assert (shop.layout.wheel_folder(variant()) / path.name).read_bytes() == before


def test_a_damaged_wheel_is_made_again(shop: Shop) -> None:
    shop.sdist()
    shop.offer()
    ((built, path),) = shop.build()
    lock, before = lock_of(built, path), path.read_bytes()
    target = shop.layout.wheel_folder(variant()) / path.name
    target.write_bytes(b"damaged")  # and with it the other name of the same file
    sdist.restore(lock, variant(), shop.layout, shop.sources)
    assert target.read_bytes() == before


def test_a_wheel_that_is_there_is_left_alone(shop: Shop) -> None:
    shop.sdist()
    shop.offer()
    ((built, path),) = shop.build()
    nowhere = Sources(default_index=(shop.root / "nothing").as_uri())
    sdist.restore(lock_of(built, path), variant(), shop.layout, nowhere)


def test_another_machines_bytes_are_refused(shop: Shop) -> None:
    shop.sdist()
    shop.offer()
    ((built, path),) = shop.build()
    lock = lock_of(built, path)
    lock = replace(lock, wheels=(replace(lock.wheels[0], sha256="0" * 64),))
    with pytest.raises(LockError, match="this machine builds other bytes") as error:
        sdist.restore(lock, variant(), shop.layout, shop.sources)
    assert "inv lock --upgrade --service web --variant any" in error.value.cure


def test_a_source_that_the_resolver_did_not_take_is_not_built(shop: Shop) -> None:
    shop.sdist()
    shop.offer()
    ((built, path),) = shop.build()
    lock = lock_of(built, path, version="9.0")
    files.remove_tree(shop.layout.wheels)
    sdist.restore(lock, variant(), shop.layout, shop.sources)
    assert not shop.layout.wheels.exists()


# Archives


def _tar(place: Path, *entries: tarfile.TarInfo) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    return place


def _entry(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        _entry("../outside"),
        _entry("tool-1.0/../../outside"),
        _entry("tool-1.0/link", kind=tarfile.SYMTYPE, link="../../outside"),
        _entry("tool-1.0/link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        _entry("tool-1.0/link", kind=tarfile.LNKTYPE, link="../outside"),
        _entry("tool-1.0/device", kind=tarfile.CHRTYPE),
        _entry("tool-1.0/pipe", kind=tarfile.FIFOTYPE),
    ],
    ids=lambda entry: f"{entry.name}-{entry.type.decode()}-{entry.linkname}",
)
def test_a_tar_that_leaves_its_folder_is_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    archive = _tar(tmp_path / "tool-1.0.tar.gz", _entry("tool-1.0/setup.py"), entry)
    with pytest.raises(IntegrityError, match=r"tool-1\.0\.tar\.gz: cannot be unpacked safely"):
        wheelbuild.unpack(archive, tmp_path / "a" / "b")
    assert not (tmp_path / "a" / "outside").exists()


def test_a_zip_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tool-1.0.zip", "w") as archive:
        archive.writestr("tool-1.0/setup.py", "")
        archive.writestr("tool-1.0/../../outside", "")
    with pytest.raises(IntegrityError, match="outside"):
        wheelbuild.unpack(tmp_path / "tool-1.0.zip", tmp_path / "a" / "b")


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tool-1.0.zip", "w") as archive:
        archive.writestr("tool-1.0/setup.py", "pass")
    top = wheelbuild.unpack(tmp_path / "tool-1.0.zip", tmp_path / "there")
    assert (top / "setup.py").read_text() == "pass"


def test_two_top_folders_and_cut_archives_are_refused(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "tool-1.0.tar.gz", _entry("tool-1.0/setup.py"), _entry("other/setup.py"))
    with pytest.raises(IntegrityError, match="2 top folders"):
        wheelbuild.unpack(archive, tmp_path / "one")
    archive.write_bytes(archive.read_bytes()[:30])
    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        wheelbuild.unpack(archive, tmp_path / "two")


# The real setuptools


@pytest.fixture(scope="module")
def setuptools_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed setuptools as a wheel again; it must be one without pkg_resources."""
    try:
        found = importlib.metadata.distribution("setuptools")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no setuptools is installed beside these tests")
    if Version(found.version) < Version("82"):
        pytest.skip(f"setuptools {found.version} still has pkg_resources")
    entries = {
        path.as_posix(): Path(str(path.locate())).read_bytes() for path in found.files or ()
        if path.parts[0] in ("setuptools", "_distutils_hack") and path.suffix != ".pyc"
    }
    points = found.read_text("entry_points.txt") or ""
    info = f"setuptools-{found.version}.dist-info/entry_points.txt"
    return make_wheel(tmp_path_factory.mktemp("real"), "setuptools", found.version, files={**entries, info: points})


def _setuptools_shop(shop: Shop, wheel: Path, setup: str) -> None:
    (shop.stock / wheel.name).write_bytes(wheel.read_bytes())
    pyproject = '[build-system]\nrequires = ["setuptools>=82"]\n'
    shop.sdist(files={"pyproject.toml": pyproject, "setup.py": setup})
    shop.offer()


def test_a_setup_py_is_built_by_the_real_setuptools(shop: Shop, setuptools_wheel: Path) -> None:
    setup = "from setuptools import setup\nsetup(name='ferry-tool', version='1.0', py_modules=['ferry_tool'])\n"
    _setuptools_shop(shop, setuptools_wheel, setup)
    ((built, path),) = shop.build()
    assert [wheel.name for wheel in built.requires] == ["setuptools"]
    with zipfile.ZipFile(path) as wheel:
        assert wheel.read("ferry_tool.py") == b"version = '1.0'\n"


def test_a_missing_pkg_resources_is_explained(shop: Shop, setuptools_wheel: Path) -> None:
    _setuptools_shop(shop, setuptools_wheel, "import pkg_resources\n")
    with pytest.raises(LockError, match="needs pkg_resources, which setuptools 82 removed") as error:
        shop.build()
    assert f"setuptools {setuptools_wheel.name.split('-')[1]}" in error.value.message
