# --- what is here already: a delta leaves out what its servers hold, and rests on it ---

# The ChainIDs of the diff_ids that come in, lowest first, each before its diff_id (OCI image spec: SHA-256 over the
# parent's and the diff_id).
chain_ids() {
  chain=''
  while read -r diff_id; do
    if [ -z "$chain" ]; then
      chain=$diff_id
    else
      chain=$(printf 'sha256:%s sha256:%s' "$chain" "$diff_id" | digest)
    fi
    printf '%s %s\n' "$chain" "$diff_id"
  done
}

# Docker's containerd store keeps the blobs that came in. A delta names raw ones, as every archive of ours brings them:
# on an image that came otherwise (pulled, say) it would run, but could not be saved again. So those that came by
# ferry.sh are noted, by their ids.
note_raw() {
  [ "$(engine_store)" = containerd ] || return 0
  raw_id=$(id_of "$1")
  [ "$(encoding_of "$raw_id")" = raw ] || printf '%s\n' "$raw_id" >>"$raw_images"
}

# raw, or unknown: how the engine keeps the layers of an image, by its id. Other stores keep no blobs
encoding_of() {
  if [ "$(engine_store)" != containerd ] || grep -qxF "$1" "$raw_images" 2>/dev/null; then echo raw; else echo unknown; fi
}

# every image on whose layers a delta may rest, one a line: its id and its diff_ids, lowest first
images_here() {
  image_ids=$("$engine" image ls --quiet --no-trunc 2>/dev/null </dev/null | sort -u)
  [ -n "$image_ids" ] || return 0
  # shellcheck disable=SC2086,SC2016 # ids have no blanks; the $ is Go's
  "$engine" image inspect --format '{{.Id}}{{range $place, $layer := .RootFS.Layers}} {{$layer}}{{end}}' $image_ids \
    2>/dev/null </dev/null | while read -r image_id image_rest; do
    [ "$(encoding_of "$image_id")" != raw ] || printf '%s %s\n' "$image_id" "$image_rest"
  done
}

# how many of the lowest layers of the image are here, one on the other: the most that any image has of them
layers_here() {
  images_here | awk -v wanted="$(printf '%s\n' "$image_layers" | cut -d' ' -f1 | tr '\n' ' ')" '
    BEGIN { count = split(wanted, want, " "); most = 0 }
    {
      for (same = 0; same < count && $(same + 2) == "sha256:" want[same + 1];) same++
      if (same > most) most = same
    }
    END { print most }'
}

# before anything is loaded: whatever was left out of the images has to be here
require_held() {
  lacking='' lacking_ko=''
  while IFS= read -r one_image; do
    image "$one_image"
    if [ "$image_omits" -gt 0 ] && ! is_whole "$image_name"; then
      held_layers=$(layers_here)
      if [ "$held_layers" -lt "$image_omits" ]; then
        lacking="$lacking  $image_name rests on $image_omits layers, and $held_layers of them are here$newline"
        lacking_ko="$lacking_ko  $image_name 의 기반 레이어 $image_omits 개 중 $held_layers 개만 있음$newline"
      fi
    fi
  done <<EOT
$chosen
EOT
  [ -z "$lacking" ] || refuse_delta "$lacking" "$lacking_ko"
}

# the end where a delta has nothing to rest on: what is lacking, English and Korean, in whole lines
refuse_delta() {
  counted='' counted_ko=''
  if [ "$(engine_store)" = containerd ]; then
    counted="  (with the containerd store, layers count that ferry.sh itself has loaded)$newline"
    counted_ko="  (containerd 저장소에서는 ferry.sh 가 올린 레이어만 셈)$newline"
  fi
  refuse "$not_held" "this release is a delta: it leaves out what its servers hold ($release_rests_on), and this one lacks:
$1$counted  what runs was not touched. Bring the whole release $release_name-$release_version; or sh ferry.sh missing > missing.txt, and at home: inv bundle --missing missing.txt" \
    "이 릴리스는 델타입니다. 서버에 있는 것($release_rests_on)을 뺐는데, 이 서버에 없는 것:
$2$counted_ko  실행 중인 것은 그대로입니다. 전체 릴리스 $release_name-$release_version 을(를) 가져오거나, sh ferry.sh missing > missing.txt 후 본사에서: inv bundle --missing missing.txt"
}

# what is here of what a delta rests on, to carry home: there it becomes a bundle with the rest
missing() {
  options '--variant --name --data --models' "$@"
  find_engine
  find_instance
  find_hasher
  # what is said of the choice is for a person, and this is a file
  choose_images >&2
  printf 'torchferry missing 1\nhost %s\nrelease %s %s\n' "$(uname -n)" "$release_name" "$release_version"
  while IFS= read -r one_image; do
    facts_of "$one_image"
    printf 'image %s\n' "$one_image"
    held_layers=$(layers_here)
    printf '%s\n' "$image_layers" | cut -d' ' -f1 | chain_ids | cut -d' ' -f1 |
      awk -v held="$held_layers" '{ print (NR <= held ? "holds" : "lacks"), $1 }'
    list_models_here
  done <<EOT
$chosen
EOT
  printf 'end\n'
}

list_models_here() {
  while read -r one_model _; do
    [ -n "$one_model" ] || continue
    look_at_model "$one_model"
    [ "$model_missing" != 0 ] || printf 'model %s\n' "$one_model"
  done <<EOT
$service_models
EOT
}
