# --- containers: which of them are ours, and what they were started with ---
#
# The one that runs has the name of its service. Those that ran before it keep their settings, stopped, under
# NAME.gen1, NAME.gen2 ...: what `rollback` starts again is the very container that ran. All state is in their labels;
# a small folder beside them holds the lock and what an interrupted switch must put right.

label=io.torchferry

# names of this release on this server: --name lets it run here twice
find_instance() {
  : "${instance:=$release_name}"
  prefix=''
  [ "$instance" = "$release_name" ] || prefix=$instance-
  network=$instance
  state=${FERRY_STATE:-}
  if [ -z "$state" ]; then
    state=/var/lib/torchferry
    [ "$(id -u)" -eq 0 ] || state=${XDG_STATE_HOME:-${HOME:-/tmp}/.local/state}/torchferry
  fi
  raw_images=$state/raw-images
  state=$state/$instance
  first_with_port=''
  for one_service in $services; do
    service "$one_service"
    [ -z "$service_port" ] || [ -n "$first_with_port" ] || first_with_port=$one_service
  done
}

# only one ferry.sh at a time changes an instance; a lock whose owner is gone is nobody's
take_lock() {
  [ -z "$locked" ] || return 0
  mkdir -p "$state" 2>/dev/null || refuse "$not_ready" "cannot write $state; set FERRY_STATE to a folder that can be" \
    "$state 에 쓸 수 없습니다. FERRY_STATE 로 쓸 수 있는 폴더를 지정하십시오"
  if ! mkdir "$state/lock" 2>/dev/null; then
    find_owner
    [ -z "$owner" ] || refuse "$busy" "another ferry.sh (process $owner) is at work on $instance; wait for it" \
      "다른 ferry.sh (프로세스 $owner) 가 $instance 작업 중입니다. 끝날 때까지 기다리십시오"
    rm -rf "$state/lock"
    mkdir "$state/lock" 2>/dev/null || refuse "$busy" "another ferry.sh was quicker" "다른 ferry.sh 가 먼저 시작했습니다"
  fi
  locked=yes
  own_lock echo "$$"
}

# the process that holds the lock, if it lives; after a restart of the server its number may be another program's
find_owner() {
  owner=$(cat "$state/lock/pid" 2>/dev/null) || { sleep 1 && owner=$(cat "$state/lock/pid" 2>/dev/null); } || owner=''
  if [ -z "$owner" ] || ! kill -0 "$owner" 2>/dev/null; then
    owner=''
  elif [ -r "/proc/$owner/cmdline" ]; then
    case $(tr '\0' ' ' <"/proc/$owner/cmdline") in
      *ferry*) ;;
      *) owner='' ;;
    esac
  fi
}

# the lock is of the process whose number this command tells
own_lock() {
  { "$@" >"$state/lock/pid.partial" && mv "$state/lock/pid.partial" "$state/lock/pid"; } ||
    refuse "$no_space" "cannot write into $state: is its disk full?" "$state 에 쓸 수 없습니다. 디스크가 가득 찼습니까?"
}

drop_lock() {
  [ -z "$locked" ] || rm -rf "$state/lock"
  locked=''
}

locked=''

# a container that is to go at the end, whatever the end is
beside=''

# one field of a container, by a Go template; nothing when there is no such container
field() {
  "$engine" container inspect --format "$2" "$1" 2>/dev/null </dev/null || :
}

# a label of ours in a Go template
labelled() {
  printf '{{index .Config.Labels "%s.%s"}}' "$label" "$1"
}

label_of() {
  field "$1" "$(labelled "$2")"
}

exists() {
  "$engine" container inspect "$1" >/dev/null 2>&1 </dev/null
}

is_running() {
  [ "$(field "$1" '{{.State.Running}}')" = true ]
}

# look at all containers of this instance: $here has one a line, NAME SERVICE GENERATION SEQUENCE VERSION SETTINGS
# RUNNING. Two questions to the engine, however many there are; one that is not answered ends everything, since
# "nothing is here" would be believed
look() {
  look_once || look_once || no_answer # a container may go between the questions
}

look_once() {
  here=''
  here_ids=$("$engine" ps --all --quiet --no-trunc --filter "label=$label.instance=$instance" 2>/dev/null </dev/null) ||
    return 1
  [ -n "$here_ids" ] || return 0
  # shellcheck disable=SC2086 # ids have no blanks
  here=$("$engine" container inspect --format "{{.Name}} $(labelled service) $(labelled generation) $(
    labelled sequence) $(labelled version) $(labelled settings) {{.State.Running}}" $here_ids 2>/dev/null </dev/null) ||
    return 1
  here=$(printf '%s\n' "$here" | sed 's|^/||')
}

no_answer() {
  engine_said=$("$engine" ps --all 2>&1 >/dev/null </dev/null | tail -n 1)
  refuse "$no_engine" "$engine_kind does not answer any more: ${engine_said:-it did just now, so try again}" \
    "$engine_kind 이(가) 더 이상 응답하지 않습니다: ${engine_said:-다시 시도하십시오}"
}

# the line of one container in $here
row() {
  printf '%s\n' "$here" | awk -v name="$1" '$1 == name'
}

names_here() {
  printf '%s\n' "$here" | cut -d' ' -f1
}

