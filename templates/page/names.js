// What the name of a GPU says: its kind, or null. Whole words count, most words win, then those that begin first.

const LONGEST_NAME = 200;

class Names {
  constructor(known, matcher) {
    Object.assign(this, { entries: known.gpus, matcher, found: new Map() });
  }

  isCut(name) { return this.matcher.has("CUT", name.slice(0, LONGEST_NAME)); }

  kind(name) {
    if (!this.found.has(name)) this.found.set(name, this.best(name));
    return this.found.get(name);
  }

  best(name) {
    const words = name.slice(0, LONGEST_NAME).toLowerCase().match(/[a-z0-9]+/g) ?? [];
    const best = { covered: 0, from: 0, kinds: new Set() };
    const better = (kind, covered, from) => {
      if (covered < best.covered || (covered === best.covered && from > best.from)) return;
      if (covered > best.covered || from < best.from) Object.assign(best, { covered, from, kinds: new Set() });
      best.kinds.add(kind);
    };
    const cut = this.isCut(name);
    words.forEach((_, from) => {
      for (let to = from + 1; to <= words.length; to++) {
        const entry = words.slice(from, to).join(" ");
        if (this.entries.has(entry)) better(this.entries.get(entry), to - from, from);
      }
      if (!cut) return;
      // in a name that was cut the last word may go on, and more may follow
      const beginning = words.slice(from).join(" ");
      for (const [entry, kind] of this.entries) if (entry.startsWith(beginning)) better(kind, words.length - from, from);
    });
    return best.kinds.size === 1 ? [...best.kinds][0] : null;
  }

  // the same for what people type without blanks: RTX3090, GTX1080Ti
  byHand(name) {
    const apart = this.matcher.replaced("TYPED_AFTER", name, (found) => `${found.all} `);
    return this.kind(name) ?? this.kind(apart) ?? this.kind(this.matcher.replaced("TYPED_BEFORE", apart, (found) => `${found.all} `));
  }
}
