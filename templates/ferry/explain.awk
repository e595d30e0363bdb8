# What a message means: the catalogue's symptoms, looked for in a text that is one line of small letters.

# a line of the catalogue; sets and steps of the matcher stand in it too
function read_symptom(line,   f, rest) {
  split(line, f, "|"); rest = substr(line, length(f[1]) + 2)
  if (f[1] == "set" || f[1] == "step") read_line(line)
  else if (f[1] == "symptom") { S_NAME[++NSYMPTOMS] = f[2]; S_FAILURE[NSYMPTOMS] = f[3]; S_OVER[NSYMPTOMS] = f[4]; S_REMEDIES[NSYMPTOMS] = 0; S_SETTLES[NSYMPTOMS] = 0 }
  else if (f[1] == "cause") S_CAUSE[NSYMPTOMS] = rest
  else if (f[1] == "good") S_GOOD[NSYMPTOMS] = rest
  else if (f[1] == "remedy") S_REMEDY[NSYMPTOMS, ++S_REMEDIES[NSYMPTOMS]] = rest
  else if (f[1] == "settle") S_SETTLE[NSYMPTOMS, ++S_SETTLES[NSYMPTOMS]] = rest
  else if (f[1] == "says") { M_OF[++NMESSAGES] = NSYMPTOMS; M_NEEDS[NMESSAGES] = rest; M_START[NMESSAGES] = "" }
  else if (f[1] == "pattern") {
    M_OF[++NMESSAGES] = NSYMPTOMS; M_START[NMESSAGES] = f[2] + 0; M_LONGEST[NMESSAGES] = f[3] + 0; M_BEGINS[NMESSAGES] = 0
    M_NEEDS[NMESSAGES] = substr(rest, length(f[2]) + length(f[3]) + 3)
  }
  else if (f[1] == "begins") M_BEGIN[NMESSAGES, ++M_BEGINS[NMESSAGES]] = rest
}

# the catalogue is read when the first message is to be explained: a verdict does without
function read_symptoms(   i, n, l) {
  if (NSYMPTOMS) return
  n = split(ENVIRON["FERRY_SYMPTOMS"], l, "\n")
  for (i = 1; i <= n; i++) read_symptom(l[i])
}

# whether message m stands at place p: its letters must be near before the matcher goes there
function is_at(m, p,   i) {
  if (M_LONGEST[m] < 2000 && !index(substr(T, p, M_LONGEST[m]), M_NEEDS[m])) return 0
  for (i = 0; i < 10; i++) CAP[i] = 0
  return run(M_START[m], p)
}

# whether message m, in which letters come first, is somewhere; in pieces, since a text may be one long line
function is_from(m, letters,   from, piece, p, k) {
  for (from = 1; from <= E; from += 4000) {
    piece = substr(T, from, 4000 + length(letters) - 1)
    for (p = 0; (k = index(substr(piece, p + 1), letters)); ) { p += k; if (is_at(m, from + p - 1)) return 1 }
  }
  return 0
}

function is_said(m,   i) {
  if (!index(T, M_NEEDS[m])) return 0
  if (M_START[m] == "") return 1
  for (i = 1; i <= M_BEGINS[m]; i++) if (is_from(m, M_BEGIN[m, i])) return 1
  return 0
}

# every symptom of the text that clean() left: IS_MEANT[s]; what another explains better is left out
function recognise(   m, s, i, n, o, covered) {
  read_symptoms()
  gsub(/[ \t\r\n]+/, " ", T)
  look_at(tolower(T))
  split("", IS_MEANT); split("", covered)
  for (m = 1; m <= NMESSAGES; m++) if (!(M_OF[m] in IS_MEANT) && is_said(m)) IS_MEANT[M_OF[m]] = 1
  for (s = 1; s <= NSYMPTOMS; s++) if (s in IS_MEANT) { n = split(S_OVER[s], o, " "); for (i = 1; i <= n; i++) covered[o[i]] = 1 }
  for (s = 1; s <= NSYMPTOMS; s++) if (S_NAME[s] in covered) delete IS_MEANT[s]
}

function cause_of(s) { return GOOD != "" && s in S_GOOD ? S_GOOD[s] : S_CAUSE[s] }

function symptom_in_words(s,   i) {
  print S_NAME[s] ": " cause_of(s) "\n" TO_DO
  for (i = 1; i <= S_REMEDIES[s]; i++) print "  " i ". " S_REMEDY[s, i]
  print TO_SETTLE
  for (i = 1; i <= S_SETTLES[s]; i++) print "  " S_SETTLE[s, i]
}

function plain_symptom(s,   i) {
  print "symptom\t" S_NAME[s] "\ncause\t" cause_of(s)
  for (i = 1; i <= S_REMEDIES[s]; i++) print "remedy\t" S_REMEDY[s, i]
  for (i = 1; i <= S_SETTLES[s]; i++) print "settle\t" S_SETTLE[s, i]
}

# all that was recognised in a text, in the catalogue's order; how many it was
function explain(name,   s, n) {
  clean(); recognise(); n = 0
  if (FORM == "plain-explain") print "host\t" name
  for (s = 1; s <= NSYMPTOMS; s++) {
    if (!(s in IS_MEANT)) continue
    if (FORM == "plain-explain") plain_symptom(s)
    else { if (n || FORM == "words") print ""; symptom_in_words(s) }
    n++
  }
  return n
}

# what a failure of nvidia-smi means; where nothing else was found in a text, what else it says
function explain_failure(   s) {
  if (FAILURE == "unreadable") { explain(""); return }
  read_symptoms()
  for (s = 1; s <= NSYMPTOMS; s++) if (S_FAILURE[s] == FAILURE) { print ""; symptom_in_words(s) }
}
