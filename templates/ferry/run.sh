# --- run: the new beside the old, proven, then switched ---

# the end of a start that failed: the old one runs as before
failed() {
  refuse "$start_failed" "$image_service $release_version did not prove itself; $1
$last" \
    "$image_service $release_version 은(는) 확인에 실패했습니다. $2
$last"
}

# an older release than what runs, or ran last. Whoever went back, or was allowed to, is there now: what ran in between
# does not count any more
check_sequence() {
  highest=$(ours | serving | cut -d' ' -f4 | sort -n | tail -n 1)
  : "${highest:=$(cat "$state/sequence" 2>/dev/null || echo 0)}"
  [ "$highest" -le "$release_sequence" ] || [ -n "$allow_downgrade" ] || refuse "$not_ready" \
    "$release is older (sequence $release_sequence) than what this server had (sequence $highest); sh ferry.sh rollback goes back to what ran before, --allow-downgrade takes this one all the same" \
    "$release (순번 $release_sequence) 은(는) 이 서버에 있던 것(순번 $highest)보다 오래되었습니다. 이전 것으로 돌아가려면 sh ferry.sh rollback, 그래도 쓰려면 --allow-downgrade"
}

require_loaded() {
  while IFS= read -r one_image; do
    facts_of "$one_image"
    [ "$(layers_of "$image_name")" = "$(printf '%s\n' "$image_layers" | cut -d' ' -f1)" ] || refuse "$load_failed" \
      "$image_name is not loaded, or another image has its name: sh ferry.sh load" \
      "$image_name 이(가) 없거나 다른 이미지입니다: sh ferry.sh load"
  done <<EOT
$chosen
EOT
}

# which services have to be started: not those that run with these very settings, and are well
choose_to_start() {
  to_start=''
  while IFS= read -r one_image; do
    facts_of "$one_image"
    container=$prefix$image_service
    settings=$(with_settings digest_of none final)
    if [ "$(label_of "$container" settings)" = "$settings" ]; then
      is_running "$container" || "$engine" start "$container" >/dev/null 2>&1 </dev/null || :
      if is_running "$container" && wait_healthy "$container" "$(field "$container" '{{.RestartCount}}')"; then
        say "$image_service: runs already with these settings, and is well" "$image_service: 같은 설정으로 이미 정상 실행 중"
        continue
      fi
    fi
    to_start="$to_start$one_image$newline"
  done <<EOT
$chosen
EOT
  to_start=${to_start%"$newline"}
}

# copies of folders, then a command in the new image: what an update needs before the new one takes over
before_update() {
  while read -r point folder; do
    [ -n "$point" ] || continue
    place=$(folder_of "$folder")
    [ -d "$place" ] || continue
    say "$image_service: copying $place to $place.before-$generation" "$image_service: $place 을(를) $place.before-$generation 에 복사"
    rm -rf "$place.before-$generation.partial"
    { cp -a "$place" "$place.before-$generation.partial" && mv "$place.before-$generation.partial" "$place.before-$generation"; } ||
      refuse "$start_failed" "$place could not be copied; nothing was changed" "$place 을(를) 복사하지 못했습니다. 바뀐 것은 없습니다"
  done <<EOT
$service_copies
EOT
  [ -n "$service_before" ] || return 0
  say "$image_service: before the update: $service_before" "$image_service: 업데이트 전: $service_before"
  before_said=$(with_settings run_before none candidate) || refuse "$start_failed" \
    "$image_service: what has to run before the update failed; the old one runs as before:
$(printf '%s\n' "$before_said" | tail -n 10 | indent)" \
    "$image_service: 업데이트 전 명령이 실패했습니다. 이전 것은 그대로 실행 중입니다:
$(printf '%s\n' "$before_said" | tail -n 10 | indent)"
}

run_before() {
  shift
  eval "set -- \"\$@\" \"\$image_name\" $service_before"
  "$engine" run --rm --pull=never "$@" </dev/null 2>&1
}

# the new one under another name, without its port, while the old one serves
try_candidate() {
  candidate=$prefix$image_service.next
  remove "$candidate"
  say "$image_service: starting $release_version beside what runs" "$image_service: 실행 중인 것 옆에서 $release_version 시작"
  with_settings create "$candidate" candidate
  if "$engine" start "$candidate" >/dev/null </dev/null 2>"$state/said" && prove "$candidate"; then
    remove "$candidate"
    return
  fi
  [ -n "$problem" ] || problem=$(cat "$state/said")
  last=$(last_words "$candidate")
  remove "$candidate"
  failed 'what ran before runs on' '이전 것은 계속 실행 중입니다'
}

# one service from the old container to the new; $state/pending says what an interrupted switch has to undo
switch() {
  container=$prefix$image_service
  remove "$container.new"
  with_settings create "$container.new" final
  old=''
  if exists "$container"; then
    old=$(label_of "$container" generation)
    old=${old:-0}
  fi
  printf 'run %s %s\n' "$image_service" "$old" >>"$state/pending"
  if [ -n "$old" ]; then
    "$engine" stop --time 15 "$container" >/dev/null </dev/null
    "$engine" rename "$container" "$container.gen$old" </dev/null
    "$engine" tag "$(field "$container.gen$old" '{{.Image}}')" "$image_service:rollback" 2>/dev/null || :
  fi
  "$engine" rename "$container.new" "$container" </dev/null
  problem=''
  if "$engine" start "$container" >/dev/null </dev/null 2>"$state/said" && prove "$container"; then
    say "$image_service: $release_version runs" "$image_service: $release_version 실행 중"
    return
  fi
  [ -n "$problem" ] || problem=$(cat "$state/said")
  last=$(last_words "$container")
  undo
  failed 'what ran before was started again' '이전 것을 다시 시작했습니다'
}

