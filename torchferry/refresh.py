"""Asks the indexes what they offer of torch and its companions today; `drift` says what that means for compat.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.version import Version
from pypi_simple import DistributionPackage as Package

from torchferry import drift, index, listing, web
from torchferry.compat_rows import Table
from torchferry.drift import Offers, Releases
from torchferry.errors import IntegrityError, SourceError
from torchferry.index import Sources

PATIENCE = web.Patience(attempts=2)
"""Nothing is lost where an index does not answer, so nobody waits long for it."""


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What the indexes offer, and one line for each place that did not say."""

    offers: Offers
    silent: tuple[str, ...]


def builds(table: Table) -> tuple[str, ...]:
    """The builds whose indexes are asked: of every CUDA release that has a row, and cpu."""
    return (*(row.build for row in table.cuda), "cpu")


def look(table: Table, sources: Mapping[str, Sources], *, patience: web.Patience = PATIENCE) -> Refreshed:
    """Ask the default index for torch and its companions, and the index of each build (``sources``) for torch.

    Raises SourceError where none of them answers.
    """
    some = next(iter(sources.values()))  # the default index is the same for all
    silent: list[str] = []
    with web.client() as http:
        asking = _Asking(http=http, patience=patience, silent=silent)
        torch = asking.listed_by_default(some.default_index, "torch")
        pins = {} if torch is None else _pins(asking, some, _first_versions(table))
        found = _builds(asking, table, sources)
    if torch is None and not found:
        raise SourceError("no index says what there is of torch:\n  " + "\n  ".join(silent), cure=index.MIRRORS)
    offered = None if torch is None else drift.releases(each.filename for each in torch)
    return Refreshed(offers=Offers(default=offered, builds=found, pins=pins), silent=tuple(silent))


@dataclass(frozen=True, kw_only=True)
class _Asking:
    http: web.Client
    patience: web.Patience
    silent: list[str]

    def listed(self, source: str, project: str) -> list[Package]:
        """Raises web.Transient where nobody answers, web.Refused where the answer is no list of files."""
        url = listing.project_url(source, project)
        try:
            found = listing.packages(url, project, http=self.http, patience=self.patience)
        except (web.RangeIgnored, OSError, ValueError) as error:
            raise web.Refused(str(error)) from error
        return [package for package in found if not package.is_yanked]

    def listed_by_default(self, source: str, project: str) -> list[Package] | None:
        try:
            return self.listed(source, project)
        except (web.Transient, web.Refused) as error:
            self.silent.append(f"the default index {web.shown(source)} does not say what it has of {project}: {error}")
            return None

    def required_torch(self, package: Package, sources: Sources) -> str | None:
        """What a wheel's METADATA says: served by itself, else read out of the wheel where it lies."""
        if package.has_metadata and listing.path_of(package.url) is None:
            url = web.with_credentials(package.metadata_url, sources.default_index)
            return drift.required_torch(
                web.patiently(lambda: web.get(self.http, url, accept="*/*"), self.patience).body)
        with index.open_wheel(package.url, sources) as wheel:
            if wheel is None:
                return None
            name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            return drift.required_torch(wheel.read(name))


def _builds(asking: _Asking, table: Table, sources: Mapping[str, Sources]) -> dict[str, Releases]:
    known = {build for row in table.torch for build in row.builds}
    found: dict[str, Releases] = {}
    deaf: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for build, places in sources.items():
        place = places.torch_index or places.default_index
        host = urlsplit(place).netloc or place
        if host in deaf:  # one dead host must not be waited for once a build
            deaf[host].append(build)
            continue
        try:
            files = asking.listed(place, "torch")
        except web.Transient as error:
            deaf[host], reasons[host] = [build], f"{web.shown(place)}: {error}"
        except web.Refused as error:
            if build in known:  # the others may well not exist: that is what was asked
                asking.silent.append(f"the index of {build}, {web.shown(place)}, is no list of torch: {error}")
        else:
            found[build] = drift.releases((each.filename for each in files), build)
    for host, missed in deaf.items():
        told = [build for build in missed if build in known]
        asking.silent.append(f"the torch index does not answer, {', '.join(told)} were not compared: {reasons[host]}")
    return found


def _first_versions(table: Table) -> dict[str, Version]:
    row = table.torch[0]
    return {"torchvision": Version(row.torchvision), "torchaudio": Version(row.torchaudio or row.version)}


def _pins(asking: _Asking, sources: Sources, first: Mapping[str, Version]) -> dict[str, dict[str, str | None]]:
    found = {}
    for name in drift.COMPANIONS:
        packages = asking.listed_by_default(sources.default_index, name)
        wheels = _one_of_each(packages or (), first[name])
        try:
            pins = {version: asking.required_torch(wheel, sources) for version, wheel in wheels.items()}
        except (web.Transient, web.Refused, SourceError, IntegrityError) as error:
            asking.silent.append(f"which torch {name} requires is not told: {error}")
            continue
        if packages is not None:
            found[name] = pins
        untold = [version for version, torch in pins.items() if torch is None]
        if untold:
            asking.silent.append(f"what {name} {', '.join(untold)} asks of torch cannot be read there")
    return found


def _one_of_each(packages: Iterable[Package], first: Version) -> dict[str, Package]:
    """One wheel of each release from ``first`` on."""
    found: dict[str, Package] = {}
    for package in packages:
        for version in drift.versions([package.filename]):
            if Version(version) >= first:
                found.setdefault(version, package)
    return found
