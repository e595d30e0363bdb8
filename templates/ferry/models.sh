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

# what is not here of a model, in bytes, to $model_missing
look_at_model() {
  model "$1"
  model_target=$(models_folder)/$1
  model_missing=0
  while read -r size hash path; do
    [ -f "$model_target/$path" ] && [ "$(bytes_of "$model_target/$path")" = "$size" ] &&
      [ "$(digest <"$model_target/$path")" = "$hash" ] || model_missing=$(sum "$model_missing" "$size")
  done <<EOT
$model_files
EOT
}

# file by file: one that is there with the right bytes stays, any other comes in under a temporary name
place_model() {
  look_at_model "$1"
  if [ "$model_missing" = 0 ]; then
    say "model $1: in place" "모델 $1: 제자리에 있음"
    return
  fi
  [ -z "$model_omitted" ] || refuse_delta "  model $1: $(human "$model_missing") of it are not in $model_target, or other than they were$newline" \
    "  모델 $1: $model_target 에 $(human "$model_missing") 없음 또는 다름$newline"
  (umask 022 && mkdir -p "$model_target" 2>/dev/null) || refuse "$not_ready" \
    "cannot make $model_target; take another folder with --models" \
    "$model_target 을(를) 만들 수 없습니다. --models 로 다른 폴더를 지정하십시오"
  free=$(free_in "$model_target")
  ! is_less "$free" "$model_missing" || refuse "$no_space" \
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
  partial=${placed%/*}/.${placed##*/}.partial
  if ! copy_said=$(copy_model_file "models/$1/$4" 2>&1); then
    rm -f "$partial"
    copy_code=$not_ready
    case $copy_said in
      *[Nn]'o space'* | *quota*) copy_code=$no_space ;;
    esac
    refuse "$copy_code" "models/$1/$4 could not be copied to $model_target; what runs was not touched. It said:
$(printf '%s\n' "$copy_said" | indent)" \
      "models/$1/$4 을(를) $model_target 에 복사하지 못했습니다. 실행 중인 것은 그대로입니다. 메시지:
$(printf '%s\n' "$copy_said" | indent)"
  fi
  if [ "$(digest <"$partial")" != "$3" ]; then
    rm -f "$partial"
    refuse "$wrong_bytes" "models/$1/$4 has other bytes than the release has: it was damaged or changed. Bring it again; what runs was not touched" \
      "models/$1/$4 이(가) 릴리스와 다릅니다: 손상되었거나 변경됨. 다시 가져오십시오. 실행 중인 것은 그대로입니다"
  fi
  mv -f "$partial" "$placed"
}

# whatever the umask is here, the service's user has to read it
copy_model_file() (
  umask 022
  mkdir -p "${placed%/*}" && cp "$1" "$partial" && chmod 644 "$partial"
)
