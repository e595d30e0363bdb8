// What the page does besides being read: the language, copy buttons, the judge, the search.

const LANGUAGES = ["en", "ko"];
const TYPED_DRIVER = /^\d{3}\.\d{1,3}(\.\d{1,3})?$/;
const PAUSE = 200;

const data = JSON.parse(document.getElementById("judge-data").textContent);
const known = readTables(data.tables), servers = new Servers(known), judge = new Judge(known);
const words = data.words;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// one text in every language; a value may be a text in every language too
function both(said, values = {}) {
  return LANGUAGES.map((language) => {
    const here = Object.entries(values).map(([name, value]) => [name, value?.[language] ?? value]);
    return element("span", { lang: language }, sentence(said[language], Object.fromEntries(here)));
  });
}

function reasonText({ code, values }, language) {
  const text = language === "en" ? known.sentences[code] : data.korean.sentences[code];
  const name = values.name || words.no_name[language];
  return sentence(text, { ...values, name, built: values.built?.join(words.or[language]) });
}

// what `ferry.sh doctor` is asked: a text or the bytes of a file, a driver and names of GPUs that somebody typed
function doctor(content, driver = "", gpus = []) {
  const read = content === null ? NOTHING_KNOWN : servers.read(content);
  const server = servers.typed(read, driver, gpus);
  return { server, ...judge.judge(server) };
}

// --- copy buttons

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const hidden = element("textarea", { readonly: "" });
    hidden.value = text;
    document.body.append(hidden);
    hidden.select();
    const done = document.execCommand("copy");
    hidden.remove();
    return done;
  }
}

function addCopyButton(box) {
  const code = box.querySelector("code");
  code.id ||= `command-${document.querySelectorAll(".command button").length + 1}`;
  const button = element("button", { type: "button", "aria-describedby": code.id }, ...both(words.copy));
  button.addEventListener("click", async () => {
    const done = await copy(code.textContent);
    button.replaceChildren(...both(done ? words.copied : words.not_copied));
    button.dataset.state = done ? "done" : "failed";
    setTimeout(() => {
      button.replaceChildren(...both(words.copy));
      delete button.dataset.state;
    }, 2000);
  });
  box.append(button);
}

function commandBox(line) {
  // a line breaks between words alone, never inside of an option
  const pieces = line.split(" ").flatMap((word, place) => [place ? " " : "", element("span", {}, word)]);
  const box = element("div", { class: "command" }, element("pre", {}, element("code", {}, ...pieces)));
  addCopyButton(box);
  return box;
}

// --- the verdict

function headline({ pick, status, verdicts }) {
  if (!pick) return both(words.nothing);
  if (status === 3) return both(words.run_cpu, { pick });
  const { runs, on } = verdicts.find(({ rule }) => rule.name === pick);
  return runs === "some_gpus" ? both(words.run_on, { pick, gpus: on.join(", ") }) : both(words.run, { pick });
}

// how the picked variant is started, on some of the GPUs where it does not run on all
function startLine({ pick, verdicts }) {
  const { runs, on } = verdicts.find(({ rule }) => rule.name === pick);
  return data.start[pick] + (runs === "some_gpus" ? ` --gpus '"device=${on.join(",")}"'` : "");
}

function verdictRow({ rule, runs, full, on, reasons }, pick) {
  const word = runs === "yes" && !full ? words.yes_partly : words[runs];
  const list = LANGUAGES.map((language) =>
    element("ul", { lang: language }, ...reasons.map((reason) => element("li", {}, reasonText(reason, language)))));
  return element("tr", { "data-runs": runs, class: rule.name === pick ? "picked" : "" }, element("th", { scope: "row" }, rule.name),
    element("td", {}, element("mark", {}, ...both(word, { gpus: on.join(", ") }))), element("td", {}, ...list));
}

function serverFacts(server) {
  const list = element("dl");
  const add = (said, ...values) => list.append(element("dt", {}, ...both(said)), ...values.map((value) => element("dd", {}, ...value)));
  add(words.driver, server.driver ? [server.driver] : both(words.not_known));
  if (server.limit) add(words.limit, [server.limit]);
  if (server.gpus.length) add({ en: "GPU", ko: "GPU" }, ...server.gpus.map(gpuLine));
  add(words.platform, [server.platform]);
  if (server.arch) add(words.arch, [server.arch]);
  if (server.mig) add(words.mig, both(words.on));
  if (server.failure) add(words.failure, [server.failure]);
  return list;
}

