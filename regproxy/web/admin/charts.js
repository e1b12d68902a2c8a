"use strict";
const SVG = "http://www.w3.org/2000/svg";
const at = id => document.getElementById(id);

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") made.style.cssText = value;  // an attribute would be forbidden
    else made.setAttribute(key, value);
  }
  made.textContent = text;
  return made;
}

function scaled(value, unit) {
  const steps = unit === "B" ? [[2 ** 40, "Ti"], [2 ** 30, "Gi"], [2 ** 20, "Mi"], [2 ** 10, "Ki"]] : [[1e9, "G"], [1e6, "M"], [1e4, "k", 1e3]];
  for (const [from, prefix, by] of steps) if (value >= from) return `${trimmed(value / (by || from))} ${prefix}${unit}`;
  return `${trimmed(value)}${unit && " " + unit}`;
}

function trimmed(value) {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toFixed(value < 1 ? 2 : 1)));
}

function seconds(value) {
  return value === null ? "" : value < 1 ? `${Math.round(value * 1000)} ms` : value < 90 ? `${value.toFixed(1)} s` : lasting(value);
}

function lasting(value) {
  const steps = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const [size, name] = steps.find(([size]) => value >= size) || steps[3];
  const count = Math.floor(value / size);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

function clock(at, span) {
  const form = span > 2 * 86400 ? {month: "short", day: "numeric"} : span > 600 ? {hour: "2-digit", minute: "2-digit"} : {hour: "2-digit", minute: "2-digit", second: "2-digit"};
  return new Intl.DateTimeFormat(undefined, {...form, hour12: false}).format(new Date(at * 1000));
}

function ticks(highest, unit) {  // from 0 to the next round number: powers of two for bytes
  const base = unit.startsWith("B") ? 2 ** (10 * Math.floor(Math.log2(Math.max(highest, 1)) / 10)) : 1;
  const power = 10 ** Math.floor(Math.log10(highest / base / 4 || 1)), by = [1, 2, 2.5, 5, 10].find(each => each * power * base * 4 >= highest) * power * base;
  return [0, 1, 2, 3, 4].map(number => number * by);
}

class Chart {
  constructor(title, unit, {stacked = false, top = null} = {}) {
    Object.assign(this, {title, unit, stacked, top});
    this.card = element("figure", "", "card");
    this.card.style.margin = "0";
    this.svg = shape("svg", {role: "img"});
    this.legend = element("ul", "", "legend");
    this.table = element("table");
    const details = element("details");
    details.append(element("summary", "Show the numbers"), this.table);
    this.card.append(element("h3", `${title}, ${unit}`), this.svg, this.legend, details);
    new ResizeObserver(() => this.times && this.draw(this.times, this.series)).observe(this.svg);
  }

  text(value) {
    return this.unit === "%" ? `${trimmed(value)} %` : this.unit.startsWith("B") ? scaled(value, "B") + this.unit.slice(1) : scaled(value, "") + " " + this.unit;
  }

  draw(times, series) {  // one value of each series for each time; null where there is none
    Object.assign(this, {times, series});
    const width = this.svg.clientWidth, height = this.svg.clientHeight, em = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const left = 6.2 * em, right = width - em, bottom = height - 2.6 * em, upper = .6 * em;
    const sums = times.map((_, x) => this.stacked ? series.reduce((sum, each) => sum + each.values[x], 0) : Math.max(0, ...series.map(each => each.values[x])));
    const levels = this.top ? [0, 1, 2, 3, 4].map(each => each * this.top / 4) : ticks(Math.max(0, ...sums) || 1, this.unit), highest = levels[4];
    const first = times[0] || 0, span = times.length ? times[times.length - 1] - first : 0;
    const x = time => left + (span ? (time - first) / span : 1) * (right - left), y = value => bottom - value / highest * (bottom - upper);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const drawn = [];
    for (const level of levels) {
      drawn.push(shape("line", {class: "grid", x1: left, x2: right, y1: y(level), y2: y(level)}));
      drawn.push(shape("text", {class: "y", x: left - .4 * em, y: y(level) + .25 * em, "text-anchor": "end"}, this.text(level)));
    }
    const count = Math.max(1, Math.min(6, Math.floor((right - left) / (6 * em))));
    for (let number = 0; span && number <= count; number++) {
      const time = first + span * number / count;
      drawn.push(shape("line", {class: "axis", x1: x(time), x2: x(time), y1: bottom, y2: bottom + .3 * em}));
      drawn.push(shape("text", {class: "x", x: x(time), y: bottom + 1.2 * em, "text-anchor": number === count ? "end" : "middle"}, clock(time, span)));
    }
    drawn.push(shape("text", {class: "x", x: (left + right) / 2, y: bottom + 2.3 * em, "text-anchor": "middle"}, span ? "time of day" : "The first numbers come within 10 seconds."));
    if (span > 2 * 86400) drawn[drawn.length - 1].textContent = "day";
    const below = times.map(() => 0);
    series.forEach(({values, color, mark}) => {
      const points = values.map((value, each) => value === null ? null : [x(times[each]), y(below[each] + value)]);
      if (this.stacked) {
        const lower = times.map((time, each) => [x(time), y(below[each])]).reverse();
        if (values.some(value => value > 0)) {
          drawn.push(shape("polygon", {points: points.concat(lower).map(point => point.map(Math.round).join(",")).join(" "), style: `fill: var(${color}); fill-opacity: ${mark ? .55 : .9}`}));
          drawn.push(shape("polyline", {points: points.map(point => point.map(Math.round).join(",")).join(" "), style: line(color, mark)}));
        }
        values.forEach((value, each) => below[each] += value);
      } else {
        drawn.push(shape("polyline", {points: points.filter(Boolean).map(point => point.map(each => each.toFixed(1)).join(",")).join(" "), style: line(color, mark)}));
      }
    });
    drawn.push(shape("line", {class: "axis", x1: left, x2: left, y1: upper, y2: bottom}), shape("line", {class: "axis", x1: left, x2: right, y1: bottom, y2: bottom}));
    this.svg.replaceChildren(...drawn);
    const last = each => each.values.length ? each.values[each.values.length - 1] : null;
    const said = series.map(each => `${each.label} ${last(each) === null ? "none" : this.text(last(each))}`);
    this.svg.setAttribute("aria-label", `${this.title}, ${this.unit}; now: ${said.join(", ")}`);
    this.legend.replaceChildren(...series.map((each, number) => {
      const entry = element("li"), mark = shape("svg", {"aria-hidden": "true", viewBox: "0 0 28 16"});
      mark.append(shape("line", {x1: 0, x2: 28, y1: 8, y2: 8, style: `${line(each.color, each.mark)}; stroke-width: ${this.stacked && !each.mark ? 12 : 4}`}));
      entry.append(mark, said[number]);
      return entry;
    }));
    this.numbers(times, series, span);
  }

  numbers(times, series, span) {
    const rows = [], step = Math.max(1, Math.ceil(times.length / 12));
    for (let each = times.length - 1; each >= 0; each -= step) {
      rows.push([clock(times[each], span), ...series.map(({values}) => values[each] === null ? "none" : this.text(values[each]))]);
    }
    fill(this.table, ["time", ...series.map(each => each.label)], rows, "No numbers yet.");
  }
}

function line(color, mark) {
  return `fill: none; stroke: var(${color}); stroke-width: 2; stroke-dasharray: ${mark || "none"}`;
}

function fill(table, names, rows, none, numeric = []) {  // explicit roles: as cards on a small screen it stays a table
  const cell = (content, number) => {
    const made = element(number ? "td" : "th", "", numeric.includes(number) ? "number" : "");
    made.setAttribute("role", number ? "cell" : "rowheader");
    if (!number) made.scope = "row";
    if (number) made.dataset.label = names[number];
    made.append(...[content].flat());
    return made;
  };
  const row = cells => {
    const made = element("tr");
    made.setAttribute("role", "row");
    made.append(...cells);
    return made;
  };
  const head = element("thead"), body = element("tbody");
  head.setAttribute("role", "rowgroup");
  body.setAttribute("role", "rowgroup");
  table.setAttribute("role", "table");
  head.append(row(names.map((name, number) => {
    const made = element("th", name, numeric.includes(number) ? "number" : "");
    made.scope = "col";
    made.setAttribute("role", "columnheader");
    return made;
  })));
  body.append(...rows.map(cells => row(cells.map(cell))));
  table.replaceChildren(...(rows.length ? [head, body] : [element("caption", none)]));
}
