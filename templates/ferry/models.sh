# --- models: files of the release, put in place beside older versions of theirs ---

# the folder in which models lie, unless --models says another
models_folder() {
  folder_of models
}

# every model that a service wants: in place and whole, or the end
place_models() {
  while read -r one_model _; do
    [ -z "$one_model" ] || place_model "$one_model"
  done <<EOT
$1
EOT
}

# file by file: one that is there with the right bytes stays, any other comes in under a temporary name
place_model() {
  model "$1"
  model_target=$(models_folder)/$1
  model_missing=0
  while read -r size hash path; do
    [ -f "$model_target/$path" ] && [ "$(bytes_of "$model_target/$path")" = "$size" ] &&
      [ "$(digest <"$model_target/$path")" = "$hash" ] || model_missing=$((model_missing + size))
  done <<EOT
$model_files
EOT
  if [ "$model_missing" -eq 0 ]; then
    say "model $1: in place" "모델 $1: 제자리에 있음"
    return
  fi
  mkdir -p "$model_target" 2>/dev/null || refuse "$not_ready" \
    "cannot make $model_target; take another folder with --models" \
    "$model_target 을(를) 만들 수 없습니다. --models 로 다른 폴더를 지정하십시오"
  free=$(($(df -Pk "$model_target" | awk 'NR == 2 { print $4 }') * 1024))
  [ "$free" -gt "$model_missing" ] || refuse "$no_space" \
    "model $1 needs $(human "$model_missing") in $model_target, and $(human "$free") are free" \
    "모델 $1 에는 $model_target 에 $(human "$model_missing") 필요, 남은 공간 $(human "$free")"
  say "model $1: copying $(human "$model_missing") to $model_target" \
    "모델 $1: $(human "$model_missing") 을(를) $model_target 에 복사"
  while read -r size hash path; do
    place_model_file "$1" "$size" "$hash" "$path"
  done <<EOT
$model_files
EOT
}

place_model_file() {
  placed=$model_target/$4
  if [ -f "$placed" ] && [ "$(bytes_of "$placed")" = "$2" ] && [ "$(digest <"$placed")" = "$3" ]; then
    return
  fi
  mkdir -p "${placed%/*}"
  partial=${placed%/*}/.${placed##*/}.partial
  if ! cp "models/$1/$4" "$partial" || [ "$(digest <"$partial")" != "$3" ]; then
    rm -f "$partial"
    refuse "$wrong_bytes" "models/$1/$4 could not be copied whole to $model_target; sh ferry.sh verify tells damage" \
      "models/$1/$4 을(를) $model_target 에 온전히 복사하지 못했습니다. 손상 여부는 sh ferry.sh verify"
  fi
  chmod a+r "$partial"
  mv -f "$partial" "$placed"
}
