"""What the release page says besides the steps, in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from torchferry.said import Said

PAGE: Mapping[str, Said] = {
    "skip": Said(en="Skip to the content", ko="본문으로 건너뛰기"),
    "contents": Said(en="Contents", ko="차례"),
    "about": Said(en="What this is", ko="이 릴리스"),
    "about_text": Said(
        en="A release of services in containers, for a server without internet. Everything that the server needs lies "
           "in this folder.",
        ko="인터넷이 없는 서버를 위한 컨테이너 서비스 릴리스입니다. 서버에 필요한 것은 모두 이 폴더에 있습니다.",
    ),
    "alone": Said(
        en="This page needs no network and sends nothing.",
        ko="이 페이지는 네트워크가 필요 없고 아무것도 보내지 않습니다.",
    ),
    "release": Said(en="Release", ko="릴리스"),
    "version": Said(en="Version", ko="버전"),
    "sequence": Said(en="Sequence", ko="순번"),
    "revision": Said(en="Source revision", ko="소스 리비전"),
    "unknown": Said(en="not recorded", ko="기록되지 않음"),
    "made_by": Said(en="Made by", ko="만든 도구"),
    "services": Said(en="Services", ko="서비스"),
    "service": Said(en="Service", ko="서비스"),
    "port": Said(en="port", ko="포트"),
    "health": Said(en="health", ko="상태 확인"),
    "models": Said(en="Models", ko="모델"),
    "images": Said(en="Images", ko="이미지"),
    "variant": Said(en="Variant", ko="변형"),
    "platform": Said(en="Platform", ko="플랫폼"),
    "to_carry": Said(en="To carry", ko="옮길 크기"),
    "unpacked": Said(en="Unpacked", ko="푼 크기"),
    "carried": Said(en="{packed} to carry, {unpacked} unpacked", ko="옮길 크기 {packed}, 푼 크기 {unpacked}"),
    "tests": Said(en="Tests when it was made", ko="만들 때의 시험"),
    "passed": Said(en="{count} passed", ko="{count}개 통과"),
    "not_passed": Said(en="not tested", ko="시험하지 않음"),
    "failed": Said(en="failed", ko="실패"),
    "which": Said(en="Which variant for which server", ko="어떤 서버에 어떤 변형인가"),
    "which_text": Said(
        en="The server's driver and GPU decide. No CUDA toolkit is needed there. The “CUDA Version” that nvidia-smi "
           "prints is the newest that the driver can serve, nothing that is installed; a newer driver runs every older "
           "variant.",
        ko="서버의 드라이버와 GPU가 정합니다. 서버에 CUDA 툴킷은 필요 없습니다. nvidia-smi가 출력하는 “CUDA Version”은 "
           "설치된 것이 아니라 드라이버가 지원할 수 있는 가장 새 버전입니다. 새 드라이버는 더 오래된 변형을 모두 "
           "실행합니다.",
    ),
    "no_variants": Said(
        en="This release has no variants: it runs on every server, with or without GPU.",
        ko="이 릴리스에는 변형이 없습니다. GPU가 있든 없든 모든 서버에서 실행됩니다.",
    ),
    "on_server": Said(
        en="On the server itself, `sh ferry.sh doctor` gives the same answer.",
        ko="서버에서는 `sh ferry.sh doctor`가 같은 답을 줍니다.",
    ),
    "ask": Said(en="Ask", ko="물어보기"),
    "no_script": Said(
        en="The paste box needs JavaScript. Without it, read the tables below, or run `sh ferry.sh doctor` on the "
           "server.",
        ko="붙여넣기 상자에는 JavaScript가 필요합니다. 없으면 아래 표를 보거나 서버에서 `sh ferry.sh doctor`를 "
           "실행하십시오.",
    ),
    "paste": Said(en="What nvidia-smi printed", ko="nvidia-smi가 출력한 텍스트"),
    "paste_hint": Said(
        en="In any form: the table, -L, -q, -q -x, --query-gpu, an error message; whole or in part, from a mail or a "
           "wiki. It stays on this page.",
        ko="어떤 형태든 됩니다. 표, -L, -q, -q -x, --query-gpu, 오류 메시지, 전체나 일부, 메일이나 위키에서 복사한 "
           "것도 됩니다. 텍스트는 이 페이지를 떠나지 않습니다.",
    ),
    "file": Said(en="or open a saved file", ko="또는 저장한 파일 열기"),
    "by_hand": Said(en="Or what you know by heart", ko="또는 알고 있는 것을 직접 입력"),
    "by_hand_hint": Said(
        en="It goes before what the text says.", ko="텍스트에 있는 것보다 우선합니다.",
    ),
    "driver": Said(en="Driver version, such as 535.104.05", ko="드라이버 버전(예: 535.104.05)"),
    "gpus": Said(en="GPUs, one a line, such as Tesla T4", ko="GPU, 한 줄에 하나(예: Tesla T4)"),
    "empty": Said(en="Clear", ko="지우기"),
    "needs": Said(en="What each variant needs", ko="변형마다 필요한 것"),
    "runs_from": Said(en="Linux driver from", ko="Linux 드라이버(부터)"),
    "full_from": Said(en="in full from", ko="완전히 지원(부터)"),
    "windows_from": Said(en="Windows and WSL from", ko="Windows와 WSL(부터)"),
    "code_for": Said(en="GPU code for compute capability", ko="GPU 코드(compute capability)"),
    "nothing_needed": Said(en="any server, with or without GPU", ko="모든 서버, GPU가 없어도 됨"),
    "in_full": Said(
        en="“In full” means: kernels that are compiled while the service runs work too. Torch's own code needs only "
           "the first column.",
        ko="“완전히 지원”은 서비스가 실행되는 동안 컴파일되는 커널도 동작한다는 뜻입니다. torch 자체의 코드에는 "
           "첫 번째 열이면 됩니다.",
    ),
    "picture": Said(en="Drivers by generations of GPUs", ko="드라이버와 GPU 세대"),
    "picture_text": Said(
        en="Linux, x86_64. A name with ~ runs, but not in full. A number in parentheses: on GPUs of this compute "
           "capability only. In the first branch of a row the exact driver counts, which the table above names.",
        ko="Linux, x86_64 기준입니다. ~가 붙은 변형은 실행되지만 완전히 지원되지는 않습니다. 괄호 안의 숫자: 그 "
           "compute capability의 GPU에서만 실행됩니다. 행의 첫 브랜치에서는 위 표의 정확한 드라이버 버전이 기준입니다.",
    ),
    "drivers": Said(en="Driver branch", ko="드라이버 브랜치"),
    "newer": Said(en="and newer", ko="이상"),
    "none": Said(en="none", ko="없음"),
    "no_such": Said(en="no such driver serves these GPUs", ko="이 GPU를 지원하는 드라이버가 없음"),
    "names": Said(en="Which GPU has which compute capability", ko="GPU별 compute capability"),
    "generation": Said(en="Generation", ko="세대"),
    "capability": Said(en="Compute capability", ko="Compute capability"),
    "gpu_names": Said(en="Names", ko="이름"),
    "steps": Said(en="Commands", ko="명령"),
    "options": Said(en="Options of ferry.sh up and run", ko="ferry.sh up과 run의 옵션"),
    "option": Said(en="Option", ko="옵션"),
    "meaning": Said(en="Meaning", ko="의미"),
    "exit_statuses": Said(en="Exit statuses of ferry.sh", ko="ferry.sh의 종료 상태"),
    "status": Said(en="Status", ko="상태"),
    "checklist": Said(en="Checklist", ko="점검표"),
    "checklists": Said(en="Checklists", ko="점검표"),
    "files": Said(en="Files", ko="파일"),
    "files_text": Said(
        en="SHA256SUMS lists all of them, this page included; what is signed is SHA256SUMS.",
        ko="SHA256SUMS에 이 페이지를 포함한 모든 파일이 있고, 서명은 SHA256SUMS에 되어 있습니다.",
    ),
    "other_files": Said(en="Other files", ko="그 밖의 파일"),
    "file_name": Said(en="File", ko="파일"),
    "size": Said(en="Size", ko="크기"),
    "bytes": Said(en="bytes", ko="바이트"),
    "sbom": Said(en="What is inside (SBOM)", ko="구성 요소(SBOM)"),
    "sbom_none": Said(en="This release lists no components.", ko="이 릴리스에는 구성 요소 목록이 없습니다."),
    "search": Said(en="Search", ko="검색"),
    "component": Said(en="Component", ko="구성 요소"),
    "licence": Said(en="Licence", ko="라이선스"),
    "found_in": Said(en="In", ko="들어 있는 이미지"),
    "kind": Said(en="Kind", ko="종류"),
}
"""What the page's template says, by name."""

