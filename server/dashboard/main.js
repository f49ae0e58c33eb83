// Starts the page: which view the address names, the theme, and whether the server is there.
import {Problem, connection} from './api.js';
import {forget} from './catalog.js';
import {el, replace} from './dom.js';
import * as state from './state.js';
import {problemBox} from './workbench.js';
import * as quote from './quote.js';

const VIEWS = [
    ['quote', 'Quote', 'job', () => quote],
    ['compare', 'Compare', 'job', () => import('./compare.js')],
    ['explore', 'Explore', 'job', () => import('./explore.js')],
    ['plan', 'Plan', 'plan', () => import('./plan.js')],
    ['serve', 'Serve', 'serve', () => import('./serve.js')],
    ['calibrations', 'Calibrations', 'calibrations', () => import('./calibrations.js')],
    ['validation', 'Validation', 'validation', () => import('./validation.js')],
];
const THEME = 'llmquote-theme';
const main = document.getElementById('view');
let shown = null; // {view, bench}
let turn = 0;

// Links lead to what their view was asked last.
function link([view, label, group]) {
    const made = el('a', {'data-view': view}, label);
    const aim = () => {
        made.href = state.address(view, state.last(group));
    };
    ['click', 'focus', 'pointerenter'].forEach((event) => made.addEventListener(event, aim));
    aim();
    return el('li', {}, made);
}

function mark(current) {
    document.querySelectorAll('#nav a').forEach((one) => {
        one.removeAttribute('aria-current');
        if (one.dataset.view === current) {
            one.setAttribute('aria-current', 'page');
            // On a phone the list is wider than the window.
            one.scrollIntoView({inline: 'nearest', block: 'nearest'});
        }
    });
}

function failed(problem, again) {
    if (!(problem instanceof Problem)) {
        replace(
            main,
            el('p', {class: 'problem', role: 'alert'}, 'This view could not be loaded. ',
               el('button', {type: 'button', onclick: () => location.reload()},
                  'Load the page again')));
        throw problem;
    }
    forget();
    replace(main, problemBox(problem, [], again));
}

// Shows what the address says; the view that is there already only takes the values over.
async function show() {
    const {view: wanted, values} = state.read();
    const [view, label, group, load] = VIEWS.find(([name]) => name === wanted) ?? VIEWS[0];
    if (shown?.view === view && shown.bench) {
        shown.bench.fill(values);
        return;
    }
    shown?.bench?.stop();
    turn += 1;
    const mine = turn;
    shown = {view, bench: null};
    document.title = `${label} · llmquote`;
    mark(view);
    const node = el('div', {class: `view ${view}`});
    replace(main, node);
    node.setAttribute('aria-busy', 'true');
    try {
        const bench = await (await load()).open({node, view, group, values});
        if (mine === turn) {
            shown.bench = bench;
        } else {
            bench.stop();
        }
    } catch (fault) {
        if (mine === turn) {
            shown = null;
            failed(fault, show);
        }
    } finally {
        node.removeAttribute('aria-busy');
    }
}

function connected() {
    const bar = document.getElementById('connection');
    connection.addEventListener('change', ({detail}) => {
        bar.hidden = !detail.lost;
        replace(bar, detail.lost ? `${detail.why} Trying again.` : '');
    });
}

function theme() {
    const select = document.getElementById('theme');
    const use = (name) => {
        document.documentElement.dataset.theme = name;
import('./chart.js').then(({recolour}) => recolour());
    };
    select.value = state.storage('localStorage')?.getItem(THEME) ?? 'auto';
    document.documentElement.dataset.theme = select.value;
    select.addEventListener('change', () => {
        state.storage('localStorage')?.setItem(THEME, select.value);
        use(select.value);
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => use(select.value));
}

document.getElementById('skip').addEventListener('click', (event) => {
    event.preventDefault(); // the address holds the state, not a place on the page
    main.focus();
});
addEventListener('hashchange', show);
replace(document.getElementById('nav'), VIEWS.map(link));
connected();
theme();
show();
