// nvidia-smi --query-gpu=... --format=csv: any fields in any order, with a header or none.

const MOST_CELLS = 64;

class Csv {
  constructor(known, matcher, names) {
    Object.assign(this, { known, matcher, names });
  }

  // the driver, the GPUs and whether MIG is on, from all rows of a text
  read(text) {
    const drivers = new Set(), gpus = new Map();
    let mig = false;
    for (const row of this.rows(text)) {
      if (row.driver) drivers.add(row.driver);
      if (row.mig === "Enabled") mig = true;
      if (!row.name && !row.capability) continue;
      const index = row.index ? Number(row.index) : Math.max(-1, ...gpus.keys()) + 1;
      if (!gpus.has(index)) gpus.set(index, { index, name: row.name ?? "", capability: row.capability ?? "" });
    }
    return { driver: drivers.size === 1 ? [...drivers][0] : "", limit: "", gpus: [...gpus.values()], mig };
  }

  *rows(text) {
    let heads = null, told = 0;
    for (const line of text.split("\n")) {
      if (line === "" || line.length > this.known.numbers.row) continue;
      const cells = line.trim().split(/\s*[,;]\s*|\s{0,40}\t\s*/).slice(0, MOST_CELLS).map(bare);
      const header = this.header(cells);
      if (header) {
        heads = header;
        continue;
      }
      let row = heads?.length === cells.length ? this.byHead(cells, heads) : {};
      if (!row.name && !row.driver && !row.capability) row = this.byLook(cells);
      if (Object.keys(row).length === 0) continue;
      yield row;
      if (++told === this.known.numbers.most) return;
    }
  }

  // the fields of a row that is a header, else null
  header(cells) {
    const { heads } = this.known;
    const fields = cells.map((cell) => heads.get(cell.toLowerCase().replace(/\s*\[.*?\]$/, "").replaceAll("_", " ")) ?? "");
    fields[0] ||= heads.get(cells[0].toLowerCase().split(/[:>\]$] /).pop().trim().replaceAll("_", " ")) ?? "";
    return fields.some((field) => ["name", "driver", "capability"].includes(field)) ? fields : null;
  }

  byHead(cells, heads) {
    const row = {};
    cells.forEach((cell, place) => {
      const value = this.value(cell, heads[place]);
      if (value) row[heads[place]] = value;
    });
    return row;
  }

  // the part of a cell that its field can hold, or ""
  value(cell, field) {
    if (field === "") return "";
    if (field !== "name") return this.matcher.group(`FIELD_${field}`, cell.slice(0, 120));
    const brand = this.matcher.find("BRAND", cell);
    if (brand) return brand.group(1).trim();
    return /[A-Za-z]{2}/.test(cell) && cell.length < 80 ? cell : "";
  }

  // a row without header: what its cells can only be
  byLook(cells) {
    const fits = (name, cell) => this.matcher.at(name, cell, 0) !== null;
    const certain = cells.some((cell) => fits("OF_A_GPU", cell));
    const row = {};
    for (const cell of cells) {
      const name = row.name ? "" : this.gpuName(cell, certain);
      if (name) row.name = name;
      else if (fits("CERTAIN", cell.slice(-40))) row.driver = cell.split(/\s/).pop();
      else if (fits("LIKELY", cell)) row.driver ??= cell;
      else if (cells.length > 1 && /^\d{1,2}\.\d$/.test(cell)) row.capability ??= cell;
    }
    if (!row.name && !(cells.length === 1 && row.driver === cells[0])) return {};
    const index = this.value(cells[0], "index");
    if (index) row.index = index;
    return row;
  }

  // a cell that can only be the name of a GPU, or stands beside what only a GPU has
  gpuName(cell, certain) {
    const name = this.matcher.find("BRAND", cell)?.group(1);
    if (!name || !this.matcher.at("TITLE", name, 0)) return "";
    return certain || this.names.kind(name) ? name.trim() : "";
  }
}

function bare(cell) {
  return cell.trim().replace(/^"+|"+$/g, "").trim();
}
