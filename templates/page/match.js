// The matcher: expressions of the reader as small programs, tried with backtracking. A text is looked at between two
// places, `from` and `to` (behind the last character); nothing outside of them counts.

const WORD = /[A-Za-z0-9_]/;
const NEWLINE = 10;

class Match {
  constructor(text, start, end, places) {
    Object.assign(this, { text, start, end, places });
  }

  // where a group begins and ends; -1 where it took no part
  from(group) { return this.places[2 * group]; }
  to(group) { return this.places[2 * group + 1]; }

  group(group) { return this.from(group) < 0 ? "" : this.text.slice(this.from(group), this.to(group)); }
  get all() { return this.text.slice(this.start, this.end); }
}

class Matcher {
  constructor(known) {
    Object.assign(this, { sets: known.sets, steps: known.steps, programs: known.programs });
  }

  // the match of a program that begins at a place, or null
  at(name, text, place, from = 0, to = text.length) {
    Object.assign(this, { text, first: from, last: to, places: new Array(10).fill(-1), ways: [] });
    const end = this.run(this.programs.get(name).start, place);
    return end < 0 ? null : new Match(text, place, end, this.places);
  }

  // the first match that begins at a place or behind it
  find(name, text, place = 0, from = 0, to = text.length) {
    const program = this.programs.get(name);
    if (program.needs && text.indexOf(program.needs, place) < 0) return null;
    const may = program.first === "" ? null : this.sets[program.first];
    for (let p = place; p < to; p++) {
      if (may !== null && !may.has(text.charCodeAt(p))) continue;
      const found = this.at(name, text, p, from, to);
      if (found) return found;
    }
    return null;
  }

  *findAll(name, text, from = 0, to = text.length) {
    for (let found = this.find(name, text, from, from, to); found; ) {
      yield found;
      found = this.find(name, text, found.end > found.start ? found.end : found.end + 1, from, to);
    }
  }

  has(name, text) { return this.find(name, text) !== null; }

  // the first group of a text that begins with a match, else ""
  group(name, text) { return this.at(name, text, 0)?.group(1) ?? ""; }

  replaced(name, text, by) {
    const out = [];
    let done = 0;
    for (const found of this.findAll(name, text)) {
      out.push(text.slice(done, found.start), by(found));
      done = found.end;
    }
    return out.length ? out.join("") + text.slice(done) : text;
  }

  holds(set, p) { return p >= this.first && p < this.last && this.sets[set].has(this.text.charCodeAt(p)); }

  wordAt(p) { return p >= this.first && p < this.last && WORD.test(this.text[p]); }

  newlineAt(p) { return this.text.charCodeAt(p) === NEWLINE; }

  // whether a condition holds between the character before a place and the one at it
  stands(kind, p) {
    if (kind === "w") return this.wordAt(p - 1) !== this.wordAt(p);
    if (kind === "A") return p === this.first;
    if (kind === "^") return p === this.first || this.newlineAt(p - 1);
    if (kind === "Z") return p === this.last;
    if (kind === "$") return p === this.last || this.newlineAt(p);
    return p === this.last || (p === this.last - 1 && this.newlineAt(p));
  }

  // characters of a set from a place on: remembers the other lengths; -1 where there are too few
  repeat({ a: set, b: low, c: high, d: greedy }, pc, p) {
    const most = greedy ? high : low;
    let count = 0;
    while (count < most && this.holds(set, p + count)) count++;
    if (count < low) return -1;
    if (greedy && count > low) this.ways.push({ kind: "greedy", pc, p: p + count - 1, least: p + low });
    if (!greedy && high > count) this.ways.push({ kind: "lazy", pc, p: p + count, more: high - count, set });
    return p + count;
  }

  // take up the last way that is left above `base`; null where there is none
  back(base) {
    while (this.ways.length > base) {
      const way = this.ways[this.ways.length - 1];
      if (way.kind === "place") this.places[way.pc] = way.p;
      else if (way.kind === "greedy" && way.p > way.least) return { pc: way.pc, p: way.p-- };
      else if (way.kind === "lazy") {
        if (way.more > 0 && this.holds(way.set, way.p)) {
          way.more--;
          return { pc: way.pc, p: ++way.p };
        }
      } else {
        this.ways.pop();
        return way;
      }
      this.ways.pop();
    }
    return null;
  }

  // the place behind a match of the steps from `pc` on, or -1
  run(pc, p) {
    const base = this.ways.length;
    for (;;) {
      const step = this.steps[pc];
      let next = p;
      if (step.op === "m") {
        this.ways.length = base;
        return p;
      }
      if (step.op === "c") next = this.holds(step.a, p) ? p + 1 : -1;
      else if (step.op === "r") next = this.repeat(step, pc + 1, p);
      else if (step.op === "e") next = this.stands(step.a, p) ? p : -1;
      else if (step.op === "l") next = this.looks(step, pc + 1, p) ? p : -1;
      else if (step.op === "b") this.ways.push({ kind: "branch", pc: step.b, p });
      else if (step.op === "v") {
        this.ways.push({ kind: "place", pc: step.a, p: this.places[step.a] });
        this.places[step.a] = p;
      }
      if (next >= 0) {
        pc = step.op === "l" ? step.b : step.op === "b" || step.op === "j" ? step.a : pc + 1;
        p = next;
      } else {
        const way = this.back(base);
        if (way === null) return -1;
        ({ pc, p } = way);
      }
    }
  }

  // whether what stands around a place is as wanted
  looks({ a: width, c: wanted }, pc, p) {
    const here = p - width;
    return (here >= this.first && this.run(pc, here) >= 0) === (wanted === 1);
  }
}
