// Pasted text or the bytes of a file, freed from what terminals, mail, wikis and editors did to it.
// In a plain text each character is one unit: borders are 3 to 5 while markup is looked for, what nobody sees is 1 or 2,
// and characters beyond 16 bits get a lone surrogate as a stand-in.

const UNSEEN = /[\u0001\u0002\u0007\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f]/g;
const REPLACEMENT = 0xfffd;
const STAND_INS = 0x400;

class Reader {
  constructor(known, matcher) {
    Object.assign(this, { known, matcher, standIns: new Map() });
  }

  // bytes as text: UTF-16 with or without its mark, UTF-8, else that of Windows
  decoded(bytes) {
    const as = (name, fatal) => new TextDecoder(name, { fatal }).decode(bytes);
    if (bytes[0] === 0xff && bytes[1] === 0xfe) return as("utf-16le", false);
    if (bytes[0] === 0xfe && bytes[1] === 0xff) return as("utf-16be", false);
    const zeros = [0, 0], head = bytes.subarray(0, 4096);
    head.forEach((byte, place) => { if (byte === 0) zeros[place % 2]++; });
    if (head.length > 3 && zeros[0] + zeros[1] > Math.floor(head.length / 4)) {
      return as(zeros[1] >= zeros[0] ? "utf-16le" : "utf-16be", false);
    }
    try {
      return as("utf-8", true);
    } catch {
      return Array.from(bytes, (byte) => String.fromCharCode(this.known.cp1252.get(byte) ?? byte)).join("");
    }
  }

  // the unit that stands for a code point
  unit(point) {
    if (point < 128) return point === 7 || (point > 8 && point < 14) || (point > 26 && point < 127) ? point : 1;
    if (point < 0x10000) return this.known.points.get(point) ?? (point >= 0xd800 && point < 0xe000 ? REPLACEMENT : point);
    if (!this.standIns.has(point) && this.standIns.size < STAND_INS) this.standIns.set(point, 0xd800 + this.standIns.size);
    return this.standIns.get(point) ?? REPLACEMENT;
  }

  units(text) {
    return Array.from(text, (character) => String.fromCharCode(this.unit(character.codePointAt(0)))).join("");
  }

  // a name with its own characters again
  shown(text) {
    const points = [...this.standIns.keys()];
    return text.replace(/[\ud800-\udbff]/g, (unit) => String.fromCodePoint(points[unit.charCodeAt(0) - 0xd800]));
  }

  // what a character reference stands for
  reference(text) {
    const named = { "&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&nbsp;": " " }[text];
    if (named) return named;
    let point = text[2] === "x" ? parseInt(text.slice(3), 16) : parseInt(text.slice(2), 10);
    if (point === 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) point = REPLACEMENT;
    point = this.known.references.get(point) ?? point;
    if (point < 32 && ![9, 10, 12, 13].includes(point)) return "";
    if (point === 127 || point % 0x10000 >= 0xfffe || (point >= 0xfdd0 && point < 0xfdf0)) return "";
    return String.fromCharCode(this.unit(point));
  }

  // text or bytes as plain lines
  plain(content) {
    const { matcher } = this;
    let text = this.units(typeof content === "string" ? content : this.decoded(content));
    text = text.slice(0, this.known.numbers.longest);
    text = matcher.replaced("ESCAPE", text, () => "").replace(/\r\n?/g, "\n").replace(/\t/g, "    ");
    for (let twice = 0; twice < 2; twice++) text = matcher.replaced("ENTITY", text, (found) => this.reference(found.all));
    if (!matcher.has("XML", text)) {
      text = matcher.replaced("TAG", matcher.replaced("BREAK", text, () => "\n"), () => "");
    }
    text = matcher.replaced("FENCE", matcher.replaced("BBCODE", text, () => ""), () => "");
    text = text.replace(/[\u0003-\u0005]/g, (border) => " |-+"[border.charCodeAt(0) - 2]);
    return unwrapped(text.replace(UNSEEN, ""));
  }
}

// Table lines that a narrow terminal broke in two, joined again.
function unwrapped(text) {
  const done = [];
  for (const line of text.split("\n")) {
    if (done.length && isOpen(done[done.length - 1]) && goesOn(line, done[done.length - 1])) done[done.length - 1] += line;
    else done.push(line);
  }
  return done.join("\n");
}

function isOpen(line) {
  return line.length >= 60 && line.length <= 132 && line.slice(0, 40).includes("|") && !/[|+]$/.test(line.trimEnd());
}

function goesOn(line, before) {
  const end = line.trimEnd();
  return end.endsWith("|") && !/^[|+]/.test(line.trimStart()) && before.length + end.length < 200;
}
