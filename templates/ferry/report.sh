# --- report: all that a person at home needs to know of this server, in one text, without secrets ---

section() {
  printf '\n=== %s ===\n' "$1"
}

# a command of which it may be that it does not exist or fails
shown() {
  section "$*"
  "$@" 2>&1 </dev/null || printf '(exit status %s)\n' "$?"
}

# settings of a container, of its environment the names alone
shown_container() {
  section "container $1"
  "$engine" container inspect --format '{{.Config.Image}} {{.Image}}
state {{.State.Status}} exit {{.State.ExitCode}} oom {{.State.OOMKilled}} restarts {{.RestartCount}} started {{.State.StartedAt}}
restart {{.HostConfig.RestartPolicy.Name}} ports {{json .HostConfig.PortBindings}}
binds {{json .HostConfig.Binds}}
devices {{json .HostConfig.Devices}}
labels {{json .Config.Labels}}' "$1" 2>&1 </dev/null || :
  field "$1" '{{range .Config.Env}}{{println .}}{{end}}' | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/env \1/p'
}

# passwords in URLs and after words that announce one
without_secrets() {
  sed -e 's#\(://[^/@ :]*\):[^/@ ]*@#\1:***@#g' \
    -e 's/\([Pp][Aa][Ss][Ss][A-Za-z_]*\|[Tt][Oo][Kk][Ee][Nn][A-Za-z_]*\|[Ss][Ee][Cc][Rr][Ee][Tt][A-Za-z_]*\|[Aa][Pp][Ii]_*[Kk][Ee][Yy]\)\(["'\'']*[=:] *\)[^ ,"'\'']*/\1\2***/g'
}

report() {
  options '--name --data --models --logs' "$@"
  find_instance
  report_all | without_secrets
}

report_all() {
  printf 'torchferry report 1\nrelease %s\nmade %s\n' "$release" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  shown uname -a
  shown cat /etc/os-release
  shown df -Pk
  shown cat /proc/meminfo | head -n 8
  section nvidia-smi
  smi_said
  section kernel
  kernel
  section doctor
  form=words smi='' driver='' typed=''
  verdict || :
  report_engine
}

# what the engine tells; a report is wanted most where it tells nothing
report_engine() {
  if ! no_engine_said=$(find_engine 2>&1); then
    section engine
    printf '%s\n' "$no_engine_said"
    return 0
  fi
  find_engine
  shown "$engine" version
  shown "$engine" info
  shown "$engine" ps --all
  shown "$engine" image ls
  section status
  status_of_all
  for one in $(names_here); do
    shown_container "$one"
    section "log of $one"
    "$engine" logs --tail 100 "$one" </dev/null 2>&1 | sed 's/^=== .* ===$/ &/' || :
  done
}
