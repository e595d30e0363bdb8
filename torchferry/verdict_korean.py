"""The sentences of `verdict_text.py` in Korean, by the same codes and with the same values in braces."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    # the CPU's architecture
    "other_architecture": "{built}용입니다. 이 서버의 CPU는 {arch}입니다",
    "architecture_unknown": "{built}용입니다. 서버에서 uname -m을 실행하면 맞는지 알 수 있습니다",
    # variants without CUDA
    "no_gpu_needed": "GPU도 드라이버도 필요 없습니다",
    # no GPU can be reached: one sentence for each failure
    "driver_not_loaded": "NVIDIA 드라이버가 로드될 때까지 GPU를 쓸 수 없습니다",
    "nvml_mismatch": "로드된 커널 모듈과 드라이버 파일의 버전이 다시 같아질 때까지 GPU를 쓸 수 없습니다",
    "nvml_unknown": "이것이 출력된 곳에서는 NVML이 시작되지 않아 GPU를 쓸 수 없습니다",
    "nvml_permission": "실행한 사용자는 GPU를 쓸 수 없습니다. root로 nvidia-smi를 실행하면 어떤 GPU인지 보입니다",
    "no_devices": "드라이버는 로드되었지만 GPU를 찾지 못합니다",
    "not_installed": "nvidia-smi가 없습니다. 이것으로 보면 NVIDIA 드라이버가 없습니다",
    "no_libnvml": "드라이버와 함께 설치되는 libnvidia-ml.so가 없어 GPU를 쓸 수 없습니다",
    "unreadable": "이 텍스트에는 드라이버도 GPU도 나오지 않습니다",
    # the driver
    "driver_unknown": "드라이버를 알 수 없습니다. {floor} 이상이어야 합니다",
    "driver_too_old": "드라이버 {driver}: 너무 오래되었습니다. CUDA {cuda}에는 {floor} 이상이 필요합니다",
    "driver_doubtful": (
        "드라이버 {driver}: CUDA {cuda}에는 너무 오래되었을 수 있습니다. "
        "NVIDIA 문서에는 {doubtful}, {floor} 두 값이 있습니다"
    ),
    "driver_minor": (
        "드라이버 {driver}: CUDA {cuda} 실행 가능({floor}부터). "
        "실행 중에 컴파일되는 커널에는 {toolkit} 이상이 필요합니다"
    ),
    "driver_full": "드라이버 {driver}: CUDA {cuda} 완전 지원({toolkit}부터)",
    # the GPUs
    "gpu_not_shown": "GPU가 나오지 않습니다. nvidia-smi -L을 실행하면 어떤 GPU가 있는지 알 수 있습니다",
    "gpu_unknown": "GPU {gpus}({name}): 이름만으로는 어떤 GPU인지 알 수 없습니다. nvidia-smi -L로 알 수 있습니다",
    "gpu_whatever": "GPU {gpus}({name}): 어떤 것이든, 드라이버 {driver} 지원 GPU는 모두 실행할 수 있습니다",
    "gpu_none_of_these": "GPU {gpus}({name}): 어떤 것이든, 드라이버 {driver} 지원 GPU는 모두 실행할 수 없습니다",
    "gpu_dropped": (
        "GPU {gpus}({name}): 드라이버 {driver}에는 너무 오래되었습니다. 이 세대의 지원은 이전 브랜치에서 끝났습니다"
    ),
    "gpu_served": "GPU {gpus}({name}, compute capability {capability}): 코드가 들어 있습니다",
    "gpu_not_served": "GPU {gpus}({name}): compute capability {capability}용 코드가 없습니다. 들어 있는 것: {serves}",
}

LOOKED_FOR = (
    "nvidia-smi가 출력하는, NVIDIA-SMI와 Driver Version(또는 KMD Version)이 있는 줄",
    "nvidia-smi -L이 출력하는, GPU 0: NAME (UUID: GPU-...)와 같은 줄",
    "nvidia-smi -q와 -q -x가 출력하는 Product Name과 Driver Version",
    "nvidia-smi --query-gpu=index,name,driver_version --format=csv의 행",
    "/proc/driver/nvidia/version에 있는 NVRM version",
    "nvidia-smi가 왜 실패하는지 말하는 메시지",
)
"""What a reader looked for, in the order of `smi.LOOKED_FOR`."""
