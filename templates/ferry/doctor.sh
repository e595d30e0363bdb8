# --- doctor: which variant runs here ---

# the bytes of a text as numbers, since awk reads neither UTF-16 nor NUL
dump() {
  od -An -v -tx1
}

# seconds that one program may take: nvidia-smi hangs for minutes on a GPU that fell off the bus
patience=${FERRY_PATIENCE:-20}

# what a program says within that time; status 1 where it did not come to an end. Nobody waits for one that hangs, since
# not even kill ends a program that waits for a lost GPU: the text is over where the mark stands
ask() {
  asked_said=$(watched "$@" | sed -n '/^=== over ===$/q;p')
  case $asked_said in
    *'=== silent ===') printf '%s: no answer within %s s\n' "$1" "$patience" && return 1 ;;
    *) printf '%s\n' "$asked_said" ;;
  esac
}

# a program, and beside it a pause: whichever is over first says so
watched() {
  {
    {
      watched_program "$@" 2>/dev/null &
      watched_pause 2>/dev/null 3>&- &
    } | end_of_watch
  } 3>&1
}

watched_program() {
  exec "$@" >&3 2>&1 </dev/null 3>&- &
  echo "program $!"
  wait "$!" || :
  echo over
}

watched_pause() {
  exec sleep "$patience" >/dev/null &
  echo "pause $!"
  wait "$!" || :
  echo silent
}

# the end of the one that is not over
end_of_watch() {
  program='' pause='' over=''
  while [ -z "$program" ] || [ -z "$pause" ] || [ -z "$over" ]; do
    read -r tag value || break
    case $tag in
      program) program=$value ;;
      pause) pause=$value ;;
      *) over=${over:-$tag} ;;
    esac
  done
  if [ "$over" = silent ]; then
    printf '\n=== silent ===\n'
    kill -9 "$program" 2>/dev/null || :
  else
    kill -9 "$pause" 2>/dev/null || :  # what is not yet exec'ed would still catch another signal
  fi
  printf '\n=== over ===\n'
}

# where /proc and /sys lie: another place for the tests of torchferry
kernel_root=${FERRY_ROOT-}

# what nvidia-smi says; one that hangs is not asked again
smi_said() {
  if command -v nvidia-smi >/dev/null 2>&1; then
    ask nvidia-smi -L || return 0
    ask nvidia-smi --query-gpu=index,name,driver_version,compute_cap --format=csv || return 0
    ask nvidia-smi || :
  else
    echo 'nvidia-smi: command not found'
  fi
}

# what the kernel tells of this server, whether nvidia-smi is there or not
kernel() {
  sed -n '/NVRM version/s/^/module /p' "$kernel_root/proc/driver/nvidia/version" 2>/dev/null || :
  if [ -r "$kernel_root/sys/module/nvidia/version" ]; then
    printf 'module NVRM version: %s\n' "$(cat "$kernel_root/sys/module/nvidia/version")"
  fi
  case $(uname -m) in
    amd64) echo 'arch x86_64' ;;
    arm64) echo 'arch aarch64' ;;
    *) printf 'arch %s\n' "$(uname -m)" ;;
  esac
  for information in "$kernel_root"/proc/driver/nvidia/gpus/*/information; do
    [ ! -r "$information" ] || printf 'model %s\n' "$(sed -n 's/[[:space:]]*$//; s/^Model:[[:space:]]*//p' "$information" | head -n 1)"
  done
}

# for people: what this server has for containers, and how much room. Lines that begin with here-gpu are told only where
# there is a GPU or its driver
around_here() {
  case $smi_text in
    *"nvidia-smi: no answer within $patience s") say \
      "here nvidia-smi: no answer within $patience s, as when a GPU fell off the bus: sudo dmesg | grep -i xid; a restart of the server often brings it back" \
      "here nvidia-smi: $patience 초 안에 응답이 없습니다. GPU 가 버스에서 떨어졌을 때 그렇습니다: sudo dmesg | grep -i xid; 서버를 다시 시작하면 대개 돌아옵니다" ;;
  esac
  here_engine
  here_toolkit
  room=$(df -Pk "${engine_place:-/}" 2>/dev/null || df -Pk /)
  room=$(human "$(printf '%s\n' "$room" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')")
  say "here disk: $room free where ${engine_place:-/} lies" "here 디스크: ${engine_place:-/} 에 $room 남음"
}

