// The connection: each message is asked for when the one before it is on the screen, so that nothing piles up.
const PHASES = { playing: "Playing", paused: "Paused", ended: "Ended", failed: "Failed", lost: "Lost, trying again" };
const STALLED_S = 3, HIDDEN_MS = 1000, MOST_RETRY_MS = 5000, FIGURES_MS = 400;
let socket = null, retry = 250, figuresAt = 0;

function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => {
    if (typeof event.data === "string") hello(JSON.parse(event.data)); else news(event.data);
  };
  socket.onclose = () => {
    phase("lost", "Not connected");
    document.body.dataset.live = "no";
    for (const button of document.querySelectorAll("main button, main input")) button.disabled = true;
    setTimeout(connect, retry);
    retry = Math.min(2 * retry, MOST_RETRY_MS);
  };
}

function send(order) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(order));
}

function hello(about) {
  store.about = about;
  store.points = [];
  retry = 250;
  document.title = `${about.network} · ${about.source} · midstream watch`;
  write(byId("about"), `${about.source} through ${about.network} (${about.task}), codec ${about.codec}`);
  for (const button of document.querySelectorAll("main button, main input")) button.disabled = false;
  takesRows(about);
  timesRows(about);
  knobs(about);
  send({ do: "next" });
}

async function news(data) {
  const channel = socket, length = new DataView(data).getUint32(0, true);
  const said = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  store.said = said;
  remember(said.points);
  if (said.picture) {
    try {
      picture(said.picture, await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" })));
    } catch { write(byId("words"), "This frame cannot be shown."); }
  }
  state(said);
  figures();
  redraw();
  const next = () => { if (channel === socket) send({ do: "next" }); };
  if (document.hidden) setTimeout(next, HIDDEN_MS); else requestAnimationFrame(next);
}

function picture([number, width, height, words], bitmap) {
  const canvas = byId("screen");
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  canvas.dataset.frame = number;
  canvas.setAttribute("aria-label", `Frame of ${width} by ${height} pixels: ${words || store.about.task}`);
  write(byId("words"), words);
}

function phase(name, text) {
  const element = byId("phase");
  element.dataset.phase = name;
  write(element, text);
}

function state(said) {
  document.body.dataset.live = "yes";
  const stalled = said.phase === "playing" && !said.paused && said.idle_s > STALLED_S;
  const name = said.phase === "playing" && said.paused ? "paused" : said.phase;
  phase(stalled ? "lost" : name, stalled ? `No frame for ${Math.round(said.idle_s)} s` : PHASES[name]);
  write(byId("pause"), said.paused ? "Go on" : "Pause");
  byId("again").hidden = !(store.about.again && ["ended", "failed", "lost"].includes(said.phase));
  write(byId("again"), said.phase === "ended" ? "Play again" : "Try again");
  byId("uncoded").checked = said.uncoded;
  byId("agreement-tile").hidden = !said.uncoded;
  byId("takes").classList.toggle("agreeing", said.uncoded);
  const warning = byId("warning"), text = said.refused || said.reason || said.problem;
  warning.hidden = !text;
  write(warning, text);
  targets(said);
  const counts = [counted(said.frames, "frame"), counted(said.keys, "key")];
  if (said.dropped) counts.push(`${whole.format(said.dropped)} dropped before they were coded`);
  if (said.unreadable) counts.push(`${whole.format(said.unreadable)} unreadable`);
  if (said.failed) counts.push(`${whole.format(said.failed)} not coded`);
  if (said.tabs > 1) counts.push(`${said.tabs} tabs open`);
  write(byId("counts"), counts.join(" · "));
}

function rowOf(table, ink, name, cells) {
  const row = document.createElement("tr"), head = document.createElement("th"), dot = document.createElement("span");
  head.scope = "row";
  dot.className = `dot c-${ink}`;
  head.append(dot, name);
  row.append(head, ...Array.from({ length: cells }, () => document.createElement("td")));
  table.tBodies[0].append(row);
  return row;
}

function takesRows(about) {
  const table = byId("takes");
  table.tBodies[0].replaceChildren();
  rowOf(table, "own", `ours, ${about.codec}`, 4);
  if (about.beside) ["jpeg", "x264"].forEach((ink, i) => rowOf(table, ink, about.beside.names[i], 4));
  write(byId("takes-note"), about.beside
    ? `JPEG and x264 (low delay, keys where ours are) code the same frames ${about.beside.at}.`
    : "");
}

function timesRows(about) {
  const table = byId("times");
  table.tBodies[0].replaceChildren();
  ["waiting", ...about.stages].forEach((stage, i) => rowOf(table, `s${i}`, stage, 2));
  rowOf(table, "none", "in all", 2).className = "total";
}

/** Figures of the last seconds; a few times a second, for nobody reads faster. */
function figures() {
  const now = performance.now();
  if (now - figuresAt < FIGURES_MS) return;
  figuresAt = now;
  const points = recent(WINDOW_S), seconds = span(points);
  const own = mean(points, "size"), rate = (value) => (value === null || !seconds ? null : (8e-3 * value * points.length) / seconds);
  write(byId("t-bytes"), bytes(own));
  write(byId("t-kbit"), shown(rate(own)));
  write(byId("t-fps"), store.said.frames_per_s ? shown(store.said.frames_per_s) : DASH);
  write(byId("t-latency"), shown(percentile(points.map((p) => p.latency), 0.5)));
  const agreement = mean(points, "agreement");
  write(byId("t-agreement"), percent(agreement));
  const quality = mean(points, "quality");
  write(byId("bitrate-note"), quality === null || store.said.bitrate === null ? "" : `at about quality ${Math.round(quality)}`);
  [["size", "agreement"], ["jpeg", "agreementJpeg"], ["x264", "agreementX264"]].forEach(([name, agreed], i) => {
    const row = byId("takes").tBodies[0].rows[i], value = mean(points, name);
    if (!row) return;
    write(row.cells[1], bytes(value));
    write(row.cells[2], shown(rate(value)));
    write(row.cells[3], i && value !== null && own ? shown(value / own) : i ? DASH : "1");
    write(row.cells[4], percent(mean(points, agreed)));
  });
  const rows = byId("times").tBodies[0].rows;
  for (let i = 0; i < rows.length; i++) {
    const values = points.map((p) => (i < p.stages.length ? p.stages[i] : p.latency));
    write(rows[i].cells[1], shown(percentile(values, 0.5)));
    write(rows[i].cells[2], shown(percentile(values, 0.99)));
  }
}

// The knobs. What they show is what the server says, but for one that is being moved, or has just been: what comes then
// may have been said before the order was heard.
let moving = null, heldUntil = 0;
const HELD_MS = 1000;
const LEAST_SHOWN = 8e3, MOST_SHOWN = 20e6;
const toRate = (position) => +(LEAST_SHOWN * (MOST_SHOWN / LEAST_SHOWN) ** (position / 100)).toPrecision(2);
const toPosition = (rate) => (100 * Math.log(rate / LEAST_SHOWN)) / Math.log(MOST_SHOWN / LEAST_SHOWN);

function knobs(about) {
  byId("quality-row").hidden = !about.can.quality;
  byId("bitrate-row").hidden = !about.can.bitrate;
  const fixed = byId("fixed"), none = !about.can.quality && !about.can.bitrate;
  fixed.hidden = !none;
  write(fixed, none ? `The codec ${about.codec} has nothing to choose while it runs: ${about.options || "no options"}.` : "");
  byId("quality").value = about.quality ?? 60;
  byId("bitrate").value = toPosition(200e3);
  labels();
}

function labels() {
  write(byId("quality-value"), byId("quality").value);
  write(byId("bitrate-value"), kbit(toRate(byId("bitrate").value)));
  byId("quality").setAttribute("aria-valuetext", `quality ${byId("quality").value}`);
  byId("bitrate").setAttribute("aria-valuetext", kbit(toRate(byId("bitrate").value)));
}

function targets(said) {
  if (moving || performance.now() < heldUntil) return;
  const quality = said.quality ?? store.about.quality, byRate = said.bitrate !== null;
  byId("by-bitrate").checked = byRate;
  byId("by-quality").checked = !byRate && quality !== null;
  if (!byRate && quality !== null) byId("quality").value = quality;
  if (byRate) byId("bitrate").value = toPosition(said.bitrate);
  labels();
}

function aim(order) { heldUntil = performance.now() + HELD_MS; send(order); }
function sendQuality() { aim({ do: "quality", value: +byId("quality").value }); }
function sendBitrate() { aim({ do: "bitrate", value: toRate(byId("bitrate").value) }); }

for (const [id, order] of [["quality", sendQuality], ["bitrate", sendBitrate]]) {
  byId(id).addEventListener("input", () => { moving = id; byId(`by-${id}`).checked = true; labels(); });
  byId(id).addEventListener("change", () => { moving = null; order(); });
  byId(`by-${id}`).addEventListener("change", order);
}
byId("pause").addEventListener("click", () => send({ do: "pause", value: !store.said?.paused }));
byId("key").addEventListener("click", () => send({ do: "key" }));
byId("again").addEventListener("click", () => send({ do: "again" }));
byId("uncoded").addEventListener("change", (event) => send({ do: "uncoded", value: event.target.checked }));
document.addEventListener("keydown", (event) => {
  if (event.target.closest("button, input") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " ") { event.preventDefault(); byId("pause").click(); }
  if (event.key === "k") byId("key").click();
});

const THEMES = ["system", "light", "dark"];
function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  write(byId("theme-name"), name);
  try { localStorage.setItem("midstream-theme", name); } catch { /* a browser that keeps nothing */ }
  redraw();
}
byId("theme").addEventListener("click", () => {
  theme(THEMES[(THEMES.indexOf(byId("theme-name").textContent) + 1) % THEMES.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let kept = null;
try { kept = localStorage.getItem("midstream-theme"); } catch { /* the same */ }
theme(THEMES.includes(kept) ? kept : "system");
connect();
