# From a plain text to the facts of a server: DRIVER, LIMIT, the GPUs in G_INDEX, G_NAME and G_CAP, MIG, PLATFORM, ARCH,
# FAILURE. Sources are s = 1 the table, 2 -q -x, 3 -q, 4 CSV, 5 -L; of the first that has GPUs they are taken.

function add_gpu(s, i, name, cap) { i += 0; n_of[s]++; s_index[s, n_of[s]] = i; s_name[s, n_of[s]] = name; s_cap[s, n_of[s]] = cap }

function forget_host(   s) {
  for (s = 1; s < 6; s++) n_of[s] = 0
  split("", has_index); DRIVER = ""; LIMIT = ""; NG = 0; MIG = 0; PLATFORM = "linux"; ARCH = ""; FAILURE = ""
  split("", form_driver); split("", form_limit); split("", fail_at)
  TABLE = 0; T_START = 0; T_SMI = ""; T_DRIVER = ""; T_LIMIT = ""; T_MIG = 0; T_WINDOWS = 0; T_LOST = 0; TEGRA = 0
}

# the heads of all tables: their places in h_at, h_end, drivers in h_driver and where their tables begin in h_start
function heads(   n, p, from, q) {
  n = 0; p = 1
  if (lacks("HEADER")) return 0
  while (find("HEADER", p, 1, length(T))) { h_at[++n] = FOUND; h_driver[n] = group(1); p = behind() }
  for (p = 1; p <= n; p++) {
    from = h_at[p] - 160; if (from < 1) from = 1
    h_start[p] = h_at[p]
    for (q = from; find("SMI", q, from, h_at[p] - 1); q = behind()) h_start[p] = FOUND
  }
  return n
}

# the rows of one table from b to e: how many GPUs and lost ones; GPUs into source 1
function rows(b, e,   p, k, name, bus, i, from, lost) {
  n_of[1] = 0; split("", has_index); lost = 0
  if (!index(T, NEEDS["ROW"])) return 0
  for (p = b; find("ROW", p, b, e); p = k) {
    k = behind(); i = group(1) + 0; name = group(2); bus = CAP[8]; from = CAP[4]
    B = from; E = CAP[5] - 1
    if (run(START["BROKEN"], from)) { lost++; continue }
    B = bus; E = CAP[9] - 1
    if (run(START["BROKEN"], bus)) { lost++; continue }
    if (i in has_index || n_of[1] >= MOST) continue
    has_index[i] = 1; add_gpu(1, i, trimmed(name), "")
  }
  return lost
}

# the last table that shows a GPU, else the last one
function read_table(   n, i, b, e, near) {
  n = heads()
  if (!n) {
    if (lacks("ROW")) return
    T_LOST = rows(1, length(T))
    if (!n_of[1] && !T_LOST) return
    h_start[1] = 1; h_driver[1] = ""; i = 1; b = 1; e = length(T)
  } else {
    for (i = n; i >= 1; i--) {
      b = h_start[i]; e = i < n ? h_start[i + 1] - 1 : length(T)
      T_LOST = rows(b, e)
      if (n_of[1] || T_LOST) break
    }
    if (i < 1) { i = n; b = h_start[n]; e = length(T); T_LOST = rows(b, e) }
  }
  TABLE = 1; T_START = b
  if (h_driver[i] ~ /^[0-9]/) T_DRIVER = h_driver[i]
  B = b; E = e
  if (start("SMI", b)) T_SMI = group(1)
  near = b + NEAR - 1; if (near > e) near = e
  if (n && find("LIMIT", b, b, near)) { T_LIMIT = group(1); gsub(/^[][]+|[][]+$/, "", T_LIMIT) }
  T_MIG = find("MIG", b, b, e); T_WINDOWS = find("WINDOWS", b, b, e)
}

# one value of -q -x whose beginning is as wanted
function whole(name, s,   keep_t, keep_n, out) {
  keep_t = T; keep_n = NL; out = ""
  if (fits(name, s)) out = group(1)
  T = keep_t; NL = keep_n; W_FIRST = 1; W_LAST = 0
  return out
}

# the first value of a field, else of its newer name
function first_whole(name, old, new,   i) {
  for (i = 1; i <= x_n[old]; i++) if (whole(name, x_value[old, i]) != "") return whole(name, x_value[old, i])
  for (i = 1; i <= x_n[new]; i++) if (whole(name, x_value[new, i]) != "") return whole(name, x_value[new, i])
  return ""
}

function read_xml(   p, f, i) {
  if (lacks("ELEMENT")) return
  split("", x_n)
  for (p = 1; find("ELEMENT", p, 1, length(T)); p = behind()) { f = group(1); x_value[f, ++x_n[f]] = trimmed(group(2)) }
  form_driver[2] = first_whole("XML_DRIVER", "driver_version", "kmd_version")
  form_limit[2] = first_whole("XML_LIMIT", "cuda_version", "cuda_umd_version")
  for (i = 1; i <= x_n["product_name"] && i <= MOST; i++) if (x_value["product_name", i] != "") add_gpu(2, i - 1, x_value["product_name", i], "")
  for (i = 1; i <= x_n["current_mig"]; i++) if (x_value["current_mig", i] == "Enabled") MIG = 1
}

