// The judgement over numbers and lists: which variant runs on a server, and why.

// versions in an order of numbers: below 0 where the first is older
function compare(one, other) {
  const a = one.split(".").map(Number), b = other.split(".").map(Number);
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) - (b[i] ?? 0);
  }
  return 0;
}

// a sentence with its values put in as they are
function sentence(text, values) { return text.replace(/\{(\w+)\}/g, (_, name) => values[name]); }

function serves(rule, capability) {
  const [major, minor] = capability.split(".").map(Number);
  return rule.code.some((code) => {
    const [ours, lowest] = code.split(".").map(Number);
    return major === ours && minor >= lowest;
  });
}

class Judge {
  constructor(known) {
    this.known = known;
  }

  // every rule's verdict, the one to run, and the exit status that `ferry.sh doctor` has
  judge(server) {
    const branches = this.branches(server);
    const verdicts = this.known.rules.map((rule) => ({ rule, ...this.rule(server, rule, branches) }));
    const gpu = verdicts.filter(({ rule }) => rule.cuda), cpu = verdicts.find(({ rule, runs }) => !rule.cuda && runs === "yes");
    const fitting = gpu.filter(({ runs }) => runs === "yes" || runs === "some_gpus");
    const best = fitting.reduce((found, one) => (found && !goesBefore(one, found) ? found : one), null);
    if (best) return { verdicts, pick: best.rule.name, status: 0 };
    if (server.failure === "unreadable" || !cpu || gpu.some(({ runs }) => runs === "unknown")) {
      return { verdicts, pick: "", status: 4 };
    }
    return { verdicts, pick: cpu.rule.name, status: 3 };
  }

  // what drivers of this branch serve, and what they serve no more
  branches({ driver, platform }) {
    if (!driver) return { served: [], dropped: [] };
    const branch = parseInt(driver, 10), spread = ofWindows(platform) ? this.known.numbers.spread : 0;
    const over = ({ last }) => last !== "" && Number(last) + spread < branch;
    const serving = (row) => !over(row) && Number(row.first) <= branch;
    const capabilities = (rows) => rows.flatMap((row) => row.capabilities);
    return { served: capabilities(this.known.generations.filter(serving)), dropped: capabilities(this.known.generations.filter(over)) };
  }

  rule(server, rule, branches) {
    const built = rule.archs, { arch, failure } = server;
    if (arch && !rule.archs.includes(arch)) return verdict("no", [reason("other_architecture", { built, arch })]);
    if (!arch && !rule.archs.includes("x86_64")) return verdict("unknown", [reason("architecture_unknown", { built })]);
    if (!rule.cuda) return verdict("yes", [reason("no_gpu_needed", {})], true);
    if (failure && failure !== "gpu_lost") {
      return verdict(["nvml_permission", "unreadable"].includes(failure) ? "unknown" : "no", [reason(failure, {})]);
    }
    const drives = this.driver(server, rule);
    const groups = server.gpus.length ? this.groups(server, rule, branches) : [{ runs: "unknown", on: [], reason: reason("gpu_not_shown", {}) }];
    return together(drives, groups);
  }

  // whether the driver runs the CUDA of a rule, whether in full, and why
  driver({ driver, platform }, rule) {
    const { floor, full, doubtful } = ofWindows(platform) ? rule.windows : rule.linux;
    const said = { driver, cuda: rule.cuda, floor, toolkit: full, doubtful };
    if (!driver) return { runs: "unknown", full: false, reason: reason("driver_unknown", said) };
    if (compare(driver, floor) < 0) {
      const doubted = doubtful && compare(driver, doubtful) >= 0;
      return doubted
        ? { runs: "unknown", full: false, reason: reason("driver_doubtful", said) }
        : { runs: "no", full: false, reason: reason("driver_too_old", said) };
    }
    if (compare(driver, full) < 0) return { runs: "yes", full: false, reason: reason("driver_minor", said) };
    return { runs: "yes", full: true, reason: reason("driver_full", said) };
  }

  // equal GPUs stand together, in order of first appearance
  groups(server, rule, branches) {
    const groups = new Map();
    for (const { index, name, capability } of server.gpus) {
      const key = `${name}\n${capability}`;
      if (!groups.has(key)) groups.set(key, { name, capability, on: [] });
      groups.get(key).on.push(index);
    }
    return [...groups.values()].map(({ name, capability, on }) => {
      const said = { gpus: on.join(","), name, capability, driver: server.driver, serves: rule.code.join(", ") };
      const [runs, code] = gpuAnswer(rule, capability, branches);
      return { runs, on, reason: reason(code, said) };
    });
  }
}

function gpuAnswer(rule, capability, { served, dropped }) {
  if (dropped.includes(capability)) return ["no", "gpu_dropped"];
  if (capability) return serves(rule, capability) ? ["yes", "gpu_served"] : ["no", "gpu_not_served"];
  const answers = new Set(served.map((one) => serves(rule, one)));
  if (answers.size !== 1) return ["unknown", "gpu_unknown"];
  return answers.has(true) ? ["yes", "gpu_whatever"] : ["no", "gpu_none_of_these"];
}

// the driver's answer and those of all groups of GPUs as one
function together(drives, groups) {
  const reasons = [drives.reason, ...groups.map((group) => group.reason)];
  const any = (runs) => groups.some((group) => group.runs === runs);
  if (drives.runs === "no" || (any("no") && !any("yes") && !any("unknown"))) return verdict("no", reasons);
  if (drives.runs === "unknown" || !any("yes")) return verdict("unknown", reasons);
  const on = groups.filter((group) => group.runs === "yes").flatMap((group) => group.on).sort((a, b) => a - b);
  return verdict(any("no") || any("unknown") ? "some_gpus" : "yes", reasons, drives.full, on);
}

// on all GPUs, on more of them, in full, with the newer CUDA; of equals the first
function goesBefore(one, other) {
  if ((one.runs === "yes") !== (other.runs === "yes")) return one.runs === "yes";
  if (one.on.length !== other.on.length) return one.on.length > other.on.length;
  if (one.full !== other.full) return one.full;
  return compare(one.rule.cuda, other.rule.cuda) > 0;
}

function ofWindows(platform) { return platform === "windows" || platform === "wsl"; }

function reason(code, values) { return { code, values }; }

function verdict(runs, reasons, full = false, on = []) { return { runs, full, on, reasons }; }
