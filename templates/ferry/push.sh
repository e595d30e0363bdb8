# --- push: the images of this folder into a registry, through skopeo ---
#
# From an archive skopeo would push layers that it compresses anew, and Debian 12's reads no compressed docker-archive at
# all. But each layer lies in the archive as a run of bytes that is a gzip file. These runs become an OCI layout, and the
# registry gets the very blobs that `inv push` gives it, under the same digests.

layout=''

drop_layout() {
  [ -z "$layout" ] || rm -rf "$layout"
}

# HOST[:PORT][/PREFIX]
check_registry() {
  case $1 in
    *[!A-Za-z0-9._:/-]* | *://* | *//*) ;;
    *)
      case ${1%%/*} in
        localhost | ?*[.:]?*) return ;;
      esac ;;
  esac
  refuse "$usage" "push takes a registry as HOST[:PORT][/PREFIX], registry.corp:5000/team say, not '$1'" \
    "push 에는 레지스트리를 HOST[:PORT][/PREFIX] 형식으로 씁니다 (예: registry.corp:5000/team): '$1'"
}

push() {
  registry=''
  case ${1-} in
    '' | -*) ;;
    *) registry=${1%/} && shift ;;
  esac
  options '--variant --require-signature --insecure-skip-signature --signers --plain-http' "$@"
  check_registry "$registry"
  command -v skopeo >/dev/null 2>&1 || refuse "$no_engine" \
    "push goes through skopeo, and it is not on this machine; install it from its packages (or run this where it is)" \
    "push 에는 skopeo 가 필요한데 이 컴퓨터에 없습니다. 패키지로 설치하거나 skopeo 가 있는 곳에서 실행하십시오"
  verify_all ''
  case $present_images in
    *" $variant "*) ;;
    *) [ -z "$variant" ] || refuse "$nothing_there" "there is no image of variant $variant in this folder" \
      "이 폴더에 $variant 변형의 이미지가 없습니다" ;;
  esac
  # those without variants come along, as they do everywhere
  to_push=$(printf '%s' "$present_images" | grep "${variant:+ $variant \\| any }")
  push_all
}

# images of one service and variant, which differ in the platform, go together
push_all() {
  layout=$(mktemp -d "${TMPDIR:-/var/tmp}/ferry-push.XXXXXX")
  group='' members=''
  while IFS= read -r one_image; do
    if [ "${one_image% *}" != "$group" ]; then
      push_group
      group=${one_image% *} members=''
    fi
    members="$members${members:+$newline}$one_image"
  done <<EOT
$to_push
EOT
  push_group
}

# several platforms get an index, which takes the name without a platform
push_group() {
  entries='' index_name="${group% *}:$release_version-${group#* }" index_digest=''
  case $members in
    '') return ;;
    *"$newline"*) describe_group ;;
  esac
  if [ -n "$index_digest" ] && [ "$(pushed_digest "$index_name")" = "$index_digest" ]; then
    pushed "$index_name" "$index_digest" already
    return
  fi
  while IFS= read -r member; do
    push_image "$member"
  done <<EOT
$members
EOT
  [ -z "$index_digest" ] || push_index
  rm -rf "$layout/oci"
}

describe_group() {
  while IFS= read -r member; do
    describe "$member"
    platform=$(printf '"platform":{"architecture":"%s","os":"%s"},' "${image_platform#*/}" "${image_platform%/*}")
    entry=$(descriptor manifest.v1+json "$manifest_digest" "$(bytes_of "$layout/manifest")" "$platform")
    entries="$entries${entries:+,}$entry"
  done <<EOT
$members
EOT
  printf '{"manifests":[%s],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}' "$entries" >"$layout/index"
  index_digest=$(digest <"$layout/index")
}

# the facts of an image, its manifest and the digest of that
describe() {
  image "$1"
  [ -n "$image_gzip" ] || refuse "$not_ready" \
    "$image_archive does not say where its layers lie (an older torchferry packed it); docker load, tag and push do it, too" \
    "$image_archive 에 레이어 위치가 없습니다 (이전 torchferry 로 만든 것). docker load, tag, push 로 올리십시오"
  image_manifest >"$layout/manifest"
  manifest_digest=$(digest <"$layout/manifest")
}

push_image() {
  describe "$1"
  lay_out_texts
  if [ "$(pushed_digest "$image_name")" = "$manifest_digest" ]; then
    pushed "$image_name" "$manifest_digest" already
    return
  fi
  say "push $registry/$image_name ($(human "$(gzip_size)"))" "push $registry/$image_name ($(human "$(gzip_size)"))"
  lay_out
  put "$image_name" "$manifest_digest"
  pushed "$image_name" "$manifest_digest" ''
}

push_index() {
  cp "$layout/index" "$layout/oci/blobs/sha256/$index_digest"
  write_index "$(descriptor index.v1+json "$index_digest" "$(bytes_of "$layout/index")")"
  put "$index_name" "$index_digest" --all
  pushed "$index_name" "$index_digest" ''
}

# what is there now: NAME DIGEST, and whether it was before
pushed() {
  say "  $registry/$1 sha256:$2${3:+, there already}" "  $registry/$1 sha256:$2${3:+, 이미 있음}"
}

gzip_size() {
  printf '%s\n' "$image_gzip" | awk '{ all += $2 } END { printf "%.0f", all }'
}

# what a registry keeps of an image, byte for byte as inv push writes it
image_manifest() {
  config_size=$(image_config_text | wc -c | tr -d ' ')
  layer_rows=''
  while read -r layer_sha layer_size; do
    layer_rows="$layer_rows${layer_rows:+,}$(descriptor layer.v1.tar+gzip "$layer_sha" "$layer_size")"
  done <<EOT
$image_gzip
EOT
  printf '{"config":%s,"layers":[%s],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}' \
    "$(descriptor config.v1+json "$image_config" "$config_size")" "$layer_rows"
}

# KIND SHA256 BYTES, and for an index the platform
descriptor() {
  printf '{"digest":"sha256:%s","mediaType":"application/vnd.oci.image.%s",%s"size":%s}' "$2" "$1" "${4:-}" "$3"
}

# the config stands among the documents with which an archive begins; what comes after them is cut off in the midst
image_config_text() {
  first_part=$(printf '%s\n' "$image_parts" | head -n 1 | cut -d' ' -f3-)
  head -c "$image_replaces" <"$first_part" | gzip -dc 2>/dev/null | tar -xOf - "blobs/sha256/$image_config" 2>/dev/null || :
}

# the beginning of an OCI layout: what an index, too, needs of each image
lay_out_texts() {
  blobs=$layout/oci/blobs/sha256
  mkdir -p "$blobs"
  image_config_text >"$blobs/$image_config"
  cp "$layout/manifest" "$blobs/$manifest_digest"
}

# and the layers, as they lie in the archive
lay_out() {
  needed=$(sum 10000000 "$(gzip_size)")
  free=$(free_in "$layout")
  ! is_less "$free" "$needed" || refuse "$no_space" \
    "$image_name needs $(human "$needed") in $layout while it is pushed, and $(human "$free") are free; TMPDIR=FOLDER names another place" \
    "$image_name 을(를) 올리는 동안 $layout 에 $(human "$needed") 필요, 남은 공간 $(human "$free"). TMPDIR=폴더 로 다른 곳을 쓸 수 있습니다"
  while read -r layer_sha from count name; do
    [ -n "$name" ] || continue # a delta may hold no layer at all
    tail -c "+$from" <"$name" 2>/dev/null | head -c "$count" >>"$blobs/$layer_sha"
  done <<EOT
$image_runs
EOT
  write_index "$(descriptor manifest.v1+json "$manifest_digest" "$(bytes_of "$layout/manifest")")"
}

write_index() {
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci/oci-layout"
  printf '{"schemaVersion":2,"manifests":[%s]}' "$1" >"$layout/oci/index.json"
}

# the digest that the registry has under a name, hex; nothing where it has none
pushed_digest() {
  pushed_text=$(skopeo inspect --raw ${plain_http:+--tls-verify=false} "docker://$registry/$1" 2>/dev/null </dev/null) || return 0
  printf '%s' "$pushed_text" | digest
}

# the layout into the registry: NAME DIGEST [--all], and what the registry says of it afterwards
put() {
  # In the layout's own folder: the path of one may hold a colon.
  if ! put_said=$(cd "$layout" && skopeo copy ${3:+"$3"} ${plain_http:+--dest-tls-verify=false} oci:oci "docker://$registry/$1" 2>&1 </dev/null) ||
    [ "$(pushed_digest "$1")" != "$2" ]; then
    put_failed "$1"
  fi
  # Layers go, small things stay: an index names them.
  for blob in $(printf '%s\n' "$image_gzip" | cut -d' ' -f1); do
    rm -f "$layout/oci/blobs/sha256/$blob"
  done
}

put_failed() {
  case $put_said in
    *'HTTP response to HTTPS'*) cure='--plain-http' cure_ko=$cure ;;
    *nauthorized* | *'authentication required'* | *denied*) cure="skopeo login ${registry%%/*}" cure_ko=$cure ;;
    *x509*) cure="put the registry's CA into /etc/containers/certs.d/${registry%%/*}/ca.crt" \
      cure_ko="레지스트리의 CA 를 /etc/containers/certs.d/${registry%%/*}/ca.crt 에 두십시오" ;;
    *'no such file'*) cure='this is a delta: the registry must have the release that it rests on; push that first' \
      cure_ko='델타입니다. 레지스트리에 그 기반 릴리스가 있어야 합니다. 먼저 그것을 올리십시오' ;;
    *'no space left'*) cure="free room where it says so" cure_ko='표시된 곳에 공간을 만드십시오' ;;
    *) cure='the same command again: what the registry has is not sent twice' \
      cure_ko='같은 명령을 다시 실행하십시오. 레지스트리에 있는 것은 다시 보내지 않습니다' ;;
  esac
  refuse "$load_failed" "$registry did not take $1. skopeo said:
$(printf '%s\n' "$put_said" | tail -n 4 | indent)
  cure: $cure" "$registry 이(가) $1 을(를) 받지 않았습니다. skopeo 메시지:
$(printf '%s\n' "$put_said" | tail -n 4 | indent)
  해결: $cure_ko"
}
