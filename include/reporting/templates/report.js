"use strict";
// Charts with zoom and values under the pointer, tables that sort, filter and download. Without it all pages still work.
(() => {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
  const shown = (value) => (value == null ? "–" : number.format(value));

  const download = (name, rows) => {
    const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    const text = rows.map((row) => row.map((cell) => quote(String(cell ?? ""))).join(",")).join("\r\n");
    const url = URL.createObjectURL(new Blob([text, "\r\n"], { type: "text/csv" }));
    make("a", { href: url, download: `${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };

  // ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────
  const amount = (text) => (/^[-−+]?[\d,]*\.?\d+/.test(text) ? parseFloat(text.replace("−", "-").replaceAll(",", "")) : NaN);
  const cellsOf = (row) => [...row.cells].map((cell) => cell.textContent.trim());

  const LEAST_COLUMNS = 2;
  const FEW_COLUMNS = 6; // of so few none waits: the last ones are often what a table is about
  // The columns at the end that do not fit are hidden until the reader chooses them; paper shows all.
  const chooseColumns = (table, heads) => {
    const frame = table.parentElement;
    const rows = [...table.rows];
    const boxes = heads.map((head, column) => make("input", { type: "checkbox", change: () => { chosen = true; show(column, boxes[column].checked); count(); } }));
    const summary = make("summary");
    let chosen = false;
    const show = (column, shown) => {
      boxes[column].checked = shown;
      for (const row of rows) row.cells[column].classList.toggle("off", !shown);
    };
    const count = () => {
      const shown = boxes.filter(({ checked }) => checked).length;
      summary.textContent = `Columns: ${shown} of ${heads.length}`;
      chooser.hidden = !chosen && shown === heads.length;
    };
    const fit = () => {
      if (chosen || !frame.clientWidth) return;
      heads.forEach((_, column) => show(column, true));
      for (let column = heads.length - 1; column >= LEAST_COLUMNS && frame.scrollWidth > frame.clientWidth; column -= 1) show(column, false);
      count();
    };
    const names = heads.map((head, column) => make("label", {}, boxes[column], ` ${head.textContent}`));
    const chooser = make("details", { class: "chooser" }, summary, ...names.slice(1));
    new ResizeObserver(fit).observe(frame);
    fit();
    return chooser;
  };

  const enhanceTable = (table) => {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const title = head.textContent;
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        const numeric = head.classList.contains("n");
        const key = (row) => row.cells[column].textContent.trim();
        const compare = (a, b) => {
          if (!numeric) return key(a).localeCompare(key(b), "en", { numeric: true });
          const [left, right] = [amount(key(a)), amount(key(b))];
          return Number.isNaN(left) - Number.isNaN(right) || left - right;
        };
        const rows = [...body.rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b)));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        body.append(...rows);
      };
      head.replaceChildren(make("button", { type: "button", class: "sort", click: sort }, title));
    });
    const tools = make("div", { class: "tools" });
    if (body.rows.length > 5) {
      const filter = make("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter rows of ${table.caption.textContent}` });
      filter.addEventListener("input", () => {
        const wanted = filter.value.trim().toLowerCase();
        for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      });
      tools.append(filter);
    }
    const save = () => {
      const rows = [...body.rows].filter((row) => !row.hidden).map(cellsOf);
      download(table.caption.textContent, [heads.map((head) => head.textContent), ...rows]);
    };
    tools.append(make("button", { type: "button", click: save }, "Download CSV"));
    if (heads.length > FEW_COLUMNS) tools.append(chooseColumns(table, heads));
    table.parentElement.before(tools);
  };

  // ── charts ────────────────────────────────────────────────────────────────────────────────────────────────────────
  const MOST_ROWS = 500;
  // Least step between ticks, their form, and the form of the first one of a year, month, day, …
  const NONE = null;
  const TIMES = [
    [365 * 86400, "{YYYY}", NONE, NONE, NONE, NONE, NONE, NONE, 1],
    [28 * 86400, "{MMM}", "\n{YYYY}", NONE, NONE, NONE, NONE, NONE, 1],
    [86400, "{MMM} {D}", "\n{YYYY}", NONE, NONE, NONE, NONE, NONE, 1],
    [60, "{HH}:{mm}", "\n{MMM} {D} {YYYY}", NONE, "\n{MMM} {D}", NONE, NONE, NONE, 1],
  ];
  const PERIODS = { Day: 86400, Week: 7 * 86400, Month: 30 * 86400, Year: 365 * 86400 };

  const enhanceChart = (figure) => {
    const chart = JSON.parse(figure.querySelector("script").textContent);
    const time = chart.axis === "time";
    const still = figure.querySelector(".still");
    const holder = make("div", { class: "live", tabindex: "0", role: "img" });
    const readout = make("p", { class: "quiet small readout", "aria-live": "polite" });
    const tools = make("div", { class: "tools" });
    const colour = (name) => {
      const probe = make("span", { style: `color: var(--${name})` });
      holder.append(probe);
      const { color } = getComputedStyle(probe);
      probe.remove();
      return color;
    };
    // Dates whose own getters, in UTC, are the clocks of the chart's zone.
    const clock = (seconds) => uPlot.tzDate(new Date((seconds + chart.shift) * 1000), chart.zone);
    const pad = (value) => String(value).padStart(2, "0");
    const place = (x) => {
      if (!time) return number.format(x);
      const date = clock(x);
      return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
    };
    let panel, data, columns, plot;

    const select = (index) => {
      panel = chart.panels[index];
      const xs = panel.lines[0].values.map((_, i) => panel.start + i * panel.step);
      data = [xs];
      columns = [];
      panel.lines.forEach((line, i) => {
        columns.push({ label: line.label, colour: i, kind: "line", estimated: line.estimated });
        data.push(line.values);
        if (!line.low) return;
        columns.push({ label: "highest", colour: i, kind: "edge" }, { label: "lowest", colour: i, kind: "edge" });
        data.push(line.high, line.low);
      });
      if (panel.marks.length) {
        const marks = new Array(xs.length).fill(null);
        for (const [i, value] of panel.marks) marks[i] = value;
        columns.push({ label: chart.marked, colour: 3, kind: "mark" });
        data.push(marks);
      }
      draw();
    };

    const describe = (u) => {
      const { idx } = u.cursor;
      const values = columns.map((column, i) => [column, data[i + 1][idx]]).filter(([column, value]) => !(column.kind === "mark" || column.estimated || panel.lines[1]?.estimated) || value != null);
      readout.textContent = idx == null
        ? `Shown: ${panel.note}. Drag to zoom, double-click to see all; with the keyboard: arrow keys, + and −.`
        : `${time ? "" : `${chart.axis}: `}${place(data[0][idx])}: ` + values.map(([column, value]) => `${column.label} ${shown(value)}`).join(", ") + ` ${chart.unit}`;
    };

    const draw = () => {
      const range = plot ? [plot.scales.x.min, plot.scales.x.max] : null;
      const [ink, line] = [colour("quiet"), colour("line")];
      const series = columns.map(({ label, colour: index, kind, estimated }) => {
        const stroke = colour(`chart-${index}`);
        if (kind === "mark") return { label, stroke, paths: () => null, points: { show: true, size: 7, fill: stroke, width: 0 } };
        if (kind === "edge") return { label, stroke: "transparent", points: { show: false } };
        return { label, stroke, width: 1.6, dash: index === 1 ? [6, 4] : undefined, points: { show: estimated || data[0].length < 60, size: estimated ? 4 : 5 } };
      });
      const bands = columns.flatMap(({ kind, colour: index }, i) => kind === "edge" && columns[i + 1]?.kind === "edge"
        ? [{ series: [i + 1, i + 2], fill: colour(`chart-${index}`).replace(/rgba?\(([^)]*)\)/, "rgba($1, .22)") }] : []);
      const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
      plot?.destroy();
      plot = new uPlot({
        width: holder.clientWidth, height: Math.min(340, Math.max(220, holder.clientWidth * 0.4)),
        tzDate: time ? clock : undefined, legend: { show: false }, series: [{}, ...series], bands,
        scales: { x: { time }, y: { range: (_, low, high) => uPlot.rangeNum(Math.min(0, low ?? 0), high ?? 1, 0.05, true) } },
        axes: [time ? { ...axis, values: TIMES, size: 60 } : { ...axis, label: chart.axis, labelSize: 20, size: 36 }, { ...axis, size: 58, values: (_, ticks) => ticks.map(shown) }],
        cursor: { y: false, drag: { x: true, y: false } }, hooks: { setCursor: [describe] },
      }, data, holder);
      if (range && range[0] < data[0].at(-1) && range[1] > data[0][0]) plot.setScale("x", { min: range[0], max: range[1] });
      holder.setAttribute("aria-label", `${figure.dataset.title}, ${panel.label}, in ${chart.unit}. ${panel.note}.`);
      describe(plot);
    };

    const show = (min, max) => {
      const [first, last] = [data[0][0], data[0].at(-1)];
      const width = Math.min(max - min, last - first);
      const start = Math.max(first, Math.min(min, last - width));
      plot.setScale("x", { min: start, max: start + width });
    };
    const zoom = (factor) => {
      const { min, max } = plot.scales.x;
      const [middle, half] = [(min + max) / 2, ((max - min) / 2) * factor];
      if (half * 2 >= panel.step * 2) show(middle - half, middle + half);
    };
    const move = (share) => {
      const { min, max } = plot.scales.x;
      show(min + share * (max - min), max + share * (max - min));
    };
    const period = (seconds) => {
      const { max } = plot.scales.x;
      show(max - seconds, max);
    };
    const all = () => show(data[0][0], data[0].at(-1));
    const visible = () => {
      const { min, max } = plot.scales.x;
      return data[0].flatMap((x, i) => (x >= min && x <= max ? [[place(x), ...columns.map((_, column) => data[column + 1][i])]] : []));
    };
    const headings = () => [time ? "Time" : chart.axis, ...columns.map(({ label }) => `${label} (${chart.unit})`)];
    const save = () => download(`${figure.dataset.title}, ${panel.label}`, [headings(), ...visible()]);

    const button = (text, click, label = text) => tools.append(make("button", { type: "button", click, "aria-label": label, title: label }, text));
    if (chart.panels.length > 1) {
      const choice = make("select", { "aria-label": `Series of ${figure.dataset.title}` });
      chart.panels.forEach(({ label }, i) => choice.append(make("option", { value: i }, label)));
      choice.addEventListener("change", () => select(Number(choice.value)));
      tools.append(choice);
    }
    const { length } = chart.panels[0].lines[0].values;
    if (time) for (const [name, seconds] of Object.entries(PERIODS)) if (seconds < length * chart.panels[0].step && seconds >= chart.panels[0].step * 2) button(name, () => period(seconds), `Show a ${name.toLowerCase()}`);
    if (time) {
      button("All", all, "Show all");
      button("←", () => move(-0.5), "Earlier");
      button("→", () => move(0.5), "Later");
      button("+", () => zoom(0.5), "Zoom in");
      button("−", () => zoom(2), "Zoom out");
    }
    button("Download CSV", save);

    const keys = { ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25), "+": () => zoom(0.5), "-": () => zoom(2), Home: all };
    holder.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    const values = make("details", { class: "values" }, make("summary", {}, "Values as a table"));
    values.addEventListener("toggle", () => {
      values.querySelector(".scroll")?.remove();
      if (!values.open) return;
      const rows = visible();
      const head = make("tr", {}, ...headings().map((text) => make("th", { scope: "col" }, text)));
      const body = rows.slice(0, MOST_ROWS).map(([x, ...row]) => make("tr", {}, make("th", { scope: "row" }, x), ...row.map((value) => make("td", {}, shown(value)))));
      const caption = `${panel.label}, ${rows.length > MOST_ROWS ? `the first ${MOST_ROWS} of ${rows.length} values` : `${rows.length} values`} of the period shown`;
      values.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body))));
    });
    still.before(tools);
    still.after(holder, readout, values);
    figure.classList.add("enhanced");
    select(0);
    let width = holder.clientWidth;
    new ResizeObserver(() => {
      if (holder.clientWidth && holder.clientWidth !== width) { width = holder.clientWidth; draw(); }
    }).observe(holder);
    return draw;
  };

  const redraw = [];
  for (const figure of document.querySelectorAll("figure.chart[data-title]")) redraw.push(enhanceChart(figure));
  for (const table of document.querySelectorAll("table.data")) enhanceTable(table);
  const again = () => redraw.forEach((draw) => draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["style"] });
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.values)").forEach((part) => { part.open = true; }));
})();