# the services of this instance that are here, whatever release brought them
services_here() {
  printf '%s\n' "$here" | cut -d' ' -f2 | sort -u
}

# of $here the containers that serve, not those that ran before
serving() {
  printf '%s\n' "$here" | while read -r one_name one_service one_rest; do
    # where nothing is here, that is one empty line
    [ -z "$one_name" ] || [ "$one_name" != "$prefix$one_service" ] ||
      printf '%s %s %s\n' "$one_name" "$one_service" "$one_rest"
  done
}

# the generations of a service that ran before, newest first
generations() {
  names_here | while read -r one_name; do
    case $one_name in
      "$prefix$1".gen*) printf '%s\n' "${one_name##*.gen}" ;;
    esac
  done | sort -rn
}

# how a container is known to be well is written on it: the release that made it may be another. Fails where there is
# no such container any more
facts_on() {
  started_at=''
  read_facts "$1" || :
  [ -n "$started_at" ]
}

read_facts() {
  {
    IFS= read -r image_service
    IFS= read -r service_health
    IFS= read -r service_within
    IFS= read -r service_proof
    IFS= read -r image_version
    IFS= read -r image_variant
    IFS= read -r image_gpu
    IFS= read -r started_at # last: it is never empty, and $(...) drops empty lines at its end
  } <<EOT
$(field "$1" "$(labelled service)
$(labelled health)
$(labelled within)
$(labelled proof)
$(labelled version)
$(labelled variant)
$(labelled gpu)
{{.State.StartedAt}}")
EOT
}

# hand the words with which a service is started to a function: FUNCTION CONTAINER PURPOSE; the facts of the service and
# of its image are read already. A candidate publishes no port, takes no name in the network and is not restarted.
with_settings() {
  settings_verb=$1 settings_name=$2 settings_purpose=$3
  set -- --init --network "$network" --log-driver json-file --log-opt max-size=20m --log-opt max-file=3
  [ "$engine_kind" = docker ] || set -- --init --network "$network" --log-driver k8s-file --log-opt max-size=20mb
  if [ "$settings_purpose" = final ]; then
    set -- "$@" --restart unless-stopped --network-alias "$image_service"
    [ -z "$service_port" ] || set -- "$@" --publish "$(port_of "$image_service" "$service_port"):$service_port"
  fi
  if [ -n "$image_gpu" ]; then
    if [ "$engine_kind" = docker ]; then
      set -- "$@" --gpus "${gpus:-all}"
    else
      set -- "$@" --device "nvidia.com/gpu=${gpus:-all}"
    fi
  fi
  # where nvidia's runtime is the default one, the image's own variable would be enough to get all GPUs
  [ -z "$gpu_left_out" ] || set -- "$@" --env NVIDIA_VISIBLE_DEVICES=void
  selinux=''
  [ "$(getenforce 2>/dev/null || :)" != Enforcing ] || selinux=,z
  while read -r point folder; do
    [ -z "$point" ] || set -- "$@" --volume "$(folder_of "$folder"):$point:rw$selinux"
  done <<EOT
$service_writes
EOT
  while read -r point folder; do
    [ -z "$point" ] || set -- "$@" --volume "$(folder_of "$folder"):$point:ro$selinux"
  done <<EOT
$service_reads
EOT
  while read -r one_model point; do
    [ -z "$one_model" ] || set -- "$@" --volume "$(models_folder)/$one_model:$point:ro$selinux"
  done <<EOT
$service_models
EOT
  while IFS= read -r line; do
    case ${line%%=*} in
      '') ;;
      "$image_service":*) set -- "$@" --env "${line#*:}" ;;
      *:*) ;;
      *) set -- "$@" --env "$line" ;;
    esac
  done <<EOT
$envs
EOT
  "$settings_verb" "$settings_name" "$@"
}

# with_settings: what tells whether a container was started with these settings from this image
digest_of() {
  shift
  printf '%s\n' "$image_config" "$@" | digest
}

# with_settings: make the container, not started
create() {
  create_name=$1
  shift
  "$engine" create --pull=never --name "$create_name" --label "$label.instance=$instance" \
    --label "$label.release=$release_name" --label "$label.version=$release_version" \
    --label "$label.sequence=$release_sequence" --label "$label.service=$image_service" \
    --label "$label.variant=$image_variant" --label "$label.generation=$generation" \
    --label "$label.settings=$settings" --label "$label.models=$(printf '%s' "$service_models" | cut -d' ' -f1 | tr '\n' ' ')" \
    --label "$label.health=$service_health" --label "$label.within=$service_within" --label "$label.gpu=$image_gpu" \
    --label "$label.proof=$service_proof" "$@" "$image_name" </dev/null >/dev/null
}

# an engine may be at it still, for a ferry.sh that was killed
remove() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    remove_said=$("$engine" rm --force --volumes "$1" 2>&1 >/dev/null </dev/null) && return
    case $remove_said in
      *'in progress'* | *'being removed'*) sleep 1 ;;
      *) return 0 ;;
    esac
  done
}

# with_settings: a container that ends by itself, with words of its own after the settings; it has a name, so that it is
# found where this shell does not live to see its end
run_once() {
  once=$1
  shift
  "$engine" run --rm --pull=never --name "$once" --label "$label.instance=$instance" \
    --label "$label.service=$image_service" "$@" </dev/null 2>&1
}
