"""Options and exit statuses of ferry.sh, in both languages."""

from __future__ import annotations

from torchferry.said import Said

OPTIONS: tuple[tuple[str, Said], ...] = (
    ("--variant NAME", Said(en="this variant, not the one that doctor picks",
                            ko="doctor가 고른 것 대신 이 변형을 씁니다")),
    ("--port [SERVICE=]NUMBER", Said(en="another port of the server", ko="서버의 다른 포트를 씁니다")),
    ("--data FOLDER", Said(en="where the folders of the services lie, if not in /data",
                           ko="서비스의 폴더가 있는 곳입니다. 없으면 /data")),
    ("--mount NAME=FOLDER", Said(en="another place for one of these folders", ko="그 폴더 하나를 다른 곳에 둡니다")),
    ("--models FOLDER", Said(en="the same for models", ko="모델 폴더를 다른 곳에 둡니다")),
    ("--logs FOLDER", Said(en="the same for logs", ko="로그 폴더를 다른 곳에 둡니다")),
    ("--env [SERVICE:]NAME=VALUE", Said(en="set an environment variable in the containers",
                                        ko="컨테이너의 환경 변수를 정합니다")),
    ("--gpus WHICH", Said(en="which GPUs, as `docker run --gpus` takes them (all if left out); none: on the CPU",
                          ko="어떤 GPU를 쓸지 `docker run --gpus`에 쓰는 대로 적습니다. 없으면 모두 쓰고, "
                             "none이면 CPU에서 실행합니다")),
    ("--name NAME", Said(en="run beside another release, under this name",
                         ko="다른 릴리스 옆에서 이 이름으로 실행합니다")),
    ("--stop-first", Said(en="stop the old one before the new one starts: where both do not fit",
                          ko="둘이 함께 들어가지 않을 때, 새것을 시작하기 전에 이전 것을 멈춥니다")),
    ("--allow-downgrade", Said(en="take a release that is older than what ran here",
                               ko="여기서 실행되던 것보다 오래된 릴리스도 받아들입니다")),
    ("--signers FILE", Said(en="who may sign, if not in /etc/torchferry/allowed_signers",
                            ko="서명을 인정할 사람의 목록입니다. 없으면 /etc/torchferry/allowed_signers")),
    ("--plain-http", Said(en="push: the registry has no TLS", ko="push: 레지스트리에 TLS가 없습니다")),
    ("--require-signature", Said(en="refuse what is not signed", ko="서명되지 않은 것은 거절합니다")),
    ("--insecure-skip-signature", Said(en="take it without a good signature", ko="올바른 서명이 없어도 받아들입니다")),
)
"""What `ferry.sh up` and `run` take, and `verify`, `load` and `push` in part."""

STATUSES: tuple[tuple[int, Said], ...] = (
    (0, Said(en="done; of doctor: a variant for GPUs runs here", ko="끝남. doctor: GPU용 변형이 여기서 실행됩니다")),
    (2, Said(en="the command line was not understood", ko="명령줄을 이해하지 못했습니다")),
    (3, Said(en="doctor: only a variant without GPU runs here", ko="doctor: GPU 없는 변형만 여기서 실행됩니다")),
    (4, Said(en="doctor: nothing can be said from what is known", ko="doctor: 알려진 것만으로는 말할 수 없습니다")),
    (5, Said(en="files are missing or not those of the release", ko="파일이 없거나 릴리스의 파일과 다릅니다")),
    (6, Said(en="the signature is missing or not allowed", ko="서명이 없거나 인정되지 않습니다")),
    (7, Said(en="docker or podman is missing or does not answer; push: skopeo is missing",
              ko="docker나 podman이 없거나 응답하지 않습니다. push: skopeo가 없습니다")),
    (8, Said(en="a disk is too full", ko="디스크에 공간이 부족합니다")),
    (9, Said(en="an image was not loaded, or not pushed", ko="이미지를 로드하거나 올리지 못했습니다")),
    (10, Said(en="not started: something is in the way; nothing was stopped",
              ko="시작하지 않음: 막는 것이 있습니다. 멈춘 것은 없습니다")),
    (11, Said(en="started, but it did not prove itself; what ran before runs",
              ko="시작했지만 확인에 실패했습니다. 이전 것이 실행 중입니다")),
    (12, Said(en="there is nothing of that here", ko="여기에는 그런 것이 없습니다")),
    (13, Said(en="another ferry.sh is at work", ko="다른 ferry.sh가 작업 중입니다")),
    (14, Said(en="a delta: what it rests on is not here; what runs was not touched",
              ko="델타: 기반이 되는 것이 없습니다. 실행 중인 것은 그대로입니다")),
    (130, Said(en="interrupted; the same command goes on from here", ko="중단되었습니다. 같은 명령으로 이어집니다")),
)
"""What the exit status of ferry.sh means."""

DOCTOR: dict[int, Said] = {
    0: Said(en="a variant for GPUs runs here", ko="GPU용 변형이 여기서 실행됩니다"),
    3: Said(en="only a variant without GPU runs here", ko="GPU 없는 변형만 여기서 실행됩니다"),
    4: Said(en="nothing can be said from what is known", ko="알려진 것만으로는 말할 수 없습니다"),
}
"""The same of doctor alone."""
