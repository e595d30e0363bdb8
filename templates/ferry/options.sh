# --- what the command line may say ---

variant='' data=${FERRY_DATA:-/data} folders='' ports='' envs='' gpus='' instance='' signers=''
require_signature='' skip_signature='' allow_downgrade='' stop_first='' plain_http=''
newline='
'

# options of verify, load, run, up and the commands that look at what runs; each command names those it knows
options() {
  known=$1
  shift
  while [ "$#" -gt 0 ]; do
    case " $known " in
      *" $1 "*) ;;
      *) refuse "$usage" "$command does not know '$1'; sh ferry.sh help lists what it knows" \
        "$command 명령은 '$1' 을(를) 모릅니다. sh ferry.sh help 를 보십시오" ;;
    esac
    case $1 in
      --require-signature) require_signature=yes && shift && continue ;;
      --insecure-skip-signature) skip_signature=yes && shift && continue ;;
      --allow-downgrade) allow_downgrade=yes && shift && continue ;;
      --plain-http) plain_http=yes && shift && continue ;;
      --stop-first) stop_first=yes && shift && continue ;;
    esac
    [ "$#" -gt 1 ] || refuse "$usage" "$1 takes a value" "$1 에는 값이 필요합니다"
    one_line "$1" "$2"
    option "$1" "$2"
    shift 2
  done
  cd "$home"
}

option() {
  case $1 in
    --variant) variant=$2 ;;
    --port) check_port "$2" && ports="$ports$2$newline" ;;
    --data) data=$(absolute "$2") ;;
    --models) folders="${folders}models=$(absolute "$2")$newline" ;;
    --logs) folders="${folders}logs=$(absolute "$2")$newline" ;;
    --mount)
      case $2 in
        ?*=?*) folders="$folders${2%%=*}=$(absolute "${2#*=}")$newline" ;;
        *) refuse "$usage" "--mount takes NAME=FOLDER, not '$2'" "--mount 는 이름=폴더 형식입니다: '$2'" ;;
      esac ;;
    --env)
      case $2 in
        [A-Za-z_]*=* | *:[A-Za-z_]*=*) envs="$envs$2$newline" ;;
        *) refuse "$usage" "--env takes NAME=VALUE or SERVICE:NAME=VALUE, not '$2'" \
          "--env 는 이름=값 또는 서비스:이름=값 형식입니다: '$2'" ;;
      esac ;;
    --gpus) gpus=$2 ;;
    --name)
      case $2 in
        *[!a-z0-9-]* | -* | '') refuse "$usage" "--name takes a-z, 0-9 and -, not '$2'" \
          "--name 은 a-z, 0-9, - 만 쓸 수 있습니다: '$2'" ;;
      esac
      instance=$2 ;;
    --signers) signers=$(absolute "$2") ;;
  esac
}

# a value that ran over several lines would become several values
one_line() {
  case $2 in
    *"$newline"*) refuse "$usage" "$1 takes one line" "$1 의 값은 한 줄이어야 합니다" ;;
  esac
}

check_port() {
  port_part=${1#*=}
  case $port_part in
    '' | *[!0-9]* | ??????*) port_part=0 ;;
  esac
  { [ "$port_part" -ge 1 ] && [ "$port_part" -le 65535 ]; } ||
    refuse "$usage" "--port takes a number from 1 to 65535, or SERVICE=NUMBER, not '$1'" \
      "--port 는 1-65535 숫자 또는 서비스=숫자 형식입니다: '$1'"
}

absolute() {
  case $1 in
    *:*) refuse "$usage" "Docker cannot mount '$1': its path has a colon" "Docker 는 콜론이 있는 경로를 마운트할 수 없습니다: '$1'" ;;
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$PWD" "$1" ;;
  esac
}

# the folder of the server for a mount's name: as given, or below the data folder
folder_of() {
  found_folder=$data/$1
  while IFS= read -r line; do
    case $line in
      "$1="*) found_folder=${line#*=} ;;
    esac
  done <<EOT
$folders
EOT
  printf '%s' "$found_folder"
}

# the port of the server for a service: as given for it, as given at all, or its own
port_of() {
  found_port=$2
  while IFS= read -r line; do
    case $line in
      '') ;;
      "$1="*) found_port=${line#*=} && break ;;
      *=*) ;;
      *) [ "$1" != "$first_with_port" ] || found_port=$line ;;
    esac
  done <<EOT
$ports
EOT
  printf '%s' "$found_port"
}