# the first of docker and podman that answers; some clients end with 0 though no daemon answered
here_engine() {
  engine_place='' engine_runtimes=''
  for word in docker podman; do
    command -v "$word" >/dev/null 2>&1 || continue
    kind=docker wanted='{{.ServerVersion}}|{{.DockerRootDir}}|{{json .Runtimes}}|'
    case $(ask "$word" --version) in
      *[Pp]odman*) kind=podman wanted='{{.Version.Version}}|{{.Store.GraphRoot}}||' ;;
    esac
    engine_info=$(ask "$word" info --format "$wanted" | grep '^[0-9][^|]*|/.*|$' | head -n 1) || :
    [ -n "$engine_info" ] || continue
    engine_version=${engine_info%%"|"*} engine_place=${engine_info#*"|"}
    engine_runtimes=${engine_place#*"|"} engine_place=${engine_place%%"|"*}
    case $kind-$word in
      docker-*) echo "here docker: $engine_version" ;;
      podman-podman) here_podman "podman: $engine_version" "podman: $engine_version" ;;
      *) here_podman "$word: $engine_version, podman under that name" "$word: $engine_version (podman)" ;;
    esac
    return 0
  done
  say 'here docker: no daemon answers this user (systemctl status docker; id)' \
    'here docker: 이 사용자에게 응답하는 데몬이 없습니다 (systemctl status docker; id)'
}

here_podman() {
  say "here $1: its GPUs come with --device nvidia.com/gpu=all" "here $2: GPU 는 --device nvidia.com/gpu=all 로 넘깁니다"
}

here_toolkit() {
  tools=''
  for word in nvidia-ctk nvidia-container-cli nvidia-container-runtime; do
    ! command -v "$word" >/dev/null 2>&1 || tools="${tools:+$tools, }$word"
  done
  case $engine_runtimes in
    *nvidia*)
      say "here NVIDIA container toolkit: ${tools:-its programs are not on PATH}; dockerd has the runtime nvidia" \
        "here NVIDIA container toolkit: ${tools:-프로그램이 PATH 에 없음}; dockerd 에 nvidia 런타임이 있음" ;;
    *)
      [ -z "$tools" ] || say "here NVIDIA container toolkit: $tools; dockerd has no runtime nvidia; --gpus does without" \
        "here NVIDIA container toolkit: $tools; dockerd 에 nvidia 런타임은 없으나 --gpus 에는 필요 없음"
      [ -n "$tools" ] || say "here-gpu NVIDIA container toolkit: not found, so --gpus cannot work. Install nvidia-container-toolkit, then sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker" \
        "here-gpu NVIDIA container toolkit: 없음. 그래서 --gpus 를 쓸 수 없습니다. nvidia-container-toolkit 을 설치한 뒤 sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker" ;;
  esac
}

# the verdict on what comes in: one server after another, each behind its first line
judge() {
  ask_awk "$form"
}

ask_awk() {
  FERRY_TABLES="$FERRY_TABLES" FERRY_SYMPTOMS="$FERRY_SYMPTOMS" "${FERRY_AWK:-awk}" -v FORM="$1" -v GOOD="${good-}" \
    -v TO_DO="$what_to_do" -v TO_SETTLE="$what_settles_it" -v ON_THIS_MACHINE="$on_this_machine" "$program"
}

# the frame around the catalogue's sentences
if [ "$language" = ko ]; then
  what_to_do='할 일:' what_settles_it='확인 방법:' on_this_machine='이 서버:'
else
  what_to_do='what to do:' what_settles_it='what settles it:' on_this_machine='on this machine:'