function gpuLine({ index, name, capability }) {
  const said = [`${index}: `, ...(name ? [name] : both(words.no_name))];
  return capability ? [...said, ", ", ...both(words.capability, { capability })] : said;
}

function lookedFor() {
  const lists = { en: known.lookedFor, ko: data.korean.lookedFor };
  return LANGUAGES.map((language) => element("ul", { lang: language }, ...lists[language].map((line) => element("li", {}, line))));
}

function showVerdict(place, answer) {
  const { server, pick, status, verdicts } = answer;
  const parts = [element("h4", {}, ...headline(answer))];
  if (pick) parts.push(commandBox(startLine(answer)));
  const rows = element("tbody", {}, ...verdicts.map((one) => verdictRow(one, pick)));
  parts.push(element("div", { class: "scroll" }, element("table", { class: "verdicts" }, rows)));
  if (server.failure === "unreadable") parts.push(element("h5", {}, ...both(words.looked_for)), ...lookedFor());
  else parts.push(element("h5", {}, ...both(words.seen)), serverFacts(server));
  parts.push(element("p", { class: "small" }, ...both(words.exit_status, { status, meaning: data.statuses[status] })));
  place.replaceChildren(...parts);
  place.dataset.status = status;
}

function setUpJudge() {
  const form = document.getElementById("judge-form");
  if (!form) return;
  const [text, file, driver, gpus, place, note] =
    ["smi-text", "smi-file", "typed-driver", "typed-gpus", "verdict", "judge-note"].map((id) => document.getElementById(id));
  let bytes = null, waiting = 0;
  const answer = () => {
    const typed = driver.value.trim(), names = gpus.value.split("\n").map((name) => name.trim()).filter(Boolean);
    const wrong = typed !== "" && !TYPED_DRIVER.test(typed);
    driver.setAttribute("aria-invalid", String(wrong));
    note.replaceChildren(...(wrong ? both(words.bad_driver) : bytes ? both(words.read_file, { name: file.files[0]?.name ?? "" }) : []));
    const content = bytes ?? (text.value.trim() ? text.value : null);
    if (wrong || (content === null && !typed && !names.length)) {
      place.replaceChildren();
      delete place.dataset.status;
    } else showVerdict(place, doctor(content, typed, names));
  };
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(answer, PAUSE);
  };
  const forgetFile = () => {
    bytes = null;
    file.value = "";
  };
  text.addEventListener("input", () => { forgetFile(); soon(); });
  for (const field of [driver, gpus]) field.addEventListener("input", soon);
  file.addEventListener("change", async () => {
    bytes = file.files.length ? new Uint8Array(await file.files[0].arrayBuffer()) : null;
    if (bytes) text.value = "";
    answer();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => { bytes = null; setTimeout(answer); });
}

// --- the search

function setUpSearch() {
  const field = document.getElementById("search"), count = document.getElementById("search-count");
  if (!field) return;
  const rows = [...document.querySelectorAll("#components tbody tr")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const show = () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { row, text } of rows) row.hidden = !wanted.every((word) => text.includes(word));
    const shown = rows.filter(({ row }) => !row.hidden).length;
    count.replaceChildren(...both(words.shown, { count: shown, all: rows.length }));
  };
  field.addEventListener("input", show);
  show();
}

// --- the language

function setUpLanguage() {
  const choices = LANGUAGES.map((language) => document.getElementById(`language-${language}`));
  const follow = () => { document.documentElement.lang = choices.find((choice) => choice.checked).value; };
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.split("-")[0]).find((tag) => LANGUAGES.includes(tag));
  choices.find((choice) => choice.value === (wanted ?? "en")).checked = true;
  for (const choice of choices) choice.addEventListener("change", follow);
  follow();
}

document.documentElement.classList.add("scripted");
setUpLanguage();
setUpJudge();
setUpSearch();
document.querySelectorAll(".command").forEach(addCopyButton);
// what is folded away would be missing on paper
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
