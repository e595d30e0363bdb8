# The judgement over numbers and lists: for each rule R its answer in V_RUNS, V_FULL, V_GPUS and its reasons in V_REASON.

# drivers in an order of numbers: below 0 where a is older than b
function compare(a, b,   x, y, i, n) {
  n = split(a, x, "."); i = split(b, y, "."); if (i > n) n = i
  for (i = 1; i <= n; i++) if (x[i] + 0 != y[i] + 0) return x[i] + 0 < y[i] + 0 ? -1 : 1
  return 0
}

# a sentence with its values put in as they are
function sentence(code,   s, out, i, k) {
  s = SENTENCE[code]; out = ""
  while ((i = index(s, "{"))) { k = index(s, "}"); out = out substr(s, 1, i - 1) SAID[substr(s, i + 1, k - i - 1)]; s = substr(s, k + 1) }
  return out s
}

function reason(r, code) { V_REASON[r, ++V_REASONS[r]] = sentence(code) }

function answer(r, runs, full, gpus) { V_RUNS[r] = runs; V_FULL[r] = full; V_GPUS[r] = gpus }

function listed_in(word, list) { return index(" " list " ", " " word " ") > 0 }

# whether a rule has machine code for a compute capability
function serves(r, cap,   n, i, c, p, x) {
  n = split(R_CODE[r], c, " "); split(cap, x, ".")
  for (i = 1; i <= n; i++) { split(c[i], p, "."); if (p[1] + 0 == x[1] + 0 && x[2] + 0 >= p[2] + 0) return 1 }
  return 0
}

# what drivers of this branch serve, and what they serve no more
function branches(   b, i, spread) {
  SERVED = ""; DROPPED = ""
  if (DRIVER == "") return
  b = DRIVER + 0; b = int(b); spread = WINDOWS_DRIVER ? SPREAD : 0
  for (i = 1; i <= NGENERATIONS; i++) {
    if (GEN_LAST[i] != "" && GEN_LAST[i] + spread < b) DROPPED = DROPPED " " GEN_CAPS[i]
    else if (GEN_FIRST[i] + 0 <= b) SERVED = SERVED " " GEN_CAPS[i]
  }
}

# whether the driver runs the CUDA of a rule: yes, unknown or no; sets FULL
function driver_answer(r,   floor, full, doubtful) {
  floor = WINDOWS_DRIVER ? R_WFLOOR[r] : R_LFLOOR[r]; full = WINDOWS_DRIVER ? R_WFULL[r] : R_LFULL[r]
  doubtful = WINDOWS_DRIVER ? R_WDOUBT[r] : R_LDOUBT[r]
  FULL = 0; SAID["driver"] = DRIVER; SAID["cuda"] = R_CUDA[r]; SAID["floor"] = floor; SAID["toolkit"] = full; SAID["doubtful"] = doubtful
  if (DRIVER == "") { reason(r, "driver_unknown"); return "unknown" }
  if (compare(DRIVER, floor) < 0) {
    if (doubtful != "" && compare(DRIVER, doubtful) >= 0) { reason(r, "driver_doubtful"); return "unknown" }
    reason(r, "driver_too_old"); return "no"
  }
  if (compare(DRIVER, full) < 0) { reason(r, "driver_minor"); return "yes" }
  FULL = 1; reason(r, "driver_full")
  return "yes"
}

# whichever GPU it is: what all that this driver serves have in common
function whatever(r,   n, i, c, yes, no) {
  n = split(SERVED, c, " "); yes = 0; no = 0
  for (i = 1; i <= n; i++) if (serves(r, c[i])) yes = 1; else no = 1
  if (yes && !no) { reason(r, "gpu_whatever"); return "yes" }
  if (no && !yes) { reason(r, "gpu_none_of_these"); return "no" }
  reason(r, "gpu_unknown")
  return "unknown"
}

# one group of equal GPUs
function group_answer(r, cap) {
  SAID["capability"] = cap; SAID["driver"] = DRIVER
  if (cap == "") return whatever(r)
  if (listed_in(cap, DROPPED)) { reason(r, "gpu_dropped"); return "no" }
  SAID["serves"] = R_CODE[r]; gsub(/ /, ", ", SAID["serves"])
  if (serves(r, cap)) { reason(r, "gpu_served"); return "yes" }
  reason(r, "gpu_not_served")
  return "no"
}