fi

# what a text of messages means, by the same catalogue as inv doctor --error; nothing and status 4 where it has none
explain() {
  { echo 'host text' && dump; } | ask_awk "${1:-explain}"
}

# the same for doctor --error; a driver and GPUs that are known to be good are not blamed
explain_file() {
  good=''
  [ -z "$smi$driver$typed" ] || { verdict >/dev/null && good=yes; } || :
  case $form in
    plain) explain_form=plain-explain ;;
    *) explain_form=explain ;;
  esac
  if [ "$error" = - ]; then explain "$explain_form"; else explain "$explain_form" <"$error"; fi && return
  [ "$form" = plain ] || not_in_catalogue
  return "$unknown"
}

not_in_catalogue() {
  say 'this message is not in the catalogue, so nothing is said of its cause
what usually settles it:' '이 메시지는 목록에 없어 원인을 말할 수 없습니다.
보통 다음으로 확인됩니다:'
  printf '  %s\n' 'nvidia-smi > smi.txt; nvidia-smi -L >> smi.txt' \
    'nvidia-smi --query-gpu=index,name,driver_version --format=csv >> smi.txt' 'docker logs CONTAINER' 'docker info'
}

can_read() {
  [ "$1" = - ] || { [ -r "$1" ] && [ ! -d "$1" ]; } || refuse "$usage" "cannot read $1" "$1 을(를) 읽을 수 없습니다"
}

# what --driver and --gpu tell
by_hand() {
  [ -z "$driver" ] || printf 'driver %s\n' "$driver"
  printf '%s' "$typed"
}

# a driver number has two or three parts, as nvidia-smi prints it
check_driver() {
  case $1 in
    *.*.*.* | .* | *. | *..* | *[!0-9.]*) ;;
    [0-9][0-9][0-9].*) return 0 ;;
  esac
  refuse "$usage" "--driver takes numbers with dots between them, not '$1'" \
    "--driver 는 점으로 나뉜 숫자입니다: '$1'"
}

doctor() {
  form=words smi='' driver='' typed='' error=''
  while [ "$#" -gt 0 ]; do
    case $1 in
      --plain) form=plain ;;
      --smi | --error | --driver | --gpu)
        [ "$#" -gt 1 ] || refuse "$usage" "$1 takes a value" "$1 에는 값이 필요합니다"
        case $1 in
          --smi) can_read "$2" && smi=$2 ;;
          --error) can_read "$2" && error=$2 ;;
          --driver) check_driver "$2" && driver=$2 ;;
          --gpu) one_line --gpu "$2" && typed="${typed}gpu $2
" ;;
        esac
        shift ;;
      *) refuse "$usage" "doctor does not know '$1'; sh ferry.sh help lists what it knows" \
        "doctor 명령은 '$1' 을(를) 모릅니다. sh ferry.sh help 를 보십시오" ;;
    esac
    shift
  done
  if [ -n "$error" ]; then explain_file; else verdict; fi
}

# this server: what nvidia-smi and the kernel say, and for people also what stands around them; asked before awk starts
live_verdict() {
  smi_text=$(smi_said) around=''
  [ "$form" != words ] || around=$(around_here)
  {
    echo 'host live'
    printf '%s\n' "$smi_text" | dump
    kernel
    printf '%s\n' "$around"
  } | judge
}

# this server, or the one that a text and what was typed tell of
verdict() {
  if [ -z "$smi$driver$typed" ]; then
    live_verdict
    return
  fi
  case $smi in
    '') { echo 'host typed' && by_hand; } ;;
    -) { echo 'host pasted' && dump && by_hand; } ;;
    *)
      echo 'host text' && dump <"$smi" && by_hand
      ;;
  esac | judge
}

# for the tests of torchferry: every file of a folder, one verdict or explanation after another
each() {
  form=${2-plain}
  for text in "$1"/*; do
    printf 'host %s\n' "${text##*/}"
    dump <"$text"
  done | judge
}
