// Draws the charts of a page: each figure.chart names the JSON block that holds its data. Without this script the page
// shows the same numbers in the table beneath. Needs uPlot; asks nothing of any server.
"use strict";

(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const DAY = 86400;

    const rounded = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits });

    const readable = {
        share: (value) => `${rounded(value * 100, 2)}%`,
        number: (value) => rounded(value, 3),
        seconds: (value) => {
            const size = Math.abs(value);
            if (size < 120) return `${rounded(value, 1)} s`;
            if (size < 7200) return `${rounded(value / 60, 1)} min`;
            if (size < 2 * DAY) return `${rounded(value / 3600, 1)} h`;
            return `${rounded(value / DAY, 1)} d`;
        },
    };

    // Steps that people count in: 1, 2 or 5 of a unit, and of times also hours and days.
    const steps = {
        share: null,
        number: null,
        seconds: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200,
            DAY, 2 * DAY, 5 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 56 * DAY, 112 * DAY],
    };

    const colour = (figure, name) => getComputedStyle(figure).getPropertyValue(`--chart-${name}`).trim();

    function range(data) {
        const known = [...data.value, ...data.low, ...data.high, data.limit].filter((one) => one !== null);
        let low = Math.min(...known, 0);
        let high = Math.max(...known);
        const room = (high - low || 1) * 0.05;
        low = low < 0 ? low - room : 0;
        high = data.top !== null && high <= data.top && data.top - high < room ? data.top : high + room;
        return [low, high];
    }

    function told(figure, data, place) {
        const when = new Intl.DateTimeFormat("en-GB", {
            timeZone: data.zone, day: "numeric", month: "short", year: "numeric",
            ...(data.at.length > 1 && data.at[1] - data.at[0] < DAY / 2 ? { hour: "2-digit", minute: "2-digit" } : {}),
        });
        const date = document.createElement("strong");
        date.textContent = when.format(new Date(data.at[place] * 1000));
        const text = document.createElement("span");
        text.textContent = data.text[place];
        return [date, document.createElement("br"), text];
    }

    // What the pointer is over, beside it and within the chart.
    function tip(figure, data) {
        const box = document.createElement("div");
        box.className = "chart-tip";
        box.hidden = true;
        return {
            hooks: {
                init: (chart) => chart.over.appendChild(box),
                setCursor: (chart) => {
                    const { idx: place, left, top } = chart.cursor;
                    box.hidden = place === null || place === undefined || left < 0;
                    if (box.hidden) return;
                    box.replaceChildren(...told(figure, data, place));
                    const width = chart.over.clientWidth;
                    box.style.left = `${Math.max(0, left > width / 2 ? left - box.offsetWidth - 12 : left + 12)}px`;
                    box.style.top = `${Math.max(0, Math.min(top, chart.over.clientHeight - box.offsetHeight))}px`;
                },
            },
        };
    }

    function options(figure, data, plot) {
        const line = colour(figure, "line");
        const axis = {
            stroke: colour(figure, "text"),
            grid: { stroke: colour(figure, "grid"), width: 1 },
            ticks: { stroke: colour(figure, "grid"), width: 1 },
            font: "12px system-ui, sans-serif",
        };
        const unseen = { points: { show: false }, stroke: "transparent", width: 0 };
        const [first, last] = [data.at[0], data.at[data.at.length - 1]];
        const day = new Intl.DateTimeFormat("en-GB", {
            timeZone: data.zone,
            ...(last - first > 4 * DAY ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" }),
        });
        const xAxis = { ...axis, values: (_, times) => times.map((time) => day.format(new Date(time * 1000))) };
        const yAxis = { ...axis, size: 64, values: (_, values) => values.map(readable[data.scale]) };
        if (steps[data.scale]) yAxis.incrs = steps[data.scale];
        return {
            width: plot.clientWidth,
            height: plot.clientHeight,
            tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), data.zone),
            legend: { show: false },
            cursor: { drag: { x: false, y: false }, y: false },
            scales: { y: { range: () => range(data) } },
            axes: [xAxis, yAxis],
            bands: [{ series: [3, 2], fill: colour(figure, "band") }],
            series: [
                {},
                { stroke: line, width: 2, spanGaps: false, points: { show: true, size: 5, fill: line, stroke: line } },
                unseen,
                unseen,
                {
                    paths: () => null,
                    points: { show: true, size: 7, width: 1.5, stroke: line, fill: colour(figure, "ground") },
                },
                { stroke: colour(figure, "limit"), width: 1.5, dash: [6, 4], points: { show: false } },
            ],
            plugins: [tip(figure, data)],
        };
    }

    function columns(data) {
        const limit = data.at.map(() => data.limit);
        return [data.at, data.value, data.low, data.high, data.few, limit];
    }

    function draw(figure) {
        const data = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
        const plot = figure.querySelector(".chart-plot");
        figure.hidden = false;
        let chart = null;
        const again = () => {
            if (chart) chart.destroy();
            chart = new uPlot(options(figure, data, plot), columns(data), plot);
        };
        again();
        dark.addEventListener("change", again);
        new ResizeObserver(() => {
            if (plot.clientWidth && plot.clientWidth !== chart.width) {
                chart.setSize({ width: plot.clientWidth, height: plot.clientHeight });
            }
        }).observe(plot);
    }

    document.querySelectorAll("figure.chart").forEach(draw);
})();
