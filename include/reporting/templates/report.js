"use strict";
// Charts and maps with zoom and values under the pointer, tables that sort, filter and download. All works without it.
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
    const plain = (cell) => cell.replace(/^[=+@]|^-(?![\d.])/, "'$&"); // a spreadsheet takes it for no formula
    const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    const text = rows.map((row) => row.map((cell) => quote(plain(String(cell ?? "")))).join(",")).join("\r\n");
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
    const data = heads.map((head) => !("plain" in head.dataset)); // a column of drawings neither sorts nor downloads
    heads.forEach((head, column) => {
      if (!data[column]) return;
      const title = head.textContent;
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        const numeric = head.classList.contains("n");
        const key = (row) => row.cells[column].textContent.trim();
        const compare = (a, b) => {
          if (!numeric) return (key(a) === "") - (key(b) === "") || key(a).localeCompare(key(b), "en", { numeric: true });
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
      const named = [heads.map((head) => head.textContent), ...rows];
      download(table.caption.textContent, named.map((row) => row.filter((_, column) => data[column])));
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
      const probe = make("span");
      probe.style.color = `var(--${name})`; // an attribute would be refused where only style sheets may style
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
    let panel, data, columns, plot, choice;

    const select = (index) => {
      panel = chart.panels[index];
      if (choice) choice.value = index;
      figure.dispatchEvent(new CustomEvent("chosen", { detail: panel.label }));
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
      choice = make("select", { "aria-label": `Series of ${figure.dataset.title}` });
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
    // Shows the series of a label, where there is one.
    figure.choose = (label) => {
      const index = chart.panels.findIndex((item) => item.label === label);
      if (index >= 0) select(index);
      return index >= 0;
    };
    return draw;
  };

  // ── maps ──────────────────────────────────────────────────────────────────────────────────────────────────────────
  const FULL = { x: 0, y: 0, width: 1000, height: 560 };
  const NEAREST = 64;
  const TILE = 256;
  const MOST_TILES = 60;
  const ON_PHONES = 2.8; // names are so many times as large on a narrow screen
  const SVG = "http://www.w3.org/2000/svg";

  const enhanceMap = (figure) => {
    const svg = figure.querySelector(".areas");
    const frame = svg.parentElement;
    const ground = figure.querySelector(".ground");
    const [left, top, scale, unit] = figure.dataset.place.split(" ").map(Number);
    const chart = [...document.querySelectorAll("figure.chart[data-name]")].find(({ dataset }) => dataset.name === figure.dataset.chooses);
    const areas = [...svg.querySelectorAll("a")];
    const names = [...svg.querySelectorAll(".name")];
    const hint = "Arrow keys, + and − move and zoom the map; a press chooses an area, as the list of the series does.";
    const readout = make("p", { class: "readout", "aria-live": "polite" }, hint);
    let view = { ...FULL };
    let chosen = null;

    const show = (x, y, width) => {
      const wide = Math.min(FULL.width, Math.max(FULL.width / NEAREST, width));
      const high = (wide / FULL.width) * FULL.height;
      view = { x: Math.max(0, Math.min(FULL.width - wide, x)), y: Math.max(0, Math.min(FULL.height - high, y)), width: wide, height: high };
      svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
      svg.style.setProperty("--zoom", FULL.width / wide);
      figure.classList.toggle("near", wide < FULL.width);
      for (const name of names) {
        name.classList.toggle("off", name.dataset.fits > FULL.width / wide);
        name.classList.toggle("tight", name.dataset.fits * ON_PHONES > FULL.width / wide);
      }
      ground.textContent = `${(unit * wide).toPrecision(3)} × ${(unit * high).toPrecision(3)} km; north is up.`;
      tile();
    };
    // Zooms about a point, given as shares of the view.
    const zoom = (factor, x = 0.5, y = 0.5) => {
      const wide = Math.min(FULL.width, Math.max(FULL.width / NEAREST, view.width * factor));
      show(view.x + x * (view.width - wide), view.y + y * (view.height - (wide / FULL.width) * FULL.height), wide);
    };
    const move = (x, y) => show(view.x + x * view.width, view.y + y * view.height, view.width);
    const all = () => show(0, 0, FULL.width);

    const { tiles } = figure.dataset;
    const layer = tiles ? document.createElementNS(SVG, "g") : null;
    if (layer) {
      layer.setAttribute("class", "tiles");
      svg.prepend(layer);
      figure.classList.add("over");
    }
    // The tiles of a basemap that the view shows, at the level whose pixels are about those of the screen.
    const tile = () => {
      if (!layer || !frame.clientWidth) return;
      const world = (scale * frame.clientWidth) / view.width; // pixels of the screen for the width of the world
      const level = Math.max(0, Math.min(19, Math.round(Math.log2(world / TILE))));
      const count = 2 ** level;
      const range = (from, length, origin) => {
        const first = Math.max(0, Math.floor((origin + from / scale) * count));
        const last = Math.min(count - 1, Math.floor((origin + (from + length) / scale) * count));
        return Array.from({ length: last - first + 1 }, (_, i) => first + i);
      };
      const [columns, rows] = [range(view.x, view.width, left), range(view.y, view.height, top)];
      if (columns.length * rows.length > MOST_TILES) return;
      const size = scale / count;
      layer.replaceChildren(...rows.flatMap((y) => columns.map((x) => {
        const image = document.createElementNS(SVG, "image");
        const place = { x: (x / count - left) * scale, y: (y / count - top) * scale, width: size, height: size };
        for (const [name, value] of Object.entries(place)) image.setAttribute(name, value);
        image.setAttribute("href", tiles.replace("{z}", level).replace("{x}", x).replace("{y}", y));
        return image;
      })));
    };

    const ring = document.createElementNS(SVG, "path"); // drawn last, so that no neighbour covers the outline
    ring.setAttribute("class", "ring");
    svg.append(ring);
    const text = (area) => area.querySelector("title").textContent;
    const mark = (label) => {
      chosen = areas.find((area) => area.dataset.label === label) ?? null;
      document.querySelectorAll("tr.chosen").forEach((row) => row.classList.remove("chosen"));
      ring.setAttribute("d", chosen?.querySelector("path").getAttribute("d") ?? "");
      if (!chosen) return;
      const link = chosen.getAttribute("href");
      if (link) document.querySelector(link)?.classList.add("chosen");
      readout.textContent = text(chosen);
    };
    const choose = (area) => {
      if (chart?.choose(area.dataset.label)) return;
      mark(area.dataset.label);
      readout.textContent += ". Its series is not among those of this page.";
    };
    chart?.addEventListener("chosen", ({ detail }) => mark(detail));

    // Pointers that are down; two of them zoom. A press that moved chooses nothing.
    const pointers = new Map();
    let moved = 0;
    const spread = () => {
      const [one, other] = [...pointers.values()];
      return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    };
    svg.addEventListener("pointerdown", (event) => {
      if (!pointers.size) moved = 0;
      pointers.set(event.pointerId, event);
    });
    svg.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const box = svg.getBoundingClientRect();
      const width = pointers.size === 2 ? spread() : 0;
      pointers.set(event.pointerId, event);
      const step = [before.clientX - event.clientX, before.clientY - event.clientY];
      moved += Math.hypot(...step);
      if (moved < 4) return;
      if (!svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
      if (width) zoom(width / Math.max(1, spread()), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      else move(step[0] / box.width, step[1] / box.height);
    });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, (event) => pointers.delete(event.pointerId));
    svg.addEventListener("click", (event) => {
      const area = event.target.closest("a");
      if (!area) return;
      event.preventDefault();
      if (moved < 4) choose(area);
    });
    svg.addEventListener("pointerover", (event) => {
      const area = event.target.closest("a");
      if (area) readout.textContent = text(area);
    });
    svg.addEventListener("pointerleave", () => { readout.textContent = chosen ? text(chosen) : hint; });
    svg.addEventListener("focusin", (event) => {
      const area = event.target.closest("a");
      if (area) readout.textContent = text(area);
    });
    // Without a key the wheel scrolls the page.
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      zoom(1.0015 ** event.deltaY, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    }, { passive: false });

    const keys = { ArrowLeft: () => move(-0.2, 0), ArrowRight: () => move(0.2, 0), ArrowUp: () => move(0, -0.2), ArrowDown: () => move(0, 0.2), "+": () => zoom(0.5), "-": () => zoom(2), Home: all };
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.closest("a")) choose(event.target.closest("a"));
      else if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      else keys[event.key]();
      event.preventDefault();
    });
    svg.setAttribute("tabindex", "0");
    for (const area of areas) if (!area.hasAttribute("href")) area.setAttribute("role", "button");
    for (const area of areas) if (area.querySelector(".sign")) area.setAttribute("tabindex", "0");
    const tools = make("div", { class: "tools" });
    for (const [name, label, click] of [["+", "Zoom in", () => zoom(0.5)], ["−", "Zoom out", () => zoom(2)], ["All", "Show all", all]]) {
      tools.append(make("button", { type: "button", click, "aria-label": label, title: label }, name));
    }
    frame.before(tools);
    ground.before(readout);
    figure.classList.add("enhanced");
    new ResizeObserver(tile).observe(frame);
  };

  const redraw = [];
  for (const figure of document.querySelectorAll("figure.map")) enhanceMap(figure);
  for (const figure of document.querySelectorAll("figure.chart[data-title]")) redraw.push(enhanceChart(figure));
  for (const table of document.querySelectorAll("table.data")) enhanceTable(table);
  const again = () => redraw.forEach((draw) => draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["style"] });
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.values)").forEach((part) => { part.open = true; }));
})();
