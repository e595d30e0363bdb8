"""What people take nvidia-smi to say and what it does say: the notes that belong to one server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torchferry.compat import Compat
from torchferry.server import GPU_LOST, TEGRA, Server, branch_of
from torchferry.verdict import Judgement

_VGPU = re.compile(r"-\d+[QCAB]$")


def notes(server: Server, judgement: Judgement, compat: Compat, switch: Mapping[str, str]) -> tuple[str, ...]:
    """Every note that applies, what most people need first; ``switch`` is what sends the service to the CPU."""
    return (*_limit(server, judgement, compat), *_container(server, judgement, switch), *_kind(server, compat))


def _cuda_of(name: str | None) -> str | None:
    return f"{name[2:-1]}.{name[-1]}" if name and re.fullmatch(r"cu\d{3}", name) else None


def _limit(server: Server, judgement: Judgement, compat: Compat) -> Iterator[str]:
    limit, cuda = server.cuda_limit, _cuda_of(judgement.pick)
    if limit and not limit[0].isdigit():
        yield (f'nvidia-smi shows "CUDA Version: {limit}": it does not see libcuda. This answer goes by the driver '
               "alone; in a container, NVIDIA_DRIVER_CAPABILITIES has to hold compute as well as utility")
    elif limit and _borrowed(server, limit, compat):
        yield (f'"CUDA Version: {limit}" is more than driver {server.driver} offers: it comes from a cuda-compat '
               "library where nvidia-smi ran. The driver counts, so this answer goes by it")
    elif limit:
        yield (f'"CUDA Version: {limit}" in nvidia-smi is the newest CUDA that this driver serves, not one that is '
               "installed, and nothing has to equal it: images of older CUDA releases run on newer drivers")
    if cuda is None or judgement.status != 0:
        return
    yield "no CUDA toolkit and no nvcc are needed on the server: the image brings its own CUDA"
    if judgement.verdicts[judgement.pick or ""].full_support:
        yield f"the driver is new enough for {judgement.pick}: nothing to upgrade, nothing to rebuild for this server"


def _borrowed(server: Server, limit: str, compat: Compat) -> bool:
    shipped = next((row.toolkit_driver for row in compat.table.cuda if row.release == limit), None)
    return shipped is not None and server.branch is not None and server.branch < branch_of(shipped)


def _container(server: Server, judgement: Judgement, switch: Mapping[str, str]) -> Iterator[str]:
    if judgement.status != 0 or server.failure:
        return
    yield ("if the service still runs on the CPU, look into the image: docker run --rm IMAGE python -c 'import torch; "
           "print(torch.version.cuda)' - None means that CPU wheels went in, and no driver can change that")
    yield ('if it says "CUDA driver version is insufficient for CUDA runtime version", the driver is not meant: the '
           "container has no GPU (no --gpus, or no NVIDIA container toolkit)")
    for name, value in switch.items():
        yield f"{name}={value} in an image or a run line keeps the service off the GPU without a word"


def _kind(server: Server, compat: Compat) -> Iterator[str]:
    if server.mig:
        yield ("MIG is on: a container takes slices, not the whole GPU; --gpus '\"device=0:0\"' is the first slice of "
               "GPU 0, and nvidia-smi -L lists them")
    if server.platform == "wsl":
        yield "this is WSL: the driver is that of Windows, and no Linux driver may be installed inside"
    if server.platform == "windows":
        yield "this is Windows: Linux images with a GPU run through WSL 2 (Docker Desktop), on the driver of Windows"
    if server.platform == TEGRA or server.arch == "aarch64":
        yield ("the CPU is an Arm one, whatever the GPU: x86_64 images do not start here. A row with platforms: "
               "[linux/arm64] makes an image for the CPU")
    if any(_VGPU.search(gpu.name) for gpu in server.gpus):
        yield "this is a virtual GPU: its driver has to fit the hypervisor's; ask its administrator before an upgrade"
    for gpu in server.gpus:
        row = compat.generation(gpu.capability) if gpu.capability else None
        if row and row.first_branch and server.branch and server.branch < row.first_branch:
            yield (f"no driver of branch {server.branch} should know GPU {gpu.index}: the {row.name} generation began "
                   f"with {row.first_branch}")
    if server.failure == GPU_LOST:
        yield "one GPU no longer answers; the others can be used. dmesg | grep -i xid says why; a restart may help"
