// From a plain text to the facts of a server. The table, -q -x, -q, CSV and -L are read; of the first that shows GPUs
// they are taken.

class Forms {
  constructor(known, matcher, csv) {
    Object.assign(this, { most: known.numbers.most, near: known.numbers.near, matcher, csv });
  }

  // the table that a plain nvidia-smi prints: of several the last that shows a GPU, else the last one; null without one
  table(text) {
    const heads = [...this.matcher.findAll("HEADER", text)];
    if (!heads.length) {
      const bare = this.oneTable(text, 0, text.length, null);
      return bare.gpus.length || bare.lost ? bare : null;
    }
    const starts = heads.map((head) => this.start(text, head.start));
    const tables = heads.map((head, i) => this.oneTable(text, starts[i], starts[i + 1] ?? text.length, head));
    return tables.reverse().find((table) => table.gpus.length || table.lost) ?? tables[0];
  }

  // where the table of a driver version begins: at nvidia-smi's own version, where that stands right before it
  start(text, head) {
    const named = [...this.matcher.findAll("SMI", text, Math.max(0, head - 160), head)];
    return named.length ? named[named.length - 1].start : head;
  }

  oneTable(text, from, to, head) {
    const { matcher } = this, part = text.slice(from, to);
    const driver = head?.group(1) ?? "";
    const limit = head ? matcher.find("LIMIT", part.slice(0, this.near)) : null;
    return {
      start: from, ...this.rows(part), smi: matcher.at("SMI", part, 0)?.group(1) ?? "",
      driver: /^\d/.test(driver) ? driver : "", limit: limit ? limit.group(1).replace(/^[[\]]+|[[\]]+$/g, "") : "",
      mig: matcher.has("MIG", part), windows: matcher.has("WINDOWS", part),
    };
  }

  rows(part) {
    const gpus = new Map();
    let lost = 0;
    for (const row of this.matcher.findAll("ROW", part)) {
      if (this.matcher.at("BROKEN", row.group(2), 0) || this.matcher.at("BROKEN", row.group(4), 0)) lost++;
      else addGpu(gpus, Number(row.group(1)), row.group(2), this.most);
    }
    return { gpus: [...gpus.values()], lost };
  }

  // -q -x, whole or cut off: its elements are read one by one
  xml(text) {
    const values = {};
    for (const found of this.matcher.findAll("ELEMENT", text)) (values[found.group(1)] ??= []).push(found.group(2).trim());
    const whole = (name, ...fields) =>
      fields.flatMap((field) => values[field] ?? []).map((value) => this.matcher.group(name, value)).find(Boolean) ?? "";
    const names = (values.product_name ?? []).slice(0, this.most);
    return {
      driver: whole("XML_DRIVER", "driver_version", "kmd_version"), limit: whole("XML_LIMIT", "cuda_version", "cuda_umd_version"),
      gpus: names.map((name, index) => ({ index, name, capability: "" })).filter((gpu) => gpu.name),
      mig: values.current_mig?.includes("Enabled") ?? false,
    };
  }

  query(text) {
    const gpus = new Map();
    for (const found of this.matcher.findAll("NAMED", text)) addGpu(gpus, gpus.size, found.group(1), this.most);
    return { driver: "", limit: "", gpus: [...gpus.values()], mig: gpus.size > 0 && this.matcher.has("MIG_MODE", text) };
  }

  // -L: of a GPU that is named twice the later name counts
  list(text) {
    const gpus = new Map();
    for (const found of this.matcher.findAll("LISTED", text)) {
      if (!found.all.includes("(UUID") && !this.matcher.at("BRANDS", found.group(2), 0)) continue;
      const index = Number(found.group(1));
      gpus.set(index, { index, name: found.group(2).trim(), capability: "" });
    }
    const first = [...gpus.values()].slice(0, this.most);
    return { driver: "", limit: "", gpus: first, mig: first.length > 0 && this.matcher.has("LISTED_MIG", text) };
  }

  // every form but the table
  others(text) { return [this.xml(text), this.query(text), this.csv.read(text), this.list(text)]; }
}

function addGpu(gpus, index, name, most) {
  if (!gpus.has(index) && gpus.size < most) gpus.set(index, { index, name: name.trim(), capability: "" });
}
