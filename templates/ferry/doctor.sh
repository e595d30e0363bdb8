# --- doctor: which variant runs here ---

# the bytes of a text as numbers, since awk reads neither UTF-16 nor NUL
dump() {
  od -An -v -tx1
}

# what this server tells of itself, as a person would paste it
live() {
  if command -v nvidia-smi >/dev/null 2>&1; then
    nvidia-smi -L 2>&1 || :
    nvidia-smi --query-gpu=index,name,driver_version,compute_cap --format=csv 2>&1 || :
    nvidia-smi 2>&1 || :
  else
    echo 'nvidia-smi: command not found'
  fi
  cat /proc/driver/nvidia/version 2>/dev/null || :
}

# what the kernel tells of this server, whether nvidia-smi is there or not
kernel() {
  case $(uname -m) in
    amd64) echo 'arch x86_64' ;;
    arm64) echo 'arch aarch64' ;;
    *) printf 'arch %s\n' "$(uname -m)" ;;
  esac
  cat /proc/driver/nvidia/gpus/*/information 2>/dev/null | sed -n 's/^Model:[[:space:]]*/model /p' || :
}

# the verdict on what comes in: one server after another, each behind its first line
judge() {
  ask_awk "$form"
}

ask_awk() {
  FERRY_TABLES="$FERRY_TABLES" FERRY_SYMPTOMS="$FERRY_SYMPTOMS" "${FERRY_AWK:-awk}" -v FORM="$1" -v GOOD="${good-}" \
    -v TO_DO="$what_to_do" -v TO_SETTLE="$what_settles_it" "$program"
}

# the frame around the catalogue's sentences
if [ "$language" = ko ]; then
  what_to_do='할 일:' what_settles_it='확인 방법:'
else
  what_to_do='what to do:' what_settles_it='what settles it:'
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

# this server, or the one that a text and what was typed tell of
verdict() {
  if [ -z "$smi$driver$typed" ]; then
    { echo 'host live' && live | dump && kernel; } | judge
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
