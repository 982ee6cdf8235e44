"use strict";
// The page's behaviour. Names of files come from strangers: they reach the page
// as textContent only, never as markup, and never as a selector.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const nodes = data.nodes;
  const at = (id) => document.getElementById(id);
  const list = at("list");
  const search = at("search");
  const canvas = at("canvas");
  const SVG = "http://www.w3.org/2000/svg";
  const ROWS = 250; // more at once make typing slow

  const needs = nodes.map(() => []);
  const wanted = nodes.map(() => []);
  for (const [source, target] of data.edges) {
    needs[source].push(target);
    wanted[target].push(source);
  }
  const haystack = nodes.map((n) =>
    [n.name, n.place, n.path, n.advice, data.words[n.origin]].join("\n").toLowerCase());
  const trouble = (i) => nodes[i].origin === "missing" || nodes[i].origin === "incompatible";
  const order = nodes.map((_, i) => i).sort((a, b) =>
    data.order.indexOf(nodes[a].origin) - data.order.indexOf(nodes[b].origin) ||
    (trouble(a) ? wanted[b].length - wanted[a].length : 0) || a - b);
  const rank = new Map(order.map((i, place) => [i, place]));
  const only = new Set();
  let rows = ROWS;
  let current = -1;

  function make(tag, classes, ...children) {
    const element = document.createElement(tag);
    if (classes) element.className = classes;
    element.append(...children.filter((child) => child !== null));
    return element;
  }
  function button(classes, act, ...children) {
    const element = make("button", classes, ...children);
    element.type = "button";
    element.addEventListener("click", act);
    return element;
  }
  const programs = new Set(data.programs);
  function mark(origin, i = -1) {
    const element = make("span", "mark", programs.has(i) ? "\u25b6" : data.marks[origin]);
    element.setAttribute("aria-hidden", "true");
    return element;
  }
  const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
  const where = (n) => (n.origin === "tree" ? n.place : n.path || n.place);

  // ---- the list ---------------------------------------------------------

  function item(i) {
    const n = nodes[i];
    const small = trouble(i) ? n.advice : n.place;
    const made = button(`item ${n.origin}`, () => go(i), mark(n.origin, i),
      make("span", "text", make("span", "name", n.name), small ? make("small", "", small) : null),
      make("span", "tally", wanted[i].length ? `${wanted[i].length}` : ""));
    made.dataset.node = i;
    made.title = `${n.name}\nwanted by ${many(wanted[i].length, "file")}, needs ${needs[i].length}`;
    return made;
  }

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = order.filter((i) => (only.size === 0 || only.has(nodes[i].origin)) &&
      words.every((word) => haystack[i].includes(word)));
    const parts = [];
    let group = null;
    let origin = "";
    for (const i of found.slice(0, rows)) {
      if (nodes[i].origin !== origin) {
        origin = nodes[i].origin;
        group = make("ul", "");
        const heading = make("h3", origin, mark(origin), data.words[origin]);
        parts.push(heading, group);
      }
      group.append(make("li", "", item(i)));
    }
    if (found.length > rows) {
      parts.push(button("more", () => { rows = Infinity; fill(); },
        `show all ${found.length.toLocaleString("en")}`));
    }
    list.replaceChildren(...parts);
    at("count").textContent = found.length === nodes.length
      ? `${nodes.length.toLocaleString("en")} files and libraries`
      : `${found.length.toLocaleString("en")} of ${nodes.length.toLocaleString("en")}`;
    point();
  }

  function point() {
    const items = [...list.querySelectorAll(".item")];
    let chosen = null;
    for (const each of items) {
      const here = Number(each.dataset.node) === current;
      each.setAttribute("aria-current", String(here));
      each.tabIndex = -1;
      if (here) chosen = each;
    }
    (chosen || items[0] || {}).tabIndex = 0;
    if (chosen) chosen.scrollIntoView({ block: "nearest" });
  }

  function filters() {
    const counts = {};
    for (const n of nodes) counts[n.origin] = (counts[n.origin] || 0) + 1;
    for (const origin of data.order.filter((each) => counts[each])) {
      const made = button(origin, () => {
        if (!only.delete(origin)) only.add(origin);
        made.setAttribute("aria-pressed", String(only.has(origin)));
        rows = ROWS;
        fill();
      }, mark(origin), data.words[origin], make("b", "", counts[origin].toLocaleString("en")));
      made.setAttribute("aria-pressed", "false");
      at("filters").append(made);
    }
  }

  // ---- the overview -----------------------------------------------------

  function notice() {
    const bad = order.filter(trouble);
    const box = at("trouble");
    if (data.files === 0) {
      box.append(make("div", "notice fine", make("h2", "", "No ELF files"),
        make("p", "", "Nothing in here is machine code: pure Python, nothing to link.")));
      canvas.parentElement.querySelector(".bar").hidden = true;
      canvas.hidden = true;
      return;
    }
    if (bad.length === 0) {
      box.append(make("div", "notice fine", make("h2", "", "Every need is met"),
        make("p", "", "Each library that a file needs was found.")));
      return;
    }
    const wrong = bad.filter((i) => nodes[i].origin === "incompatible").length;
    const said = [
      [bad.length - wrong, "missing"],
      [wrong, "found but unfit"],
    ].filter(([count]) => count).map(([count, word]) =>
      `${count.toLocaleString("en")} ${count === 1 ? "library is" : "libraries are"} ${word}`);
    const made = make("div", "notice", make("h2", "", said.join(", ")),
      make("ul", "", ...bad.slice(0, 200).map((i) => make("li", "", item(i)))));
    for (const [title, paste] of Object.entries(data.paste)) {
      const text = make("pre", "", paste);
      text.tabIndex = 0;
      const copy = button("copy", () => copyText(text, copy), "copy");
      made.append(make("div", "paste", make("div", "bar", make("h3", "", title), copy), text));
    }
    box.append(made);
  }

  async function copyText(text, said) {
    try {
      await navigator.clipboard.writeText(text.textContent);
      said.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(text);
      said.textContent = "selected: press Ctrl+C";
    }
  }

  function light(card) {
    for (const each of canvas.querySelectorAll(".on")) each.classList.remove("on");
    canvas.classList.toggle("lit", card !== null);
    if (card === null) return;
    const number = Number(card.dataset.node);
    for (const each of canvas.querySelectorAll(`.s${number},.t${number}`)) each.classList.add("on");
  }

  function pictures() {
    for (const card of canvas.querySelectorAll(".card")) {
      const inside = data.folds[Number(card.dataset.node)];
      card.addEventListener("pointerenter", () => light(card));
      card.addEventListener("pointerleave", () => light(null));
      card.addEventListener("click", () => (inside.length === 1 ? go(inside[0]) : several(inside)));
    }
    at("fit").addEventListener("click", () => {
      const fit = canvas.classList.toggle("fit");
      at("fit").setAttribute("aria-pressed", String(fit));
      at("fit").textContent = fit ? "fit to width" : "full size";
    });
  }

  // ---- one node ---------------------------------------------------------

  function box(i, tag = "li") {
    const n = nodes[i];
    const made = button(`box ${n.origin}`, () => go(i), make("span", "name", n.name),
      make("small", "", n.origin === "tree" ? n.place || "./" : `${data.words[n.origin]} \u00b7 ${n.place}`));
    made.dataset.node = i;
    return tag ? make(tag, "", made) : made;
  }

  function column(title, which, none) {
    const sorted = [...which].sort((a, b) => rank.get(a) - rank.get(b));
    return make("div", "", make("h3", "", `${title} (${which.length.toLocaleString("en")})`),
      which.length ? make("ul", "", ...sorted.map((i) => box(i))) : make("p", "none", none));
  }

  // The shortest way to a node from a file that nobody in here needs.
  function way(i) {
    const next = new Map([[i, -1]]);
    const queue = [i];
    for (const here of queue) {
      if (here !== i && wanted[here].length === 0) {
        const found = [];
        for (let each = here; each !== -1; each = next.get(each)) found.push(each);
        return found;
      }
      for (const before of wanted[here]) {
        if (!next.has(before)) {
          next.set(before, here);
          queue.push(before);
        }
      }
    }
    return [];
  }

  function panel(...children) {
    const one = at("one");
    one.replaceChildren(button("back", () => go(-1), "\u2190 overview"),
      ...children.filter((child) => child !== null));
    at("overview").hidden = true;
    one.hidden = false;
    at("detail").scrollTop = 0;
    return one;
  }

  function show(i) {
    const n = nodes[i];
    const kind = n.kind && n.kind !== "library" ? `, ${n.kind}` : "";
    const title = make("div", `title ${n.origin}`, make("h2", "", n.name),
      make("span", "badge", mark(n.origin, i), data.words[n.origin] + kind));
    const about = [where(n) ? make("p", "about", where(n)) : null];
    if (n.advice) about.push(make("p", "about loud", `nixpkgs: ${n.advice}`));
    for (const note of n.notes) about.push(make("p", "about loud", note));
    const steps = way(i);
    let path = null;
    if (steps.length > 2) {
      path = make("div", "way", make("h3", "", "Why it is here:"));
      steps.forEach((step, k) => path.append(...(k ? ["\u2192"] : []),
        button(`name ${nodes[step].origin}`, () => go(step), nodes[step].name)));
    }
    const middle = make("div", "middle", make("h3", "", "\u00a0"), box(i, ""));
    const around = make("div", "around",
      column("Wanted by", wanted[i], n.origin === "tree" ? "no file in here: a program, or Python imports it" : "nobody"),
      middle,
      column("Needs", needs[i], n.origin === "tree" ? "nothing: left alone, or linked to nothing" : "not looked into"));
    panel(title, ...about, path, around);
    connect(around);
  }

  function several(which) {
    panel(make("div", "title", make("h2", "", many(which.length, "member"))),
      make("div", "around", make("div", "", make("ul", "", ...which.map((i) => box(i))))));
  }

  // Lines from the left column to the middle, and from there to the right one.
  function connect(around) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("aria-hidden", "true");
    around.append(svg);
    const [left, middle, right] = around.children;
    const draw = () => {
      const zero = around.getBoundingClientRect();
      if (zero.width === 0) return;
      const centre = middle.querySelector(".box").getBoundingClientRect();
      const lines = [];
      for (const [column, leaving] of [[left, false], [right, true]]) {
        for (const each of column.querySelectorAll(".box")) {
          const its = each.getBoundingClientRect();
          const from = leaving ? centre : its;
          const to = leaving ? its : centre;
          const x1 = from.right - zero.left;
          const y1 = from.top + from.height / 2 - zero.top;
          const x2 = to.left - zero.left;
          const y2 = to.top + to.height / 2 - zero.top;
          const half = (x1 + x2) / 2;
          const line = document.createElementNS(SVG, "path");
          line.setAttribute("class", leaving ? each.className.replace("box ", "") : nodes[current].origin);
          line.setAttribute("d", `M${x1} ${y1}C${half} ${y1} ${half} ${y2} ${x2} ${y2}`);
          lines.push(line);
        }
      }
      svg.replaceChildren(...lines);
    };
    new ResizeObserver(draw).observe(around);
    at("detail").onscroll = () => requestAnimationFrame(draw);
    draw();
  }

  // ---- moving about -----------------------------------------------------

  // The address holds the place, so that the browser's own "back" works.
  function go(i) {
    const hash = i < 0 ? "" : `#n${i}`;
    if (location.hash === hash || (hash === "" && location.hash === "#")) arrive();
    else location.hash = hash;
  }

  function arrive() {
    const match = /^#n([0-9]+)$/.exec(location.hash);
    current = match && Number(match[1]) < nodes.length ? Number(match[1]) : -1;
    if (current < 0) {
      at("one").hidden = true;
      at("overview").hidden = false;
      at("detail").onscroll = null;
    } else {
      show(current);
    }
    point();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && event.target !== search) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape") {
      if (event.target === search && search.value) {
        search.value = "";
        fill();
      } else go(-1);
    } else if (["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
      const inside = event.target === search ? event.key === "ArrowDown" : list.contains(event.target);
      if (!inside) return;
      event.preventDefault();
      const items = [...list.querySelectorAll(".item")];
      const here = items.indexOf(event.target);
      const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
      if (to < 0) search.focus();
      else if (items[to]) items[to].focus();
    }
  });
  search.addEventListener("input", () => { rows = ROWS; fill(); });
  search.addEventListener("keydown", (event) => {
    const first = list.querySelector(".item");
    if (event.key === "Enter" && first) go(Number(first.dataset.node));
  });
  addEventListener("hashchange", arrive);

  filters();
  notice();
  pictures();
  fill();
  arrive();
})();
