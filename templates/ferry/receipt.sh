# --- receipt: what this server holds, to carry home ---

receipt() {
  options '--name --data --models' "$@"
  find_engine
  find_instance
  find_hasher
  printf 'torchferry receipt 1\nhost %s\nmade %s\nengine %s %s %s\n' "$(uname -n)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
    "$engine_kind" "$("$engine" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/')" "$(engine_store)"
  printf 'release %s\ninstance %s\nsequence %s\n' "$release_name" "$instance" "$(cat "$state/sequence" 2>/dev/null || echo 0)"
  look
  serving | while read -r container one_service _ _ version _ is_up; do
    [ "$is_up" = true ] && is_up=running || is_up=stopped
    printf 'service %s %s %s %s\n' "$one_service" "$version" "$(label_of "$container" variant)" "$is_up"
  done
  for one_service in $services; do
    for one in $("$engine" image ls --format '{{.Repository}}:{{.Tag}}' "$one_service" </dev/null); do
      one_id=$(id_of "$one" | sed 's/^sha256://')
      [ -n "$one_id" ] || continue # it went away meanwhile
      printf 'image %s %s %s\n' "${one#localhost/}" "$one_id" "$(encoding_of "sha256:$one_id")"
      layers_of "$one" | chain_ids | sed 's/^/layer /'
    done
  done
  for one in "$(models_folder)"/*/; do
    [ -d "$one" ] || continue
    one=${one%/}
    printf 'model %s\n' "${one##*/}"
  done
}
