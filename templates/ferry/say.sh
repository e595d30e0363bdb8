# --- what is said, in English or Korean, and how things end ---

# the exit codes, in one place
ok=0
usage=2
only_cpu=3
unknown=4
wrong_bytes=5
wrong_signature=6
no_engine=7
no_space=8
load_failed=9
not_ready=10
start_failed=11
nothing_there=12
busy=13
not_held=14
interrupted=130

# one line for a person: English, Korean. Nobody may be listening any more: that is no reason to stop halfway
say() {
  if [ "$language" = ko ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi 2>/dev/null || :
}

# the same on stderr
warn() {
  say "$1" "$2" >&2
}

# one message, then the end: CODE English Korean
refuse() {
  refuse_code=$1
  shift
  printf 'ferry.sh: ' >&2
  warn "$@"
  exit "$refuse_code"
}

# what cannot happen unless ferry.sh itself is wrong
bug() {
  refuse 1 "this is a bug in ferry.sh: it does not know $1" "ferry.sh의 오류입니다: $1 을(를) 모릅니다"
}

# at every end. Nothing here ends with 1 on purpose: then a program that never fails did
ended() {
  trap '' PIPE
  [ -z "$beside" ] || remove "$beside"
  drop_lock
  drop_layout
  [ "$1" -ne "$interrupted" ] || warn "ferry.sh: interrupted; the same command goes on from here" \
    "ferry.sh: 중단되었습니다. 같은 명령으로 계속할 수 있습니다"
  [ "$1" -ne 1 ] || warn "ferry.sh: stopped at something unforeseen; sh ferry.sh status tells what runs, and the same command goes on from here" \
    "ferry.sh: 예상하지 못한 문제로 멈췄습니다. 실행 중인 것은 sh ferry.sh status 로 확인하십시오. 같은 명령으로 계속할 수 있습니다"
}

# bytes as a person reads them
human() {
  awk -v n="$1" 'BEGIN {
    split("B kB MB GB TB", unit, " ")
    for (i = 1; n >= 1000 && i < 5; i++) n /= 1000
    printf (i == 1 ? "%d %s" : "%.2f %s"), n, unit[i]
  }'
}

# Sizes are reckoned by awk: some shells count to 2^31 only, and two gigabytes are more.

# the sum of the numbers that are given
sum() {
  printf '%s\n' "$@" | awk '{ all += $1 } END { printf "%.0f", all }'
}

# whether the first number is below the second
is_less() {
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }'
}

# bytes that are free where a folder lies
free_in() {
  df -Pk "$1" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }'
}

# the disk on which a folder lies
disk_of() {
  df -Pk "$1" | awk 'NR == 2 { print $1, $6 }'
}

# lines with something before each
indent() {
  sed 's/^/    /'
}
