(() => {
'use strict';
const content = JSON.parse(document.getElementById('data').textContent);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
// Every label goes through `text`: it becomes a text node, whatever is in it.
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/* Data: columns to rows, once. */
const rowsOf = {};
function rows(name) {
  if (!rowsOf[name]) {
    const columns = content.datasets[name] || {};
    const names = Object.keys(columns);
    const read = names.map(key => columns[key].codes ? columns[key].codes.map(code => columns[key].labels[code]) : columns[key]);
    const length = names.length ? read[0].length : 0;
    rowsOf[name] = Array.from({length}, (_, i) => Object.fromEntries(names.map((key, j) => [key, read[j][i]])));
  }
  return rowsOf[name];
}

/* Tooltip: names and values as text. */
const tooltip = document.getElementById('tooltip');
function showTooltip(handler, event, item, value) {
  if (value === null || value === undefined || value === '') { tooltip.hidden = true; return; }
  const lines = Object.entries(value).map(([key, shown]) => make('div', {}, ...(key === 'name' ? [make('b', {}, String(shown))] : [`${key}: ${shown}`])));
  tooltip.replaceChildren(...lines);
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
  tooltip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18}px`;
}
addEventListener('scroll', () => { tooltip.hidden = true; }, {passive: true});

/* Plots. A signal that is set for a group holds for the plots of it that are made later, too. */
const views = new Map();
const signals = {};
const has = (view, name) => view.signalNames.has(name);

async function makePlot(element) {
  if (views.has(element) || !element.offsetParent) return;
  views.set(element, null);
  const {plot, rows: name, group, label} = element.dataset;
  const spec = structuredClone(content.plots[plot]);
  spec.description = label;
  const own = {...JSON.parse(element.dataset.signals), ...signals.everywhere, ...signals[group]};
  for (const signal of spec.signals) if (signal.name in own) signal.value = own[signal.name];
  if (plot !== 'map') spec.data.find(data => data.name === 'rows').values = rows(name);
  // Vega warns of plots without points, which is what they are when no run is chosen.
  const options = {mode: 'vega', logLevel: 1, ast: true, renderer: 'svg', actions: false, tooltip: showTooltip};
  const {view} = await vegaEmbed(element, spec, options);
  view.signalNames = new Set(spec.signals.map(signal => signal.name));
  views.set(element, view);
  if (element.classList.contains('curve')) followEpochs(element, view);
  return view;
}
const makePlots = async within => { for (const element of all('.plot', within)) await makePlot(element); };

function setSignal(group, name, value) {
  (signals[group] ||= {})[name] = value;
  for (const [element, view] of views) {
    if (view && (group === 'everywhere' || element.dataset.group === group) && has(view, name)) view.signal(name, value).runAsync();
  }
}
for (const control of all('[data-signal]')) {
  const read = () => control.type === 'checkbox' ? control.checked : control.value;
  control.addEventListener('change', () => setSignal(control.dataset.group, control.dataset.signal, read()));
}

/* Curves: the epoch under the pointer, in all of them at once. */
const percent = new Set(['hits_at_1', 'hits_at_3', 'hits_at_10', 'virtual_share']);
const shownNumber = (metric, value) => percent.has(metric) ? `${(100 * value).toFixed(1)} %` : Number(value.toPrecision(4)).toLocaleString('en', {maximumSignificantDigits: 4});
const curves = () => [...views].filter(([element, view]) => view && element.classList.contains('curve'));

function nearestEpoch(element, epoch) {
  const epochs = rows(element.dataset.rows).map(row => row.epoch);
  return epochs.reduce((best, other) => Math.abs(other - epoch) < Math.abs(best - epoch) ? other : best, epochs[0]);
}
function pointAt(epoch) {
  for (const [element, view] of curves()) {
    const near = epoch === null ? -1 : nearestEpoch(element, epoch);
    if (view.near === near) continue;
    view.near = near;
    view.signal('near', near).runAsync();
    const readout = element.parentElement.querySelector('.readout');
    if (!readout) continue;
    const metric = view.signal('metric'), shown = view.signal('shown');
    const there = rows(element.dataset.rows).filter(row => row.epoch === near && shown.includes(row.number) && row[metric] !== null);
    const several = all('.shown').length > 1;
    readout.replaceChildren(...(there.length ? [make('span', {}, `epoch ${near.toLocaleString('en')}`)] : []), ...there.map(row => make('span', {}, several ? `${row.run} ` : '', make('b', {}, shownNumber(metric, row[metric])))));
  }
}
function followEpochs(element, view) {
  element.tabIndex = 0;
  element.setAttribute('role', 'group');
  element.setAttribute('aria-label', `${element.dataset.label}; the arrow keys read its values`);
  const at = event => view.scale('x').invert(event.clientX - element.getBoundingClientRect().left - view.origin()[0]);
  for (const kind of ['pointermove', 'pointerdown']) element.addEventListener(kind, event => pointAt(at(event)));
  element.addEventListener('pointerleave', () => pointAt(null));
  element.addEventListener('blur', () => pointAt(null));
  element.addEventListener('keydown', event => {
    const step = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity}[event.key];
    if (!step) return;
    event.preventDefault();
    const epochs = [...new Set(rows(element.dataset.rows).map(row => row.epoch))].sort((a, b) => a - b);
    const place = view.near >= 0 ? epochs.indexOf(view.near) + step : step > 0 ? 0 : epochs.length - 1;
    pointAt(epochs[Math.max(0, Math.min(epochs.length - 1, place))]);
  });
}

/* Runs: which are in the plots, and which one the sections of one run show. */
const shownRuns = all('.shown');
for (const box of shownRuns) {
  box.addEventListener('change', () => setSignal('everywhere', 'shown', shownRuns.filter(other => other.checked).map(other => Number(other.value))));
}
function showRun(run) {
  for (const select of all('.run-choice')) select.value = run;
  for (const element of all('.of-run')) element.hidden = element.dataset.run !== String(run);
  return Promise.all(all('.of-run').filter(element => !element.hidden).map(element => element.classList.contains('map') ? makeMap(element) : makePlots(element)));
}
for (const select of all('.run-choice')) select.addEventListener('change', () => showRun(select.value));

function showGraph(graph) {
  for (const select of all('.graph-choice')) select.value = graph;
  for (const element of all('.of-graph')) element.hidden = element.dataset.graph !== String(graph);
  setSignal('everywhere', 'graph', Number(graph));
}
for (const select of all('.graph-choice')) select.addEventListener('change', () => showGraph(select.value));

function showPart(part) {
  for (const element of all('.part')) element.hidden = element.dataset.part !== String(part);
}
for (const select of all('.part-choice')) select.addEventListener('change', () => showPart(select.value));

function showExamples() {
  const kind = document.querySelector('.example-kind:checked').value;
  for (const element of all('.cards')) element.hidden = element.dataset.kind !== kind;
}
for (const radio of all('.example-kind')) radio.addEventListener('change', showExamples);

/* Pictures stand once in the data. */
for (const image of all('[data-picture]')) image.src = content.pictures[image.dataset.picture];

/* The map of a run: one plot a modality, and the same entity marked in all of them. */
async function makeMap(box) {
  if (box.made) return;
  box.made = true;
  const map = content.maps[box.dataset.run];
  const plots = all('.plot', box), modalities = Object.keys(map.places);
  const colour = box.querySelector('.colouring'), legend = box.querySelector('.classes'), panel = box.querySelector('.entity');
  const pictures = box.querySelector('.pictures'), find = box.querySelector('.find'), options = box.querySelector('datalist');
  colour.append(...map.colourings.map((colouring, i) => make('option', {value: i}, colouring.title)));
  options.append(...map.labels.map(label => make('option', {value: label})));
  const state = {hovered: -1, picked: -1};

  const placesOf = i => map.places[modalities[i]];
  // Pictures that would lie on one another are points.
  function withPictures(i, view) {
    const [x, y] = placesOf(i), chosen = [], apart = (19 / view.width()) ** 2;
    if (!pictures?.checked) return new Set();
    x.forEach((_, entity) => {
      const free = x[entity] !== null && map.pictures[entity] !== null && chosen.every(other => (x[other] - x[entity]) ** 2 + (y[other] - y[entity]) ** 2 > apart);
      if (free) chosen.push(entity);
    });
    return new Set(chosen);
  }
  function points(i, view) {
    const [x, y] = placesOf(i), {classes, css} = map.colourings[colour.value || 0], pictured = withPictures(i, view);
    return x.flatMap((_, entity) => x[entity] === null ? [] : [{entity, x: x[entity], y: y[entity], class: css[classes[entity]], picture: pictured.has(entity) ? content.pictures[map.pictures[entity]] : null}]);
  }
  function recolour() {
    const {labels, css, counts} = map.colourings[colour.value || 0];
    legend.replaceChildren(...labels.map((label, i) => {
      const dot = make('span', {className: 'swatch'});
      dot.style.background = `var(--${css[i]})`;
      return make('li', {}, dot, label, make('small', {}, ` ${counts[i]}`));
    }));
    return Promise.all(plots.map((element, i) => {
      const view = views.get(element);
      return view && view.data('rows', points(i, view)).runAsync();
    }));
  }
  function describe(entity) {
    if (entity < 0) { panel.replaceChildren(make('p', {className: 'hint'}, 'No entity is chosen.')); return; }
    const {title, labels, classes} = map.colourings[colour.value || 0];
    const lacking = modalities.filter(modality => map.places[modality][0][entity] === null);
    const lines = [`${title}: ${labels[classes[entity]]}`, `train triples: ${map.degree[entity].toLocaleString('en')}`, ...map.facts[entity]];
    if (lacking.length) lines.push(`without ${lacking.join(', ')}`);
    const words = make('div', {}, make('h4', {}, map.labels[entity]), ...(map.descriptions[entity] ? [make('p', {}, map.descriptions[entity])] : []), make('ul', {}, ...lines.map(line => make('li', {}, line))));
    const picture = map.pictures[entity] === null ? [] : [make('img', {src: content.pictures[map.pictures[entity]], alt: ''})];
    panel.replaceChildren(...picture, words);
  }
  function mark(change) {
    const before = state.hovered + ' ' + state.picked;
    Object.assign(state, change);
    if (before === state.hovered + ' ' + state.picked) return;
    for (const element of plots) {
      const view = views.get(element);
      if (view) view.signal('hovered', state.hovered).signal('picked', state.picked).runAsync();
    }
    describe(state.hovered >= 0 ? state.hovered : state.picked);
  }
  function nearest(i, view, element, event) {
    const frame = element.getBoundingClientRect(), [left, top] = view.origin();
    const px = event.clientX - frame.left - left, py = event.clientY - frame.top - top;
    const toX = view.scale('x'), toY = view.scale('y'), [x, y] = placesOf(i);
    let best = -1, least = 24 ** 2;
    x.forEach((_, entity) => {
      if (x[entity] === null) return;
      const distance = (toX(x[entity]) - px) ** 2 + (toY(y[entity]) - py) ** 2;
      if (distance < least) { best = entity; least = distance; }
    });
    return best;
  }

  for (const element of plots) await makePlot(element);
  plots.forEach((element, i) => {
    const view = views.get(element);
    if (!view) return;
    element.addEventListener('pointermove', event => mark({hovered: nearest(i, view, element, event)}));
    element.addEventListener('pointerleave', () => mark({hovered: -1}));
    element.addEventListener('click', event => {
      const entity = nearest(i, view, element, event);
      mark({picked: entity === state.picked ? -1 : entity, hovered: -1});
    });
  });
  colour.addEventListener('change', () => { recolour(); describe(state.picked); });
  pictures?.addEventListener('change', recolour);
  find.addEventListener('input', () => {
    const wanted = find.value.trim().toLowerCase();
    const exact = map.labels.findIndex(label => label.toLowerCase() === wanted);
    mark({picked: wanted === '' ? -1 : exact >= 0 ? exact : map.labels.findIndex(label => label.toLowerCase().startsWith(wanted)), hovered: -1});
  });
  await recolour();
}

/* Light and dark: as the system has it, until the button is used. */
const system = matchMedia('(prefers-color-scheme: dark)'), button = document.getElementById('theme');
function setTheme(dark) {
  document.documentElement.classList.toggle('dark', dark);
  button.setAttribute('aria-pressed', String(dark));
  button.textContent = dark ? 'Light' : 'Dark';
}
setTheme(system.matches);
system.addEventListener('change', event => setTheme(event.matches));
button.addEventListener('click', () => setTheme(!document.documentElement.classList.contains('dark')));

/* A plot that stands in something closed is made when that is opened. */
for (const details of all('details')) details.addEventListener('toggle', () => makePlots(details));

(async () => {
  showPart(0);
  showGraph(0);
  showExamples();
  for (const element of all('.of-run')) element.hidden = element.dataset.run !== '0';
  await makePlots(document.body);
  await showRun(0);
  document.documentElement.dataset.ready = 'yes';
})();
})();
