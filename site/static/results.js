// The page "Listen and compare": RESULTS is
// { rows: [system], pairs: { domains: [{ id, sound, references, captions: { system: [text, CIDEr-D] } }] } }
const AT_ONCE = 20; // clips, until more are asked for
const choices = document.getElementById("choices");
let shown = AT_ONCE;

function element(tag, text, attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes);
  if (text) made.textContent = text;
  return made;
}

function choice(label, options, value) {
  const select = element("select", "", { name: label });
  select.append(...options.map((text) => new Option(text, text, false, text === value)));
  select.onchange = () => ((shown = AT_ONCE), show());
  const wrapped = element("label", label);
  wrapped.append(select);
  choices.append(wrapped);
  return select;
}

const ORDERS = {
  "first gains most": (a, b) => b - a,
  "first loses most": (a, b) => a - b,
  "widest difference": (a, b) => Math.abs(b) - Math.abs(a),
};
const pairs = Object.keys(RESULTS.pairs);
const pair = choice("domains", pairs, pairs[0]);
const first = choice("first", RESULTS.rows, "DRCap");
const second = choice("second", RESULTS.rows, "WSAC");
const order = choice("order", [...Object.keys(ORDERS), "as in the corpus"], "first gains most");

function difference(clip) {
  return clip.captions[first.value][1] - clip.captions[second.value][1];
}

function drawn(clip) {
  const made = element("section", "", { className: "clip" });
  const head = element("p", `${difference(clip) > 0 ? "+" : ""}${difference(clip).toFixed(1)} `);
  if (clip.sound) {
    head.append(element("audio", "", { controls: true, preload: "none", src: encodeURI(clip.sound) }));
  }
  head.append(" ", element("code", clip.id));
  made.append(head);
  if (clip.references.length) {
    const list = element("ul");
    list.append(...clip.references.map((text) => element("li", text)));
    made.append(list);
  }
  const table = element("table");
  for (const row of RESULTS.rows.filter((name) => name in clip.captions)) {
    const [caption, score] = clip.captions[row];
    const line = element("tr", "", { className: [first.value, second.value].includes(row) ? "chosen" : "" });
    line.append(...[row, caption, score.toFixed(1)].map((text) => element("td", text)));
    table.append(line);
  }
  made.append(table);
  return made;
}

function show() {
  const chosen = [first.value, second.value];
  const clips = (RESULTS.pairs[pair.value] ?? []).filter((clip) => chosen.every((name) => name in clip.captions));
  const compare = ORDERS[order.value];
  if (compare) clips.sort((a, b) => compare(difference(a), difference(b)));
  const mean = clips.reduce((sum, clip) => sum + difference(clip), 0) / clips.length;
  document.getElementById("summary").textContent = clips.length
    ? `${clips.length} clips: ${first.value} less ${second.value}, ${mean.toFixed(1)} points of CIDEr-D on average.`
    : "There are no captions of these two systems here.";
  document.getElementById("clips").replaceChildren(...clips.slice(0, shown).map(drawn));
  document.getElementById("more").hidden = shown >= clips.length;
}

document.getElementById("more").onclick = () => ((shown += AT_ONCE), show());
show();
