// Draws a board from its JSON and from what Prometheus answered. It is not Grafana: it draws what our boards use.
"use strict";
const { board, answers, texts, shown, times, annotations, theme } = window.asked;
const [COLUMNS, LINE, GAP] = [24, 30, 8];
const DARK = theme === "dark";
const NAMED = { text: DARK ? "#ccccdc" : "#24292e", transparent: "transparent" };
const CLASSIC = ["#7EB26D", "#EAB839", "#6ED0E0", "#EF843C", "#E24D42", "#1F78C1", "#BA43A9", "#705DA0", "#508642", "#CCA300",
    "#447EBC", "#C15C17", "#890F02", "#0A437C", "#6D1F62", "#584477"];
document.documentElement.classList.toggle("dark", DARK);

const filled = (text) => text.replace(/\$\{?(\w+)(?::\w+)?\}?/g, (whole, name) => texts[name] ?? whole);
const legendOf = (form, labels) => form.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "").replace(/\s+/g, " ").trim();
const made = (tag, kind, text) => Object.assign(document.createElement(tag), { className: kind ?? "", textContent: text ?? "" });
const colorOf = (name) => NAMED[name] ?? name;

// ---- numbers as Grafana writes them

const places = (value) => (Number.isInteger(value) ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
const fixed = (value, digits) => value.toFixed(digits ?? places(value));
const SECONDS = [["years", 31536000], ["weeks", 604800], ["days", 86400], ["hours", 3600], ["mins", 60]];
function seconds(value) {
    const found = SECONDS.find(([, length]) => Math.abs(value) >= length);
    if (found) return `${fixed(value / found[1])} ${found[0].replace(/s$/, value === found[1] ? "" : "s")}`;
    if (value !== 0 && Math.abs(value) < 1) return `${fixed(value * 1000)} ms`;
    return `${fixed(value)} s`;
}
function whole(value) {
    const [unit, length] = [...SECONDS, ["seconds", 1]].find(([, length]) => value >= length) ?? ["seconds", 1];
    const count = Math.floor(value / length);
    return `${count} ${count === 1 ? unit.replace(/s$/, "") : unit}`;
}
function short(value) {
    const [factor, name] = [[1e9, " Bil"], [1e6, " Mil"], [1e3, " K"]].find(([factor]) => Math.abs(value) >= factor) ?? [1, ""];
    return fixed(value / factor) + name;
}
function written(value, unit, digits) {
    if (unit === "percentunit") return `${fixed(value * 100, digits)}%`;
    if (unit === "s") return seconds(value);
    if (unit === "dateTimeFromNow") return `${whole(times.now - value / 1000)} ago`;
    if (unit === "short" && digits === undefined) return short(value);
    if (unit?.startsWith("suffix:")) return `${fixed(value, digits)} ${unit.slice(7)}`;
    return fixed(value, digits);
}

// On an axis: without zeros at the end of a fraction.
const tick = (value, unit) => written(Number(value.toPrecision(12)), unit).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");

// ---- what holds for a field

function propertiesOf(panel, matched) {
    const found = { ...panel.fieldConfig.defaults };
    for (const { matcher, properties } of panel.fieldConfig.overrides ?? [])
        if (matched(matcher)) for (const { id, value } of properties) found[id] = value;
    return found;
}
function colorAt(steps, value) {
    return colorOf([...steps].reverse().find((step) => step.value === null || value >= step.value)?.color ?? "text");
}
// The text and colour of a value: a word where one is mapped, else the number in its unit.
function face(field, value) {
    for (const { type, options } of field.mappings ?? []) {
        if (type === "value" && options[String(value)]) return [options[String(value)].text, colorOf(options[String(value)].color)];
        if (type === "special" && (value === null || Number.isNaN(value))) return [options.result.text, colorOf(options.result.color)];
    }
    const color = field.color?.mode === "thresholds" ? colorAt(field.thresholds.steps, value)
        : field.color?.mode === "fixed" ? colorOf(field.color.fixedColor) : colorOf("text");
    return [typeof value === "string" ? value : written(value, field.unit, field.decimals), color];
}
const seriesOf = (panel) => (panel.targets ?? []).flatMap((target) => (answers[`${panel.id} ${target.refId}`] ?? []).map((one) => ({
    ...one,
    ref: target.refId,
    name: legendOf(target.legendFormat ?? "", one.labels),
    field: propertiesOf(panel, (m) => m.id === "byFrameRefID" && m.options === target.refId),
})));

// ---- panels

function nothing(panel, body) {
    body.append(made("div", "nothing", panel.fieldConfig.defaults.noValue ?? "No data"));
}
function stat(panel, body) {
    const series = seriesOf(panel);
    if (!series.length) return nothing(panel, body);
    const [width, height] = [body.clientWidth - 16, body.clientHeight - 6];
    const down = series.length > 1 && height / series.length > 44 && width / series.length < height;
    const box = made("div", down ? "stats down" : "stats");
    const [each, high] = down ? [width * 0.5, height / series.length] : [width / series.length - 8, height - (series.length > 1 ? 18 : 0)];
    const faces = series.map((one) => face(one.field, one.values.at(-1)[1]));
    const longest = Math.max(...faces.map(([text]) => text.length));
    const size = Math.max(12, Math.min(high * 0.62, (each / longest) * 1.45, 44));
    series.forEach((one, n) => {
        const [text, color] = faces[n];
        const cell = made("div");
        if (series.length > 1) cell.append(made("div", "name", one.name));
        const value = made("div", "value", text);
        value.style.color = color;
        value.style.fontSize = `${size}px`;
        cell.append(value);
        box.append(cell);
    });
    body.append(box);
}
function table(panel, body) {
    const rows = new Map();
    const organised = panel.transformations.find((t) => t.id === "organize").options;
    const keys = Object.keys(organised.indexByName).sort((a, b) => organised.indexByName[a] - organised.indexByName[b]);
    const several = panel.targets.length > 1;
    const own = new Set(panel.targets.flatMap((t) => (answers[`${panel.id} ${t.refId}`] ?? []).flatMap((one) => Object.keys(one.labels))));
    const marks = [...own].filter((label) => panel.targets.filter((t) => (answers[`${panel.id} ${t.refId}`] ?? []).some((one) => label in one.labels)).length > 1 || !several);
    for (const target of panel.targets)
        for (const one of answers[`${panel.id} ${target.refId}`] ?? []) {
            const key = JSON.stringify(marks.map((label) => one.labels[label] ?? ""));
            const row = rows.get(key) ?? rows.set(key, {}).get(key);
            Object.assign(row, one.labels, { [several ? `Value #${target.refId}` : "Value"]: one.values.at(-1)[1] });
        }
    if (!rows.size) return nothing(panel, body);
    const titled = keys.filter((k) => !organised.excludeByName[k]).map((k) => ({
        key: k, title: organised.renameByName[k] ?? k, field: propertiesOf(panel, (m) => m.id === "byName" && m.options === (organised.renameByName[k] ?? k)),
    }));
    const order = panel.options.sortBy?.[0];
    const listed = [...rows.values()];
    const by = titled.find((c) => c.title === order?.displayName)?.key;
    if (by) listed.sort((a, b) => compared(a[by], b[by]) * (order.desc ? -1 : 1));
    const grid = made("table");
    const head = grid.createTHead().insertRow();
    for (const { title, field, key } of titled) {
        const cell = made("th", key.startsWith("Value") ? "number" : "", title);
        if (field["custom.width"]) cell.style.width = `${field["custom.width"]}px`;
        head.append(cell);
    }
    for (const row of listed) {
        const line = grid.insertRow();
        for (const { key, field } of titled) {
            const value = row[key];
            const [text, color] = value === undefined || value === "" ? face({ ...field, mappings: field.mappings ?? [] }, null).map(String) : face(field, value);
            const cell = made("td", key.startsWith("Value") ? "number" : "", value === undefined ? (field.noValue ?? "") : text);
            if (color !== "undefined") cell.style.color = color;
            line.append(cell);
        }
    }
    body.append(grid);
}
function compared(a, b) {
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return typeof a === "number" ? a - b : String(a).localeCompare(String(b));
}
function bargauge(panel, body) {
    const series = seriesOf(panel);
    if (!series.length) return nothing(panel, body);
    const box = made("div", "bars");
    const highest = panel.fieldConfig.defaults.max ?? Math.max(...series.map((one) => one.values.at(-1)[1]), 1e-9);
    for (const one of series) {
        const [text, color] = face(one.field, one.values.at(-1)[1]);
        const [track, fill] = [made("div", "track"), made("div", "fill")];
        Object.assign(fill.style, { width: `${Math.min(100, (100 * one.values.at(-1)[1]) / highest)}%`, background: color });
        track.append(fill);
        box.append(made("div", "name", one.name), track, made("div", "value", text));
    }
    body.append(box);
}
const share = (at) => (100 * (at - times.start)) / (times.now - times.start);
function timeline(panel, body) {
    const series = seriesOf(panel);
    if (!series.length) return nothing(panel, body);
    const box = made("div", "lanes");
    for (const one of series) {
        const lane = made("div", "lane");
        bands(one.values).forEach(([from, to, value]) => {
            const [text, color] = face({ ...one.field, color: { mode: "thresholds" } }, value);
            const band = made("i", "", text);
            Object.assign(band.style, { left: `${share(from)}%`, width: `${share(to) - share(from)}%`, background: color });
            lane.append(band);
        });
        box.append(made("div", "name", one.name), lane);
    }
    body.append(box);
    const left = box.querySelector(".lane").offsetLeft;
    for (let n = 0; n < 6; n += 1) {
        const tick = made("span", "ticks", day(times.start + ((times.now - times.start) * n) / 6));
        tick.style.left = `${left + ((body.clientWidth - left - 8) * n) / 6}px`;
        body.append(tick);
    }
}
const day = (at) => new Date(at * 1000).toISOString().slice(5, 10);
// Equal values that follow one another are one band, which lasts until the next value.
function bands(values) {
    const found = [];
    values.forEach(([at, value], n) => {
        const next = values[n + 1]?.[0] ?? times.now;
        const last = found.at(-1);
        if (last && last[2] === value && last[1] === at) last[1] = next;
        else found.push([at, next, value]);
    });
    return found;
}
function shade(color, n) {
    const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    const to = n % 2 ? 255 : 0;
    const share = Math.min(0.6, Math.ceil(n / 2) * 0.22);
    return `rgb(${parts.map((part) => Math.round(part + (to - part) * share)).join(",")})`;
}
const byName = (name) => CLASSIC[[...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) >>> 0, 7) % CLASSIC.length];
// The last of the moments that are close together: bars are as wide as the shortest step.
const apart = (moments) => moments.reduceRight((kept, at) => (!kept.length || kept[0] - at > (times.now - times.start) / 45 ? [at, ...kept] : kept), []);
function chart(panel, body) {
    const series = seriesOf(panel);
    if (!series.length) return nothing(panel, body);
    const custom = panel.fieldConfig.defaults.custom;
    const stacked = custom.stacking?.mode === "normal";
    const bars = custom.drawStyle === "bars";
    const counts = {};
    series.forEach((one) => {
        const color = one.field.color;
        const n = (counts[one.ref] = (counts[one.ref] ?? -1) + 1);
        one.color = color?.mode === "shades" ? shade(color.fixedColor, n) : byName(one.name);
    });
    const x = bars ? apart(times.moments) : times.moments;
    const columns = series.map((one) => { const at = new Map(one.values); return x.map((t) => at.get(t) ?? null); });
    if (stacked) columns.forEach((column, n) => n && column.forEach((v, i) => (column[i] = v === null && columns[n - 1][i] === null ? null : (v ?? 0) + (columns[n - 1][i] ?? 0))));
    const legend = made("div", "legend");
    if (panel.options.legend?.showLegend)
        for (const one of series) {
            const item = made("span", "", one.name || panel.title);
            const mark = made("i");
            mark.style.background = one.color;
            item.prepend(mark);
            legend.append(item);
        }
    body.parentElement.append(legend);
    const ordered = stacked ? [...series.keys()].reverse() : [...series.keys()];
    const unit = panel.fieldConfig.defaults.unit;
    const { min, max } = panel.fieldConfig.defaults;
    const limits = custom.thresholdsStyle?.mode === "line" ? panel.fieldConfig.defaults.thresholds.steps.filter((s) => s.value !== null) : [];
    const axis = { stroke: NAMED.text, grid: { stroke: getComputedStyle(document.documentElement).getPropertyValue("--grid"), width: 1 }, ticks: { show: false }, font: '11px "DejaVu Sans"' };
    const opts = {
        width: body.clientWidth - 16, height: body.clientHeight - 6, legend: { show: false }, cursor: { show: false },
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        scales: {
            x: { range: [times.start, times.now] },
            y: { range: (_, low, high) => {
                const known = [low, high, ...limits.map((l) => l.value)].filter((v) => v !== null && Number.isFinite(v));
                const [bottom, top] = [Math.min(...known), Math.max(...known)];
                if (bottom === 0 && top === 0) return [0, max ?? 1];
                const room = (top - bottom || Math.abs(top)) * 0.08;
                return [min ?? (bottom >= 0 && (bars || bottom - room < 0) ? 0 : bottom - room), max ?? top + room];
            } },
        },
        axes: [
            { ...axis, size: 30, space: 90, values: (_, ticks) => ticks.map(day) },
            { ...axis, size: (_, labels) => 12 + 7 * Math.max(0, ...(labels ?? []).map((label) => label.length)), values: (_, ticks) => ticks.map((v) => tick(v, unit)) },
        ],
        series: [{}, ...ordered.map((n) => ({
            stroke: series[n].color, width: 1.5, fill: bars ? series[n].color : undefined,
            dash: series[n].field["custom.lineStyle"]?.dash, paths: bars ? uPlot.paths.bars({ size: [0.8, 40, 2] }) : undefined,
            points: { show: !bars, size: 4, fill: series[n].color },
        }))],
        hooks: { draw: [(plot) => marked(plot, limits)] },
    };
    new uPlot(opts, [x, ...ordered.map((n) => columns[n])], body);
}
// Lines of targets, and of what happened.
function marked(plot, limits) {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const { value, color } of limits) {
        const y = plot.valToPos(value, "y", true);
        Object.assign(ctx, { strokeStyle: colorOf(color), lineWidth: 1.5 });
        ctx.strokeRect(bbox.left, y, bbox.width, 0);
    }
    ctx.setLineDash([4, 4]);
    for (const { at, color } of annotations) {
        const x = plot.valToPos(at, "x", true);
        Object.assign(ctx, { strokeStyle: colorOf(color), lineWidth: 1 });
        ctx.strokeRect(x, bbox.top, 0, bbox.height);
    }
    ctx.restore();
}
function text(panel, body) {
    body.classList.add("text");
    const inline = (line) => line.replace(/[&<]/g, (c) => ({ "&": "&amp;", "<": "&lt;" })[c]).replace(/\[([^\]]+)\]\([^)]*\)/g, "<a>$1</a>").replace(/\*\*([^*]+)\*\*/g, "<b>$1</b>").replace(/\*([^*]+)\*/g, "<em>$1</em>").replace(/`([^`]+)`/g, "<code>$1</code>");
    body.innerHTML = filled(panel.options.content).split(/\n\n+/).map((part) =>
        part.startsWith("- ") ? `<ul>${part.split("\n").map((line) => `<li>${inline(line.slice(2))}</li>`).join("")}</ul>` : `<p>${inline(part)}</p>`).join("");
}
const DRAWN = { stat, table, bargauge, timeseries: chart, "state-timeline": timeline, text };

// ---- the board

function place(element, { x, y, w, h }) {
    const column = (document.body.clientWidth - 16) / COLUMNS;
    Object.assign(element.style, { left: `${8 + x * column}px`, top: `${y * (LINE + GAP)}px`, width: `${w * column - GAP}px`, height: `${h * (LINE + GAP) - GAP}px` });
}
function drawn(panel, root) {
    const element = made("section", panel.type === "row" ? "row" : "panel");
    place(element, panel.gridPos);
    root.append(element);
    if (panel.type === "row") {
        element.textContent = `${panel.collapsed ? "›" : "⌄"} ${filled(panel.title)}`;
        if (panel.collapsed) element.append(made("span", "count", `(${panel.panels.length} panels)`));
        return;
    }
    if (panel.title) element.append(made("h2", "", filled(panel.title)));
    const body = made("div", "body");
    element.append(body);
    // A legend takes its room first.
    DRAWN[panel.type](panel, body);
}
const header = made("header");
header.append(made("h1", "", board.title), made("span", "note", `Drawn from the board's JSON and its queries for the documentation; this is not Grafana. ${board.time.from} to now`));
const variables = made("div", "variables");
for (const [label, value] of shown) {
    const one = made("span", "", value);
    one.prepend(made("b", "", label));
    variables.append(one);
}
header.append(variables);
const root = made("main");
root.id = "board";
document.body.append(header, root);
for (const panel of board.panels) drawn(panel, root);
document.title = "drawn";
