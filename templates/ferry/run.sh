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
  highest=$(serving | cut -d' ' -f4 | sort -n | tail -n 1)
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
    runs_well || to_start="$to_start$one_image$newline"
  done <<EOT
$chosen
EOT
  to_start=${to_start%"$newline"}
}

runs_well() {
  container=$prefix$image_service
  settings=$(with_settings digest_of none final)
  [ "$(row "$container" | cut -d' ' -f6)" = "$settings" ] || return 1
  is_running "$container" || "$engine" start "$container" >/dev/null 2>&1 </dev/null || return 1
  wait_healthy "$container" "$(field "$container" '{{.RestartCount}}')" || return 1
  say "$image_service: runs already with these settings, and is well" "$image_service: 같은 설정으로 이미 정상 실행 중"
}

# the new one under another name, without its port, while the old one serves
try_candidate() {
  candidate=$prefix$image_service.next
  remove "$candidate"
  beside=$candidate
  say "$image_service: starting $release_version beside what runs" "$image_service: 실행 중인 것 옆에서 $release_version 시작"
  problem=''
  if with_settings create "$candidate" candidate 2>"$state/said" &&
    "$engine" start "$candidate" >/dev/null 2>"$state/said" </dev/null && prove "$candidate"; then
    remove "$candidate"
    beside=''
    return
  fi
  last=$(last_words "$candidate")
  failed 'what ran before runs on' '이전 것은 계속 실행 중입니다'
}

# one service from the old container to the new; $state/pending says what an interrupted switch has to undo
switch() {
  container=$prefix$image_service
  old=$(row "$container" | cut -d' ' -f3)
  problem=''
  remove "$container.new"
  if with_settings create "$container.new" final 2>"$state/said" && swap_in 2>"$state/said" && prove "$container"; then
    say "$image_service: $release_version runs" "$image_service: $release_version 실행 중"
    return
  fi
  last=$(last_words "$container")
  undo
  failed 'what ran before was started again' '이전 것을 다시 시작했습니다'
}

# each step has to succeed; in a chain, since the shell's -e does not count where a function is asked how it went
swap_in() {
  printf 'run %s %s %s\n' "$image_service" "${old:--}" "$generation" >>"$state/pending" &&
    { [ -z "$old" ] || put_away; } &&
    "$engine" rename "$container.new" "$container" </dev/null &&
    "$engine" start "$container" >/dev/null </dev/null
}

# the old one steps aside; its image keeps a name
put_away() {
  "$engine" stop --time 15 "$container" >/dev/null </dev/null &&
    "$engine" rename "$container" "$container.gen$old" </dev/null || return 1
  "$engine" tag "$(field "$container.gen$old" '{{.Image}}')" "$image_service:rollback" 2>/dev/null </dev/null || :
}

# put right what a switch left half done: each line of pending, the newest first. Every step may have been done already
undo() {
  [ -s "$state/pending" ] || return 0
  undo_said='' undo_left=''
  awk '{ line[NR] = $0 } END { for (i = NR; i; i--) print line[i] }' "$state/pending" >"$state/undoing"
  while read -r kind undo_service old new; do
    one_said=$(undo_one "$prefix$undo_service" 2>&1 >/dev/null) && continue
    undo_said="$undo_said$undo_service: $one_said$newline"
    undo_left="$kind $undo_service $old $new$newline$undo_left"
  done <"$state/undoing"
  [ -z "$undo_said" ] || not_undone
  rm -f "$state/pending" "$state/undoing"
}

# what could be put back stays so, the rest is for the next command. A dockerd that was killed while it started a
# container may keep the port of it, until it is started anew
not_undone() {
  printf '%s' "$undo_left" >"$state/pending.partial" && mv "$state/pending.partial" "$state/pending"
  undo_hint=''
  case $undo_said in
    *'already allocated'*) undo_hint="$newline$(
      say '  no container has that port? then docker itself holds it: systemctl restart docker, and the same command again' \
        '  그 포트를 쓰는 컨테이너가 없으면 docker 자체가 잡고 있는 것입니다: systemctl restart docker 후 같은 명령을 다시'
    )" ;;
  esac
  refuse "$start_failed" "what ran before could not be put back yet; the same command tries again. $engine_kind said:
$(printf '%s' "$undo_said" | indent)$undo_hint" \
    "이전 것을 아직 되돌리지 못했습니다. 같은 명령이 다시 시도합니다. $engine_kind 메시지:
$(printf '%s' "$undo_said" | indent)$undo_hint"
}