KINDS: Mapping[str, Said] = {
    "wheel": Said(en="wheel", ko="wheel"),
    "package": Said(en="system package", ko="시스템 패키지"),
    "operating-system": Said(en="operating system", ko="운영체제"),
    "platform": Said(en="platform", ko="플랫폼"),
}
"""Kinds of components."""

SCRIPT: Mapping[str, Said] = {
    "copy": Said(en="Copy", ko="복사"),
    "copied": Said(en="Copied", ko="복사됨"),
    "not_copied": Said(en="Select and copy it by hand", ko="직접 선택해서 복사하십시오"),
    "run": Said(en="Run {pick}", ko="{pick} 실행"),
    "run_on": Said(en="Run {pick} on GPU {gpus} only", ko="GPU {gpus}에서만 {pick} 실행"),
    "run_cpu": Said(en="Run {pick}: no variant for GPUs runs here",
                    ko="{pick} 실행: GPU용 변형은 여기서 실행되지 않습니다"),
    "nothing": Said(en="Nothing can be said yet", ko="아직 아무것도 말할 수 없습니다"),
    "exit_status": Said(en="Exit status of ferry.sh doctor: {status}, {meaning}",
                        ko="ferry.sh doctor의 종료 상태: {status}, {meaning}"),
    "yes": Said(en="runs", ko="실행됨"),
    "yes_partly": Said(en="runs, not in full", ko="실행됨, 일부 제한"),
    "some_gpus": Said(en="runs on GPU {gpus} only", ko="GPU {gpus}에서만 실행됨"),
    "unknown": Said(en="not settled", ko="알 수 없음"),
    "no": Said(en="does not run", ko="실행되지 않음"),
    "seen": Said(en="What was read", ko="읽은 내용"),
    "driver": Said(en="Driver", ko="드라이버"),
    "limit": Said(en="Newest CUDA that it offers", ko="제공하는 가장 새 CUDA"),
    "platform": Said(en="System", ko="시스템"),
    "arch": Said(en="CPU", ko="CPU"),
    "failure": Said(en="Failure", ko="오류"),
    "mig": Said(en="MIG", ko="MIG"),
    "on": Said(en="on", ko="켜짐"),
    "not_known": Said(en="not known", ko="알 수 없음"),
    "or": Said(en=" or ", ko=" 또는 "),
    "no_name": Said(en="no name shown", ko="이름이 나오지 않음"),
    "capability": Said(en="compute capability {capability}", ko="compute capability {capability}"),
    "looked_for": Said(en="Looked for", ko="찾은 것"),
    "bad_driver": Said(en="A driver is written as nvidia-smi prints it, with all its parts: 535.104.05",
                       ko="드라이버는 nvidia-smi가 출력하는 대로 모든 부분을 적습니다: 535.104.05"),
    "read_file": Said(en="Read from {name}", ko="{name}에서 읽음"),
    "shown": Said(en="{count} of {all}", ko="{all}개 중 {count}개"),
}
"""What its script says, by name; values go into the braces."""
