// Explorers without a kernel. Each <div class="explorer" data-explorer="NAME"> gets the controls of NAME.js and, at
// every move, the page that Python drew for their settings; see dcac_lite/site/packing.py for what NAME.js holds.
(() => {
  const waiting = {};
  window.dcacExplorer = (name, packed) => waiting[name](packed);

  // a script and not a fetch: browsers fetch nothing from file://
  const load = (name) => new Promise((resolve, reject) => {
    waiting[name] = resolve;
    const script = document.createElement("script");
    script.src = `${document.documentElement.dataset.content_root}_static/explorers/${name}.js`;
    script.onerror = reject;
    document.head.append(script);
  });

  const unpack = (packed) => {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  };

  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // a select or a slider with its label, and the place of its setting
  const makeControl = ({label, kind, options, start}, id, moved) => {
    const input = kind === "select"
      ? make("select", {}, ...options.map((words, k) => make("option", {value: k}, words)))
      : make("input", {type: "range", min: 0, max: options.length - 1, step: 1});
    Object.assign(input, {id, value: start, oninput: moved});
    const readout = make("span", {className: "setting", ariaHidden: "true", hidden: kind === "select"});
    const row = make("div", {className: "control"}, make("label", {htmlFor: id}, label), input, readout);
    const say = () => {
      if (kind === "range") input.setAttribute("aria-valuetext", readout.textContent = options[input.value]);
    };
    return {row, say, count: options.length, at: () => Number(input.value)};
  };

  const start = async (box) => {
    const name = box.dataset.explorer;
    const {title, controls, states, images} = await unpack(await load(name));
    const page = make("div");
    const said = make("div", {className: "said"});
    said.setAttribute("role", "status");
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `${title} explorer`);
    const draw = (move) => {
      made.forEach((control) => control.say());
      const state = states[made.reduce((sum, control) => sum * control.count + control.at(), 0)];
      page.innerHTML = state.map(([sentence, pictures]) =>
        `<p>${sentence}</p><div class="pictures">${pictures.replace(/@(\d+)@/g, (_, k) => images[k])}</div>`).join("");
      if (move) said.textContent = [...page.querySelectorAll("p")].map((p) => p.textContent).join(" ");
    };
    const made = controls.map((control, k) => makeControl(control, `${name}-${k}`, () => draw(true)));
    draw(false);
    box.replaceChildren(...made.map((control) => control.row), page, said);
  };

  document.querySelectorAll("[data-explorer]").forEach((box) => start(box).catch(() => {
    box.textContent = "This explorer needs a browser of 2023 or later; the figure above shows some of its settings.";
  }));

  // a sentence in a table is not squeezed into a column of single words
  document.querySelectorAll("article td").forEach((cell) => {
    if (cell.textContent.length > 35) cell.style.minWidth = "9em";
  });

  // what scrolls sideways within itself can be reached by keyboard
  document.querySelectorAll("pre, div[style*=overflow-x], .table-wrapper, .equation").forEach((box) => { box.tabIndex = 0; });
})();