# the container that serves is the old one again, and runs
undo_one() {
  remove "$1.new"
  if [ "$kind" = run ]; then
    # only what the switch itself brought
    [ "$(label_of "$1" generation)" != "$new" ] || remove "$1"
    [ "$old" != - ] || return 0
    ! exists "$1.gen$old" || "$engine" rename "$1.gen$old" "$1" </dev/null || return 1
  elif exists "$1.dropped"; then
    if exists "$1"; then
      "$engine" stop --time 15 "$1" </dev/null && "$engine" rename "$1" "$1.gen$old" </dev/null || return 1
    fi
    "$engine" rename "$1.dropped" "$1" </dev/null || return 1
  fi
  # an engine that was asked to stop it may be at it still: then it would stop after it was started
  [ -z "$was_cut" ] || "$engine" stop --time 15 "$1" </dev/null || return 1
  "$engine" start "$1" </dev/null
}

was_cut=''

# what an earlier ferry.sh left when it was killed
recover() {
  if [ -s "$state/pending" ]; then
    warn 'an earlier switch was cut off: putting back what ran before' '이전 전환이 중단되었습니다: 이전 것을 되돌립니다'
    was_cut=yes
    undo
    was_cut=''
  fi
  look
  for one in $(names_here); do
    case $one in
      *.once) end_of "$one" ;;
      *.next | *.new | *.dropped | torchferry-try) remove "$one" ;;
    esac
  done
}

# what an earlier ferry.sh started and did not see the end of: a change of data is not to be cut off, nor done twice at once
end_of() {
  if is_running "$1"; then
    say "waiting for the end of $1, which an interrupted ferry.sh started ($engine_kind rm --force $1 ends it)" \
      "중단된 ferry.sh 가 시작한 $1 이(가) 끝나기를 기다립니다 ($engine_kind rm --force $1 로 끝낼 수 있음)"
    "$engine" wait "$1" >/dev/null 2>&1 </dev/null || :
  fi
  remove "$1"
}

# from here on to the end or back: neither a lost connection nor Ctrl-C stops it halfway, and the lock is this shell's.
# What is ignored here docker listens to all the same, so it gets a session of its own, out of the terminal's reach
detach() {
  trap '' HUP INT TERM PIPE
  if command -v setsid >/dev/null 2>&1; then
    engine_program=$engine
    engine=engine_apart
  fi
  # shellcheck disable=SC2016 # the inner shell's parent is this one, of which $$ says nothing
  own_lock sh -c 'echo "$PPID"'
}

engine_apart() {
  setsid "$engine_program" "$@"
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
  look
  check_sequence
  require_loaded
  while IFS= read -r one_image; do
    facts_of "$one_image"
    tell_gpu_left_out
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
  tell_of_others
  drop_lock
  status_of_all
}

# a number that this server never had: copies of folders are named by it, too
next_generation() {
  generation=$(printf '%s\n' "$here" | cut -d' ' -f3 | sort -n | tail -n 1)
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
    [ -n "$(row "$prefix$image_service")" ] || continue
    before_update
    [ -n "$stop_first" ] || ! is_running "$prefix$image_service" || try_candidate
  done <<EOT
$to_start
EOT
}

make_network() {
  "$engine" network inspect "$network" >/dev/null 2>&1 </dev/null && return
  network_said=$("$engine" network create --label "$label.instance=$instance" "$network" 2>&1 </dev/null) ||
    refuse "$not_ready" "$engine_kind has no network $network, and does not make it; nothing was stopped. It said:
$(printf '%s\n' "$network_said" | indent)" \
      "$engine_kind 에 $network 네트워크가 없고 만들지도 못했습니다. 멈춘 것은 없습니다. 메시지:
$(printf '%s\n' "$network_said" | indent)"
}

# three generations back are enough; images keep their names
prune() {
  look
  for one_service in $services; do
    for number in $(generations "$one_service" | sed 1,3d); do
      remove "$prefix$one_service.gen$number"
    done
  done
  while IFS= read -r one_image; do
    facts_of "$one_image"
    prune_copies
  done <<EOT
$chosen
EOT
}

# services that an earlier release had and this one has not: they may serve somebody, so they are told of and left
tell_of_others() {
  for one_service in $(serving | cut -d' ' -f2); do
    case $newline$services$newline in
      *"$newline$one_service$newline"*) continue ;;
    esac
    say "$one_service: $release has no such service; it is left as it is ($engine_kind rm --force $prefix$one_service removes it)" \
      "$one_service: $release 에 없는 서비스입니다. 그대로 둡니다 (지우려면 $engine_kind rm --force $prefix$one_service)"
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
  find_instance
  take_lock
  load_chosen
  run_chosen
}
