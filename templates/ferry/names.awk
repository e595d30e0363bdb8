# What the name of a GPU says: sets N_CAP, N_ARCH and N_TEGRA; 0 where it says nothing.

function is_cut(name) { name = substr(name, 1, 200); look_at(name); return find("CUT", 1, 1, length(name)) }

# best so far: a kind of GPU with how many words it covers, from which word on
function better(kind, covered, from) {
  if (covered > BEST || (covered == BEST && from < BEST_FROM)) { BEST = covered; BEST_FROM = from; BEST_KIND = kind }
  else if (covered == BEST && from == BEST_FROM && kind != BEST_KIND) BEST_KIND = "?"
}

function say_kind(kind,   k) {
  if (kind == "" || kind == "?") { N_CAP = ""; N_ARCH = ""; N_TEGRA = 0; return 0 }
  split(kind, k, "|"); N_CAP = k[1]; N_ARCH = k[2]; N_TEGRA = k[3] + 0
  return 1
}

function named(name,   n, i, k, w, key, cut, size) {
  if (name in KNOWN) return say_kind(KNOWN[name])
  size = substr(tolower(name), 1, 200); gsub(/[^a-z0-9]+/, " ", size)
  n = split(size, w, " "); cut = is_cut(name)
  BEST = 0; BEST_FROM = 0; BEST_KIND = ""
  for (i = 1; i <= n; i++) {
    key = ""
    for (k = i; k <= n; k++) { key = key (k > i ? " " : "") w[k]; if (key in ENTRY) better(ENTRY[key], k - i + 1, i) }
    if (cut) for (k = 1; k <= NENTRY; k++) if (index(ENTRY_WORDS[k], key) == 1) better(ENTRY[ENTRY_WORDS[k]], n - i + 1, i)
  }
  KNOWN[name] = BEST_KIND
  return say_kind(BEST_KIND)
}

# the same for what people type without blanks: RTX3090, GTX1080Ti
function named_by_hand(name,   apart, both, found) {
  if (named(name)) return 1
  look_at(name); apart = parted("TYPED_AFTER")
  if (named(apart)) return 1
  look_at(apart); both = parted("TYPED_BEFORE")
  return named(both)
}

# the text with a blank where a match ends
function parted(name,   p, out) {
  p = 1; out = ""
  while (find(name, p, 1, length(T))) { out = out substr(T, p, STOP - p) " "; p = STOP; if (STOP == FOUND) { out = out substr(T, p, 1); p++ } }
  return out substr(T, p)
}
