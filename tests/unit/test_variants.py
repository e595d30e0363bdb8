"""What a variants.yaml means, and how each slip in one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.variants_text import FULL, ROOT, parsed, problems, replaced, without

from torchferry.errors import ConfigError
from torchferry.model import Base, Release
from torchferry.running import Health, Mount
from torchferry.variants import load, parse

SHIPPED = Path(__file__).parents[2] / "variants.yaml"


def test_every_key_arrives_in_its_noun() -> None:
    project = parsed(json.dumps(FULL))
    gpu, cpu, web = project.variants
    service = gpu.service
    assert (project.root, project.release) == (ROOT, Release(name="stt", version="1.0.0", sequence=1_000_000))
    labels = [variant.label for variant in project.variants]
    assert labels == ["engine-cu121-arm64", "engine-cpu-arm64", "web-any-arm64"]
    assert (gpu.python, gpu.torch, gpu.architecture, gpu.compression) == ("3.11", "2.1.2", "aarch64", "small")
    assert (gpu.index, cpu.index) == ("https://download.pytorch.org/whl/cu121", None)
    assert (service.source, service.requirements) == ("app", "app/requirements.in")
    assert (service.command, service.port) == (("python", "-m", "engine"), 8003)
    assert service.health == Health(path="/health", expect={"status": "ok"}, within=120)
    assert service.mounts == (Mount(point="/app/models", folder="models"),)
    assert (service.include, service.sdists) == (("assets/words.txt",), ("openai-whisper",))
    assert service.smoke == (("python", "-c", "import engine"),)
    assert (service.base, web.service.base) == (
        Base(debian="bookworm", packages=("libsndfile1",)), Base(image="python:3.11-slim-bookworm"),
    )
    assert (web.name, web.torch, web.service.port, web.service.health) == ("any", None, None, None)


def test_a_row_adds_to_the_environment_of_its_service_and_wins() -> None:
    gpu, cpu, web = parsed(json.dumps(FULL)).variants
    assert gpu.env == {"DEVICE": "auto", "WORKERS": "2"}
    assert cpu.env == {"DEVICE": "cpu", "WORKERS": "2"}
    assert cpu.service.env == gpu.env
    assert web.env == {}


def test_what_is_left_out_has_the_usual_values() -> None:
    text = """
release: {name: r, version: 1.0.0}
python: "3.11"
services:
  web:
    source: ./web/
    requirements: web/requirements.in
    command: [python, -m, web]
    base: {debian: bookworm}
    port: 80
    health: {path: /}
"""
    (variant,) = parsed(text).variants
    assert (variant.platform, variant.compression) == ("linux/amd64", "fast")
    assert variant.service.health == Health(path="/", expect={}, within=60)
    assert variant.service.source == "web"


def test_the_shipped_file_has_four_variants() -> None:
    project = parse(SHIPPED.read_text("utf-8"), file="variants.yaml", root=ROOT, exists=bool)
    assert [(variant.label, variant.torch, variant.cuda) for variant in project.variants] == [
        ("stt-engine-cu118", "2.1.2", "11.8"),
        ("stt-engine-cu121", "2.1.2", "12.1"),
        ("stt-engine-cu124", "2.6.0", "12.4"),
        ("stt-engine-cpu", "2.1.2", None),
    ]
    assert [variant.env["STT_DEVICE"] for variant in project.variants] == ["auto", "auto", "auto", "cpu"]


@pytest.mark.parametrize(("spelled", "value"), [
    ("ok", "ok"), ("'yes'", "yes"), ("true", True), ("false", False), ("null", None), ("-3", -3), ("0.5", 0.5),
    ("''", ""), ("'3'", "3"),
])
def test_health_expects_json_scalars(spelled: str, value: object) -> None:
    text = replaced(("services", "engine", "health", "expect"), {"field": 0})
    health = parsed(text.replace('"field": 0', f'"field": {spelled}')).variants[0].service.health
    assert health is not None
    found = health.expect["field"]
    assert (type(found), found) == (type(value), value)


def test_all_problems_are_told_at_once_with_line_field_and_cure() -> None:
    told = problems("""\
release: {name: stt, version: 1.10}
python: 3.10
compresion: fast
base: {debian: bookworm}
services:
  engine:
    source: app
    requirments: app/requirements.in
    command: [python, -m, engine]
    env: {DEBUG: no}
    variants:
      cuda121: {torch: 2.1.2}
      cpu: {torch: 2.1}
