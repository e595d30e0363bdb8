# The matcher: expressions of the reader as small programs, tried with backtracking. T is the text; B and E are the
# first and the last place that count; CAP holds where groups begin (even) and end (odd); STOP is behind the match.

# the character at a place; from a window of the text, since some awks measure a text for every letter of it
function at(p) {
  if (p < W_FIRST || p > W_LAST) { W_FIRST = p > 200 ? p - 200 : 1; W_LAST = W_FIRST + 1499; W = substr(T, W_FIRST, 1500) }
  return substr(W, p - W_FIRST + 1, 1)
}

function holds(set, p) { return p >= B && p <= E && (index(SET[set], at(p)) > 0) != NOT[set] }

function word_at(p) { return p >= B && p <= E && index(WORDS, at(p)) > 0 }

function newline_at(p) { return at(p) == "\n" }

# whether a condition holds between the character before p and the one at p
function stands(kind, p) {
  if (kind == "w") return word_at(p - 1) != word_at(p)
  if (kind == "A") return p == B
  if (kind == "^") return p == B || newline_at(p - 1)
  if (kind == "Z") return p == E + 1
  if (kind == "$") return p == E + 1 || newline_at(p)
  return p == E + 1 || (p == E && newline_at(p))
}

# remember another way: kind b goes on at step a, place p; g is a greedy run down to c; l a lazy one, c characters more
function push(kind, a, p, c, set) { SP++; SK[SP] = kind; SA[SP] = a; SPLACE[SP] = p; SC[SP] = c; SSET[SP] = set }

# take up the last way that is left: sets PC and P; 0 where there is none above base
function back(base) {
  while (SP > base) {
    PC = SA[SP]; P = SPLACE[SP]
    if (SK[SP] == "v") { CAP[PC] = P; SP--; continue }
    if (SK[SP] == "b") { SP--; return 1 }
    if (SK[SP] == "g") {
      if (P > SC[SP]) SPLACE[SP] = P - 1
      else SP--
      return 1
    }
    if (SC[SP] > 0 && holds(SSET[SP], P)) { SC[SP]--; P++; SPLACE[SP] = P; return 1 }
    SP--
  }
  return 0
}

# characters of a set from p on: remembers the other lengths, sets P; 0 where there are too few
function repeat(set, low, high, greedy, next_step, p,   n) {
  n = 0
  while (n < (greedy ? high : low) && holds(set, p + n)) n++
  if (n < low) return 0
  if (greedy && n > low) push("g", next_step, p + n - 1, p + low, set)
  if (!greedy && high > n) push("l", next_step, p + n, high - n, set)
  P = p + n
  return 1
}

# a look around: whether what stands there is as wanted
function looks(width, pc, wanted, p,   here, got) {
  here = p - width
  got = here >= B ? run(pc, here) : 0
  return got == wanted
}

# the program from step pc on, at place p
function run(pc, p,   base, op, ok) {
  base = SP
  for (;;) {
    op = OP[pc]; ok = 1
    if (op == "c") { if (holds(A1[pc], p)) { p++; pc++ } else ok = 0 }
    else if (op == "r") { if (repeat(A1[pc], A2[pc], A3[pc], A4[pc], pc + 1, p)) { p = P; pc++ } else ok = 0 }
    else if (op == "b") { push("b", A2[pc], p, 0, 0); pc = A1[pc] }
    else if (op == "j") pc = A1[pc]
    else if (op == "v") { push("v", A1[pc], CAP[A1[pc]], 0, 0); CAP[A1[pc]] = p; pc++ }
    else if (op == "e") { if (stands(A1[pc], p)) pc++; else ok = 0 }
    else if (op == "l") { if (looks(A1[pc], pc + 1, A3[pc], p)) pc = A2[pc]; else ok = 0 }
    else { SP = base; STOP = p; return 1 }
    if (!ok) { if (!back(base)) return 0; pc = PC; p = P }
  }
}

function start(name, p,   i) { for (i = 0; i < 10; i++) CAP[i] = 0; return run(START[name], p) }

# make s the text that is looked at
function look_at(s) { T = s; B = 1; E = length(T); NL = 0; W_FIRST = 1; W_LAST = 0 }

# where each line of the text begins
function index_lines(   i, place) {
  NL = split(T, LINE, "\n"); place = 1
  for (i = 1; i <= NL; i++) { LO[i] = place; place += length(LINE[i]) + 1; if (i < NL) LINE[i] = LINE[i] "\n" }
  LO[NL + 1] = length(T) + 1
}

function line_of(p,   low, high, middle) {
  low = 1; high = NL
  while (low < high) { middle = int((low + high + 1) / 2); if (LO[middle] <= p) low = middle; else high = middle - 1 }
  return low
}

# the first match of a name in line i, from p to stop: sets FOUND
function find_in_line(name, i, p, stop,   set) {
  if (COARSE[name] != "" && LINE[i] !~ COARSE[name]) return 0
  set = FIRST_OF[name]
  for (; p <= stop; p++) {
    if (set != "" && !holds(set, p)) continue
    if (start(name, p)) { FOUND = p; return 1 }
  }
  return 0
}

# the first match of a name from p to e, nothing before b being there: sets FOUND, STOP and CAP
function find(name, p, b, e,   i, stop) {
  B = b; E = e
  if (p > e || p < 1) return 0
  if (!NL) index_lines()
  for (i = line_of(p); i <= NL && p <= e; p = LO[++i]) {
    stop = LO[i + 1] - 1; if (stop > e) stop = e
    if (find_in_line(name, i, p, stop)) return 1
  }
  return 0
}

# whether the whole text cannot have a match: quicker than to look for one
function lacks(name) { return (name in NEEDS && !index(T, NEEDS[name])) || (COARSE[name] != "" && T !~ COARSE[name]) }

# whether the whole text has a match at all
function has(name) { return !lacks(name) && find(name, 1, 1, length(T)) }

# whether a text is one match from its start to its end, or begins with one
function fits(name, s) { look_at(s); return start(name, 1) }

function group(n) { return CAP[2 * n] ? substr(T, CAP[2 * n], CAP[2 * n + 1] - CAP[2 * n]) : "" }

# after a match: where to look for the next one
function behind() { return STOP > FOUND ? STOP : STOP + 1 }
