// A view of two halves: a form, and what the API answers to it. Every change is asked at once, and
// what was still being asked is given up.
import {Problem, ask, useToken} from './api.js';
import {el, replace} from './dom.js';
import {Form} from './form.js';
import * as state from './state.js';

// Faults that no field could show, and a place for a token where one is asked for.
export function problemBox(problem, left, again) {
    const shown = left.length > 0 ? left :
        problem.errors.length > 0 ? [] :
                                    [{detail: problem.message}];
    const box = el(
        'section', {class: 'problem', role: 'alert'}, el('h3', {}, problem.title || 'No answer'),
        problem.errors.length > left.length ? el('p', {}, 'See the marked fields.') : null,
        shown.map(({pointer, detail}) => el('p', {}, pointer ? `${pointer}: ${detail}` : detail)));
    if (problem.status === 401) {
        const input = el('input', {type: 'password', autocomplete: 'off', 'aria-label': 'Token'});
        const use = () => {
            useToken(input.value.trim());
            again();
        };
        box.append(
            el('p', {}, 'This server answers with a token only. It is kept in this tab.'), input,
            el('button', {type: 'button', onclick: use}, 'Use this token'));
    }
    return box;
}

// Runs `work(signal)` and gives up the run before it; `fail` gets Problems, faults of ours go on.
export function latest(work, fail) {
    let running = null;
    run.stop = () => running?.abort();
    return run;
    async function run() {
        running?.abort();
        const controller = new AbortController();
        running = controller;
        try {
            await work(controller.signal);
        } catch (fault) {
            if (controller.signal.aborted) {
                return;
            }
            if (!(fault instanceof Problem)) {
                throw fault;
            }
            fail(fault, run);
        }
    }
}

// What a screen reader says of a new answer: its heading and its first two quantities.
function summary(answer) {
    const spoken = answer.querySelectorAll('h2, .card:not(.wide):nth-child(-n + 2) :is(h3, .big)');
    return [...spoken].map((node) => node.textContent).join(', ');
}

// Builds the view into `page.node`. `questions(values)` gives [[path, body], ...], asked side by
// side; `draw(node, answers, values, bodies)` fills the right half.
export function workbench(page, {fields, questions, draw}) {
    const answer = el('div', {class: 'answer'});
    const said = el('p', {class: 'sr', role: 'status'});
    const keys = fields.map(({key}) => key);
    let round = 0;
    const save = () => state.write(page.view, page.group, keys, form.values(), form.all());
    const refresh = latest(
        async (signal) => {
            const values = form.all();
            const asked = questions(values);
            answer.setAttribute('aria-busy', 'true');
            const answers =
                await Promise.all(asked.map(([path, body]) => ask(path, {body, signal})));
            form.tell([]);
            const {assumptions = {}} = answers[0];
            form.assume({...assumptions, ...assumptions.traffic});
            draw(answer, answers, values, asked.map(([, body]) => body));
            done();
        },
        (problem, again) => {
            const left = form.tell(problem.errors);
            replace(answer, problemBox(problem, left, again));
            done();
        });
    const done = () => {
        answer.removeAttribute('aria-busy');
        said.textContent = summary(answer);
        round += 1;
        answer.dataset.round = round;
    };
    const form = new Form(fields, () => {
        save();
        refresh();
    });
    form.fill(page.values);
    save();
    page.node.append(
        el('div', {class: 'workbench'},
           el('section', {class: 'ask', 'aria-label': 'Question'}, form.node), answer, said));
    refresh();
    return {
        form,
        fill: (values) => {
            form.fill(values);
            refresh();
        },
        stop: refresh.stop
    };
}
