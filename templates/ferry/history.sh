# --- what runs, what ran, and the way back ---

# well, not well (and why), or stopped
health_of() {
  if ! is_running "$1"; then
    say 'stopped' '멈춤'
  elif [ -z "$service_health" ]; then
    say 'runs' '실행 중'
  elif health_said=$(ask_health "$1"); then
    say 'well' '정상'
  else
    say "not well: $health_said" "비정상: $health_said"
  fi
}

status_of_all() {
  any=''
  look
  for one_service in $(serving | cut -d' ' -f2 | sort); do
    container=$prefix$one_service
    any=yes
    facts_on "$container" || is_gone "$container"
    what="$release_name $image_version ($image_variant, $([ -n "$image_gpu" ] && echo GPU || echo CPU)), $(health_of "$container")"
    since=$(printf '%.19s' "$started_at")
    back=$(generations "$one_service" | head -n 1)
    [ -z "$back" ] || back=$(row "$container.gen$back" | cut -d' ' -f5)
    say "$one_service: $what, since $since UTC; rollback: ${back:-nothing to go back to}" \
      "$one_service: $what, 시작 $since UTC; 되돌리기: ${back:-없음}"
  done
  [ -n "$any" ] || say "nothing of $instance runs here" "$instance 중 실행되는 것이 없습니다"
}

# it was here a moment ago
is_gone() {
  gone_said=$("$engine" container inspect "$1" 2>&1 >/dev/null </dev/null | tail -n 1)
  refuse "$no_engine" "$engine_kind tells nothing of the container $1 any more; try again. It said:
    ${gone_said:-nothing}" \
    "$engine_kind 에서 컨테이너 $1 을(를) 더 이상 알 수 없습니다. 다시 시도하십시오. 메시지:
    ${gone_said:-없음}"
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
  look
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
  look
  newest=$(serving | cut -d' ' -f3 | sort -n | tail -n 1)
  to_return='' brand_new=''
  for one_service in $(serving | awk -v newest="$newest" '$3 == newest { print $2 }' | sort); do
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
  rm -f "$state/pending"
  for one_service in $to_return; do
    remove "$prefix$one_service.dropped"
  done
  for one_service in $brand_new; do
    remove "$prefix$one_service"
    say "$one_service: removed; nothing ran there before" "$one_service: 제거함. 이전에 실행된 것이 없음"
  done
)

return_one() {
  returned=$1
  container=$prefix$returned
  old=$(generations "$returned" | head -n 1)
  facts_on "$container.gen$old" || {
    undo
    is_gone "$container.gen$old"
  }
  release_version=$image_version
  problem=''
  if swap_back 2>"$state/said" && prove "$container"; then
    say "$returned: back to $release_version" "$returned: $release_version 으로 되돌림"
    return
  fi
  last=$(last_words "$container")
  undo
  failed 'what ran until now was started again' '지금까지 실행되던 것을 다시 시작했습니다'
}

swap_back() {
  printf 'rollback %s %s\n' "$returned" "$old" >>"$state/pending" &&
    "$engine" stop --time 15 "$container" >/dev/null </dev/null &&
    "$engine" rename "$container" "$container.dropped" </dev/null &&
    "$engine" rename "$container.gen$old" "$container" </dev/null &&
    "$engine" start "$container" >/dev/null </dev/null
}

stop() {
  options '--name' "$@"
  find_engine
  find_instance
  take_lock
  recover
  look
  for one_service in $(serving | cut -d' ' -f2); do
    "$engine" stop --time 15 "$prefix$one_service" >/dev/null </dev/null ||
      refuse "$no_engine" "$engine_kind did not stop $one_service" "$engine_kind 이(가) $one_service 을(를) 멈추지 못했습니다"
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
  look
  for one in $(names_here); do
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
