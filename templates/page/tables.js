// What is known of drivers, GPUs and variants: the lines of ferry.sh's tables, one fact a line, its parts between bars.

// Characters by number; those from FIRST on stand for characters beyond ASCII, which `letters` tells.
class Characters {
  constructor(ranges, letters) {
    this.negated = ranges.startsWith("!");
    this.codes = new Set();
    for (const range of ranges.replace(/^! ?/, "").split(" ").filter(Boolean)) {
      const [first, last = first] = range.split("-").map(Number);
      for (let code = first; code <= last; code++) this.codes.add(letters.get(code) ?? code);
    }
    this.ascii = Uint8Array.from({ length: 128 }, (_, code) => Number(this.codes.has(code) !== this.negated));
  }

  has(code) {
    return code < 128 ? this.ascii[code] === 1 : this.codes.has(code) !== this.negated;
  }
}

function readStep(word) {
  const [first, ...rest] = word.slice(1).split(",");
  return { op: word[0], a: word[0] === "e" ? first : Number(first), b: Number(rest[0]), c: Number(rest[1]), d: Number(rest[2]) };
}

function readRule([, name, archs, cuda, floor, full, doubtful, windowsFloor, windowsFull, windowsDoubtful, code]) {
  return {
    name, cuda, archs: archs.split(" "),
    linux: { floor, full, doubtful },
    windows: { floor: windowsFloor, full: windowsFull, doubtful: windowsDoubtful },
    code: code.split(" ").filter(Boolean),
  };
}

// Names of GPUs that are of one kind; a name of two kinds tells nothing.
function readGpus(known, [, capability, arch, tegra, names]) {
  const kind = { capability, arch, tegra: tegra === "1" };
  for (const name of names.split(",")) known.gpus.set(name, known.gpus.has(name) ? null : kind);
}

// Code points that stand for blanks, borders or nothing (numbers below 128), and the letters behind the other numbers.
function readPoints(lines, first) {
  const points = new Map(), letters = new Map();
  for (const pair of lines.find((line) => line.startsWith("points|")).slice(7).split(" ")) {
    const [point, code] = pair.split("=").map(Number);
    if (code < first) points.set(point, code);
    else letters.set(code, point);
  }
  return { points, letters };
}

function readTables(text) {
  const lines = text.split("\n");
  const { points, letters } = readPoints(lines, 128);
  const known = {
    points, sets: [], steps: [], programs: new Map(), failures: [], heads: new Map(), cp1252: new Map(),
    references: new Map(), lookedFor: [], numbers: {}, gpus: new Map(), generations: [], rules: [], sentences: {},
  };
  for (const line of lines) readLine(known, line, letters);
  return known;
}

function readLine(known, line, letters) {
  const parts = line.split("|"), [kind, second, third, fourth] = parts;
  const rest = parts.slice(2).join("|");
  if (kind === "set") known.sets[second] = new Characters(third, letters);
  else if (kind === "step") known.steps.push(...second.split(" ").map(readStep));
  else if (kind === "program") known.programs.set(second, { start: Number(third), first: fourth, needs: "" });
  else if (kind === "needs") known.programs.get(second).needs = rest;
  else if (kind === "failure") known.failures.push(second);
  else if (kind === "head") known.heads.set(second, third);
  else if (kind === "looked") known.lookedFor.push(parts.slice(1).join("|"));
  else if (kind === "number") known.numbers[second] = Number(third);
  else if (kind === "gpus") readGpus(known, parts);
  else if (kind === "generation") known.generations.push({ first: second, last: third, capabilities: fourth.split(" ") });
  else if (kind === "rule") known.rules.push(readRule(parts));
  else if (kind === "reason") known.sentences[second] = rest;
  else if (kind === "cp1252") {
    known.cp1252.set(Number(second), Number(third));
    known.references.set(Number(second), Number(fourth));
  }
}
