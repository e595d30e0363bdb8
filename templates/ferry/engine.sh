# --- the container engine of this server, and what it holds ---

engine=''

# find Docker, or podman, by its real name: on some systems podman answers to the word docker
find_engine() {
  [ -z "$engine" ] || return 0
  for candidate in "${FERRY_ENGINE:-docker}" podman; do
    if command -v "$candidate" >/dev/null 2>&1; then
      engine=$candidate
      break
    fi
    [ -z "${FERRY_ENGINE:-}" ] || break
  done
  [ -n "$engine" ] || refuse "$no_engine" \
    "neither docker nor podman is on this server; install one of them from its packages" \
    "이 서버에 docker 나 podman 이 없습니다. 패키지로 설치하십시오"
  case $("$engine" --version 2>/dev/null) in
    *[Pp]odman*) engine_kind=podman ;;
    *) engine_kind=docker ;;
  esac
  engine_facts=$("$engine" info --format "$(facts_wanted)" 2>/dev/null </dev/null) || engine_facts=''
  # some versions exit with 0 though no engine answered
  if [ -z "$(engine_root)" ]; then
    engine_said=$("$engine" info 2>&1 >/dev/null </dev/null) || :
    engine_said=$(printf '%s\n' "$engine_said" | grep -v '^WARNING' | tail -n 1)
    refuse "$no_engine" "$engine_kind does not answer: $engine_said
  start it (systemctl start docker), or run this as root or as a member of the group docker" \
      "$engine_kind 이(가) 응답하지 않습니다: $engine_said
  시작하거나(systemctl start docker), root 또는 docker 그룹의 사용자로 실행하십시오"
  fi
}

# what it is, for people and receipts
engine_text() {
  if [ "$engine_kind" = podman ]; then
    printf 'podman %s' "$("$engine" version --format '{{.Client.Version}}' 2>/dev/null | head -n 1)"
    [ "${engine##*/}" != docker ] || say ' (it answers to the word docker)' ' (docker 라는 이름으로 응답함)'
  else
    printf 'docker %s, store %s' "$("$engine" version --format '{{.Server.Version}}')" "$(engine_store)"
  fi
}

# classic or containerd: they keep images in different ways
engine_store() {
  if [ "$engine_kind" = podman ]; then
    echo podman
  else
    case $engine_facts in
      *io.containerd.snapshotter*) echo containerd ;;
      *) echo classic ;;
    esac
  fi
}

# where it keeps images
engine_root() {
  printf '%s\n' "$engine_facts" | head -n 1
}

# where podman keeps what it loads until it is an image; one older than 4 does not tell
engine_temporary() {
  "$engine" info --format '{{.Store.ImageCopyTmpDir}}' 2>/dev/null </dev/null || printf '%s' "${TMPDIR:-/var/tmp}"
}

# asked once: its root, and how it stores
facts_wanted() {
  if [ "$engine_kind" = podman ]; then
    printf '{{.Store.GraphRoot}}'
  else
    printf '{{.DockerRootDir}}\n{{json .DriverStatus}}'
  fi
}

# the diff_ids of an image that is here, lowest first, one a line; nothing when it is not here
layers_of() {
  "$engine" image inspect --format '{{range .RootFS.Layers}}{{println .}}{{end}}' \
    "$1" 2>/dev/null | sed -n 's/^sha256://p' || :
}

id_of() {
  "$engine" image inspect --format '{{.Id}}' "$1" 2>/dev/null || :
}

# whether an image is the one of the release: its very layers, and a container can be made of it
is_whole() {
  whole_wanted=$(printf '%s\n' "$image_layers" | cut -d' ' -f1)
  [ "$(layers_of "$1")" = "$whole_wanted" ] || return 1
  is_creatable "$1"
}

# `docker load` of some versions leaves images of which no container can be made, and says that all is well. The name
# is one that a killed ferry.sh may have left
is_creatable() {
  try_create "$1" || { "$engine" rm --force torchferry-try >/dev/null 2>&1 </dev/null && try_create "$1"; } || return 1
  "$engine" rm --force --volumes torchferry-try >/dev/null 2>&1 </dev/null || :
}

try_create() {
  "$engine" create --pull=never --network none --name torchferry-try \
    --label "$label.instance=$instance" "$1" >/dev/null 2>&1 </dev/null
}