""")
    assert told == [
        "variants.yaml:1: release.version: 1.10 is read as a number, expected a version such as 1.0.0;"
        " write '1.10' in quotes",
        "variants.yaml:2: python: 3.10 is read as a number, expected a Python such as \"3.11\"; write '3.10' in quotes",
        "variants.yaml:3: compresion: unknown key, expected one of release, python, services, base, compression,"
        " platforms, engine, models, split, did you mean compression; correct its spelling or remove it",
        "variants.yaml:6: services.engine.requirements: is missing;"
        " add it, such as requirements: app/requirements.in",
        "variants.yaml:8: services.engine.requirments: unknown key, expected one of source, requirements, command,"
        " port, health, env, mounts, base, include, sdists, smoke, variants, cuda_libraries,"
        " prove, before_update, did you mean"
        " requirements;"
        " correct its spelling or remove it",
        "variants.yaml:10: services.engine.env.DEBUG: no is read as false, expected a text; write 'no' in quotes",
        "variants.yaml:12: services.engine.variants.cuda121: 'cuda121' is not a variant, expected cpu, or cu and three"
        " digits like cu121, did you mean cu121; rename the row",
        "variants.yaml:13: services.engine.variants.cpu.torch: 2.1 is read as a number,"
        " expected an exact version such as 2.1.2; write '2.1' in quotes",
    ]


@pytest.mark.parametrize("missing", [
    ("release",), ("release", "name"), ("release", "version"), ("python",), ("services",),
    ("services", "web", "source"), ("services", "web", "requirements"), ("services", "web", "command"),
    ("services", "engine", "health", "path"),
    ("services", "engine", "variants", "cu121", "torch"), ("services", "engine", "variants", "cpu", "torch"),
])
def test_what_is_required_is_missed_by_name(missing: tuple[str, ...]) -> None:
    (told,) = problems(without(*missing))
    assert told.startswith(f"variants.yaml:1: {'.'.join(missing)}: is missing; add it, such as ")


@pytest.mark.parametrize(("name", "meant"), [
    ("cuda121", "cu121"), ("cu12.1", "cu121"), ("CU121", "cu121"), ("12.1", "cu121"), ("121", "cu121"),
    ("CPU", "cpu"), ("cu12", None), ("gpu", None), ("any", None), ("cu1210", None), ("cu021", None),
])
def test_a_wrong_variant_name_says_which_was_meant(name: str, meant: str | None) -> None:
    text = json.dumps(FULL).replace('"cu121":', f"{name} :")
    (told,) = problems(text)
    assert f"'{name}' is not a variant" in told
    assert (f"did you mean {meant};" in told) if meant else ("did you mean" not in told)


WRONG: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("release", "name"), "Stt", "is not a name"),
    (("release", "name"), "a..b", "is not a name"),
    (("release", "name"), "x" * 64, "is not a name"),
    (("release", "version"), "1.0+local", "is not a version"),
    (("release", "version"), "latest", "is not a version"),
    (("release", "version"), 1, "is read as a number"),
    (("python",), "3.11.4", 'is not a Python such as "3.11"'),
    (("python",), "2.7", "is not a Python"),
    (("python",), 3.10, "is read as a number"),
    (("compression",), "smal", "did you mean small"),
    (("platforms",), ["windows/amd64"], "expected linux/amd64 or linux/arm64"),
    (("base",), {}, "has neither debian nor image"),
    (("base",), {"debian": "bookworm", "image": "python"}, "has both debian and image"),
    (("base",), {"image": "python", "packages": ["x11"]}, "goes with debian only"),
    (("base", "packages"), ["libsndfile1; rm"], "is not a Debian package"),
    (("base", "packages"), "libsndfile1", "expected a list of Debian packages"),
    (("services",), {}, "has no entry, expected a mapping of services"),
    (("services",), [], "is a list, expected a mapping of services"),
    (("services", "engine", "port"), 0, "from 1 to 65535"),
    (("services", "engine", "port"), 65536, "from 1 to 65535"),
    (("services", "engine", "port"), True, "from 1 to 65535"),
    (("services", "engine", "port"), "8003", "without quotes"),
    (("services", "engine", "command"), "python -m engine", "write it as a list"),
    (("services", "engine", "command"), [], "names no program"),
    (("services", "engine", "command"), [""], "is an empty text"),
    (("services", "engine", "command"), ["python", True], "is read as true"),
    (("services", "engine", "smoke"), [[]], "names no program"),
    (("services", "engine", "smoke"), ["python"], "write it as a list"),
    (("services", "engine", "health", "path"), "health", "begins with /"),
    (("services", "engine", "health", "within"), "60", "write 60s"),
    (("services", "engine", "health", "within"), 60, "write 60s"),
    (("services", "engine", "health", "within"), "0s", "is not a time"),
    (("services", "engine", "health", "within"), "61m", "at most 60m"),
    (("services", "engine", "health", "expect"), {"a": []}, "expected one JSON value"),
    (("services", "engine", "env"), {"9A": "x"}, "cannot name an environment variable"),
    (("services", "engine", "env"), {"A": None}, "has no value"),
    (("services", "engine", "env"), {"A": 1.5}, "write '1.5' in quotes"),
    (("services", "engine", "env"), {"A": ["x"]}, "is a list, expected a text"),
    (("services", "engine", "env"), ["A=1"], "is a list, expected a mapping"),
    (("services", "engine", "mounts"), {"/": "x"}, "is not an absolute path"),
    (("services", "engine", "mounts"), {"/app": "x"}, "would cover the service"),
    (("services", "engine", "mounts"), {"/opt": "x"}, "would cover the service"),
    (("services", "engine", "mounts"), {"/opt/venv/lib": "x"}, "would cover the service"),
    (("services", "engine", "mounts"), {"/app/../etc": "x"}, "is not an absolute path"),
    (("services", "engine", "mounts"), {"/usr": "x"}, "belongs to the system"),
    (("services", "engine", "mounts"), {"/proc/self": "x"}, "belongs to the system"),
    (("services", "engine", "mounts"), {"models": "x"}, "is not an absolute path"),
    (("services", "engine", "mounts"), {"/m": "/srv/models"}, "leaves the project"),
    (("services", "engine", "mounts"), {"/m": "x", "/m/": "y"}, "is mounted twice"),
    (("services", "engine", "sdists"), ["a b"], "is not a package name"),
    (("services", "engine", "sdists"), ["whisper==1"], "is not a package name"),
    (("services", "engine", "source"), ".", "is the whole project"),
    (("services", "engine", "source"), "..", "leaves the project"),
    (("services", "engine", "source"), "app/../../x", "leaves the project"),
    (("services", "engine", "include"), ["/etc/passwd"], "leaves the project"),
    (("services", "engine", "include"), ["~/x"], "leaves the project"),
    (("services", "engine", "requirements"), "-r.txt", "is not a relative path"),
    (("services", "engine", "requirements"), "a b.in", "is not a relative path"),
    (("services", "engine", "variants"), {}, "has no entry"),
    (("services", "engine", "variants", "cu121"), None, "has no value"),
    (("services", "engine", "variants", "cu121", "torch"), "2.1.*", "is not an exact version"),
    (("services", "engine", "variants", "cu121", "torch"), "==2.1.2", "write torch: 2.1.2"),
    (("services", "engine", "variants", "cu121", "torch"), "2.1.2+cu121", "write torch: 2.1.2; the row's name"),
    (("services", "engine", "variants", "cu121", "torch"), "latest", "is not an exact version"),
    (("services", "engine", "variants", "cu121", "index"), "ftp://host/whl", "is not a URL"),
    (("services", "engine", "variants", "cu121", "index"), "https://", "is not a URL"),
    (("services", "engine", "variants", "cu121", "index"), "http://[1/", "is not a URL"),
    (("services", "engine", "variants", "cu121", "index"), "http://h:99999/", "is not a URL"),
    (("services", "engine", "variants", "cu121", "index"), "file://wheels", "is not a URL"),
    (("services", "engine", "variants", "cu121", "cuda"), "12.1", "unknown key"),
    (("services", "engine", "cuda_libraries"), "onpath", "did you mean on_path"),
    (("services", "engine", "variants", "cu121", "cuda_libraries"), True, "expected by_rpath or on_path"),
    (("services", "web", "base", "image"), "Python:3.11", "is not an image"),
    (("services", "web", "base", "image"), "python:3.11@sha256:12", "is not an image"),
]


@pytest.mark.parametrize(
    ("path", "value", "said"), WRONG, ids=[f"{'.'.join(map(str, row[0]))}-{row[1]}" for row in WRONG],
)
def test_a_wrong_value_is_told_once_with_its_field(path: tuple[str | int, ...], value: object, said: str) -> None:
    told = problems(replaced(path, value))
    assert len(told) == 1, told
    assert told[0].startswith(f"variants.yaml:1: {'.'.join(map(str, path))}")
    assert said in told[0]
    assert "; " in told[0]


def test_a_row_says_for_itself_who_finds_cuda_libraries() -> None:
    text = replaced(("services", "engine", "cuda_libraries"), "on_path")
    assert [one.cuda_libraries for one in parsed(text).variants] == ["on_path", "on_path", "by_rpath"]
    row = replaced(("services", "engine", "variants", "cu121", "cuda_libraries"), "on_path")
    assert [one.cuda_libraries for one in parsed(row).variants] == ["on_path", "by_rpath", "by_rpath"]
    both = text.replace('"cpu": {', '"cpu": {"cuda_libraries": "by_rpath", ')
    assert [one.cuda_libraries for one in parsed(both).variants] == ["on_path", "by_rpath", "by_rpath"]


def test_one_library_path_is_enough() -> None:
    text = replaced(("services", "engine", "cuda_libraries"), "on_path")
    told = problems(text.replace('"DEVICE": "auto"', '"LD_LIBRARY_PATH": "/x"'))
    assert [one.partition(": ")[2] for one in told] == [
        f"services.engine.variants.{row}.cuda_libraries: on_path sets LD_LIBRARY_PATH, and so does env;"
        " remove one of the two" for row in ("cu121", "cpu")]


@pytest.mark.parametrize("image", [
    "python", "python:3.11-slim", "registry.example:5000/a/b_c:1", "localhost/x", "localhost:5000/x",
    "host.example/team/img@sha256:" + "0" * 64, "img:1@sha256:" + "f" * 64,
])
def test_image_references(image: str) -> None:
    assert parsed(replaced(("base",), {"image": image})).variants[0].service.base == Base(image=image)


@pytest.mark.parametrize("index", [
    "http://127.0.0.1:8080/whl/cu121/", "file:///srv/wheels", "https://[::1]:8443/whl", "https://user:word@host/x",
])
def test_index_urls(index: str) -> None:
    text = replaced(("services", "engine", "variants", "cu121", "index"), index)
    assert parsed(text).variants[0].index == index


def test_health_needs_a_port() -> None:
    (told,) = problems(without("services", "engine", "port"))
    assert "services.engine.health: needs the port" in told


def test_a_service_without_any_base_is_refused() -> None:
    (told,) = problems(without("base"))
    assert told.startswith("variants.yaml:1: services.engine.base: is missing")


def test_names_of_source_distributions_are_normalised() -> None:
    service = parsed(replaced(("services", "engine", "sdists"), ["OpenAI_Whisper"])).variants[0].service
    assert service.sdists == ("openai-whisper",)


def test_paths_are_asked_for_as_files_and_folders() -> None:
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return not path.startswith("web")

    with pytest.raises(ConfigError) as caught:
        parse(json.dumps(FULL), file="v", root=ROOT, exists=exists)
    assert asked == ["app/", "app/requirements.in", "assets/words.txt", "web/", "web/requirements.in"]
    assert [line.split(";")[0] for line in caught.value.message.splitlines()] == [
        "v:1: services.web.source: 'web' is not there, expected a folder beside the variants.yaml",
        "v:1: services.web.requirements: 'web/requirements.in' is not there, expected a file beside the variants.yaml",
    ]


class TestLoad:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        for service in ("app", "web"):
            (tmp_path / service).mkdir()
            (tmp_path / service / "requirements.in").touch()
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets" / "words.txt").touch()
        (tmp_path / "variants.yaml").write_text(json.dumps(FULL), encoding="utf-8")
        return tmp_path

    def test_the_folder_of_the_file_is_the_project(self, project: Path) -> None:
        assert load(project / "variants.yaml").root == project

    def test_a_relative_name_and_a_byte_order_mark(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (project / "variants.yaml").write_text(json.dumps(FULL), encoding="utf-8-sig")
        monkeypatch.chdir(project)
        assert load(Path("variants.yaml")).root == project

    def test_a_file_where_a_folder_belongs(self, project: Path) -> None:
        (project / "web" / "requirements.in").unlink()
        (project / "web").rmdir()
        (project / "web").touch()
        with pytest.raises(ConfigError, match=r"services\.web\.source: 'web' is not there, expected a folder"):
            load(project / "variants.yaml")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file") as caught:
            load(tmp_path / "variants.yaml")
        assert "--file" in caught.value.cure

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="directory"):
            load(tmp_path)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "variants.yaml").write_bytes(b"release:\n  name: caf\xe9\n")
        with pytest.raises(ConfigError, match=r"variants\.yaml:2: the byte 0xE9 is not UTF-8"):
            load(tmp_path / "variants.yaml")

    def test_a_name_too_long_for_the_disk(self, project: Path) -> None:
        text = replaced(("services", "web", "source"), "/".join(["x" * 200] * 5))
        (project / "variants.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match="is not there"):
            load(project / "variants.yaml")
