# --- load: images into the engine, guarded ---
#
# The exit status of `docker load` says nothing: some versions print "Error unpacking", exit with 0 and have moved the
# name already. So an image comes in under a name of its own, is looked at, and only then gets the name it is run by.

# the machine as images name it
machine() {
  case $(uname -m) in
    amd64) echo x86_64 ;;
    arm64) echo aarch64 ;;
    *) uname -m ;;
  esac
}

# the image of each service for a variant: --variant, or what the doctor picks; one line each in $chosen
choose_images() {
  arch=$(machine)
  [ -n "$variant" ] || pick_variant
  chosen=''
  for one_service in $services; do
    chosen_one=''
    for candidate in "$variant" any; do
      case "$newline$images$newline" in
        *"$newline$one_service $candidate $arch$newline"*) chosen_one="$one_service $candidate $arch" && break ;;
      esac
    done
    [ -n "$chosen_one" ] || refuse "$not_ready" \
      "$one_service has no variant $variant for $arch in this release; it has:
$(printf '%s\n' "$images" | grep "^$one_service " | indent)" \
      "이 릴리스의 $one_service 에는 $arch 용 $variant 변형이 없습니다. 있는 것:
$(printf '%s\n' "$images" | grep "^$one_service " | indent)"
    chosen="$chosen$chosen_one$newline"
  done
  chosen=${chosen%"$newline"}
}

# what the doctor says of this server, if the release has variants at all
pick_variant() {
  case $images in
    *' cpu '* | *' cu'[0-9]*) ;;
    *) variant=any && return ;;
  esac
  form=plain smi='' driver='' typed=''
  # what it says of a server without a GPU is an exit status, too
  variant=$(verdict | sed -n 's/^pick	\([^	]*\)	.*/\1/p')
  [ -n "$variant" ] || refuse "$not_ready" \
    "no variant of this release is known to run here; sh ferry.sh doctor says why, --variant NAME takes one all the same" \
    "이 서버에서 실행된다고 확인된 변형이 없습니다. 이유는 sh ferry.sh doctor, 그래도 쓰려면 --variant 이름"
  say "variant: $variant (sh ferry.sh doctor says why)" "변형: $variant (이유: sh ferry.sh doctor)"
}

# the archive under another name: its own beginning, then the rest as it is, parts one after another
stream() {
  cat "$image_head"
  left_out=$image_replaces
  while read -r _ _ name; do
    if [ "$left_out" -gt 0 ]; then
      tail -c "+$((left_out + 1))" <"$name"
      left_out=0
    else
      cat "$name"
    fi
  done <<EOT
$image_parts
EOT
}

# room for twice the image where docker keeps images: it unpacks into a temporary folder first. podman has a folder for
# that elsewhere, and in it at once the archive as it comes, the same unpacked, and each layer
require_room() {
  root=$(engine_root)
  [ -d "$root" ] || return 0 # it runs elsewhere: nothing can be known
  if [ "$engine_kind" = docker ]; then
    require_free "$root" "$image_size" "$image_size"
    return
  fi
  packed=$(sum "$(printf '%s\n' "$image_parts" | cut -d' ' -f1)")
  temporary=$(engine_temporary)
  if [ ! -d "$temporary" ] || [ "$(disk_of "$temporary")" = "$(disk_of "$root")" ]; then
    require_free "$root" "$packed" "$image_size" "$image_size" "$image_size"
  else
    require_free "$temporary" "$packed" "$image_size" "$image_size"
    require_free "$root" "$image_size"
  fi
}

# FOLDER and what it takes all together
require_free() {
  room=$1
  shift
  needed=$(sum "$@" 100000000)
  free=$(free_in "$room")
  ! is_less "$free" "$needed" || refuse "$no_space" \
    "$image_name needs $(human "$needed") in $room while it is loaded, and $(human "$free") are free; nothing was changed
  sh ferry.sh status lists what runs; $engine_kind image ls and $engine_kind image prune free room" \
    "$image_name 을(를) 올리는 동안 $room 에 $(human "$needed") 필요, 남은 공간 $(human "$free"). 바뀐 것은 없습니다
  sh ferry.sh status 로 실행 중인 것을 보고, $engine_kind image ls / $engine_kind image prune 으로 공간을 만드십시오"
}

# one image: nothing happens when it is here already and whole
load_image() {
  image "$1"
  if is_whole "$image_name"; then
    say "load $image_name: it is here already" "load $image_name: 이미 있음"
    [ "$(id_of "$image_name")" != "sha256:$image_manifest" ] || note_raw "$image_name"
    drop_incoming
    return
  fi
  require_room
  say "load $image_name ($(human "$image_size") unpacked)" "load $image_name (풀린 크기 $(human "$image_size"))"
  drop_incoming
  loaded=yes
  # The status of the first half would be lost in the pipe; what it left out is missing in the image then.
  said=$(stream | "$engine" load 2>&1) || loaded=''
  case $said in
    *'Error unpacking'*) loaded='' ;;
  esac
  if [ -z "$loaded" ] || ! is_whole "$image_incoming"; then
    drop_incoming
    refuse "$load_failed" "$engine_kind could not load $image_archive; $image_name is as it was before. It said:
$(printf '%s\n' "$said" | tail -n 5 | indent)
  sh ferry.sh verify tells damage; $engine_kind's own log and df $(engine_root) tell the rest" \
      "$engine_kind 이(가) $image_archive 을(를) 올리지 못했습니다. $image_name 은(는) 그대로입니다. 메시지:
$(printf '%s\n' "$said" | tail -n 5 | indent)
  손상 여부는 sh ferry.sh verify, 나머지는 $engine_kind 로그와 df $(engine_root) 로 확인하십시오"
  fi
  { keep_old && "$engine" tag "$image_incoming" "$image_name"; } || refuse "$load_failed" \
    "$engine_kind did not give $image_incoming the name $image_name" \
    "$engine_kind 이(가) $image_incoming 에 $image_name 이름을 주지 못했습니다"
  note_raw "$image_name"
  drop_incoming
}

# an image that had the name before keeps another
keep_old() {
  old_id=$(id_of "$image_name")
  [ -n "$old_id" ] && [ "$old_id" != "$(id_of "$image_incoming")" ] || return 0
  old_id=${old_id#sha256:}
  "$engine" tag "$image_name" "$image_service:rollback-$(printf '%.12s' "$old_id")"
}

drop_incoming() {
  "$engine" image rm "$image_incoming" >/dev/null 2>&1 || :
}

load_chosen() {
  require_held
  while IFS= read -r chosen_image; do
    load_image "$chosen_image"
  done <<EOT
$chosen
EOT
}

load() {
  options '--variant --require-signature --insecure-skip-signature --signers' "$@"
  find_engine
  choose_images
  verify_all "$chosen"
  find_instance
  take_lock
  load_chosen
}
