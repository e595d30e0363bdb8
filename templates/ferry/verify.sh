# --- verify: are these the bytes of the release, and who says so ---

sums=SHA256SUMS
signature=SHA256SUMS.sig

# the first program here that can do SHA-256; openssl uses what the processor has for it (2.8 GB: 1.7 s, others 7.6 s)
find_hasher() {
  for hasher in openssl sha256sum shasum busybox; do
    command -v "$hasher" >/dev/null 2>&1 || continue
    known=e9087d0b20d80d3e12bc8530d883d7ad9c1eb3ebc5cb61824a2b460816503797
    [ "$(printf ferry | digest)" != "$known" ] || return 0
  done
  refuse "$not_ready" "no program here can do SHA-256 (sha256sum, shasum, openssl, busybox)" \
    "SHA-256 을 계산할 프로그램이 없습니다 (sha256sum, shasum, openssl, busybox)"
}

# the SHA-256 of what comes in
digest() {
  case $hasher in
    sha256sum) sha256sum ;;
    shasum) shasum -a 256 ;;
    openssl) openssl dgst -sha256 -r ;;
    busybox) busybox sha256sum ;;
  esac 2>/dev/null | cut -d' ' -f1
}

bytes_of() {
  wc -c <"$1" | tr -d ' '
}

# where the site keeps the keys that may sign: nothing of the release itself can say that
find_signers() {
  for place in "$signers" "${FERRY_SIGNERS:-}" /etc/torchferry/allowed_signers \
    "${XDG_CONFIG_HOME:-${HOME:-}/.config}/torchferry/allowed_signers"; do
    [ -z "$place" ] || [ ! -f "$place" ] || { signers=$place && return 0; }
    [ -z "$signers" ] || [ "$place" != "$signers" ] || refuse "$wrong_signature" "cannot read $signers" \
      "$signers 을(를) 읽을 수 없습니다"
  done
  return 1
}

# what is not checked, and why; the end where a signature was required
unsigned() {
  [ -z "$require_signature" ] || refuse "$wrong_signature" "the signature cannot be checked: $1" \
    "서명을 확인할 수 없습니다: $2"
  warn "signature: not checked: $1. The hashes show damage, not who made the release" \
    "서명: 확인하지 않음: $2. 해시는 손상만 알려 주며 누가 만들었는지는 알려 주지 않습니다"
}

# what ssh-keygen says to -Y: an old one does not know it
keygen_says() {
  if command -v ssh-keygen >/dev/null 2>&1; then
    ssh-keygen -Y find-principals 2>&1 </dev/null || :
  else
    echo 'unknown option'
  fi
}

verify_signature() {
  if [ -n "$skip_signature" ]; then
    require_signature=''
    unsigned 'you asked for that (--insecure-skip-signature)' '요청에 따름 (--insecure-skip-signature)'
    return
  fi
  if ! find_signers; then
    unsigned "there is no allowed_signers here (/etc/torchferry/allowed_signers, or --signers FILE)" \
      "allowed_signers 가 없습니다 (/etc/torchferry/allowed_signers 또는 --signers 파일)"
    return
  fi
  [ -f "$signature" ] || refuse "$wrong_signature" \
    "the release has no $signature, and $signers says that releases are signed here; bring the signature, or --insecure-skip-signature" \
    "$signature 이(가) 없는데, $signers 에 따라 이곳의 릴리스는 서명되어야 합니다. 서명을 가져오거나 --insecure-skip-signature 를 쓰십시오"
  case $(keygen_says) in
    *'illegal option'* | *'nknown option'* | *'invalid option'* | *'unrecognized option'*)
      unsigned "ssh-keygen here is missing or too old for -Y verify (OpenSSH 8.2 or newer has it)" \
        "ssh-keygen 이 없거나 -Y verify 를 모릅니다 (OpenSSH 8.2 이상)"
      return ;;
  esac
  principals=$(ssh-keygen -Y find-principals -s "$signature" -f "$signers" <"$sums" 2>/dev/null) || principals=''
  while IFS= read -r principal; do
    [ -n "$principal" ] || continue
    if ssh-keygen -Y verify -f "$signers" -I "$principal" -n "$namespace" -s "$signature" \
      <"$sums" >/dev/null 2>&1; then
      say "signature: good, by $principal" "서명: 정상, $principal"
      return
    fi
  done <<EOT
$principals
EOT
  refuse "$wrong_signature" \
    "the signature of this release is not one that $signers allows (another key, an expired one, or $sums was changed; this server's clock says $(date -u +%Y-%m-%d)). Do not use this folder" \
    "이 릴리스의 서명은 $signers 에서 허용하지 않습니다 (다른 키, 만료된 키, 또는 $sums 변경. 이 서버의 날짜: $(date -u +%Y-%m-%d)). 이 폴더를 사용하지 마십시오"
}

