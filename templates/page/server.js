// The facts of a server, decided from all that a text tells.

const NOTHING_KNOWN = { driver: "", limit: "", platform: "linux", arch: "", failure: "", mig: false, gpus: [] };

class Servers {
  constructor(known) {
    const matcher = new Matcher(known), names = new Names(known, matcher);
    Object.assign(this, { known, matcher, names, forms: new Forms(known, matcher, new Csv(known, matcher, names)) });
  }

  // what a pasted text or the bytes of a file tell
  read(content) {
    const reader = new Reader(this.known, this.matcher), text = reader.plain(content);
    const server = this.decided(text);
    return { ...server, gpus: server.gpus.map((gpu) => ({ ...gpu, name: reader.shown(gpu.name) })) };
  }

  decided(text) {
    const table = this.forms.table(text), forms = this.forms.others(text);
    const gpus = this.merged([table?.gpus ?? [], ...forms.map((form) => form.gpus)]);
    const kinds = gpus.map((gpu) => this.names.kind(gpu.name)).filter(Boolean);
    const told = (field) => table?.[field] || forms.map((form) => form[field]).find(Boolean) || "";
    const driver = told("driver") || this.either("MODULE", text);
    const failure = this.failure(text, table, gpus.length > 0);
    if (!failure && !gpus.length && !driver && !table?.limit) return { ...NOTHING_KNOWN, failure: "unreadable" };
    const tegra = kinds.some((kind) => kind.tegra) || this.matcher.has("TEGRA", text);
    return {
      driver, limit: told("limit"), gpus, failure, mig: Boolean(table?.mig) || forms.some((form) => form.mig),
      platform: tegra ? "tegra" : this.platform(text, table),
      arch: tegra ? "aarch64" : kinds.map((kind) => kind.arch).find(Boolean) || this.either("MODULE_ARCH", text),
    };
  }

  either(name, text) {
    const found = this.matcher.find(name, text);
    return found ? found.group(1) || found.group(2) : "";
  }

  // the GPUs of the first source that has any; a cut name and a capability may come from a later one
  merged(sources) {
    const others = new Map(), capabilities = new Map();
    for (const source of [...sources].reverse()) {
      for (const gpu of source) if (!this.names.isCut(gpu.name)) others.set(gpu.index, gpu.name);
    }
    for (const gpu of sources.flat()) if (gpu.capability) capabilities.set(gpu.index, gpu.capability);
    return (sources.find((source) => source.length) ?? []).map(({ index, name }) => {
      const full = this.names.isCut(name) ? others.get(index) ?? name : name;
      return { index, name: full, capability: capabilities.get(index) ?? this.names.kind(full)?.capability ?? "" };
    });
  }

  // what went wrong, unless a good table stands below the message: then it was mended
  failure(text, table, shown) {
    if (table?.lost) return "gpu_lost";
    return this.known.failures.find((failure) => {
      if (failure === "not_installed" && shown) return false;
      const last = [...this.matcher.findAll(failure, text)].pop();
      return last && (failure === "gpu_lost" || !table?.gpus.length || last.start > table.start);
    }) ?? "";
  }

  platform(text, table) {
    if (this.matcher.has("WSL", text) || (table && this.ofWsl(table))) return "wsl";
    return table?.windows || this.matcher.has("MODEL", text) ? "windows" : "linux";
  }

  // under WSL nvidia-smi is that of Linux and the driver that of Windows: near, but not the same, and of two parts
  ofWsl({ smi, driver }) {
    if (!smi || driver.split(".").length !== 2 || !isNumber(smi) || !isNumber(driver)) return false;
    const ahead = parseInt(driver, 10) - parseInt(smi, 10);
    return compare(smi, driver) !== 0 && ahead >= 0 && ahead <= this.known.numbers.spread;
  }

  // what a person typed goes before what was read
  typed(server, driver, names) {
    const gpus = names.map((name, index) => ({ index, name, kind: this.names.byHand(name) }));
    const made = { ...server, driver: driver || server.driver };
    if (gpus.length) {
      made.gpus = gpus.map(({ index, name, kind }) => ({ index, name, capability: kind?.capability ?? "" }));
      made.arch = gpus.map(({ kind }) => kind?.arch).find(Boolean) || server.arch;
      if (gpus.some(({ kind }) => kind?.tegra)) made.platform = "tegra";
    }
    if (made.failure === "unreadable" && (made.driver || made.gpus.length)) made.failure = "";
    return made;
  }
}

// whether a version holds more than zeros
function isNumber(version) { return /[1-9]/.test(version); }
