# --- proof: a started container is well, computes where it was promised to, and answers a real request ---

# what a message means, by the same catalogue as inv doctor --error
diagnosis() {
  explain 2>/dev/null || :
}

# wait until a container is well, for the service's own time: NAME and how often it was restarted before; what is wrong
# goes to $problem
wait_healthy() {
  problem='' waited=0 naps=0
  while :; do
    ended=$(field "$1" '{{if .State.Running}}{{.RestartCount}}{{else}}ended {{.State.ExitCode}}{{end}}')
    if [ "$ended" != "$2" ]; then
      ended=$(field "$1" '{{.State.ExitCode}}')
      problem=$(say "it ended (exit status ${ended:-unknown})" "종료됨 (종료 코드 ${ended:-알 수 없음})")
      return 1
    fi
    if [ -z "$service_health" ]; then
      [ "$waited" -lt 2 ] || return 0
    else
      if problem=$(ask_health "$1"); then
        problem=''
        return 0
      fi
    fi
    if [ "$waited" -ge "$service_within" ] && [ -n "$service_health" ]; then
      problem=$(say "not well after $service_within s: $problem" "$service_within 초 뒤에도 정상이 아님: $problem")
      return 1
    fi
    [ $((waited % 10)) -ne 9 ] || say "  $image_service: not yet well after $waited s: $problem" \
      "  $image_service: $waited 초, 아직 정상이 아님: $problem"
    nap
  done
}

# a second, $waited counts them; the first five in parts where sleep takes them: most services are well within these
nap() {
  if [ "$naps" -lt 25 ] && sleep 0.2 2>/dev/null; then
    naps=$((naps + 1))
    [ $((naps % 5)) -eq 0 ] || return 0
  else
    naps=25
    sleep 1
  fi
  waited=$((waited + 1))
}

# the service's own check of its health, in its container
ask_health() {
  eval "set -- \"\$1\" $service_health"
  "$engine" exec "$@" </dev/null 2>&1
}

# everything that a container must show; what is wrong goes to $problem
prove() {
  wait_healthy "$1" 0 || return 1
  if [ -n "$image_gpu" ]; then
    if ! problem=$("$engine" exec "$1" /opt/venv/bin/python -B -c "$gpu_program" </dev/null 2>&1); then
      problem=$(say "the GPU that was promised does not compute: $problem" "약속된 GPU 에서 계산이 되지 않음: $problem")
      return 1
    fi
    say "  $image_service: computed on $problem" "  $image_service: 계산 확인: $problem"
  fi
  if [ -n "$service_proof" ]; then
    if ! problem=$("$engine" exec "$1" /opt/venv/bin/python -B -c "$prove_program" "$service_proof" </dev/null 2>&1); then
      problem=$(say "its own request failed: $problem" "자체 요청이 실패함: $problem")
      return 1
    fi
    say "  $image_service: answered its own request" "  $image_service: 자체 요청에 응답함"
  fi
  problem=''
}

# what a container that failed leaves behind: its last lines, and what they mean
last_words() {
  [ -n "$problem" ] || problem=$(cat "$state/said")
  last_log=$("$engine" logs --tail 30 "$1" </dev/null 2>&1 || :)
  printf '%s\n' "$problem" | indent
  say 'its last lines:' '마지막 로그:'
  printf '%s\n' "$last_log" | indent
  printf '%s\n%s\n' "$problem" "$last_log" | diagnosis
}
