"""compose.yaml: the services of a manifest, each variant under its profile, the same bytes for the same release."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from torchferry import compose


def image(service: str, variant: str, platform: str = "linux/amd64") -> dict[str, Any]:
    ending = "" if platform == "linux/amd64" else "-arm64"
    return {
        "service": service, "variant": variant, "platform": platform, "image": f"{service}:1.0.0-{variant}{ending}",
        "needs": {"torch": None, "cuda": "12.1" if variant.startswith("cu") else None},
    }


def service(name: str, port: int | None, *mounts: tuple[str, str, bool]) -> dict[str, Any]:
    return {
        "name": name, "port": port, "user": 10001, "health": None, "prove": None, "before_update": None,
        "mounts": [{"point": point, "folder": folder, "read_only": read} for point, folder, read in mounts],
    }


def model(name: str, at: str, *services: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "at": at, "services": list(services), "files": []}


def release(**changes: Any) -> dict[str, Any]:
    usual = {
        "release": "stt", "version": "1.0.0", "sequence": 1_000_000,
        "services": [
            service("stt-engine", 8003, ("/app/words", "words", True), ("/app/logs", "logs", False)),
            service("page", None),
        ],
        "images": [image("page", "any"), image("stt-engine", "cpu"), image("stt-engine", "cu121")],
        "models": [model("whisper", "/app/models/whisper", "stt-engine")],
    }
    return {**usual, **changes}


def read(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compose.text(document))
    return found


def volumes(one: dict[str, Any]) -> list[tuple[str, str, bool, bool]]:
    return [
        (bind["source"], bind["target"], bind["read_only"], bind["bind"]["create_host_path"]) for bind in one["volumes"]
    ]


def test_each_variant_has_a_profile_and_a_service_without_variants_has_none() -> None:
    found = read(release())
    assert found["name"] == "stt"
    assert found["networks"] == {"default": {"name": "stt"}}
    assert {name: (one["image"], one.get("profiles")) for name, one in found["services"].items()} == {
        "stt-engine-cpu": ("stt-engine:1.0.0-cpu", ["cpu"]), "stt-engine-cu121": ("stt-engine:1.0.0-cu121", ["cu121"]),
        "page": ("page:1.0.0-any", None),
    }
    assert list(found["services"])[-1] == "page"  # services stand in the order in which they start


def test_a_gpu_is_asked_for_by_gpu_variants_alone() -> None:
    found = read(release())["services"]
    assert found["stt-engine-cu121"]["deploy"]["resources"]["reservations"]["devices"] == [
        {"count": "all", "capabilities": ["gpu"]},
    ]
    assert "deploy" not in found["stt-engine-cpu"]
    assert "deploy" not in found["page"]


def test_mounts_are_written_then_read_then_models() -> None:
    assert volumes(read(release())["services"]["stt-engine-cpu"]) == [
        ("${FERRY_DATA:-/data}/logs", "/app/logs", False, True),
        ("${FERRY_DATA:-/data}/words", "/app/words", True, False),
        ("${FERRY_MODELS:-./models}/whisper-1.0", "/app/models/whisper", True, False),
    ]
    assert "volumes" not in read(release())["services"]["page"]


@pytest.mark.parametrize(("point", "stays"), [
    ("/app/models", False), ("/app", False), ("/app/models/whisper", False), ("/app/models/whisper2", True),
    ("/app/mod", True), ("/app/models/x", True),
])
def test_a_mount_gives_way_to_a_model_in_it(point: str, stays: bool) -> None:
    found = read(release(services=[service("stt-engine", 8003, (point, "data", False)), service("page", None)]))
    targets = [target for _, target, _, _ in volumes(found["services"]["stt-engine-cpu"])]
    assert targets == [*([point] if stays else []), "/app/models/whisper"]


def test_a_model_is_mounted_where_it_is_asked_for() -> None:
    both = [model("a", "/app/models/a", "page"), model("b", "/app/models/b", "page", "stt-engine")]
    found = read(release(models=both))
    assert [target for _, target, _, _ in volumes(found["services"]["page"])] == ["/app/models/a", "/app/models/b"]
    assert volumes(found["services"]["stt-engine-cpu"])[-1][1] == "/app/models/b"


def test_what_every_service_has() -> None:
    for name, one in read(release())["services"].items():
        assert (one["init"], one["restart"], one["pull_policy"]) == (True, "unless-stopped", "never")
        assert one["logging"] == {"driver": "json-file", "options": {"max-size": "20m", "max-file": "3"}}
        assert one["networks"]["default"]["aliases"] == [one["labels"]["io.torchferry.service"]]
        assert one["labels"] == {
            "io.torchferry.release": "stt", "io.torchferry.version": "1.0.0", "io.torchferry.sequence": "1000000",
            "io.torchferry.service": "page" if name == "page" else "stt-engine",
            "io.torchferry.variant": one["image"].rpartition("-")[2],
        }
        assert one.get("ports") == (None if name == "page" else ["8003:8003"])


def test_where_there_are_two_platforms_each_image_is_asked_for() -> None:
    arm = "linux/arm64"
    found = read(release(images=[
        image("page", "any"), image("page", "any", arm), image("stt-engine", "cpu"), image("stt-engine", "cpu", arm),
        image("stt-engine", "cu121"),
    ]))
    assert {name: one["profiles"] for name, one in found["services"].items()} == {
        "stt-engine-cpu": ["cpu"], "stt-engine-cpu-arm64": ["cpu-arm64"], "stt-engine-cu121": ["cu121"],
        "page": ["amd64", "cpu", "cu121"], "page-arm64": ["arm64", "cpu-arm64"],
    }


def test_the_same_release_gives_the_same_text_without_aliases() -> None:
    document = release()
    text = compose.text(document)
    assert text == compose.text({**document, "images": document["images"][::-1]}) == compose.text(document)
    assert "&" not in text
    assert "*" not in text


@pytest.mark.parametrize(("images", "line"), [
    ([image("page", "any")], "docker compose up -d"),
    ([image("page", "any"), image("stt-engine", "cu121")], "docker compose --profile cu121 up -d"),
    ([image("page", "any"), image("stt-engine", "cpu"), image("stt-engine", "cu121"), image("stt-engine", "cu118")],
     "docker compose --profile cu118 up -d     # or --profile cpu, cu121; sh ferry.sh doctor tells which"),
])
def test_the_first_lines_say_how_to_start(images: list[dict[str, Any]], line: str) -> None:
    assert compose.text(release(images=images)).splitlines()[1] == f"#   {line}"
