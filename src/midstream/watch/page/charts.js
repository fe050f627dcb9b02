// Two charts over the source's time: lines of bytes on a logarithmic scale, and times piled up stage by stage.
const PAD = { left: 46, right: 10, top: 10, bottom: 22 };
const hover = new Map();

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A canvas at the screen's own resolution, empty; null while it has no size. */
function surface(canvas) {
  const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
  if (!width || !height) return null;
  const w = Math.round(width * scale), h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = '11px system-ui, "Segoe UI", Roboto, Arial, sans-serif';
  return { pen, width, height, left: PAD.left, right: width - PAD.right, top: PAD.top, bottom: height - PAD.bottom };
}

/** Axes: `ticks` are [value, text]; times count back from the newest frame. */
function axes(box, ticks, y) {
  const { pen } = box;
  pen.lineWidth = 1;
  pen.strokeStyle = color("grid");
  pen.fillStyle = color("soft");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const [value, text] of ticks) {
    const at = Math.round(y(value)) + 0.5;
    pen.beginPath(); pen.moveTo(box.left, at); pen.lineTo(box.right, at); pen.stroke();
    pen.fillText(text, box.left - 6, at);
  }
  pen.textBaseline = "top";
  for (let back = 0; back <= CHART_S; back += 10) {
    const at = box.right - (back / CHART_S) * (box.right - box.left);
    pen.textAlign = back === 0 ? "right" : back === CHART_S ? "left" : "center";
    pen.fillText(back ? `−${back} s` : "now", at, box.bottom + 6);
  }
}

function across(box, points) {
  const now = points[points.length - 1].time;
  return (time) => box.right - ((now - time) / CHART_S) * (box.right - box.left);
}

function line(pen, points, x, y, name, ink, width, dash) {
  pen.strokeStyle = ink; pen.lineWidth = width; pen.lineJoin = "round";
  pen.setLineDash(dash);
  pen.beginPath();
  let drawn = false;
  for (const p of points) {
    if (p[name] === null) { drawn = false; continue; }
    if (drawn) pen.lineTo(x(p.time), y(p[name])); else pen.moveTo(x(p.time), y(p[name]));
    drawn = true;
  }
  pen.stroke();
  pen.setLineDash([]);
}

function byteTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of high / low < 30 ? [1, 2, 5] : high / low < 1000 ? [1, 3] : [1]) {
      const value = step * 10 ** power;
      if (value >= low && value <= high) ticks.push([value, value >= 1e6 ? `${value / 1e6} MB` : value >= 1000 ? `${value / 1000} kB` : `${value} B`]);
    }
  }
  return ticks;
}

function drawBytes() {
  const canvas = byId("bytes-chart"), box = surface(canvas), points = recent(CHART_S);
  if (!box || !points.length) return;
  const values = points.flatMap((p) => [p.size, p.jpeg, p.x264]).filter((v) => v > 0);
  const low = Math.max(1, 0.7 * Math.min(...values)), high = Math.max(1.5 * Math.max(...values), 10 * low);
  const y = (v) => box.bottom - (Math.log(Math.max(v, low) / low) / Math.log(high / low)) * (box.bottom - box.top);
  const x = across(box, points), { pen } = box;
  axes(box, byteTicks(low, high), y);
  pen.save();
  pen.beginPath(); pen.rect(box.left, 0, box.right - box.left, box.bottom + 1); pen.clip();
  line(pen, points, x, y, "jpeg", color("jpeg"), 1.5, [6, 3]);
  line(pen, points, x, y, "x264", color("x264"), 1.5, [2, 2]);
  line(pen, points, x, y, "size", color("own"), 2, []);
  pen.fillStyle = color("own");
  for (const p of points) {
    if (!p.key || points.length > 1500) continue;
    const cx = x(p.time), cy = y(p.size);
    pen.beginPath(); pen.moveTo(cx, cy - 5); pen.lineTo(cx + 4, cy); pen.lineTo(cx, cy + 5); pen.lineTo(cx - 4, cy); pen.fill();
  }
  marked(canvas, box, points, x);
  pen.restore();
}

function niceStep(high) {
  const rough = high / 4, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough);
}

function drawTimes() {
  const canvas = byId("times-chart"), box = surface(canvas), points = recent(CHART_S);
  if (!box || !points.length) return;
  const tall = percentile(points.map((p) => p.latency), 0.99), step = niceStep(Math.max(1.15 * tall, 1));
  const high = Math.max(1.15 * tall, 1), ticks = [];
  for (let value = 0; value <= high; value += step) ticks.push([value, value >= 10 ? whole.format(value) : `${+value.toFixed(2)}`]);
  const y = (v) => box.bottom - (Math.min(v, high) / high) * (box.bottom - box.top);
  const x = across(box, points), { pen } = box;
  axes(box, ticks, y);
  pen.save();
  pen.beginPath(); pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top); pen.clip();
  let below = points.map(() => 0);
  for (let stage = 0; stage < points[0].stages.length; stage++) {
    const above = points.map((p, i) => below[i] + p.stages[stage]);
    pen.fillStyle = color(`s${stage}`);
    pen.beginPath();
    points.forEach((p, i) => pen.lineTo(x(p.time), y(above[i])));
    for (let i = points.length - 1; i >= 0; i--) pen.lineTo(x(points[i].time), y(below[i]));
    pen.closePath(); pen.fill();
    below = above;
  }
  marked(canvas, box, points, x);
  pen.restore();
}

/** The frame nearest to the pointer: a line in the chart, its figures below. */
function marked(canvas, box, points, x) {
  const at = hover.get(canvas.id);
  const read = byId(canvas.id.replace("chart", "read"));
  if (at === undefined) { write(read, ""); return; }
  const p = points.reduce((best, q) => (Math.abs(x(q.time) - at) < Math.abs(x(best.time) - at) ? q : best));
  box.pen.fillStyle = color("ink");
  box.pen.fillRect(Math.round(x(p.time)), box.top, 1, box.bottom - box.top);
  write(read, canvas.id === "bytes-chart" ? bytesOf(p) : timesOf(p));
}

function bytesOf(p) {
  const beside = store.about.beside ? `, JPEG ${bytes(p.jpeg)}, x264 ${bytes(p.x264)}` : "";
  return `frame ${p.number}${p.key ? " (key)" : ""}: ${bytes(p.size)} bytes${beside}`;
}

function timesOf(p) {
  const names = ["waiting", ...store.about.stages];
  return `frame ${p.number}: ${names.map((name, i) => `${name} ${shown(p.stages[i])}`).join(", ")}; ${shown(p.latency)} ms in all`;
}

for (const id of ["bytes-chart", "times-chart"]) {
  const canvas = byId(id);
  canvas.addEventListener("pointermove", (event) => { hover.set(id, event.offsetX); redraw(); });
  canvas.addEventListener("pointerleave", () => { hover.delete(id); redraw(); });
}

let due = false;
/** Draws both before the next picture of the screen, however often it is asked. */
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; drawBytes(); drawTimes(); });
}
window.addEventListener("resize", redraw);