# one file against its line in SHA256SUMS, which has been read: NAME SHA256 [BYTES]
check_file() {
  if [ ! -f "$1" ]; then
    bad "$1" 'missing' '없음'
    return
  fi
  if [ -n "${3:-}" ] && [ "$(bytes_of "$1")" != "$3" ]; then
    bad "$1" "has $(bytes_of "$1") bytes, expected $3: it was cut or is another file" \
      "$(bytes_of "$1") 바이트, 예상 $3: 잘렸거나 다른 파일입니다"
    return
  fi
  if [ "$(digest <"$1")" != "$2" ]; then
    bad "$1" 'other bytes than the release has: it was damaged or changed' '릴리스와 내용이 다릅니다: 손상되었거나 변경됨'
    return
  fi
  checked=$((checked + 1))
}

bad() {
  bad_files="$bad_files$1$newline"
  warn "$1: $2" "$1: $3"
}

# the line of a file in SHA256SUMS
listed() {
  sed -n "s|^\([0-9a-f]\{64\}\)  $(printf '%s' "$1" | sed 's/[][\.*^$|]/\\&/g')\$|\1|p" "$sums"
}

# the files of one image: its beginning for the guarded load, and its archive or the parts of it
check_image() {
  image "$1"
  any_part=''
  while read -r size _ name; do
    [ ! -f "$name" ] || any_part=yes
  done <<EOT
$image_parts
EOT
  if [ -z "$any_part" ] && [ -z "$2" ]; then
    say "  $image_archive: not in this folder" "  $image_archive: 이 폴더에 없음"
    return
  fi
  present_images="$present_images$1$newline"
  check_file "$image_head" "$(listed "$image_head")"
  while read -r size _ name; do
    say "  $name ($(human "$size"))" "  $name ($(human "$size"))"
    check_file "$name" "$(listed "$name")" "$size"
  done <<EOT
$image_parts
EOT
}

# everything but images: texts and models
check_others() {
  archives=''
  for_each_image note_files
  for name in ferry.sh manifest.json; do
    [ -n "$(listed "$name")" ] || bad "$sums" "does not list $name: it was cut or changed" \
      "$name 이(가) 목록에 없습니다: 잘렸거나 변경됨"
  done
  while IFS= read -r line || [ -n "$line" ]; do
    name=${line#*  }
    case "$newline$archives" in
      *"$newline$name$newline"*) continue ;;
    esac
    check_file "$name" "${line%%  *}"
  done <"$sums"
}

note_files() {
  image "$1"
  archives="$archives$image_head$newline$(printf '%s\n' "$image_parts" | cut -d' ' -f3-)$newline"
}

# call a function for each image of the release: NAME OF THE FUNCTION, its other words
for_each_image() {
  while IFS= read -r one_image; do
    [ -z "$one_image" ] || "$@" "$one_image"
  done <<EOT
$images
EOT
}

# verify the texts, the models and some images (none named: those that are in this folder)
verify_all() {
  [ -f "$sums" ] || refuse "$wrong_bytes" "there is no $sums beside ferry.sh: this is no whole release folder" \
    "ferry.sh 옆에 $sums 이(가) 없습니다: 온전한 릴리스 폴더가 아닙니다"
  find_hasher
  verify_signature
  bad_files='' checked=0 present_images=''
  say "verify $release:" "$release 확인:"
  check_others
  if [ -n "$1" ]; then
    while IFS= read -r chosen_image; do
      check_image "$chosen_image" wanted
    done <<EOT
$1
EOT
  else
    for_each_image check_found
    every_service_is_here
  fi
  [ -z "$bad_files" ] || refuse "$wrong_bytes" "$(printf '%s' "$bad_files" | grep -c .) of the files are not those of the release:
$(printf '%s' "$bad_files" | indent)
  bring these again; inv ship sends only what is missing or wrong. Nothing was changed" \
    "릴리스와 다른 파일 $(printf '%s' "$bad_files" | grep -c .)개:
$(printf '%s' "$bad_files" | indent)
  이 파일들만 다시 가져오십시오. inv ship 은 없거나 잘못된 것만 보냅니다. 바뀐 것은 없습니다"
  say "all $checked files are those of the release" "파일 $checked개 모두 릴리스와 같습니다"
}

check_found() {
  check_image "$1" ''
}

# a service none of whose archives is here cannot be loaded
every_service_is_here() {
  for one_service in $services; do
    case "$newline$present_images" in
      *"$newline$one_service "*) ;;
      *)
        archives=''
        for_each_image note_archive
        bad "$archives" "$one_service needs it, and it is not in this folder" "$one_service 에 필요하지만 이 폴더에 없습니다" ;;
    esac
  done
}

note_archive() {
  image "$1"
  [ "$image_service" != "$one_service" ] || archives="${archives:+$archives or }$image_archive"
}

verify() {
  options '--variant --require-signature --insecure-skip-signature --signers' "$@"
  if [ -n "$variant" ]; then
    choose_images
    verify_all "$chosen"
  else
    verify_all ''
  fi
}
