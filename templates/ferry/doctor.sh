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
  FERRY_TABLES="$FERRY_TABLES" "${FERRY_AWK:-awk}" -v FORM="$form" "$program"
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
  form=words smi='' driver='' typed=''
  while [ "$#" -gt 0 ]; do
    case $1 in
      --plain) form=plain ;;
      --smi | --driver | --gpu)
        [ "$#" -gt 1 ] || refuse "$usage" "$1 takes a value" "$1 에는 값이 필요합니다"
        case $1 in
          --smi) smi=$2 ;;
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
  verdict
}

# this server, or the one that a text and what was typed tell of
verdict() {
  if [ -z "$smi$driver$typed" ]; then
    { echo 'host live' && live | dump && kernel; } | judge
    return
  fi
  [ -z "$smi" ] || [ "$smi" = - ] || [ -r "$smi" ] || refuse "$usage" "cannot read $smi" "$smi 을(를) 읽을 수 없습니다"
  case $smi in
    '') { echo 'host typed' && by_hand; } ;;
    -) { echo 'host pasted' && dump && by_hand; } ;;
    *)
      echo 'host text' && dump <"$smi" && by_hand
      ;;
  esac | judge
}

# for the tests of torchferry: every file of a folder, one verdict after another
each() {
  form=plain
  for text in "$1"/*; do
    printf 'host %s\n' "${text##*/}"
    dump <"$text"
  done | judge
}
