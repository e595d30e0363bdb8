# --- receipt: what this server holds, to carry home ---

# the ChainIDs of the layers that come in, lowest first (OCI image spec: SHA-256 over the parent's and the diff_id)
chain_ids() {
  chain=''
  while read -r diff_id; do
    if [ -z "$chain" ]; then
      chain=$diff_id
    else
      chain=$(printf 'sha256:%s sha256:%s' "$chain" "$diff_id" | digest)
    fi
    printf 'layer %s %s\n' "$chain" "$diff_id"
  done
}

# how the engine keeps the layers of an image: raw, as our archives bring them, or unknown. Docker's containerd store
# keeps the blobs that came in, whatever made them, so only its layers' tars are the same for certain
encoding_of() {
  case $(engine_store) in
    containerd) echo unknown ;;
    *) echo raw ;;
  esac
}

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
      printf 'image %s %s %s\n' "${one#localhost/}" "$one_id" "$(encoding_of "$one_id")"
      layers_of "$one" | chain_ids
    done
  done
  for one in "$(models_folder)"/*/; do
    [ -d "$one" ] || continue
    one=${one%/}
    printf 'model %s\n' "${one##*/}"
  done
}
