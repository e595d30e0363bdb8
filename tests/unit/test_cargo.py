"""What goes along: which files of a release folder a wish asks for, and which folders are no release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.release import ReleaseFolder, make_release

from torchferry import cargo
from torchferry.cargo import Cargo, Wish
from torchferry.errors import ConfigError, IntegrityError, ShipError

MODEL = "models/whisper-1/한 글 'quoted'.bin"


def read(release: ReleaseFolder) -> Cargo:
    return cargo.read(release.folder, known=lambda *_: False)


def sent(release: ReleaseFolder, **wish: object) -> list[str]:
    return [item.name for item in cargo.chosen(read(release), Wish(**wish))]  # type: ignore[arg-type]


@pytest.fixture
def release(tmp_path: Path) -> ReleaseFolder:
    return make_release(tmp_path, others={MODEL: b"weights", "sbom/engine.cdx.json": b"{}"})


def test_a_model_may_have_hidden_files(tmp_path: Path) -> None:
    name = "models/whisper-1/.gitattributes"
    assert name in sent(make_release(tmp_path, others={name: b"*"}))


COMMON = ["ferry.sh", "manifest.json", MODEL, "sbom/engine.cdx.json"]


def test_everything_goes_archives_late_and_the_sums_last(release: ReleaseFolder) -> None:
    (release.folder / "SHA256SUMS.sig").write_text("signature")
    names = sent(release)
    assert names[:4] == COMMON
    assert names[-2:] == ["SHA256SUMS.sig", "SHA256SUMS"]
    assert len(names) == 4 + 2 * 6 + 2
    assert read(release).signed


def test_a_variant_takes_services_without_variants_along(release: ReleaseFolder) -> None:
    assert sent(release, variants=("cu121",)) == [
        *COMMON, "engine-1.0.0-cu121.tar.gz", "load/engine-1.0.0-cu121.tar.gz.head", "load/page-1.0.0-any.tar.gz.head",
        "page-1.0.0-any.tar.gz", "SHA256SUMS",
    ]


def test_a_service_comes_with_all_its_variants_and_no_other_service(release: ReleaseFolder) -> None:
    assert sent(release, services=("page",)) == [
        *COMMON, "load/page-1.0.0-any.tar.gz.head", "page-1.0.0-any.tar.gz", "SHA256SUMS",
    ]
    assert len(sent(release, services=("engine",))) == len(COMMON) + 2 * 5 + 1


def test_a_platform_leaves_out_the_archives_of_others(release: ReleaseFolder) -> None:
    assert [name for name in sent(release, variants=("cpu",)) if name.startswith("engine")] == [
        "engine-1.0.0-cpu-arm64.tar.gz", "engine-1.0.0-cpu.tar.gz",
    ]
    assert [name for name in sent(release, variants=("cpu",), platform="linux/arm64") if ".tar" in name] == [
        "engine-1.0.0-cpu-arm64.tar.gz", "load/engine-1.0.0-cpu-arm64.tar.gz.head",
    ]


def test_the_parts_of_an_archive_go_together(tmp_path: Path) -> None:
    release = make_release(tmp_path, parts=3)
    assert [name for name in sent(release, variants=("cu118",)) if name.startswith("engine")] == [
        f"engine-1.0.0-cu118.tar.gz.part00{number}" for number in (1, 2, 3)
    ]
    release.archive("engine", "cu118").with_name("engine-1.0.0-cu118.tar.gz.part002").unlink()
    with pytest.raises(IntegrityError, match="part002 is missing"):
        read(release)


def test_an_archive_without_the_head_of_its_load_is_damage(release: ReleaseFolder) -> None:
    (release.folder / "load/engine-1.0.0-cu121.tar.gz.head").unlink()
    with pytest.raises(IntegrityError, match=r"load/engine-1\.0\.0-cu121\.tar\.gz\.head is missing"):
        read(release)


def test_the_variants_of_what_is_sent_are_named(release: ReleaseFolder) -> None:
    made = read(release)
    assert cargo.variants(made, cargo.chosen(made, Wish(variants=("cu121",)))) == ("any", "cu121")


@pytest.mark.parametrize(("wish", "hint"), [
    (Wish(variants=("cu112",)), "did you mean cu1"), (Wish(services=("pages",)), "did you mean page"),
    (Wish(variants=("cu121",), services=("engine",), platform="linux/arm64"), "no image"),
])
def test_what_the_release_does_not_have_is_told(release: ReleaseFolder, wish: Wish, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        cargo.chosen(read(release), wish)


# What came only in part


def test_an_archive_that_did_not_come_this_far_is_no_damage(release: ReleaseFolder) -> None:
    release.archive("engine", "cu118").unlink()
    assert "engine-1.0.0-cu118.tar.gz" not in sent(release)
    assert "engine-1.0.0-cu121.tar.gz" in sent(release)
    with pytest.raises(ShipError, match=r"engine-1\.0\.0-cu118\.tar\.gz did not come this far"):
        sent(release, variants=("cu118",))


def test_no_archive_at_all_is_nothing_to_ship(release: ReleaseFolder) -> None:
    for path in release.folder.glob("*.tar.gz"):
        path.unlink()
    with pytest.raises(ShipError, match="did not come this far"):
        sent(release)


# Damage: all of it told at once


def test_every_wrong_file_is_named(release: ReleaseFolder) -> None:
    (release.folder / MODEL).write_bytes(b"Weights")
    (release.folder / "sbom/engine.cdx.json").unlink()
    with pytest.raises(IntegrityError) as caught:
        read(release)
    assert f"{MODEL} has other bytes" in caught.value.message
    assert "sbom/engine.cdx.json is missing" in caught.value.message


def test_what_is_known_is_not_read_again(release: ReleaseFolder) -> None:
    heard: list[int] = []
    made = cargo.read(release.folder, known=lambda path, _: path.name.endswith(".gz"), passed=heard.append)
    small = sum(item.size for item in made.items if not item.name.endswith(".gz"))
    assert sum(heard) == small


@pytest.mark.parametrize("line", [
    "../outside", "/etc/passwd", "a/../../outside", "./manifest.json", "a//b", "a\\b", "SHA256SUMS", "SHA256SUMS.sig",
    ".x.partial", "models/.x.partial.host.1", "tab\there", "",
])
def test_a_name_that_leaves_the_folder_or_is_ours_is_refused(release: ReleaseFolder, line: str) -> None:
    sums = release.folder / "SHA256SUMS"
    sums.write_text(sums.read_text(encoding="utf-8") + f"{'0' * 64}  {line}\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match="no hash of a file of this folder"):
        read(release)


def test_a_link_that_leaves_the_folder_is_refused(release: ReleaseFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (release.folder / "note.txt").symlink_to(secret)
    release.close()
    with pytest.raises(IntegrityError, match="note"):
        read(release)


def test_two_hashes_of_one_name_are_refused(release: ReleaseFolder) -> None:
    sums = release.folder / "SHA256SUMS"
    sums.write_text(sums.read_text(encoding="utf-8") + f"{'0' * 64}  ferry.sh\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"ferry\.sh"):
        read(release)


def test_a_folder_without_sums_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no release folder"):
        cargo.read(tmp_path, known=lambda *_: False)


@pytest.mark.parametrize("said", [
    {"release": "../up", "version": "1"}, {"release": "tiny", "version": "1/2"}, {"version": "1"} | {"release": ""},
])
def test_a_release_whose_name_could_leave_the_folder_is_refused(release: ReleaseFolder, said: dict[str, str]) -> None:
    place = release.folder / "manifest.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | said))
    release.close()
    with pytest.raises(IntegrityError, match="no name of a release"):
        read(release)


def test_sums_without_the_manifest_are_refused(release: ReleaseFolder) -> None:
    sums = release.folder / "SHA256SUMS"
    lines = sums.read_text(encoding="utf-8").splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if "manifest" not in line), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"manifest\.json is not listed"):
        read(release)