# equal GPUs stand together, in order of first appearance: indexes in K_GPUS
function make_groups(   i, key) {
  NK = 0; split("", k_of)
  for (i = 1; i <= NG; i++) {
    key = G_NAME[i] "\n" G_CAP[i]
    if (!(key in k_of)) { k_of[key] = ++NK; K_GPUS[NK] = ""; K_NAME[NK] = G_NAME[i]; K_CAP[NK] = G_CAP[i] }
    K_GPUS[k_of[key]] = K_GPUS[k_of[key]] (K_GPUS[k_of[key]] == "" ? "" : ",") G_INDEX[i]
  }
}

# indexes in order
function sorted(list,   n, i, k, x, a) {
  n = split(list, a, ",")
  for (i = 2; i <= n; i++) { x = a[i]; for (k = i - 1; k >= 1 && a[k] + 0 > x + 0; k--) a[k + 1] = a[k]; a[k + 1] = x }
  list = ""
  for (i = 1; i <= n; i++) list = list (i > 1 ? "," : "") a[i]
  return list
}

function judge_gpus(r,   drives, full, i, got, on, yes, no, other) {
  drives = driver_answer(r); full = FULL; on = ""; yes = 0; no = 0; other = 0
  if (!NG) { reason(r, "gpu_not_shown"); other = 1 }
  for (i = 1; i <= NK; i++) {
    SAID["gpus"] = K_GPUS[i]; SAID["name"] = K_NAME[i] == "" ? "no name shown" : shown(K_NAME[i])
    got = group_answer(r, K_CAP[i])
    if (got == "yes") { yes = 1; on = on (on == "" ? "" : ",") K_GPUS[i] }
    else if (got == "no") no = 1
    else other = 1
  }
  if (drives == "no" || (no && !yes && !other)) answer(r, "no", 0, "")
  else if (drives == "unknown" || !yes) answer(r, "unknown", 0, "")
  else answer(r, no || other ? "some_gpus" : "yes", full, sorted(on))
}

function judge_rule(r,   built) {
  V_REASONS[r] = 0; built = R_ARCHS[r]; gsub(/ /, " or ", built); SAID["built"] = built; SAID["arch"] = ARCH
  if (ARCH != "" && !listed_in(ARCH, R_ARCHS[r])) { reason(r, "other_architecture"); answer(r, "no", 0, "") }
  else if (ARCH == "" && !listed_in("x86_64", R_ARCHS[r])) { reason(r, "architecture_unknown"); answer(r, "unknown", 0, "") }
  else if (R_CUDA[r] == "") { reason(r, "no_gpu_needed"); answer(r, "yes", 1, "") }
  else if (FAILURE != "" && FAILURE != "gpu_lost") {
    reason(r, FAILURE)
    answer(r, FAILURE == "nvml_permission" || FAILURE == "unreadable" ? "unknown" : "no", 0, "")
  }
  else judge_gpus(r)
}

# whether rule a goes before rule b: on all GPUs, on more of them, in full, with the newer CUDA
function goes_before(a, b,   x, y) {
  if (!b) return 1
  if ((V_RUNS[a] == "yes") != (V_RUNS[b] == "yes")) return V_RUNS[a] == "yes"
  x = split(V_GPUS[a], G_SPARE, ","); y = split(V_GPUS[b], G_SPARE, ",")
  if (x != y) return x > y
  if (V_FULL[a] != V_FULL[b]) return V_FULL[a]
  return compare(R_CUDA[a], R_CUDA[b]) > 0
}

# every rule, then PICK and STATUS
function judge(   r, best, cpu, unknown) {
  WINDOWS_DRIVER = PLATFORM == "windows" || PLATFORM == "wsl"; branches(); make_groups()
  best = 0; cpu = 0; unknown = 0
  for (r = 1; r <= NRULES; r++) {
    judge_rule(r)
    if (R_CUDA[r] == "") { if (!cpu && V_RUNS[r] == "yes") cpu = r }
    else if (V_RUNS[r] == "unknown") unknown = 1
    else if (V_RUNS[r] != "no" && goes_before(r, best)) best = r
  }
  if (best) { PICK = R_NAME[best]; STATUS = 0 }
  else if (FAILURE == "unreadable" || !cpu || unknown) { PICK = ""; STATUS = 4 }
  else { PICK = R_NAME[cpu]; STATUS = 3 }
}
