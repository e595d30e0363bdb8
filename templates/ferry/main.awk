# Reads the tables, then hosts as od dumps them, and prints a verdict for each. FORM is words or plain; with explain or
# plain-explain what comes in are messages, and what they mean comes out.

# a name with its own characters again
function shown(s,   i, c, out) {
  out = ""
  for (i = 1; i <= length(s); i++) { c = substr(s, i, 1); out = out (c in ORIGINAL ? ORIGINAL[c] : c) }
  return out
}

function read_set(n, ranges,   i, k, m, r, f) {
  SET[n] = ""; NOT[n] = substr(ranges, 1, 1) == "!"
  m = split(ranges, r, " ")
  for (i = NOT[n] ? 2 : 1; i <= m; i++) { split(r[i], f, "-"); if (f[2] == "") f[2] = f[1]; for (k = f[1] + 0; k <= f[2] + 0; k++) SET[n] = SET[n] CH[k] }
}

function read_steps(list,   i, n, s, a) {
  n = split(list, s, " ")
  for (i = 1; i <= n; i++) {
    OP[NSTEPS] = substr(s[i], 1, 1); split(substr(s[i], 2), a, ",")
    A1[NSTEPS] = a[1]; A2[NSTEPS] = a[2] + 0; A3[NSTEPS] = a[3] + 0; A4[NSTEPS] = a[4] + 0
    if (OP[NSTEPS] != "e") A1[NSTEPS] = a[1] + 0
    NSTEPS++
  }
}

function read_points(list,   i, n, p, f) {
  n = split(list, p, " ")
  for (i = 1; i <= n; i++) { split(p[i], f, "="); POINT[f[1]] = f[2] + 0; if (f[2] > 127) ORIGINAL[CH[f[2] + 0]] = utf8(f[1] + 0) }
}

function read_rule(f) {
  NRULES++; R_NAME[NRULES] = f[2]; R_ARCHS[NRULES] = f[3]; R_CUDA[NRULES] = f[4]
  R_LFLOOR[NRULES] = f[5]; R_LFULL[NRULES] = f[6]; R_LDOUBT[NRULES] = f[7]
  R_WFLOOR[NRULES] = f[8]; R_WFULL[NRULES] = f[9]; R_WDOUBT[NRULES] = f[10]; R_CODE[NRULES] = f[11]
}

# names of GPUs, comma by comma, that are of one kind: capability|arch|tegra
function read_gpus(f,   i, n, w, kind) {
  n = split(f[5], w, ","); kind = f[2] "|" f[3] "|" f[4]
  for (i = 1; i <= n; i++) {
    if (!(w[i] in ENTRY)) { ENTRY_WORDS[++NENTRY] = w[i]; ENTRY[w[i]] = kind }
    else if (ENTRY[w[i]] != kind) ENTRY[w[i]] = "?"
  }
}

function read_program(f, rest) {
  START[f[2]] = f[3] + 0; FIRST_OF[f[2]] = f[4]
  COARSE[f[2]] = substr(rest, length(f[3]) + length(f[4]) + 3); gsub(/@/, NO_NEWLINE, COARSE[f[2]])
}

# a line of the tables: what stands behind the second bar may hold bars itself
function read_line(line,   f, rest) {
  split(line, f, "|"); rest = substr(line, length(f[1]) + length(f[2]) + 3)
  if (f[1] == "step") read_steps(f[2])
  else if (f[1] == "set") read_set(f[2] + 0, f[3])
  else if (f[1] == "program") read_program(f, rest)
  else if (f[1] == "points") read_points(f[2])
  else if (f[1] == "needs") NEEDS[f[2]] = rest
  else if (f[1] == "failure") FAILURES[++NFAILURES] = f[2]
  else if (f[1] == "head") HEAD[f[2]] = f[3]
  else if (f[1] == "gpus") read_gpus(f)
  else if (f[1] == "generation") { GEN_FIRST[++NGENERATIONS] = f[2]; GEN_LAST[NGENERATIONS] = f[3]; GEN_CAPS[NGENERATIONS] = f[4] }
  else if (f[1] == "rule") read_rule(f)
  else if (f[1] == "reason") SENTENCE[f[2]] = rest
  else if (f[1] == "cp1252") { CP[f[2] + 0] = f[3] + 0; CP_REFERENCE[f[2] + 0] = f[4] + 0 }
  else if (f[1] == "looked") LOOKED_FOR[++NLOOKED] = substr(line, 8)
  else if (f[1] == "number") NUMBER[f[2]] = f[3] + 0
}

function prepare(   i, n, l, h) {
  for (i = 0; i < 256; i++) {
    CH[i] = i ? sprintf("%c", i) : ""; h = sprintf("%02x", i); HEX[h] = i
    PLAIN[h] = (i >= 32 && i < 127) || (i >= 9 && i <= 13) || i == 7 || (i >= 27 && i < 32) ? CH[i] : "\001"
  }
  NO_NEWLINE = "[^\n]"; WORDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
  NSTEPS = 0; SP = 0; NENTRY = 0; NRULES = 0; NGENERATIONS = 0; NFAILURES = 0; NSYMPTOMS = 0; NMESSAGES = 0; WORST = 0; NDUMP = 0
  n = split(ENVIRON["FERRY_TABLES"], l, "\n")
  for (i = 1; i <= n; i++) read_line(l[i])
  SPREAD = NUMBER["spread"]; LONGEST = NUMBER["longest"]; NEAR = NUMBER["near"]; FIRST_FREE = NUMBER["letters"]; MOST = NUMBER["most"]; ROW = NUMBER["row"]
  UNSEEN = "[\001\002\007\013\014\016\017\020\021\022\023\024\025\026\027\030\031\032\034\035\036\037\177]"
  CSV_SPLIT = "[,;\t]"; CSV_HINT = COARSE["CSV_HINT"]
}

