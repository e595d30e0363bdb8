"""What a person does, in order: each remedy has concrete steps with commands for this server, and what each step takes.

Times are measured where we could (a release of 2.7 GB on two cores), else what a person should set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torchferry import runline
from torchferry.compat import Compat
from torchferry.model import Variant
from torchferry.server import GPU_LOST, Server, branch_of, version
from torchferry.symptoms import Symptom
from torchferry.verdict import Branches, Judgement, Rule

START, LOAD, BUILD, DRIVER = "under a minute", "1 to 2 minutes", "3 minutes and the download", "30 minutes, one restart"
GPU_CHECK = "python -c 'import torch; print(torch.version.cuda, torch.cuda.is_available())'"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do, the command lines for it, and how long it takes."""

    what: str
    run: tuple[str, ...] = ()
    takes: str = ""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One way out, its steps in order."""

    title: str
    steps: tuple[Step, ...]


def cpu_now(variants: Sequence[Variant]) -> Remedy:
    """The service on the CPU at once, from whatever image is there."""
    steps = []
    for service in _services(variants):
        own = [one for one in variants if one.service.name == service]
        lines = [runline.on_cpu(one, variants) for one in own if one.name == "cpu"]
        lines += [runline.on_cpu(one, variants) for one in own if one.cuda][:1]
        what = "start it on the CPU; any image of the service can, with the last word changed"
        steps += [_set_aside(own[0]), Step(what=what, run=tuple(lines), takes=START), *_health(own[0])]
    return Remedy(title="CPU now", steps=tuple(steps))


def with_gpu(name: str, gpus: Sequence[int], variants: Sequence[Variant], server: Server) -> Remedy:
    """The picked variant on the GPUs that it can use (all of the server's, or some)."""
    flag, steps = gpu_flag(gpus, server), list[Step]()
    for one in (one for one in variants if one.name == name):
        archive = f"{one.service.name}-{one.release.version}-{one.full_name}.tar.gz"
        steps += [
            Step(what="load the image", run=(f"docker load -i {one.release.folder}/{archive}",), takes=LOAD),
            _set_aside(one),
            Step(what="start it", run=(runline.docker_run(one, gpus=flag),), takes=START),
            Step(what="see that it has the GPU: the CUDA release and True",
                 run=(f"docker exec {one.service.name} {GPU_CHECK}",), takes=START),
            *_health(one),
        ]
    return Remedy(title=f"{name} on the GPU", steps=tuple(steps))


def gpu_flag(gpus: Sequence[int], server: Server) -> str:
    """What --gpus takes: all, or the ones that can be used, where one cannot or no longer answers."""
    whole = set(gpus) == {gpu.index for gpu in server.gpus} and server.failure != GPU_LOST
    return runline.ALL if whole else runline.devices(gpus)


def another_variant(wanted: Sequence[str]) -> Remedy:
    """A row that the project does not have yet, built where there is a network."""
    name = wanted[-1].split()[-1]
    return Remedy(title="another variant", steps=(
        Step(what=f"add a row to variants.yaml: {' or '.join(wanted)}"),
        Step(what="build it where there is a network", run=(f"inv bundle --variant {name}",), takes=BUILD),
        Step(what="take the release folder to the server, and ask again", run=("inv doctor",)),
    ))


def newer_driver(server: Server, floor: str, unlocked: Sequence[str]) -> Remedy:
    """A driver upgrade without network, when one is really needed."""
    machine = server.arch or "x86_64"
    file = f"NVIDIA-Linux-{machine}-VERSION.run"
    title = f"driver {floor} or newer, for {', '.join(unlocked)}"
    if server.windows_driver:
        steps = [
            Step(what=f"install a Windows driver {floor} or newer on Windows; none goes into WSL or a container"),
            Step(what="restart Windows, and ask again", run=("inv doctor",)),
        ]
        return Remedy(title=title, steps=tuple(steps))
    return Remedy(title=title, steps=(
        Step(what=f"fetch {file} from NVIDIA where there is a network, VERSION being {floor} or newer"
                  f"{_newest(server)}; or the distribution's packages, if the driver came from those"),
        Step(what="stop what uses the GPU", run=("docker ps", "sudo fuser -v /dev/nvidia*"), takes=START),
        Step(what="install it (needs the administrator, kernel headers and gcc)",
             run=(f"sudo sh {file} --silent --dkms",), takes="10 minutes"),
        Step(what="restart the server", run=("sudo reboot",), takes="5 to 15 minutes"),
        Step(what="see what it is now", run=("nvidia-smi", "inv doctor"), takes=START),
    ))


def gpu_back(symptom: Symptom) -> Remedy:
    """How the GPU comes back when the driver is broken."""
    steps = [Step(what=what) for what in symptom.remedy]
    steps.append(Step(what="then ask again; it names the GPU variant to run", run=("nvidia-smi", "inv doctor")))
    return Remedy(title="how the GPU comes back", steps=tuple(steps))


def floors(rules: Sequence[Rule]) -> dict[str, list[str]]:
    """The oldest Linux driver for the variants with CUDA, lowest first."""
    found: dict[str, list[str]] = {}
    for rule in rules:
        if rule.linux:
            found.setdefault(rule.linux.floor, []).append(rule.name)
    return dict(sorted(found.items(), key=lambda pair: version(pair[0])))


def upgrade(
    server: Server, judgement: Judgement, rules: Sequence[Rule], compat: Compat
) -> tuple[str, tuple[str, ...]] | None:
    """The oldest driver that would let a variant run on a GPU here, and which ones; None: no driver would."""
    floors: dict[str, list[str]] = {}
    for rule in rules:
        floor = (rule.windows if server.windows_driver else rule.linux) if rule.cuda else None
        low = floor and server.driver and version(server.driver) < version(floor.floor)
        if floor and low and judgement.verdicts[rule.name].runs not in ("yes", "some_gpus"):
            branch = Branches.of(branch_of(floor.floor), compat, windows=server.windows_driver)
            if any(_would_run(gpu.capability, rule, branch) for gpu in server.gpus):
                floors.setdefault(floor.floor, []).append(rule.name)
    if not floors:
        return None
    lowest = min(floors, key=version)
    return lowest, tuple(floors[lowest])


def _would_run(capability: str | None, rule: Rule, branch: Branches) -> bool:
    return capability is None or (capability not in branch.dropped and rule.serves(capability))


def _newest(server: Server) -> str:
    return "" if not server.gpus else ", and one that still serves this GPU"


def _services(variants: Sequence[Variant]) -> list[str]:
    return list(dict.fromkeys(one.service.name for one in variants if one.torch is not None))


def _set_aside(variant: Variant) -> Step:
    name = variant.service.name
    return Step(
        what=f"set an older container aside, if there is one (to go back: docker start {name}-before)",
        run=(f"docker stop {name} && docker rename {name} {name}-before",),
    )


def _health(variant: Variant) -> tuple[Step, ...]:
    service = variant.service
    if service.health is None or service.port is None:
        return ()
    line = f"curl -fsS http://localhost:{service.port}{service.health.path}"
    return (Step(what="ask whether it is well", run=(line,), takes=f"up to {service.health.within} s"),)
