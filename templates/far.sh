# The far side of `inv ship`: POSIX sh that comes in over ssh and is gone afterwards; see openssh.py.
# It needs cat, dd, mkdir, mv, rm, wc, and one program that knows SHA-256; df and chmod are used where they are.
# Each answer is a line: `ferry`, then its parts with tabs between. Whatever else a log-in prints is passed over.
# Folders and names come with / or ./ in front, so none of them looks like an option.
set -u
LC_ALL=C
export LC_ALL
PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin
here=$(uname -n 2>/dev/null) || here=here
tab='	'
line_end='
'
empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

answer() {
  printf 'ferry'
  printf '\t%s' "$@"
  printf '\n'
}

# refuse WHAT MESSAGE: the last answer; of a message its first line
refuse() {
  answer refused "$1" "${2%%"$line_end"*}"
  exit 0
}

hash_with() {
  case $1 in
    sha256sum) sha256sum ;;
    shasum) shasum -a 256 ;;
    openssl) openssl dgst -sha256 -r ;;
    busybox) busybox sha256sum ;;
  esac
}

# openssl first: it uses what the processor has for this, several times as fast as a plain sha256sum
find_tool() {
  for one in openssl sha256sum shasum busybox; do
    tool=$one # in yash the variable of a loop is gone after the function
    found=$(hash_with "$tool" </dev/null 2>/dev/null) || found=''
    [ "${found%% *}" != "$empty" ] || return 0
  done
  refuse hash ''
}

digest() {
  found=$(hash_with "$tool" <"$1") || found=''
  printf '%s' "${found%% *}"
}

# no arithmetic on sizes here or anywhere: some shells count in 32 bits
size() (
  # shellcheck disable=SC2046 # some wc print blanks before the number
  set -- $(wc -c <"$1" 2>/dev/null)
  printf '%s' "${1-}"
)

# KiB that may still be written here; nothing where df does not say
free() {
  df -Pk . 2>/dev/null | (
    last=''
    while IFS= read -r row; do last=$row; done
    case $last in *%*) ;; *) exit 0 ;; esac
    set -f
    # shellcheck disable=SC2086 # the words before the percent sign
    set -- ${last%%%*}
    while [ "$#" -gt 2 ]; do shift; done
    printf '%s' "${1-}"
  )
}

enter() {
  said=$(mkdir -p "$1" 2>&1) || refuse folder "$said"
  said=$(cd "$1" 2>&1) || refuse folder "$said"
  cd "$1" || exit 1
}

# where one file's bytes gather: `part` while nobody brings them, `part`.HOST.PID while that process does
names() {
  name=$1
  part=${name%/*}/.${name##*/}.partial
}

# Whether process `pid` holds its claim open. Process numbers come back, so the file decides where it can be seen.
claims() {
  case $(ls -l "/proc/$pid/fd/4" 2>/dev/null) in
    *".partial.$here.$pid") return 0 ;;
  esac
  return 1
}

alive() {
  case $pid in '' | *[!0-9]*) return 1 ;; esac
  ! claims || return 0
  ! ls "/proc/$pid/fd" >/dev/null 2>&1 || return 1
  kill -0 "$pid" 2>/dev/null || [ -d "/proc/$pid" ]
}

# busy_with FILE SIZE: whether the process that claimed this file still brings it, which is seen by its growing
busy_with() {
  before=$(size "$1")
  # shellcheck disable=SC2034
  for try in 1 2 3 4 5; do
    [ -f "$1" ] || return 1
    if [ "$host" = "$here" ]; then
      alive || return 1
      [ "$before" != "$2" ] || return 0
    fi
    [ "$(size "$1")" = "$before" ] || return 0
    sleep 1
  done
  return 1
}

# End a process that claimed a file and brings it no more, its network gone.
end() {
  claims && kill "$pid" 2>/dev/null || return 1
  # shellcheck disable=SC2034
  for try in 1 2 3 4 5; do
    claims || return 0
    sleep 1
  done
  return 1
}

