"""What two containers must have in common to be the same service, whoever started them: `docker inspect`, compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ANONYMOUS = re.compile("[0-9a-f]{64}")
RIGHTS = ("Privileged", "ReadonlyRootfs", "CapAdd", "CapDrop", "PidMode", "UTSMode")
LABELS = ("release", "version", "sequence", "service", "variant")


def facts(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """One container of `docker inspect`, without names, ids and times.

    Modes of mounts are left out but for writing: the labels that SELinux is to set differ where there is no SELinux.
    """
    config, host = inspected["Config"], inspected["HostConfig"]
    labels = {name: (config["Labels"] or {}).get(f"io.torchferry.{name}") for name in LABELS}
    return {
        "image": inspected["Image"],
        "named": config["Image"],
        "user": config["User"],
        "entrypoint": config["Entrypoint"],
        "command": config["Cmd"],
        "folder": config["WorkingDir"],
        "environment": sorted(config["Env"] or []),
        "health": config.get("Healthcheck"),
        "mounts": sorted(
            (mount["Type"], _source(mount), mount["Destination"], mount["RW"]) for mount in inspected["Mounts"]
        ),
        "ports": {
            port: sorted((bound["HostIp"] or "0.0.0.0", bound["HostPort"]) for bound in bindings)
            for port, bindings in (host["PortBindings"] or {}).items()
        },
        "restart": host["RestartPolicy"],
        "log": host["LogConfig"],
        "init": host["Init"],
        "rights": {name: host[name] for name in RIGHTS},
        "networks": {
            name: labels["service"] in (joined["Aliases"] or ()) for name, joined in
            inspected["NetworkSettings"]["Networks"].items()
        },
        "gpus": [
            {name: request[name] or None for name in ("Count", "DeviceIDs", "Capabilities", "Options")}
            for request in host["DeviceRequests"] or ()
        ],
        "labels": labels,
    }


def _source(mount: Mapping[str, Any]) -> str:
    """What is mounted; the volume that an image asks for has no name that anybody chose."""
    if mount["Type"] == "volume" and _ANONYMOUS.fullmatch(mount["Name"]):
        return ""
    return str(Path(mount["Source"]).resolve())


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The facts in which two inspected containers differ, by name; nothing where they are the same service."""
    first, second = facts(one), facts(other)
    return {name: (first[name], second[name]) for name in first if first[name] != second[name]}
