# Bytes to plain text: od prints the bytes, so that UTF-16 and NUL do no harm. In T every character is one byte: those
# beyond ASCII get numbers of their own (ORIGINAL tells which they were), borders 3 to 5, what nobody sees 1 and 2.

function join(a, n,   i, m) {
  while (n > 1) { m = 0; for (i = 1; i <= n; i += 2) a[++m] = i < n ? a[i] a[i + 1] : a[i]; n = m }
  return n ? a[1] : ""
}

function utf8(n) {
  if (n < 2048) return CH[192 + int(n / 64)] CH[128 + n % 64]
  if (n < 65536) return CH[224 + int(n / 4096)] CH[128 + int(n / 64) % 64] CH[128 + n % 64]
  return CH[240 + int(n / 262144)] CH[128 + int(n / 4096) % 64] CH[128 + int(n / 64) % 64] CH[128 + n % 64]
}

# the byte that stands for a code point
function letter(n) {
  if (n < 128) return (n >= 32 && n < 127) || (n >= 9 && n <= 13) || n == 7 || (n >= 27 && n < 32) ? CH[n] : CH[1]
  FOREIGN = 1
  if (!(n in POINT)) {
    if (NEXT_LETTER > 254) return CH[255]
    POINT[n] = NEXT_LETTER; ORIGINAL[CH[NEXT_LETTER++]] = utf8(n)
  }
  return CH[POINT[n]]
}

function add(n) { PART = PART letter(n); if (length(PART) > 255) { PARTS[++NPARTS] = PART; PART = "" } }

function finish_parts() { PARTS[++NPARTS] = PART; return join(PARTS, NPARTS) }

# code point of the UTF-8 sequence at BYTE[i]: sets WIDTH; -1 where there is none
function sequence(i, n,   c, k, v, low) {
  c = BYTE[i]; WIDTH = 1
  if (c < 128) return c
  if (c < 194 || c > 244) return -1
  WIDTH = c < 224 ? 2 : c < 240 ? 3 : 4
  v = c - (WIDTH == 2 ? 192 : WIDTH == 3 ? 224 : 240)
  low = WIDTH == 2 ? 128 : WIDTH == 3 ? 2048 : 65536
  for (k = 1; k < WIDTH; k++) {
    if (i + k > n || BYTE[i + k] < 128 || BYTE[i + k] > 191) return -1
    v = v * 64 + BYTE[i + k] - 128
  }
  return v < low || v > 1114111 || (v >= 55296 && v < 57344) ? -1 : v
}

function of_utf8(n,   i, v) {
  for (i = 1; i <= n; i += WIDTH) if (sequence(i, n) < 0) return 0
  i = n > 2 && BYTE[1] == 239 && BYTE[2] == 187 && BYTE[3] == 191 ? 4 : 1
  for (; i <= n; i += WIDTH) { v = sequence(i, n); add(v) }
  return 1
}

function of_cp1252(n,   i) { for (i = 1; i <= n; i++) add(BYTE[i] > 127 && BYTE[i] < 160 ? CP[BYTE[i]] : BYTE[i]) }

function of_utf16(i, n, little,   v, w) {
  for (; i < n; i += 2) {
    v = little ? BYTE[i] + 256 * BYTE[i + 1] : 256 * BYTE[i] + BYTE[i + 1]
    if (v >= 55296 && v < 56320 && i + 3 <= n) {
      w = little ? BYTE[i + 2] + 256 * BYTE[i + 3] : 256 * BYTE[i + 2] + BYTE[i + 3]
      if (w >= 56320 && w < 57344) { v = 65536 + (v - 55296) * 1024 + w - 56320; i += 2 }
    }
    add(v >= 55296 && v < 57344 ? 65533 : v)
  }
  if (i == n) add(65533)
}

# how many of the first 4096 bytes are zero: at even and at odd places
function zeros(n,   i) {
  ZERO_EVEN = 0; ZERO_ODD = 0
  if (n > 4096) n = 4096
  for (i = 1; i <= n; i++) if (BYTE[i] == 0) { if (i % 2) ZERO_EVEN++; else ZERO_ODD++ }
  return n > 3 && ZERO_EVEN + ZERO_ODD > int(n / 4)
}

# lines of od to text, the long way
function decoded_all(   i, k, n, m, h) {
  n = 0
  for (i = 1; i <= NDUMP; i++) { m = split(DUMP[i], h, " "); for (k = 1; k <= m; k++) BYTE[++n] = HEX[h[k]] }
  NPARTS = 0; PART = ""
  if (n > 1 && BYTE[1] == 255 && BYTE[2] == 254) of_utf16(3, n, 1)
  else if (n > 1 && BYTE[1] == 254 && BYTE[2] == 255) of_utf16(3, n, 0)
  else if (zeros(n)) of_utf16(1, n, ZERO_ODD >= ZERO_EVEN)
  else if (!of_utf8(n)) of_cp1252(n)
  return finish_parts()
}

