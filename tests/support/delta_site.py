"""A whole release of the stand-in project and deltas of it, one on the other; and what an engine saves of an image.

    deltas = make_deltas(project, index, give_base)
    site.up(deltas.whole)
    site.up(deltas.delta("1.1.0"))     # rests on 1.0.0

Every version changes the code. 1.2.0 brings another model, 1.3.0 another version of a small wheel. 1.3.1 has the code
of 1.3.0, and another setting: nothing is in its archives but what they say of themselves.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.index_server import IndexServer
from support.project import Project
from support.site import Site, own
from support.site_project import make_site_project

WHOLE = "1.0.0"
STEPS = {"1.1.0": WHOLE, "1.2.0": "1.1.0", "1.3.0": "1.2.0", "1.3.1": "1.3.0"}
"""The deltas, and the version on which each rests."""

LAST = "1.3.1"
_MODELS = {"1.2.0": "2", "1.3.0": "2", "1.3.1": "2"}
_WHEEL = {"1.3.0": "1.1.0", "1.3.1": "1.1.0"}


@dataclass(frozen=True, kw_only=True)
class Deltas:
    """A project that stands at the last of its versions, and the release folders that it made."""

    project: Project

    @property
    def whole(self) -> Path:
        """The first release, which leaves nothing out."""
        return self.project.folder / "dist" / f"duo-{WHOLE}"

    def delta(self, version: str) -> Path:
        """A later one, resting on the one before it."""
        return self.project.folder / "dist" / f"duo-{version}-since-{STEPS[version]}"

    def made(self, target: Path, *words: str) -> Path:
        """One more release of the last version, made with these flags and taken elsewhere."""
        said = json.loads(self.project.made("package", "--json", *words).stdout)
        label = f"-{said['delta']['label']}" if said["delta"] else ""
        return shutil.copytree(self.project.folder / "dist" / f"duo-{LAST}{label}", target)


def make_deltas(project: Project, index: IndexServer, give_base: Callable[[Project], None]) -> Deltas:
    """Package the whole release and the deltas in one project."""
    for version in (WHOLE, *STEPS):
        _write(project.folder, index, version)
        if version == WHOLE:
            give_base(project)
        project.made("lock")
        project.made("package", *(("--since", f"dist/{_folder(STEPS[version])}") if version in STEPS else ()))
    return Deltas(project=project)


def _write(folder: Path, index: IndexServer, version: str) -> None:
    code = "1.3.0" if version == LAST else version
    project = make_site_project(folder, index, version=code, model=_MODELS.get(version, "1"))
    project.write("engine/requirements.in", f"torch\nferrypure=={_WHEEL.get(version, '1.0.0')}\n")
    if version == LAST:
        text = (folder / "variants.yaml").read_text(encoding="utf-8").replace("version: 1.3.0", f"version: {LAST}")
        project.write("variants.yaml", text.replace("ENGINE_MODE: auto", "ENGINE_MODE: by hand"))


def _folder(version: str) -> str:
    return f"duo-{version}" + (f"-since-{STEPS[version]}" if version in STEPS else "")


def manifest_of(release: Path) -> dict[str, Any]:
    """What a release folder says of itself."""
    said: dict[str, Any] = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    return said


def rows(release: Path) -> dict[str, dict[str, Any]]:
    """The images of a release that a server without a GPU takes, by service."""
    return {row["service"]: row for row in manifest_of(release)["images"] if row["variant"] in ("cpu", "any")}


def saved(site: Site, name: str, target: Path) -> Path:
    """What the server's engine saves of an image."""
    with target.open("wb") as sink:
        done = subprocess.run(
            [site.env.get("FERRY_ENGINE", "docker"), "save", name], env={**os.environ, **site.daemon.env},
            stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.PIPE, check=False,
        )
    assert done.returncode == 0, done.stderr
    return target


def layers_saved(tar: Path) -> tuple[str, ...]:
    """The layers in what an engine saved, by their bytes, as its manifest.json lists them; all have to be there."""
    with tarfile.open(tar) as source:
        def body(name: str) -> bytes:
            found = source.extractfile(name)  # goes where links of old Docker point
            assert found is not None, name
            return found.read()

        [row] = json.loads(body("manifest.json"))
        wanted = [name.removeprefix("sha256:") for name in json.loads(body(row["Config"]))["rootfs"]["diff_ids"]]
        layers = tuple(hashlib.sha256(body(name)).hexdigest() for name in row["Layers"])
    assert list(layers) == wanted
    return layers


def agrees(release: Path, *names: str) -> None:
    """Write the hashes of changed files into SHA256SUMS, and the sizes of archives into ferry.sh: as a forger would."""
    script = (release / "ferry.sh").read_text(encoding="utf-8")
    for name in names:
        script = re.sub(f"[0-9]+ ([0-9a-f]{{64}} {re.escape(name)})", rf"{(release / name).stat().st_size} \1", script)
    own(release / "ferry.sh").write_text(script, encoding="utf-8")
    digests = {name: hashlib.sha256((release / name).read_bytes()).hexdigest() for name in (*names, "ferry.sh")}
    lines = (release / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    own(release / "SHA256SUMS").write_text(
        "".join(f"{digests.get(line[66:], line[:64])}  {line[66:]}\n" for line in lines), encoding="utf-8"
    )


def with_packed_layers(archive: Path, target: Path) -> Path:
    """The same image as a registry or another daemon would bring it: an OCI archive whose layers are gzip blobs."""
    with tarfile.open(archive) as source:
        found = {entry.name: source.extractfile(entry).read() for entry in source}  # type: ignore[union-attr]
    index = json.loads(found["index.json"])
    [listed] = index["manifests"]
    manifest = json.loads(found[_blob(listed["digest"])])
    files = {"oci-layout": found["oci-layout"], _blob(manifest["config"]["digest"]): found[
        _blob(manifest["config"]["digest"])]}
    for layer in manifest["layers"]:
        packed = gzip.compress(found[_blob(layer["digest"])], 1, mtime=0)
        layer |= {"mediaType": f"{layer['mediaType']}+gzip", "size": len(packed), "digest": _digest(packed)}
        files[_blob(layer["digest"])] = packed
    said = json.dumps(manifest).encode()
    listed |= {"digest": _digest(said), "size": len(said)}
    files |= {_blob(listed["digest"]): said, "index.json": json.dumps(index).encode()}
    with tarfile.open(target, "w") as sink:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            sink.addfile(info, io.BytesIO(data))
    return target


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob(digest: str) -> str:
    return digest.replace("sha256:", "blobs/sha256/")
