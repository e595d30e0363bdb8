"""What is in an image as a CycloneDX 1.6 document, in the words of that format; no clock, no chance."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from cyclonedx import spdx
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from torchferry import __version__, licenses
from torchferry.dpkg import DebianPackage, Distribution
from torchferry.image_config import CREATED
from torchferry.inventory import Inventory
from torchferry.model import Image, Lock, Variant, Wheel
from torchferry.requirement_graph import debian_graph, tops, wheel_graph
from torchferry.wheel_metadata import WheelMetadata

_NONE = UUID(int=0)
"""The library wants a serial number; whoever writes the document gives it its own."""


def document(variant: Variant, lock: Lock, image: Image, inventory: Inventory) -> dict[str, Any]:
    """The document of an image as plain data, all of it but its serial number."""
    made = JsonV1Dot6(_bom(variant, lock, image, inventory)).output_as_string()
    said: dict[str, Any] = json.loads(made)
    del said["serialNumber"]
    return said


def _bom(variant: Variant, lock: Lock, image: Image, inventory: Inventory) -> Bom:
    root = _root(variant, lock, image)
    system = _system(inventory.distribution, listed=inventory.packages is not None)
    debian = {one: _debian(one, inventory.distribution) for one in inventory.packages or ()}
    wheels = {canonicalize_name(wheel.name): _wheel(wheel, said, lock) for wheel, said in inventory.wheels.items()}
    python = [_python(inventory.python)] if inventory.python else []
    needs_debian = debian_graph(debian)
    needs_wheels = wheel_graph(
        {canonicalize_name(wheel.name): said.requires if said else () for wheel, said in inventory.wheels.items()},
        variant,
    )
    ground = [debian[one] for one in tops(needs_debian)]
    first = [*([system] if system else ground), *python, *(wheels[name] for name in tops(needs_wheels))]
    return Bom(
        serial_number=_NONE, metadata=_metadata(root),
        components=[*([system] if system else []), *python, *debian.values(), *wheels.values()],
        dependencies=[
            _dependency(root, first), *([_dependency(system, ground)] if system else []),
            *(_dependency(one, []) for one in python),
            *(_dependency(debian[one], (debian[other] for other in needed)) for one, needed in needs_debian.items()),
            *(_dependency(wheels[name], (wheels[other] for other in needed)) for name, needed in needs_wheels.items()),
        ],
    )


def _metadata(root: Component) -> BomMetaData:
    tool = Component(name="torchferry", version=__version__, type=ComponentType.APPLICATION)
    said = {
        "licenses:wheels": "as declared in each wheel's METADATA",
        "licenses:packages": "not listed here; in the image under /usr/share/doc/PACKAGE/copyright",
    }
    return BomMetaData(
        timestamp=datetime.fromisoformat(CREATED.replace("Z", "+00:00")), tools=ToolRepository(components=[tool]),
        component=root, lifecycles=[PredefinedLifecycle(LifecyclePhase.BUILD)], properties=_properties(said),
    )


def _root(variant: Variant, lock: Lock, image: Image) -> Component:
    name, _, tag = image.name.rpartition(":")
    said = {
        "image:id": f"sha256:{image.config_digest}", "platform": variant.platform, "lock:digest": lock.digest,
        "base": variant.service.base.image or f"debian {variant.service.base.debian}",
        "base:digest": lock.base_digest or "",
    }
    return Component(
        name=name, version=tag, type=ComponentType.CONTAINER, bom_ref=image.name, properties=_properties(said))


def _system(found: Distribution | None, *, listed: bool) -> Component | None:
    """The distribution: scanners look for it, to know whose advisories count."""
    if found is None:
        return None
    said = {} if listed else {"packages": "not listed: the base has no dpkg status"}
    return Component(
        name=found.id, version=found.version or None, type=ComponentType.OPERATING_SYSTEM, description=found.title,
        bom_ref=f"os:{found.id}-{found.version}", properties=_properties(said),
    )


def _python(version: str) -> Component:
    purl = PackageURL(type="generic", name="python", version=version)
    return Component(
        name="python", version=version, type=ComponentType.PLATFORM, purl=purl, bom_ref=str(purl),
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    )


def _debian(one: DebianPackage, system: Distribution | None) -> Component:
    qualifiers = {"arch": one.architecture}
    if system:
        qualifiers["distro"] = f"{system.id}-{system.version}" if system.version else system.id
    source = one.source if one.source_version == one.version else f"{one.source}@{one.source_version}"
    if source != one.name:
        qualifiers["upstream"] = source  # advisories are of source packages
    purl = PackageURL(
        type="deb", namespace=system.id if system else "debian", name=one.name, version=one.version,
        qualifiers=qualifiers,
    )
    return Component(name=one.name, version=one.version, purl=purl, bom_ref=str(purl))


def _wheel(wheel: Wheel, said: WheelMetadata | None, lock: Lock) -> Component:
    purl = PackageURL(type="pypi", name=wheel.name, version=wheel.version)
    built = next((one for one in lock.built if canonicalize_name(one.name) == canonicalize_name(wheel.name)), None)
    properties = {"wheel": wheel.filename}
    if built:
        properties |= {"sdist": built.sdist, "sdist:sha256": built.sdist_sha256}
    if said is None:
        properties["licenses"] = "not known: METADATA cannot be read"
    return Component(
        name=wheel.name, version=wheel.version, purl=purl, bom_ref=str(purl), properties=_properties(properties),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        licenses=[_license(name, alone=len(said.licenses) == 1) for name in said.licenses] if said else [],
    )


def _license(name: str, *, alone: bool) -> License:
    """An id where CycloneDX knows it, an expression where it is one (which stands alone), else the name."""
    known, declared = spdx.fixup_id(name), LicenseAcknowledgement.DECLARED
    if known:
        return DisjunctiveLicense(id=known, acknowledgement=declared)
    if alone and licenses.spdx(name):
        return LicenseExpression(name, acknowledgement=declared)
    return DisjunctiveLicense(name=name, acknowledgement=declared)


def _properties(said: dict[str, str]) -> list[Property]:
    return [Property(name=f"torchferry:{name}", value=value) for name, value in said.items() if value]


def _dependency(one: Component, needed: Iterable[Component]) -> Dependency:
    return Dependency(one.bom_ref, [Dependency(other.bom_ref) for other in needed])
