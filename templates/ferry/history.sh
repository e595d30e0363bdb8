# --- what runs, what ran, and the way back ---

# well, not well (and why), or stopped
health_of() {
  if ! is_running "$1"; then
    say 'stopped' '멈춤'
  elif [ -z "$service_health" ]; then
    say 'runs' '실행 중'
  else
    eval "set -- \"\$1\" $service_health"
    health_name=$1
    shift
    if health_said=$("$engine" exec "$health_name" "$@" </dev/null 2>&1); then
      say 'well' '정상'
    else
      say "not well: $health_said" "비정상: $health_said"
    fi
  fi
}

status_of_all() {
  any=''
  for one_service in $(services_here); do
    container=$prefix$one_service
    exists "$container" || continue
    any=yes
    facts_on "$container"
    version=$(label_of "$container" version)
    since=$(field "$container" '{{.State.StartedAt}}' | cut -c1-19)
    back=$(generations "$one_service" | head -n 1)
    [ -z "$back" ] || back=$(label_of "$container.gen$back" version)
    say "$one_service: $release_name $version ($(label_of "$container" variant), $(device_of "$container")), $(health_of "$container"), since $since UTC; rollback: ${back:-nothing to go back to}" \
      "$one_service: $release_name $version ($(label_of "$container" variant), $(device_of "$container")), $(health_of "$container"), 시작 $since UTC; 되돌리기: ${back:-없음}"
  done
  [ -n "$any" ] || say "nothing of $instance runs here" "$instance 중 실행되는 것이 없습니다"
}

status() {
  options '--name' "$@"
  find_engine
  find_instance
  [ ! -s "$state/pending" ] || warn 'a switch was cut off: sh ferry.sh run (or rollback) puts it right' \
    '전환이 중단되었습니다: sh ferry.sh run (또는 rollback) 이 바로잡습니다'
  status_of_all
}

logs() {
  logs_service=''
  case ${1-} in
    '' | -*) ;;
    *) logs_service=$1 && shift ;;
  esac
  options '--name' "$@"
  find_engine
  find_instance
  for one_service in ${logs_service:-$(services_here)}; do
    exists "$prefix$one_service" || refuse "$nothing_there" "there is no $one_service here" "$one_service 이(가) 없습니다"
    "$engine" logs --tail 200 "$prefix$one_service" </dev/null 2>&1
  done
}

# the services that the newest generation brought, back to the containers that ran before
rollback() {
  options '--name' "$@"
  find_engine
  find_instance
  take_lock
  recover
  newest=0
  here=$(services_here)
  for one_service in $here; do
    number=$(label_of "$prefix$one_service" generation)
    [ "${number:-0}" -le "$newest" ] || newest=$number
  done
  to_return='' brand_new=''
  for one_service in $here; do
    [ "$(label_of "$prefix$one_service" generation)" = "$newest" ] || continue
    if [ -n "$(generations "$one_service")" ]; then
      to_return="$to_return $one_service"
    else
      brand_new="$brand_new $one_service"
    fi
  done
  [ -n "$to_return" ] || refuse "$nothing_there" "there is nothing to go back to" "되돌아갈 것이 없습니다"
  return_all
  drop_lock
  status_of_all
}

return_all() (
  detach
  for one_service in $to_return; do
    return_one "$one_service"
  done
  for one_service in $to_return; do
    remove "$prefix$one_service.dropped"
  done
  for one_service in $brand_new; do
    remove "$prefix$one_service"
    say "$one_service: removed; nothing ran there before" "$one_service: 제거함. 이전에 실행된 것이 없음"
  done
  rm -f "$state/pending"
)

return_one() {
  returned=$1
  container=$prefix$returned
  number=$(generations "$returned" | head -n 1)
  facts_on "$container.gen$number"
  release_version=$(label_of "$container.gen$number" version)
  printf 'rollback %s %s\n' "$returned" "$number" >>"$state/pending"
  "$engine" stop --time 15 "$container" >/dev/null </dev/null
  "$engine" rename "$container" "$container.dropped" </dev/null
  "$engine" rename "$container.gen$number" "$container" </dev/null
  problem=''
  if "$engine" start "$container" >/dev/null </dev/null 2>"$state/said" && prove "$container"; then
    say "$returned: back to $release_version" "$returned: $release_version 으로 되돌림"
    return
  fi
  [ -n "$problem" ] || problem=$(cat "$state/said")
  last=$(last_words "$container")
  undo
  failed 'what ran until now was started again' '지금까지 실행되던 것을 다시 시작했습니다'
}

stop() {
  options '--name' "$@"
  find_engine
  find_instance
  take_lock
  recover
  for one_service in $(services_here); do
    exists "$prefix$one_service" || continue
    "$engine" stop --time 15 "$prefix$one_service" >/dev/null </dev/null
    say "$one_service: stopped; sh ferry.sh run starts it again" "$one_service: 멈춤. sh ferry.sh run 으로 다시 시작"
  done
  drop_lock
}

# containers, network and images go; models, logs and data stay
uninstall() {
  options '--name' "$@"
  find_engine
  find_instance
  take_lock
  for one in $(ours); do
    remove "$one"
  done
  "$engine" network rm "$network" >/dev/null 2>&1 </dev/null || :
  if [ "$instance" = "$release_name" ]; then
    for one_service in $services; do
      for one in $("$engine" image ls --format '{{.Repository}}:{{.Tag}}' "$one_service" </dev/null); do
        "$engine" image rm "$one" >/dev/null 2>&1 </dev/null || :
      done
    done
  fi
  rm -rf "$state"
  locked=''
  say "$instance is gone from $engine_kind; models, logs and data lie where they lay" \
    "$instance 을(를) $engine_kind 에서 지웠습니다. 모델, 로그, 데이터 파일은 그대로 있습니다"
}
