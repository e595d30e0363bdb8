"""Every name and path that torchferry writes is spelled here and nowhere else.

Everything lies beside the variants.yaml: wheels/ (locks are committed, wheels are not), build/, dist/.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from torchferry.model import Base, BuiltWheel, Release, Variant, fingerprint

VARIANTS_FILE = "variants.yaml"
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.sig"
FERRY = "ferry.sh"
SBOMS = "sbom"
MODELS = "models"
COMPOSE = "compose.yaml"
PAGE = "index.html"
INSTALL = "INSTALL.txt"
OF_EVERY_RELEASE = (FERRY, COMPOSE, PAGE, INSTALL, SIGNATURE, SUMS, MANIFEST)
HEADS = "load"
RELEASE_FOLDERS = (f"{HEADS}/", f"{MODELS}/", f"{SBOMS}/")
DOCKERFILE = "Dockerfile"
SIGNATURE_NAMESPACE = "torchferry-release"
"""What a release is signed for: a signature made for anything else (git, a file) does not pass."""
VERIFIED = ".verified.json"
RECIPE_LABEL = "io.torchferry.recipe"
"""On every image we build: the digest of the recipe it was built from."""


RECEIPT_SUFFIX = ".receipt"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The places of one project, below ``root``."""

    root: Path

    @property
    def wheels(self) -> Path:
        return self.root / "wheels"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def dist(self) -> Path:
        return self.root / "dist"

    @property
    def sites(self) -> Path:
        """What servers hold, a receipt each."""
        return self.root / "sites"

    def receipt(self, name: str) -> Path:
        """The receipt of a server; ``name`` comes from elsewhere, so only plain characters of it come into the path."""
        plain = re.sub(r"[^A-Za-z0-9._+-]", "_", name)[:100].lstrip(".-") or "_"
        if plain != name:
            plain = f"{plain}-{hashlib.sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
        return self.sites / f"{plain}{RECEIPT_SUFFIX}"

    @property
    def verified(self) -> Path:
        """What is known of bases and archives, so that they are not read again; a release holds nothing unlisted."""
        return self.build / VERIFIED

    @property
    def bases(self) -> Path:
        return self.build / "base"

    @property
    def logs(self) -> Path:
        return self.build / "logs"

    @property
    def smoke(self) -> Path:
        return self.build / "smoke"

    @property
    def images(self) -> Path:
        return self.build / "images"

    @property
    def bake_file(self) -> Path:
        """What `docker buildx bake` builds the images by."""
        return self.build / "docker-bake.json"

    @property
    def coverage(self) -> Path:
        """The picture of what runs where."""
        return self.build / "coverage.html"

    @property
    def audits(self) -> Path:
        """What is remembered of libraries, by the hash of the wheel or base in which they lie."""
        return self.build / "audit"

    @property
    def sboms(self) -> Path:
        """What is remembered for SBOMs: of wheels by hash, and the last text of each variant."""
        return self.build / SBOMS

    def lock(self, variant: Variant) -> Path:
        return self.wheels / f"pylock.{variant.label}.toml"

    def wheel_folder(self, variant: Variant) -> Path:
        return self.wheels / variant.full_name

    @property
    def tools_folder(self) -> Path:
        """Wheels of tools that run during a build and stay out of the image: uv."""
        return self.wheels / "tools"

    @property
    def sdists_folder(self) -> Path:
        """Source distributions and what builds them into wheels."""
        return self.wheels / "sdists"

    def built_folder(self, built: BuiltWheel) -> Path:
        """The wheel made from one source distribution with exactly these tools, and no other: a resolver looks here."""
        return self.sdists_folder / "built" / f"{built.name}-{fingerprint(asdict(built))[:16]}"

    def base_name(self, base: Base, architecture: str) -> str:
        """A name for a Debian base: its suite, a short hash of its packages if it has any, a foreign architecture."""
        extra = f"-{fingerprint(sorted(base.packages))[:8]}" if base.packages else ""
        return f"{base.debian}{extra}" + ("" if architecture == "x86_64" else f"-{architecture}")

    def base_lock(self, base: Base, architecture: str) -> Path:
        return self.wheels / f"base.{self.base_name(base, architecture)}.toml"

    def base_tar(self, base: Base, architecture: str) -> Path:
        return self.bases / f"{self.base_name(base, architecture)}.tar"

    def base_oci(self, base: Base, architecture: str) -> Path:
        """A Debian base as an OCI layout, which a builder elsewhere can be sent."""
        return self.bases / f"{self.base_name(base, architecture)}.oci"

    def context(self, variant: Variant) -> Path:
        """The rendered Dockerfile and its build context."""
        return self.build / variant.label

    def build_log(self, variant: Variant) -> Path:
        return self.logs / f"{variant.label}.build.log"

    def smoke_result(self, variant: Variant) -> Path:
        return self.smoke / f"{variant.label}.json"

    def wheel_facts(self, sha256: str) -> Path:
        """What the libraries of a wheel say, remembered by its hash."""
        return self.audits / f"{sha256}.json"

    def base_names(self, sha256: str) -> Path:
        """The libraries of a base, remembered by the hash of its tar."""
        return self.audits / f"base-{sha256}.json"

    def wheel_metadata(self, sha256: str) -> Path:
        """What a wheel's METADATA says, remembered by the wheel's hash."""
        return self.sboms / f"{sha256}.json"

    def sbom_record(self, variant: Variant) -> Path:
        """The last SBOM of a variant, and what it was made of."""
        return self.sboms / f"{variant.label}.json"

    def image_record(self, variant: Variant, engine: str) -> Path:
        """Which image of the blob store an engine's image is."""
        return self.images / f"{variant.label}.{engine}.json"

    @property
    def blobs(self) -> Path:
        """Layers by diff_id, compressed, shared by all variants and releases."""
        return self.build / "blobs"

    def release(self, release: Release) -> Path:
        return self.dist / release.folder

    def archive_name(self, variant: Variant) -> str:
        return f"{variant.service.name}-{variant.release.version}-{variant.full_name}.tar.gz"

    def head_name(self, variant: Variant) -> str:
        """What stands in for the beginning of an archive while it is loaded, relative to the release folder."""
        return f"{HEADS}/{self.archive_name(variant).removesuffix('.tar.gz')}.head"

    def archive(self, variant: Variant) -> Path:
        return self.release(variant.release) / self.archive_name(variant)

    def sbom_name(self, variant: Variant) -> str:
        """The SBOM of a variant, by its path in the release folder."""
        return f"{SBOMS}/{variant.label}.cdx.json"

    def sbom(self, variant: Variant) -> Path:
        return self.release(variant.release) / self.sbom_name(variant)

    def models(self, release: Release) -> Path:
        """Where the models of a release lie, each in its Model.folder."""
        return self.release(release) / MODELS

    def manifest(self, release: Release) -> Path:
        return self.release(release) / MANIFEST

    def ferry(self, release: Release) -> Path:
        """The script that the server runs."""
        return self.release(release) / FERRY

    def sums(self, release: Release) -> Path:
        return self.release(release) / SUMS

    def signature(self, release: Release) -> Path:
        return self.release(release) / SIGNATURE