function read_query(   p, n) {
  if (lacks("NAMED")) return
  n = 0
  for (p = 1; n < MOST && find("NAMED", p, 1, length(T)); p = behind()) add_gpu(3, n++, trimmed(group(1)), "")
  if (n && has("MIG_MODE")) MIG = 1
}

function read_list(   p, q, i, name, k) {
  if (lacks("LISTED")) return
  split("", has_index)
  for (p = 1; find("LISTED", p, 1, length(T)); p = q) {
    q = behind(); i = group(1) + 0; name = group(2)
    if (!index(substr(T, FOUND, STOP - FOUND), "(UUID")) { B = CAP[4]; E = CAP[5] - 1; if (!run(START["BRANDS"], CAP[4])) continue }
    if (i in has_index) s_name[5, has_index[i]] = trimmed(name)
    else if (n_of[5] < MOST) { add_gpu(5, i, trimmed(name), ""); has_index[i] = n_of[5] }
  }
  if (n_of[5] && has("LISTED_MIG")) MIG = 1
}

# where each failure is last told
function read_failures(   i, p) {
  for (i = 1; i <= NFAILURES; i++) {
    fail_at[i] = 0
    if (lacks(FAILURES[i])) continue
    for (p = 1; find(FAILURES[i], p, 1, length(T)); p = behind()) fail_at[i] = FOUND
  }
}

# what went wrong, unless a good table stands below the message: then it was mended
function failure(   i) {
  if (T_LOST) return "gpu_lost"
  for (i = 1; i <= NFAILURES; i++) {
    if (!fail_at[i] || (FAILURES[i] == "not_installed" && NG)) continue
    if (FAILURES[i] == "gpu_lost" || !TABLE || !n_of[1] || fail_at[i] > T_START) return FAILURES[i]
  }
  return ""
}

# under WSL nvidia-smi is that of Linux and the driver that of Windows: near, but not the same, and of two parts
function of_wsl(   a, b) {
  if (T_SMI == "" || T_DRIVER == "" || split(T_DRIVER, b, ".") != 2) return 0
  split(T_SMI, a, ".")
  return compare(T_SMI, T_DRIVER) && b[1] - a[1] >= 0 && b[1] - a[1] <= SPREAD
}

# the GPUs of the first source that has any; a cut name and a capability may come from a later one
function merge(   s, first, i, k, j, name, cap) {
  first = 0
  for (s = 1; s <= 5 && !first; s++) if (n_of[s]) first = s
  if (!first) return
  for (i = 1; i <= n_of[first]; i++) {
    k = s_index[first, i]; name = s_name[first, i]; cap = ""
    if (is_cut(name)) {
      for (s = 5; s >= 1; s--) for (j = 1; j <= n_of[s]; j++) if (s_index[s, j] == k && !is_cut(s_name[s, j])) name = s_name[s, j]
    }
    for (s = 1; s <= 5; s++) for (j = 1; j <= n_of[s]; j++) if (s_index[s, j] == k && s_cap[s, j] != "") cap = s_cap[s, j]
    add_host_gpu(k, name, cap)
  }
}

# one GPU of the host, with what its name tells
function add_host_gpu(k, name, cap) {
  named(name)
  NG++; G_INDEX[NG] = k; G_NAME[NG] = name; G_CAP[NG] = cap != "" ? cap : N_CAP
  if (ARCH == "" && N_ARCH != "") ARCH = N_ARCH
  if (N_TEGRA) TEGRA = 1
}

function read_host(   module, arch, wsl, windows, i) {
  forget_host()
  clean()
  unwrap()
  read_table(); MIG = T_MIG
  read_xml(); read_query(); read_list()
  module = ""; if (has("MODULE")) module = group(1) != "" ? group(1) : group(2)
  arch = ""; if (has("MODULE_ARCH")) arch = group(1) != "" ? group(1) : group(2)
  if (has("TEGRA")) TEGRA = 1
  wsl = has("WSL"); windows = has("MODEL")
  read_failures()
  read_csv()
  merge()
  DRIVER = T_DRIVER; LIMIT = T_LIMIT
  for (i = 2; i <= 5; i++) { if (DRIVER == "") DRIVER = form_driver[i]; if (LIMIT == "") LIMIT = form_limit[i] }
  if (DRIVER == "") DRIVER = module
  FAILURE = failure()
  if (FAILURE == "" && !NG && DRIVER == "" && T_LIMIT == "") {
    forget_host(); FAILURE = "unreadable"
    return
  }
  if (ARCH == "") ARCH = arch
  PLATFORM = wsl || (TABLE && of_wsl()) ? "wsl" : T_WINDOWS || windows ? "windows" : "linux"
  if (TEGRA) { PLATFORM = "tegra"; ARCH = "aarch64" }
}