function new_host(   n) {
  for (n in POINT) if (POINT[n] >= FIRST_FREE) delete POINT[n]
  NDUMP = 0; H_DRIVER = ""; H_GPUS = 0; H_ARCH = ""; H_MODELS = 0; H_MODULE = ""; NHERE = 0; DUMP_PLAIN = 1; FOREIGN = 0; NEXT_LETTER = FIRST_FREE
}

function plain_verdict(name,   r, i) {
  print "host\t" name
  print "facts\t" DRIVER "\t" LIMIT "\t" PLATFORM "\t" ARCH "\t" FAILURE "\t" MIG + 0
  for (i = 1; i <= NG; i++) print "gpu\t" G_INDEX[i] "\t" shown(G_NAME[i]) "\t" G_CAP[i]
  for (r = 1; r <= NRULES; r++) {
    print "variant\t" R_NAME[r] "\t" V_RUNS[r] "\t" V_FULL[r] "\t" V_GPUS[r]
    for (i = 1; i <= V_REASONS[r]; i++) print "reason\t" V_REASON[r, i]
  }
  print "pick\t" PICK "\t" STATUS
}

function told_server(   i, s) {
  s = DRIVER == "" ? "driver not known" : "driver " DRIVER
  if (LIMIT != "") s = s " (newest CUDA it offers: " LIMIT ")"
  for (i = 1; i <= NG; i++) s = s "\n  GPU " G_INDEX[i] ": " (G_NAME[i] == "" ? "no name shown" : shown(G_NAME[i])) (G_CAP[i] == "" ? "" : ", compute capability " G_CAP[i])
  return s
}

function verdict_in_words(   r, i, word) {
  print (PICK == "" ? "run: nothing can be said yet" : "run: " PICK)
  for (r = 1; r <= NRULES; r++) {
    word = V_RUNS[r] == "some_gpus" ? "on GPU " V_GPUS[r] " only" : V_RUNS[r]
    for (i = 1; i <= V_REASONS[r]; i++) print ((i == 1 ? R_NAME[r] ": " word ": " : "    ") V_REASON[r, i])
  }
  if (FAILURE != "unreadable") print "server: " told_server()
  else for (i = 1; i in LOOKED_FOR; i++) print ((i == 1 ? "looked for:\n    " : "    ") LOOKED_FOR[i])
  if (FAILURE != "") explain_failure()
  if (NHERE) print "\n" ON_THIS_MACHINE
  for (i = 1; i <= NHERE; i++) if (!HERE_GPU[i] || DRIVER != "" || NG) print "    " HERE[i]
}

function end_host() {
  if (HOST == "") return
  if (FORM ~ /explain$/) { if (!explain(HOST)) WORST = 4; return }
  if (HOST != "typed") read_host()
  else forget_host()
  told_by_hand()
  told_by_kernel()
  judge()
  if (FORM == "words") verdict_in_words()
  else plain_verdict(HOST)
  if (STATUS > WORST) WORST = STATUS
}

# what a person typed goes before what was read
function told_by_hand(   i, tegra, arch) {
  if (H_DRIVER != "") DRIVER = H_DRIVER
  if (H_GPUS) NG = 0
  tegra = 0; arch = ""
  for (i = 1; i <= H_GPUS; i++) {
    named_by_hand(H_GPU[i])
    G_INDEX[++NG] = i - 1; G_NAME[NG] = H_GPU[i]; G_CAP[NG] = N_CAP
    if (arch == "") arch = N_ARCH
    if (N_TEGRA) tegra = 1
  }
  if (arch != "") ARCH = arch
  if (tegra) PLATFORM = "tegra"
  if (FAILURE == "unreadable" && (DRIVER != "" || NG)) FAILURE = ""
}

# on the server itself the kernel says which CPU and driver and, without nvidia-smi, which GPUs there are
function told_by_kernel(   i) {
  if (H_ARCH == "") return
  ARCH = H_ARCH
  if (DRIVER != "") return
  look_at(H_MODULE)
  if (has("MODULE")) DRIVER = group(1) != "" ? group(1) : group(2)
  if (FAILURE != "not_installed" || DRIVER == "") return
  FAILURE = ""; NG = 0; LIMIT = ""; MIG = 0
  if (PLATFORM != "tegra") PLATFORM = "linux"
  for (i = 1; i <= H_MODELS; i++) { named(H_MODEL[i]); G_INDEX[++NG] = i - 1; G_NAME[NG] = H_MODEL[i]; G_CAP[NG] = N_CAP }
}

BEGIN { prepare(); HOST = "" }
/^host / { end_host(); new_host(); HOST = substr($0, 6); next }
/^driver / { H_DRIVER = substr($0, 8); next }
/^gpu / { H_GPU[++H_GPUS] = substr($0, 5); next }
/^arch / { H_ARCH = substr($0, 6); next }
/^module / { H_MODULE = H_MODULE substr($0, 8) "\n"; next }
/^here / { HERE[++NHERE] = substr($0, 6); HERE_GPU[NHERE] = 0; next }
/^here-gpu / { HERE[++NHERE] = substr($0, 10); HERE_GPU[NHERE] = 1; next }
/^model / { H_MODEL[++H_MODELS] = substr($0, 7); next }
{ DUMP[++NDUMP] = $0; if ($0 ~ /(^| )([89a-f][0-9a-f]|00)/) DUMP_PLAIN = 0 }
END { end_host(); exit WORST + 0 }
