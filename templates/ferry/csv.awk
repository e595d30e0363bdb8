# nvidia-smi --query-gpu=... --format=csv: any fields in any order, with a header or none.

# the cells of a line into CELL; how many
function cells(line,   n, i, c) {
  line = trimmed(line)
  n = split(line, c, CSV_SPLIT)
  if (!n) { n = 1; c[1] = "" }
  if (n > 64) n = 64
  for (i = 1; i <= n; i++) { c[i] = trimmed(c[i]); gsub(/^"+|"+$/, "", c[i]); CELL[i] = trimmed(c[i]) }
  return n
}

function head_word(s,   k) {
  s = tolower(s)
  if (substr(s, length(s), 1) == "]" && (k = index(s, "["))) s = right_trimmed(substr(s, 1, k - 1))
  gsub(/_/, " ", s)
  return s in HEAD ? HEAD[s] : ""
}

# what stands behind the last prompt of a cell
function last_part(s,   i) {
  for (i = length(s) - 1; i >= 1; i--) if (substr(s, i + 1, 1) == " " && index(":>]$", substr(s, i, 1))) return substr(s, i + 2)
  return s
}

# whether a row is a header: then its fields are in c_head
function is_header(n,   i, found, h, first) {
  found = 0
  for (i = 1; i <= n; i++) h[i] = head_word(CELL[i])
  if (h[1] == "") { first = trimmed(last_part(tolower(CELL[1]))); gsub(/_/, " ", first); if (first in HEAD) h[1] = HEAD[first] }
  for (i = 1; i <= n; i++) if (h[i] == "name" || h[i] == "driver" || h[i] == "capability") found = 1
  if (found) { NHEADS = n; for (i = 1; i <= n; i++) c_head[i] = h[i] }
  return found
}

# the part of a cell that its field can hold, or nothing
function value(cell, head) {
  if (head == "") return ""
  if (head == "name") {
    look_at(cell)
    if (find("BRAND", 1, 1, length(cell))) return trimmed(group(1))
    return cell ~ /[A-Za-z][A-Za-z]/ && length(cell) < 80 ? cell : ""
  }
  return fits("FIELD_" head, substr(cell, 1, 120)) ? group(1) : ""
}

function by_head(n,   i, v) {
  for (i = 1; i <= n; i++) { v = value(CELL[i], c_head[i]); if (v != "") FIELD[c_head[i]] = v }
}

# a cell that can only be the name of a GPU, or stands beside what only a GPU has
function names_gpu(cell, certain,   name) {
  look_at(cell)
  if (!find("BRAND", 1, 1, length(cell))) return ""
  name = group(1)
  return fits("TITLE", name) && (certain || named(name)) ? trimmed(name) : ""
}

# a row without header: what its cells can only be
function by_look(n,   i, cell, name, last, certain) {
  certain = 0
  for (i = 1; i <= n && !certain; i++) certain = fits("OF_A_GPU", CELL[i])
  for (i = 1; i <= n; i++) {
    cell = CELL[i]; name = "name" in FIELD ? "" : names_gpu(cell, certain)
    if (name != "") FIELD["name"] = name
    else if (fits("CERTAIN", length(cell) > 40 ? substr(cell, length(cell) - 39) : cell)) {
      last = cell; sub(/^.*[ \t\r]/, "", last); FIELD["driver"] = last
    }
    else if (fits("LIKELY", cell)) { if (!("driver" in FIELD)) FIELD["driver"] = cell }
    else if (n > 1 && cell ~ /^[0-9]?[0-9]\.[0-9]$/ && !("capability" in FIELD)) FIELD["capability"] = cell
  }
  if (!("name" in FIELD) && !(n == 1 && "driver" in FIELD && FIELD["driver"] == CELL[1])) { split("", FIELD); return }
  name = value(CELL[1], "index")
  if (name != "") FIELD["index"] = name
}

# one row that told something: its driver, and its GPU into source 4
function take_row(   i) {
  if ("driver" in FIELD) { if (C_DRIVERS == 0 || FIELD["driver"] != C_DRIVER) C_DRIVERS++; C_DRIVER = FIELD["driver"] }
  if (FIELD["mig"] == "Enabled") MIG = 1
  if (!("name" in FIELD) && !("capability" in FIELD)) return
  i = "index" in FIELD ? FIELD["index"] + 0 : C_TOP + 1
  if (i in has_index) return
  has_index[i] = 1; if (i > C_TOP) C_TOP = i
  add_gpu(4, i, FIELD["name"], FIELD["capability"])
}

function read_csv(   l, n, i, m, told) {
  n = split(T, l, "\n")
  NHEADS = 0; C_DRIVERS = 0; C_DRIVER = ""; C_TOP = -1; split("", has_index)
  told = 0
  for (i = 1; i <= n && told < MOST; i++) {
    if (l[i] == "" || length(l[i]) > ROW) continue
    if (!NHEADS && l[i] !~ CSV_HINT && tolower(l[i]) !~ /name|model|gpu|driver|compute|cc/) continue
    m = cells(l[i])
    if (is_header(m)) continue
    split("", FIELD)
    if (NHEADS == m) by_head(m)
    if (!("name" in FIELD) && !("driver" in FIELD) && !("capability" in FIELD)) { split("", FIELD); by_look(m) }
    if ("name" in FIELD || "driver" in FIELD || "capability" in FIELD || "mig" in FIELD || "index" in FIELD) { told++; take_row() }
  }
  if (C_DRIVERS == 1) form_driver[4] = C_DRIVER
}