# the same where all bytes are plain ASCII
function decoded(   i, k, m, h, s) {
  if (!DUMP_PLAIN) return decoded_all()
  for (i = 1; i <= NDUMP; i++) {
    m = split(DUMP[i], h, " "); s = ""
    for (k = 1; k <= m; k++) s = s PLAIN[h[k]]
    PARTS[i] = s
  }
  return join(PARTS, NDUMP)
}

# every match of a name replaced
function replace_all(name, by,   n, p, out, size) {
  size = length(T)
  if (lacks(name)) return
  n = 0; p = 1
  while (find(name, p, 1, size)) {
    out[++n] = substr(T, p, FOUND - p) by
    p = STOP
  }
  out[++n] = substr(T, p)
  look_at(join(out, n))
}

# what a character reference stands for
function reference(s,   n) {
  if (s == "&lt;") return "<"
  if (s == "&gt;") return ">"
  if (s == "&amp;") return "&"
  if (s == "&quot;") return "\""
  if (s == "&nbsp;") return " "
  n = substr(s, 3, 1) == "x" ? hexadecimal(substr(s, 4)) : substr(s, 3) + 0
  if (n == 0 || n > 1114111 || (n >= 55296 && n < 57344)) n = 65533
  if (n in CP) n = CP_REFERENCE[n]
  if (n < 32 && n != 9 && n != 10 && n != 12 && n != 13) return ""
  if (n == 127 || n % 65536 >= 65534 || (n >= 64976 && n < 65008)) return ""
  return letter(n)
}

function hexadecimal(s,   i, n, d) {
  n = 0
  for (i = 1; (d = index("0123456789abcdef", tolower(substr(s, i, 1)))) && substr(s, i, 1) != ""; i++) n = 16 * n + d - 1
  return n
}

function unescape_all(   n, p, out) {
  if (!index(T, "&") || lacks("ENTITY")) return
  n = 0; p = 1
  while (find("ENTITY", p, 1, length(T))) {
    out[++n] = substr(T, p, FOUND - p) reference(substr(T, FOUND, STOP - FOUND))
    p = STOP
  }
  out[++n] = substr(T, p)
  look_at(join(out, n))
}

# one kind of line end, and no tabs
function plain_lines(   n, i, l) {
  if (T !~ /[\t\r]/) return
  n = split(T, l, "\n")
  for (i = 1; i <= n; i++) {
    if (i < n) sub(/\r$/, "", l[i])
    gsub(/\r/, "\n", l[i]); gsub(/\t/, "    ", l[i])
    if (i < n) l[i] = l[i] "\n"
  }
  look_at(join(l, n))
}

function right_trimmed(s) { sub(/[ \t\r\n]+$/, "", s); return s }

function trimmed(s) { sub(/^[ \t\r\n]+/, "", s); return right_trimmed(s) }

# a line of a table that a narrow terminal broke, and the rest of one
function is_open(s,   c) {
  if (length(s) < 60 || length(s) > 132 || !index(substr(s, 1, 40), "|")) return 0
  c = right_trimmed(s); c = substr(c, length(c), 1)
  return c != "|" && c != "+"
}

function goes_on(s, before,   c) {
  s = right_trimmed(s)
  if (substr(s, length(s), 1) != "|" || length(before) + length(s) >= 200) return 0
  c = substr(trimmed(s), 1, 1)
  return c != "|" && c != "+"
}

function unwrap(   n, m, i, l, joined) {
  n = split(T, l, "\n"); m = 0; joined = 0
  for (i = 1; i <= n; i++) {
    if (m && is_open(l[m]) && goes_on(l[i], l[m])) { l[m] = l[m] l[i]; joined = 1 }
    else l[++m] = l[i]
  }
  if (!joined) return
  for (i = 1; i < m; i++) l[i] = l[i] "\n"
  look_at(join(l, m))
}

# the text of a dump, freed from what terminals, mail, wikis and editors did to it
function clean(   s) {
  s = decoded()
  look_at(length(s) > LONGEST ? substr(s, 1, LONGEST) : s)
  if (index(T, "\033")) replace_all("ESCAPE", "")
  plain_lines()
  unescape_all(); unescape_all()
  if (index(T, "<") && !has("XML")) { replace_all("BREAK", "\n"); replace_all("TAG", "") }
  if (index(T, "[")) replace_all("BBCODE", "")
  if (index(T, "```") || index(T, "~~~")) replace_all("FENCE", "")
  if (FOREIGN) { gsub(CH[3], "|", T); gsub(CH[4], "-", T); gsub(CH[5], "+", T) }
  if (T ~ UNSEEN) gsub(UNSEEN, "", T)
  look_at(T)
}
