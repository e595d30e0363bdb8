"""The pages of an index (PEP 503, PEP 691): which files it has of one project."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pypi_simple
from packaging.utils import canonicalize_name

from torchferry import web


def project_url(source: str, project: str) -> str:
    """Where an index tells what it has of a project."""
    return f"{source.rstrip('/')}/{canonicalize_name(project)}/"


def packages(
    url: str, project: str, *, http: web.Client, patience: web.Patience
) -> list[pypi_simple.DistributionPackage]:
    """Every file that a page lists.

    Raises web.Transient, web.Refused, OSError for a page on this machine, ValueError for what is no such page.
    """
    page = _read(url, http, patience)
    try:
        if page.content_type == "application/vnd.pypi.simple.v1+json":
            return pypi_simple.ProjectPage.from_json_data(json.loads(page.body), page.url).packages
        return pypi_simple.ProjectPage.from_html(project, page.body, page.url, page.charset).packages
    except pypi_simple.UnsupportedRepoVersionError as error:
        raise ValueError(str(error)) from error


def path_of(place: str) -> Path | None:
    """The path that a file: URL or a plain path means; None for what lies elsewhere."""
    if place.startswith("file:"):
        return Path(unquote(urlsplit(place).path))
    return None if "://" in place else Path(place)


def _read(url: str, http: web.Client, patience: web.Patience) -> web.Page:
    folder = path_of(url)
    if folder is not None:
        body = (folder / "index.html").read_bytes()
        return web.Page(url=f"{folder.as_uri()}/", content_type="text/html", charset=None, body=body)
    return web.patiently(lambda: web.get(http, url, accept=pypi_simple.ACCEPT_JSON_PREFERRED), patience)
