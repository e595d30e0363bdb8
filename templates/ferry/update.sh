# --- what an update needs before the new one takes over: copies of folders, then a command ---

# copies of folders, then a command in the new image
before_update() {
  while read -r point folder; do
    [ -n "$point" ] || continue
    place=$(folder_of "$folder")
    [ -d "$place" ] || continue
    say "$image_service: copying $place to $place.before-$generation" "$image_service: $place 을(를) $place.before-$generation 에 복사"
    rm -rf "$place".before-*.partial
    { cp -a "$place" "$place.before-$generation.partial" && mv "$place.before-$generation.partial" "$place.before-$generation"; } ||
      refuse "$start_failed" "$place could not be copied; nothing was changed" "$place 을(를) 복사하지 못했습니다. 바뀐 것은 없습니다"
  done <<EOT
$service_copies
EOT
  [ -n "$service_before" ] || return 0
  say "$image_service: before the update: $service_before" "$image_service: 업데이트 전: $service_before"
  before_said=$(with_settings run_before "$prefix$image_service.once" candidate) || refuse "$start_failed" \
    "$image_service: what has to run before the update failed; the old one runs as before:
$(printf '%s\n' "$before_said" | tail -n 10 | indent)" \
    "$image_service: 업데이트 전 명령이 실패했습니다. 이전 것은 그대로 실행 중입니다:
$(printf '%s\n' "$before_said" | tail -n 10 | indent)"
}

run_before() {
  eval "set -- \"\$@\" \"\$image_name\" $service_before"
  run_once "$@"
}

# copies are kept as containers are: those of the three newest generations
prune_copies() {
  while read -r point folder; do
    [ -n "$point" ] || continue
    place=$(folder_of "$folder")
    for number in $(copies_of "$place" | sed 1,3d); do
      say "$image_service: removing $place.before-$number; the three newest copies stay" \
        "$image_service: $place.before-$number 을(를) 지웁니다. 최근 사본 3개는 남습니다"
      rm -rf "$place.before-$number" || :
    done
  done <<EOT
$service_copies
EOT
}

# the generations of which a folder has copies, newest first
copies_of() {
  for copy in "$1".before-*; do
    case ${copy##*.before-} in
      '' | *[!0-9]*) ;;
      *) [ ! -d "$copy" ] || printf '%s\n' "${copy##*.before-}" ;;
    esac
  done | sort -rn
}
