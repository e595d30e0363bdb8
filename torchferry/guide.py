"""The steps on a server, in both languages: one source for the release page and for INSTALL.txt.

Which commands, options and exit statuses there are, ferry.sh decides; a test holds this to it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from torchferry.release_facts import ReleaseFacts, ServiceFacts
from torchferry.said import Command, Said, command, literal
from torchferry.wording import size


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do, with the command lines for it."""

    what: Said
    run: tuple[Command, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """Steps that belong together; ``key`` is a name for links."""

    key: str
    title: Said
    steps: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """What to tick off at one time of an installation."""

    title: Said
    items: tuple[Said, ...]


def chapters(facts: ReleaseFacts) -> tuple[Chapter, ...]:
    """Everything from sending the folder to removing the release again."""
    return (_send(facts), _check(facts), _start(), _after(facts), _back())


def _send(facts: ReleaseFacts) -> Chapter:
    folder = shlex.quote(facts.folder)
    return Chapter(key="send", title=Said(en="Bring the folder to the server", ko="폴더를 서버로 옮기기"), steps=(
        Step(
            what=Said(
                en="With OpenSSH alone, from the place where the folder lies. `SERVER` is the name "
                   "that you give to ssh.",
                ko="폴더가 있는 곳에서 OpenSSH만으로 보냅니다. `SERVER`는 ssh에 쓰는 이름입니다.",
            ),
            run=(Command(words=("scp", "-r", folder, "SERVER:")),),
        ),
        Step(
            what=Said(
                en="Or from the project: only what the server lacks is sent, every part is checked there, "
                   "an interrupted transfer goes on where it was, and the release is started.",
                ko="또는 프로젝트에서 보냅니다. 서버에 없는 것만 보내고, 부분마다 서버에서 확인하며, "
                   "끊긴 전송은 이어서 하고, 릴리스를 시작합니다.",
            ),
            run=(command("inv ship SERVER --up"),),
        ),
        Step(
            what=Said(
                en="A USB stick or a shared disk does as well. Take the whole folder.",
                ko="USB 메모리나 공유 디스크도 됩니다. 폴더 전체를 옮기십시오.",
            ),
        ),
    ))


def _check(facts: ReleaseFacts) -> Chapter:
    verify = "ssh-keygen -Y verify -f allowed_signers -I PRINCIPAL -n torchferry-release -s SHA256SUMS.sig < SHA256SUMS"
    return Chapter(key="check", title=Said(en="Check what arrived", ko="도착한 것을 확인하기"), steps=(
        Step(
            what=Said(en="On the server, go into the folder.", ko="서버에서 폴더로 들어갑니다."),
            run=(Command(words=("cd", shlex.quote(facts.folder))),),
        ),
        Step(
            what=Said(
                en="Signature and hashes of all files in one go. Nothing is changed.",
                ko="모든 파일의 서명과 해시를 한 번에 확인합니다. 아무것도 바꾸지 않습니다.",
            ),
            run=(command("sh ferry.sh verify"),),
        ),
        Step(
            what=Said(en="The hashes by hand.", ko="해시를 직접 확인하려면:"),
            run=(command("sha256sum -c SHA256SUMS"),),
        ),
        Step(
            what=Said(
                en="The signature by hand. `allowed_signers` must have reached the server in another way than this "
                   "folder; `PRINCIPAL` is the name in it.",
                ko="서명을 직접 확인하려면: `allowed_signers`는 이 폴더와 다른 길로 서버에 와 있어야 합니다. "
                   "`PRINCIPAL`은 그 파일에 있는 이름입니다.",
            ),
            run=(command(verify),),
        ),
        Step(
            what=Said(
                en="Which variant runs on this server, and why. Nothing is changed.",
                ko="이 서버에서 어떤 변형이 실행되는지와 그 이유를 보여 줍니다. 아무것도 바꾸지 않습니다.",
            ),
            run=(command("sh ferry.sh doctor"),),
        ),
    ))


def _start() -> Chapter:
    return Chapter(key="start", title=Said(en="Load and start", ko="로드하고 시작하기"), steps=(
        Step(
            what=Said(
                en="All steps in one: doctor, verify, load, run. The old release keeps running until the new one has "
                   "proven that it works.",
                ko="doctor, verify, load, run을 한 번에 합니다. 새 릴리스가 제대로 동작함을 보일 때까지 "
                   "이전 릴리스가 계속 실행됩니다.",
            ),
            run=(command("sh ferry.sh up"),),
        ),
        Step(
            what=Said(
                en="The same, refused without a good signature. `allowed_signers` is looked for in /etc/torchferry; "
                   "`--signers FILE` names another place.",
                ko="같은 것이지만 올바른 서명이 없으면 거절합니다. `allowed_signers`는 /etc/torchferry에서 찾습니다. "
                   "다른 곳에 있으면 `--signers FILE`로 알려 줍니다.",
            ),
            run=(command("sh ferry.sh up --require-signature"),),
        ),
        Step(
            what=Said(
                en="Or one at a time: load the image, then start the services.",
                ko="또는 하나씩: 이미지를 로드한 다음 서비스를 시작합니다.",
            ),
            run=(command("sh ferry.sh load"), command("sh ferry.sh run")),
        ),
    ))


def _after(facts: ReleaseFacts) -> Chapter:
    asked = tuple(_ask(service) for service in facts.services if service.port and service.health)
    return Chapter(key="after", title=Said(en="Look after it", ko="운영하기"), steps=(
        Step(
            what=Said(
                en="What runs, which release, since when, its health, and what a rollback would give.",
                ko="무엇이 어떤 릴리스로 언제부터 실행 중인지, 상태, 되돌리면 무엇이 되는지 보여 줍니다.",
            ),
            run=(command("sh ferry.sh status"),),
        ),
        *((Step(what=Said(en="How the services are.", ko="서비스의 상태를 묻습니다."), run=asked),) if asked else ()),
        Step(
            what=Said(en="What the services print.", ko="서비스가 출력하는 내용을 봅니다."),
            run=(command("sh ferry.sh logs"),),
        ),
        Step(
            what=Said(
                en="What an error message means, and what to do: paste it, then Ctrl-D.",
                ko="오류 메시지의 뜻과 할 일을 알려 줍니다. 메시지를 붙여 넣고 Ctrl-D를 누르십시오.",
            ),
            run=(command("sh ferry.sh doctor --error -"),),
        ),
        *_beyond(),
    ))


def _beyond() -> tuple[Step, ...]:
    """What goes out from the server: to a cluster, and back home."""
    return (
        Step(
            what=Said(
                en="For a cluster: the images of this folder into a registry of the site, through skopeo; "
                   "`--plain-http` where that has no TLS.",
                ko="클러스터용: 이 폴더의 이미지를 skopeo로 사이트의 레지스트리에 올립니다. TLS가 없으면 "
                   "`--plain-http`를 씁니다.",
            ),
            run=(command("sh ferry.sh push REGISTRY"),),
        ),
        Step(
            what=Said(
                en="A small file that says what this server holds. Carry it back: the next release can then leave out "
                   "what is already here.",
                ko="이 서버에 무엇이 있는지 적은 작은 파일입니다. 가져가면 다음 릴리스에서 이미 있는 것을 "
                   "뺄 수 있습니다.",
            ),
            run=(command("sh ferry.sh receipt > receipt.txt"),),
        ),
        Step(
            what=Said(
                en="One text file for those who help from afar, without secrets.",
                ko="멀리서 돕는 사람을 위한 텍스트 파일 하나입니다. 비밀 정보는 들어가지 않습니다.",
            ),
            run=(command("sh ferry.sh report > report.txt"),),
        ),
        Step(
            what=Said(
                en="A delta was refused, since what it rests on is not here: what to carry home then.",
                ko="델타의 기반이 없어 거부되었다면, 전체를 기다리는 대신 이것을 가져갑니다.",
            ),
            run=(command("sh ferry.sh missing > missing.txt"),),
        ),
    )


def _ask(service: ServiceFacts) -> Command:
    return Command(words=("curl", "-fsS", shlex.quote(f"http://127.0.0.1:{service.port}{service.health}")))


def _back() -> Chapter:
    return Chapter(key="back", title=Said(en="Go back, stop, remove", ko="되돌리기, 멈추기, 지우기"), steps=(
        Step(
            what=Said(
                en="Back to the image, settings and models that ran before. Once more: to what ran before that.",
                ko="이전에 실행되던 이미지, 설정, 모델로 되돌립니다. 한 번 더 하면 그 이전 것으로 되돌립니다.",
            ),
            run=(command("sh ferry.sh rollback"),),
        ),
        Step(
            what=Said(en="Stop the services of this release.", ko="이 릴리스의 서비스를 멈춥니다."),
            run=(command("sh ferry.sh stop"),),
        ),
        Step(
            what=Said(
                en="Remove its containers and images. Your data stays.",
                ko="컨테이너와 이미지를 지웁니다. 데이터는 남습니다.",
            ),
            run=(command("sh ferry.sh uninstall"),),
        ),
        Step(
            what=Said(en="All commands, options and exit statuses.", ko="모든 명령, 옵션, 종료 상태를 보여 줍니다."),
            run=(command("sh ferry.sh help"),),
        ),
    ))


def checklists(facts: ReleaseFacts) -> tuple[Checklist, ...]:
    """What to tick off before, during and after."""
    title = literal(facts.title)
    return (
        Checklist(title=Said(en="Before", ko="시작하기 전에"), items=_before(facts)),
        Checklist(title=Said(en="During", ko="진행하는 동안"), items=(
            Said(en="`sh ferry.sh verify` ended with exit status 0, and said that the signature was checked.",
                 ko="`sh ferry.sh verify`가 종료 상태 0으로 끝났고, 서명을 확인했다고 말했습니다."),
            Said(en="`sh ferry.sh doctor` picked the variant that you expect.",
                 ko="`sh ferry.sh doctor`가 예상한 변형을 골랐습니다."),
            Said(en="`sh ferry.sh up` ended with exit status 0. If it did not: the old release still runs; "
                    "keep the output.",
                 ko="`sh ferry.sh up`이 종료 상태 0으로 끝났습니다. 아니라면 이전 릴리스가 계속 실행 중이니, "
                    "출력을 보관하십시오."),
        )),
        Checklist(title=Said(en="After", ko="끝난 뒤에"), items=(
            Said(en=f"`sh ferry.sh status` names {title} and says that every service is healthy.",
                 ko=f"`sh ferry.sh status`에 {title} 릴리스가 나오고, 모든 서비스가 정상입니다."),
            Said(en="A GPU that was promised is used: status says on which device the services compute.",
                 ko="약속된 GPU를 씁니다. status가 서비스가 어떤 장치에서 계산하는지 말합니다."),
            Said(en="A request from where the users are was answered.",
                 ko="사용자가 있는 곳에서 보낸 요청에 응답이 왔습니다."),
            Said(en="The receipt is on its way back (`receipt.txt`).",
                 ko="영수증(`receipt.txt`)을 가져갈 준비가 되었습니다."),
            Said(en="Those on duty know the way back: `sh ferry.sh rollback`.",
                 ko="담당자가 되돌리는 방법을 압니다: `sh ferry.sh rollback`."),
        )),
    )


def _before(facts: ReleaseFacts) -> tuple[Said, ...]:
    room = ", ".join(f"{literal(name)} {size(2 * count)}" for name, count in facts.unpacked().items())
    ports = ", ".join(f"{literal(service.name)} {service.port}" for service in facts.services if service.port)
    items = [
        Said(en="The whole folder is on the server.", ko="폴더 전체가 서버에 있습니다."),
        Said(en="`docker info` or `podman info` answers there.",
             ko="서버에서 `docker info` 또는 `podman info`가 응답합니다."),
        Said(en=f"The engine's data folder has room for twice the image: {room}.",
             ko=f"엔진의 데이터 폴더에 이미지 크기의 두 배만큼 여유가 있습니다: {room}."),
    ]
    if ports:
        items.append(Said(en=f"These ports are free, or held by the release before: {ports}.",
                          ko=f"다음 포트가 비어 있거나 이전 릴리스가 쓰고 있습니다: {ports}."))
    if facts.models:
        models = ", ".join(literal(f"{one.name} {one.version}") for one in facts.models)
        items.append(Said(en=f"The disk has room for the models too: {models}.",
                          ko=f"디스크에 모델을 위한 여유도 있습니다: {models}."))
    items += [
        Said(en="`allowed_signers` came in another way than this folder.",
             ko="`allowed_signers`가 이 폴더와 다른 길로 왔습니다."),
        Said(en="What runs now is written down (`sh ferry.sh status`).",
             ko="지금 무엇이 실행 중인지 적어 두었습니다(`sh ferry.sh status`)."),
    ]
    return tuple(items)
