// The page's viewer: two panes on one case, each with a mask of its own, moved together.
(() => {
  "use strict";
  const root = document.getElementById("viewer");
  const { cases, colours } = JSON.parse(document.getElementById("viewer-index").textContent);
  const SEQUENCES = { flair: "FLAIR", t1: "T1", t1ce: "T1ce", t2: "T2" };
  const NONE = "none", REFERENCE = "reference";
  const { Niivue, NVImage } = globalThis.niivue;
  const state = { case: cases[0], sequence: "", subset: "", masks: [REFERENCE, NONE], plane: "axial", outline: false };
  const panes = [];
  let turn = 0;

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // A row of buttons of which one is pressed: radio inputs, so that keyboards and screen readers know them.
  let groups = 0;
  const choices = (title, chosen) => {
    const place = make("div", { className: "choices" });
    const element = make("fieldset", {}, make("legend", { textContent: title }), place);
    const name = `choice-${groups++}`;
    const fill = (options, value) => {
      const inputs = [...place.querySelectorAll("input")];
      // Buttons that stay are kept, so that they keep the keyboard's focus.
      if (inputs.map((input) => input.value).join("\n") !== options.map((option) => option.value).join("\n")) {
        place.replaceChildren(...options.map((option) => {
          const input = make("input", { type: "radio", name, value: option.value });
          input.addEventListener("change", () => chosen(option.value));
          return make("label", {}, input, make("span", { textContent: option.text }));
        }));
      }
      [...place.querySelectorAll("input")].forEach((input, number) => {
        input.checked = options[number].value === value;
        input.disabled = !!options[number].disabled;
      });
    };
    return { element, fill };
  };

  const subsets = () => [...new Set(state.case.masks.map((mask) => mask.subset))];
  const labels = () => [...new Set(state.case.masks.map((mask) => mask.label))];
  const maskOf = (label) => state.case.masks.find((mask) => mask.label === label && mask.subset === state.subset);

  // Keeps what was chosen where the case has it, and takes the nearest where not.
  const settle = () => {
    const sequences = Object.keys(state.case.images);
    if (!sequences.includes(state.sequence)) state.sequence = sequences.includes("t1ce") ? "t1ce" : sequences[0];
    if (!subsets().includes(state.subset)) state.subset = subsets()[0] ?? "";
    state.masks = state.masks.map((label) => ([NONE, REFERENCE].includes(label) || maskOf(label) ? label : NONE));
  };

  const bytes = (id) => document.getElementById(id).textContent;
  const image = (volume, name) =>
    NVImage.loadFromBase64({ base64: bytes(volume), name: `${name}.nii.gz`, colormap: "gray", ignoreZeroVoxels: false });

  const volumeOf = (label) => (label === REFERENCE ? state.case.reference : maskOf(label)?.volume);

  async function load(pane, label, fresh) {
    const { viewer } = pane;
    const scan = state.case.images[state.sequence];
    const key = volumeOf(label) ?? "";
    if (pane.scan === scan && pane.mask === key) return;
    const volumes = [pane.scan === scan ? viewer.volumes[0] : await image(scan, "scan")];
    if (key) {
      const overlay = await image(key, "mask");
      overlay.setColormapLabel(colours);
      overlay.opacity = strength();
      volumes.push(overlay);
    }
    if (fresh !== turn) return;
    viewer.volumes = volumes;
    viewer.setVolume(volumes[0], 0);
    Object.assign(pane, { scan, mask: key });
  }

  function tell(pane, label) {
    const mask = maskOf(label);
    const known = Object.entries(mask?.dice ?? {}).map(([region, value]) => `${region} ${value.toFixed(3)}`);
    pane.told.textContent =
      label === REFERENCE ? "The reference segmentation."
      : mask ? `${mask.label} from ${mask.subset}${known.length ? `: ${mask.measure} ${known.join(", ")}` : ""}.`
      : "The scan alone.";
  }

  async function draw(place = false) {
    const fresh = ++turn;
    root.dataset.state = "drawing";
    settle();
    offer();
    try {
      for (const [number, pane] of panes.entries()) {
        await load(pane, state.masks[number], fresh);
        if (fresh !== turn) return;
        tell(pane, state.masks[number]);
      }
      if (place) start();
      for (const { viewer } of panes) {
        viewer.setSliceType(state.plane === "axial" ? viewer.sliceTypeAxial : viewer.sliceTypeMultiplanar);
        viewer.drawScene();
      }
      follow();
      report("ready");
    } catch (error) {
      fail(error);
    }
  }

  function report(what) {
    Object.assign(root.dataset, {
      state: what, case: state.case.name, sequence: state.sequence, subset: state.subset, plane: state.plane,
      left: state.masks[0], right: state.masks[1], outline: String(state.outline),
    });
  }

  function fail(error) {
    root.dataset.state = "failed";
    root.prepend(make("p", { textContent: `The viewer cannot draw here: ${error.message ?? error}` }));
  }

  const start = () => panes.forEach(({ viewer }) => {
    viewer.scene.crosshairPos = viewer.mm2frac(state.case.start);
    viewer.scene.pan2Dxyzmm = [0, 0, 0, state.case.zoom];
  });

  // The slider follows the crosshair, and the crosshair the slider.
  function follow() {
    slice.value = String(panes[0].viewer.scene.crosshairPos[2]);
  }
  function move() {
    for (const { viewer } of panes) {
      viewer.scene.crosshairPos[2] = Number(slice.value);
      viewer.drawScene();
    }
  }

  const pick = make("select", { id: "viewer-case" });
  pick.append(...cases.map(({ name }, number) => make("option", { value: String(number), textContent: name })));
  pick.addEventListener("change", () => { state.case = cases[Number(pick.value)]; draw(true); });
  const sequence = choices("Sequence shown", (value) => { state.sequence = value; draw(); });
  const plane = choices("View", (value) => { state.plane = value; draw(); });
  const style = choices("Mask as", (value) => { state.outline = value === "outline"; paint(); });
  const seen = make("select", { id: "viewer-subset" });
  seen.addEventListener("change", () => { state.subset = seen.value; draw(); });
  const slice = make("input", { type: "range", min: "0", max: "1", step: "0.002", id: "viewer-slice" });
  slice.addEventListener("input", move);
  const opacity = make("input", { type: "range", min: "0.1", max: "1", step: "0.05", value: "0.5", id: "viewer-opacity" });
  opacity.addEventListener("input", () => paint());
  const field = (title, control) =>
    make("label", { className: "field" }, make("span", { textContent: title }), control);

  // NiiVue draws borders over the filling; an outline alone is a filling that nobody sees.
  const strength = () => (state.outline ? 0.01 : Number(opacity.value));
  function paint() {
    opacity.disabled = state.outline;
    for (const { viewer } of panes) {
      viewer.opts.atlasOutline = state.outline ? 1 : 0;
      if (viewer.volumes.length > 1) viewer.setOpacity(1, strength());
    }
    report(root.dataset.state);
  }

  function offer() {
    pick.value = String(cases.indexOf(state.case));
    sequence.fill(
      Object.entries(SEQUENCES).map(([value, text]) => ({ value, text, disabled: !state.case.images[value] })),
      state.sequence,
    );
    plane.fill([{ value: "axial", text: "axial" }, { value: "planes", text: "planes and 3-D" }], state.plane);
    style.fill([{ value: "filled", text: "filled" }, { value: "outline", text: "outline" }],
      state.outline ? "outline" : "filled");
    seen.replaceChildren(...subsets().map((text) => make("option", { value: text, textContent: text })));
    seen.value = state.subset;
    panes.forEach((pane, number) => pane.choice.fill(
      [
        { value: NONE, text: "no mask" }, { value: REFERENCE, text: "reference" },
        ...labels().map((label) => ({ value: label, text: label, disabled: !maskOf(label) })),
      ],
      state.masks[number],
    ));
  }

  function build() {
    const bar = make("div", { className: "bar" }, field("Case", pick), sequence.element);
    if (cases.some(({ masks }) => masks.length)) bar.append(field("Predicted from", seen));
    bar.append(plane.element, style.element, field("Opacity", opacity), field("Slice", slice));
    const place = make("div", { className: "panes" });
    for (const [number, side] of ["Left", "Right"].entries()) {
      const choice = choices(`${side} pane`, (value) => { state.masks[number] = value; draw(); });
      const canvas = make("canvas");
      const told = make("p", { className: "told" });
      told.setAttribute("aria-live", "polite");
      canvas.setAttribute("aria-label", `${side} pane: the scan with the mask chosen above`);
      place.append(make("div", { className: "pane" }, choice.element, make("div", { className: "screen" }, canvas), told));
      panes.push({ choice, canvas, told });
    }
    root.replaceChildren(bar, place);
  }

  async function open() {
    build();
    for (const pane of panes) {
      pane.viewer = new Niivue({
        logLevel: "silent", backColor: [0, 0, 0, 1], crosshairColor: [0.75, 0.75, 0.75, 1], crosshairWidth: 0.2, crosshairGap: 14,
        isRadiologicalConvention: true, dragAndDropEnabled: false, scrollRequiresFocus: true, fontMinPx: 11,
        onLocationChange: () => follow(),
      });
      await pane.viewer.attachToCanvas(pane.canvas, true);
    }
    const viewers = panes.map((pane) => pane.viewer);
    viewers[0].broadcastTo([viewers[1]], { "2d": true, "3d": true });
    viewers[1].broadcastTo([viewers[0]], { "2d": true, "3d": true });
    settle();
    // Next to the reference, the method that the page is about: the last, since baselines come first.
    state.masks[1] = labels().filter((label) => maskOf(label)).at(-1) ?? NONE;
    await draw(true);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-case]");
    const found = link && cases.find(({ name }) => name === link.dataset.case);
    if (!found) return;
    state.case = found;
    state.subset = link.dataset.subset;
    state.masks[1] = found.masks.find(({ run }) => run === link.dataset.run)?.label ?? NONE;
    draw(true);
  });

  open().catch(fail);
})();
