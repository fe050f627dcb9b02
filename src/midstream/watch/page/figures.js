// What is known: the figures of the newest frames, and what they amount to.
const WINDOW_S = 5, CHART_S = 30, MOST_POINTS = 6000;
const store = { about: null, said: null, points: [] };
const byId = (id) => document.getElementById(id);

/** A row as the server sends it, by names; times in milliseconds, stages with the waiting first. */
function point(row) {
  const [number, time, size, key, jpeg, x264, quality, agreement, agreementJpeg, agreementX264, ...stages] = row;
  return { number, time, size, key, jpeg, x264, quality, agreement, agreementJpeg, agreementX264, stages, latency: stages.reduce((a, b) => a + b, 0) };
}

function remember(rows) {
  for (const row of rows) store.points.push(point(row));
  if (store.points.length > MOST_POINTS) store.points.splice(0, store.points.length - MOST_POINTS);
}

/** The points of the last so many seconds, by the source's clock. */
function recent(seconds) {
  const points = store.points;
  if (!points.length) return [];
  const from = points[points.length - 1].time - seconds;
  let begin = points.length;
  while (begin > 0 && points[begin - 1].time > from) begin--;
  return points.slice(begin);
}

/** Seconds that these points stand for: from the first to the last, and one frame more. */
function span(points) {
  if (points.length < 2) return 0;
  return ((points[points.length - 1].time - points[0].time) * points.length) / (points.length - 1);
}

function mean(points, name) {
  const values = points.map((p) => p[name]).filter((v) => v !== null);
  return values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
}

/** The value that a share of them does not exceed. */
function percentile(values, share) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

const DASH = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Three digits at least, and no more than say something. */
function shown(value) {
  if (value === null || !Number.isFinite(value)) return DASH;
  if (value >= 100) return whole.format(value);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function bytes(value) {
  return value === null ? DASH : whole.format(value);
}

function counted(count, noun) {
  return `${whole.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function kbit(bitsPerSecond) {
  const value = bitsPerSecond / 1000;
  return value >= 1000 ? `${shown(value / 1000)} Mbit/s` : `${value >= 100 ? whole.format(value) : shown(value)} kbit/s`;
}

function percent(share) {
  return share === null ? DASH : `${(100 * share).toFixed(1)} %`;
}

/** Puts a text where it is another one: readers and layouts notice each change. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
