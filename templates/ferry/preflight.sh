# --- preflight: what would keep a service from starting, told before anything is stopped ---

not_ready_lines=''

lacks() {
  not_ready_lines="$not_ready_lines  $(say "$1" "$2")$newline"
}

# a container's name and its ports on this server, by a Go template; podman takes one with "range ." for a list of all
# shellcheck disable=SC2016 # its $ are Go's
published='{{.Name}}{{range $port, $bound := .NetworkSettings.Ports}}{{range $bound}} {{.HostPort}}{{end}}{{end}}'

# who listens on a port of this server; nothing when it is free
holder_of() {
  # asked of the containers themselves: podman has no filter for published ports
  running_ids=$("$engine" ps --quiet --no-trunc 2>/dev/null </dev/null || :)
  held=''
  # shellcheck disable=SC2086 # ids have no blanks
  [ -z "$running_ids" ] || held=$("$engine" container inspect --format "$published" $running_ids 2>/dev/null </dev/null |
    awk -v port="$1" '{ for (i = 2; i <= NF; i++) if ($i == port) { sub("^/", "", $1); print $1; exit } }')
  if [ -n "$held" ]; then
    printf 'container %s' "$held"
    return
  fi
  hex=$(printf '%04X' "$1")
  inode=$(awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' \
    /proc/net/tcp /proc/net/tcp6 2>/dev/null || :)
  [ -n "$inode" ] || return 0
  for link in /proc/[0-9]*/fd/*; do
    [ "$(readlink "$link" 2>/dev/null || :)" = "socket:[$inode]" ] || continue
    pid=${link#/proc/}
    pid=${pid%%/*}
    printf 'process %s (%s)' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-60)"
    return
  done
  printf 'another program'
}

check_port_free() {
  [ -n "$service_port" ] || return 0
  wanted_port=$(port_of "$image_service" "$service_port")
  holder=$(holder_of "$wanted_port")
  case $holder in
    '' | "container $prefix$image_service") ;;
    *) lacks "port $wanted_port of $image_service is taken by $holder; free it, or take another: --port $image_service=NUMBER" \
      "$image_service 의 포트 $wanted_port 은(는) $holder 이(가) 사용 중입니다. 비우거나 --port $image_service=번호" ;;
  esac
}

# folders that are read must hold something (Docker would make an empty one); those that are written are made
check_folders() {
  while read -r point folder; do
    [ -n "$point" ] || continue
    place=$(folder_of "$folder")
    if [ ! -d "$place" ]; then
      lacks "$place for $image_service:$point is not there; put the files in place, or say where: --mount $folder=FOLDER" \
        "$image_service:$point 에 쓸 $place 이(가) 없습니다. 파일을 두거나 --mount $folder=폴더"
    elif [ -z "$(ls -A "$place" 2>/dev/null)" ]; then
      lacks "$place for $image_service:$point is empty; put the files in place, or say where: --mount $folder=FOLDER" \
        "$image_service:$point 에 쓸 $place 이(가) 비어 있습니다. 파일을 두거나 --mount $folder=폴더"
    fi
  done <<EOT
$service_reads
EOT
  while read -r point folder; do
    [ -n "$point" ] || continue
    place=$(folder_of "$folder")
    [ ! -d "$place" ] || continue
    if mkdir -p "$place" 2>/dev/null; then
      chown "$service_user:$service_user" "$place" 2>/dev/null || chmod 1777 "$place"
    else
      lacks "cannot make $place for $image_service:$point; make it, or say another: --mount $folder=FOLDER" \
        "$image_service:$point 에 쓸 $place 을(를) 만들 수 없습니다. 만들거나 --mount $folder=폴더"
    fi
  done <<EOT
$service_writes
EOT
}

# with_settings: in a container that is gone at once, with the service's own folders and GPUs, as its user
try_settings() {
  tried_points=$(printf '%s\n' "$service_writes" | cut -d' ' -f1)
  # shellcheck disable=SC2046,SC2086 # points have no blanks
  run_once "$@" --entrypoint /opt/venv/bin/python "$image_name" -I -S -B -c "$preflight_program" \
    $tried_points -- $(printf '%s\n' "$service_reads" | cut -d' ' -f1) \
    $(printf '%s\n' "$service_models" | cut -d' ' -f2)
}

check_inside() {
  inside_status=0
  inside_said=$(with_settings try_settings "$prefix$image_service.once" candidate) || inside_status=$?
  case $inside_status in
    0) ;;
    1)
      lacks_before=$not_ready_lines
      while IFS='	' read -r point problem; do
        [ -z "$problem" ] || lacks "$image_service:$point $problem; $(cure_of "$problem")" \
          "$image_service:$point: $problem. $(cure_of "$problem")"
      done <<EOT
$inside_said
EOT
      # it said nothing that is understood: then it failed in a way that nobody thought of
      [ "$not_ready_lines" != "$lacks_before" ] || lacks_start
      ;;
    *) lacks_start ;;
  esac
}

# the container did not start with its settings, and this is what it said
lacks_start() {
  lacks "$engine_kind does not start $image_name with its settings:
$(printf '%s\n' "$inside_said" | tail -n 4 | indent)
$(printf '%s\n' "$inside_said" | diagnosis | indent)" \
    "$engine_kind 이(가) $image_name 을(를) 시작하지 못합니다:
$(printf '%s\n' "$inside_said" | tail -n 4 | indent)
$(printf '%s\n' "$inside_said" | diagnosis | indent)"
}

# what on the server lets the service's user in
cure_of() {
  case $1 in
    *written*) say "chown -R $service_user:$service_user its folder on the server" \
      "서버의 폴더를 chown -R $service_user:$service_user 하십시오" ;;
    *empty*) say "$engine_kind sees another disk than this shell: does it run elsewhere, or not as root?" \
      "$engine_kind 이(가) 이 셸과 다른 디스크를 봅니다. 다른 곳에서, 또는 root 가 아닌 사용자로 실행됩니까?" ;;
    *) say "chmod -R a+rX its folder on the server" "서버의 폴더를 chmod -R a+rX 하십시오" ;;
  esac
}

# every service that is to be started
preflight() {
  not_ready_lines=''
  while IFS= read -r one_image; do
    facts_of "$one_image"
    check_port_free
    check_folders
    [ -n "$not_ready_lines" ] || check_inside
  done <<EOT
$to_start
EOT
  [ -z "$not_ready_lines" ] || refuse "$not_ready" "not started, and nothing was stopped:
${not_ready_lines%"$newline"}" \
    "시작하지 않았고, 멈춘 것도 없습니다:
${not_ready_lines%"$newline"}"
}

# of a service and its image; --gpus none takes from the image that it wants a GPU
facts_of() {
  image "$1"
  service "$image_service"
  gpu_left_out=''
  [ "$gpus" != none ] || { gpu_left_out=$image_gpu && image_gpu=''; }
}

gpu_left_out=''

# so that nobody takes it for a fault that nothing computes on the GPU
tell_gpu_left_out() {
  [ -z "$gpu_left_out" ] || say "$image_service: --gpus none: $image_variant runs on the CPU, its GPU is left out on purpose" \
    "$image_service: --gpus none: $image_variant 이(가) CPU 에서 실행됩니다. GPU 는 일부러 쓰지 않습니다"
}