# put right what a switch left half done: each line of pending, the newest first
undo() {
  [ -s "$state/pending" ] || return 0
  awk '{ line[NR] = $0 } END { for (i = NR; i; i--) print line[i] }' "$state/pending" >"$state/undoing"
  while read -r kind undo_service number; do
    undo_one "$prefix$undo_service" "$kind" "$number"
  done <"$state/undoing"
  rm -f "$state/pending" "$state/undoing"
}

undo_one() {
  remove "$1.new"
  case $2 in
    run)
      [ -n "$3" ] || { remove "$1" && return; }
      if exists "$1.gen$3"; then
        remove "$1"
        "$engine" rename "$1.gen$3" "$1" </dev/null
      fi ;;
    rollback)
      if exists "$1.dropped"; then
        if exists "$1"; then
          "$engine" stop --time 15 "$1" >/dev/null 2>&1 </dev/null || :
          "$engine" rename "$1" "$1.gen$3" </dev/null
        fi
        "$engine" rename "$1.dropped" "$1" </dev/null
      fi ;;
  esac
  "$engine" start "$1" >/dev/null </dev/null || warn "$1 could not be started again: $engine_kind start $1" \
    "$1 을(를) 다시 시작하지 못했습니다: $engine_kind start $1"
}

# what an earlier ferry.sh left when it was killed
recover() {
  if [ -s "$state/pending" ]; then
    warn 'an earlier switch was cut off: putting back what ran before' '이전 전환이 중단되었습니다: 이전 것을 되돌립니다'
    undo
  fi
  for one in $(names_of_ours); do
    case $one in
      *.next | *.new) remove "$one" ;;
    esac
  done
}

# from here on to the end or back: neither a lost connection nor Ctrl-C stops it halfway, and the lock is this shell's
detach() {
  trap '' HUP INT TERM PIPE
  # shellcheck disable=SC2016 # the inner shell's parent is this one, of which $$ says nothing
  sh -c 'echo "$PPID"' >"$state/lock/pid"
}

switch_all() (
  detach
  while IFS= read -r one_image; do
    facts_of "$one_image"
    settings=$(with_settings digest_of none final)
    switch
  done <<EOT
$to_start
EOT
  rm -f "$state/pending"
)

run_chosen() {
  find_instance
  find_hasher
  take_lock
  recover
  check_sequence
  require_loaded
  while IFS= read -r one_image; do
    facts_of "$one_image"
    place_models "$service_models"
  done <<EOT
$chosen
EOT
  make_network
  choose_to_start
  if [ -n "$to_start" ]; then
    next_generation
    preflight
    prepare
    switch_all
  fi
  keep sequence "$release_sequence"
  prune
  drop_lock
  status_of_all
}

# a number that this server never had: copies of folders are named by it, too
next_generation() {
  generation=$(ours | cut -d' ' -f3 | sort -n | tail -n 1)
  seen=$(cat "$state/generation" 2>/dev/null || echo 0)
  [ "$seen" -le "${generation:-0}" ] || generation=$seen
  generation=$((${generation:-0} + 1))
  keep generation "$generation"
}

# a fact of this server that has to outlive its containers
keep() {
  printf '%s\n' "$2" >"$state/$1.partial"
  mv "$state/$1.partial" "$state/$1"
}

# everything that can fail while the old ones still serve
prepare() {
  while IFS= read -r one_image; do
    facts_of "$one_image"
    settings=$(with_settings digest_of none final)
    exists "$prefix$image_service" || continue
    before_update
    [ -n "$stop_first" ] || ! is_running "$prefix$image_service" || try_candidate
  done <<EOT
$to_start
EOT
}

make_network() {
  "$engine" network inspect "$network" >/dev/null 2>&1 </dev/null ||
    "$engine" network create --label "$label.instance=$instance" "$network" >/dev/null </dev/null
}

# three generations back are enough; images keep their names
prune() {
  ran=$(ours)
  for one_service in $services; do
    for number in $(printf '%s\n' "$ran" | generations "$one_service" | sed 1,3d); do
      remove "$prefix$one_service.gen$number"
    done
  done
}

run_options='--variant --data --models --logs --mount --port --env --gpus --name --allow-downgrade --stop-first'
trust_options='--require-signature --insecure-skip-signature --signers'

run() {
  options "$run_options" "$@"
  find_engine
  choose_images
  run_chosen
}

up() {
  options "$run_options $trust_options" "$@"
  find_engine
  where=$(engine_text)
  say "$release${release_revision:+ ($release_revision)} on $where" "$release${release_revision:+ ($release_revision)}, $where"
  choose_images
  verify_all "$chosen"
  load_chosen
  run_chosen
}