# Take back what others began and left, as `part`; `busy` is set where one of them is still at it.
adopt() {
  busy=''
  for left in "$part".*.*; do
    [ -f "$left" ] || continue
    pid=${left##*.}
    host=${left#"$part".}
    host=${host%."$pid"}
    if busy_with "$left" "$1"; then
      busy=$(size "$left")
      return 0
    fi
    # of another server that has this folder too: its process may be alive, so its file is left alone
    [ "$host" = "$here" ] || continue
    if alive && ! end; then
      busy=$(size "$left")
      return 0
    fi
    mv -f "$left" "$part" 2>/dev/null || :
  done
}

# whole NUMBER SIZE
whole() {
  [ -f "$name" ] && [ "$(size "$name")" = "$2" ] || return 1
  found=$(digest "$name")
  [ "$found" = "$3" ] && answer whole "$1"
}

# survey FOLDER, then on stdin NUMBER SIZE SHA256 NAME a line, tabs between: what is here of each file
survey() {
  enter "$1"
  said=$( (: >"./.torchferry.$$.partial") 2>&1) || refuse write "$said"
  rm -f "./.torchferry.$$.partial"
  answer place "$(pwd)" "$(free)"
  while IFS=$tab read -r number wanted sha file; do
    names "$file"
    whole "$number" "$wanted" "$sha" && continue
    adopt "$wanted"
    if [ -n "$busy" ]; then
      answer busy "$number" "$busy"
    elif [ -f "$part" ]; then
      answer begun "$number" "$(size "$part")" "$(digest "$part")"
    elif ! whole "$number" "$wanted" "$sha"; then
      answer none "$number"
    fi
  done
  answer end
}

# put back what was brought so far, for the next to go on from
give_back() {
  mv -f "$mine" "$part" 2>/dev/null || :
}

# send FOLDER NAME SIZE SHA256 START MODE, then the bytes from START on
send() {
  enter "$1"
  names "$2"
  wanted=$3
  sha=$4
  start=$5
  mine=$part.$here.$$
  [ ! -d "$name" ] || refuse write "$name is a folder"
  said=$(mkdir -p "${name%/*}" 2>&1) || refuse write "$said"
  adopt "$wanted"
  [ -z "$busy" ] || refuse busy "$busy"
  if [ "$start" = 0 ]; then
    rm -f "$part"
    said=$( (: >"$mine") 2>&1) || refuse write "$said"
  else
    mv -f "$part" "$mine" 2>/dev/null || refuse moved ''
    [ "$(size "$mine")" = "$start" ] || { give_back; refuse moved ''; }
  fi
  receive
  finish "$6"
}

receive() {
  exec 3<&0 4>>"$mine"
  # In the background, so that a signal is heard at once; sh gives such a program no stdin unless told. With exec,
  # since some shells put a process of their own between, which would be ended in its place.
  child=''
  trap '[ -z "$child" ] || kill "$child" 2>/dev/null; refuse taken ""' TERM
  exec cat <&3 >&4 3<&- &
  child=$!
  wait "$child"
  status=$?
  trap - TERM
  exec 3<&-
  if [ "$status" != 0 ]; then
    give_back
    refuse stopped "$(free)"
  fi
  have=$(size "$mine")
  if [ "$have" != "$wanted" ]; then
    give_back
    refuse short "$have"
  fi
}

finish() {
  found=$(digest "$mine")
  if [ "$found" != "$sha" ]; then
    rm -f "$mine"
    refuse wrong "$found"
  fi
  exec 4>&-
  case $1 in *x*) chmod +x "$mine" 2>/dev/null || : ;; esac
  said=$(mv -f "$mine" "$name" 2>&1) || refuse write "$said"
  rm -f "$part"
  answer arrived
}

# remove FOLDER NAME
remove() {
  enter "$1"
  said=$(rm -f "$2" 2>&1) || refuse write "$said"
  answer arrived
}

# ferry FOLDER WORD...: the release's own script
ferry() {
  enter "$1"
  shift
  exec sh ./ferry.sh "$@" </dev/null 2>&1
}

main() {
  case $1 in survey | send) find_tool ;; esac
  "$@"
}

main "$@"
