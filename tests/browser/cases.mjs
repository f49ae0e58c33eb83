// What must hold in a browser: views, quotes, faults beside their fields, addresses that can be
// shared.
import * as h from './harness.mjs';

export const VIEWS = ['quote', 'compare', 'explore', 'plan', 'serve', 'calibrations', 'validation'];
const JOB = {
    model: 'mixtral-8x7b',
    gpu: 'A40',
    method: {kind: 'qlora', rank: 16, targets: ['experts', 'router']},
    dataset: {lengths: {name: 'xia2024-math'}, queries: 15000, cutoff_tokens: 1024},
    epochs: 3
};

const numbersOf = (page) =>
    page.$$eval('data', (all) => all.map((node) => node.getAttribute('value')));
const faultOf = (page, name) => page.$eval(
    `[name="${name}"]`,
    (node) =>
        document.getElementById(node.getAttribute('aria-describedby').split(' ')[0]).textContent);

// Every number and every text with a digit in it that an answer holds.
function gather(value, numbers, texts) {
    if (typeof value === 'number') {
        numbers.add(String(value));
    } else if (typeof value === 'string') {
        texts.push(value);
    } else if (value !== null && typeof value === 'object') {
        Object.entries(value).forEach(([key, item]) => {
            texts.push(key, key.replaceAll('_', ' '));
            gather(item, numbers, texts);
        });
    }
}

// Texts of the answer outside of <data> that hold a digit.
const looseTexts = (page) => page.evaluate(() => {
    const found = [];
    const walker = document.createTreeWalker(document.querySelector('#view'), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        const skipped = node.parentElement.closest('data, pre, form, .uplot, option');
        if (!skipped && /\d/.test(node.textContent)) {
            found.push(node.textContent.trim());
        }
    }
    return found;
});

// Words of ours around what the API said, which hold digits themselves.
const OURS =
    ['90th percentile', '90 % interval covers', 'Within 15 % or one', 'batch', 'experts', 'GPUs'];

async function numbersAreTheApis(browser, server) {
    const page = await h.newPage(browser);
    for (const view of VIEWS) {
        await h.visit(page, server, `#${view}`);
        await page.$$eval('#view details', (all) => all.forEach((node) => {
            node.open = true;
        }));
        await page.waitForTimeout(50);
        const [numbers, texts] = [new Set(), [...OURS]];
        page.answers.forEach((answer) => gather(answer, numbers, texts));
        const shown = await numbersOf(page);
        h.claim(shown.length > 10, `${view} shows ${shown.length} numbers`);
        const made = shown.filter((value) => !numbers.has(value));
        h.same(made, [], `numbers of ${view} that the API did not return`);
        const spelled = [...new Set(texts)].sort((a, b) => b.length - a.length);
        const loose =
            (await looseTexts(page))
                .map((text) => {
                    let rest = text;
                    spelled.forEach((one) => {
                        rest = one.length > 1 && /\d/.test(one) ? rest.replaceAll(one, '') : rest;
                    });
                    return rest.replaceAll(/\d+/g, (digits) => (numbers.has(digits) ? '' : digits));
                })
                .filter((rest) => /\d/.test(rest));
        h.same(loose, [], `texts of ${view} with numbers of their own`);
    }
    await page.close();
}

async function viewsLoad(browser, server) {
    const page = await h.newPage(browser);
    for (const view of VIEWS) {
        await h.visit(page, server, `#${view}`);
        h.same(
            await page.$eval('[aria-current=page]', (node) => node.dataset.view), view,
            'the current view');
        h.same(await page.locator('.problem').count(), 0, `problems on ${view}`);
        h.claim(
            view === 'quote' || view === 'serve' || await page.locator('.uplot').count() > 0,
            `${view} has no chart`);
    }
    h.same(page.faults, [], 'console errors');
    await page.close();
}

async function quoteIsTheApis(browser, server) {
    const page = await h.newPage(browser);
    await h.visit(page, server, '');
    await h.set(page, 'epochs', '3');
    const {json} = await server.post('/v1/estimates', JOB);
    const shown = await page.$$eval(
        '.big data', (all) => all.map((node) => Number(node.getAttribute('value'))));
    h.same(
        shown,
        [
            json.cost[0].cost_usd, json.duration_s, json.throughput.queries_per_s,
            json.max_batch_size, json.batch_size, json.memory.total_bytes
        ],
        'the headline');
    h.same(
        await page.$eval('.evidence .badge', (node) => node.textContent), json.basis.kind,
        'the badge');
    await page.close();
}

async function badFieldsAreMarked(browser, server) {
    const page = await h.newPage(browser);
    await h.visit(page, server, '');
    const bad = {...JOB, epochs: 'many', gpu_count: 0};
    await h.set(page, 'epochs', 'many');
    await h.set(page, 'gpu_count', '0');
    const {status, json} = await server.post('/v1/estimates', bad);
    h.same(status, 400, 'the status');
    for (const {pointer, detail} of json.errors) {
        h.same(await faultOf(page, pointer.slice(1)), detail, `beside ${pointer}`);
    }
    h.same(
        await page.$$eval('[aria-invalid]', (all) => all.map((node) => node.name)),
        ['gpu_count', 'epochs'], 'marked fields');
    await h.set(page, 'epochs', '1');
    await h.set(page, 'gpu_count', '');
    h.same(await page.locator('[aria-invalid]').count(), 0, 'marks after mending');
    h.same(page.faults, [], 'console errors');
    await page.close();
}

async function pastedLengths(browser, server) {
    const page = await h.newPage(browser);
    await h.visit(page, server, '#quote?lengths=paste');
    for (const [text, lengths] of [
             ['p50 174\np90 271\nmax 1470', {quantiles: {p50: 174, p90: 271, max: 1470}}],
             ['128 10\n512 3', {histogram: [[128, 10], [512, 3]]}],
             ['100, 200, 300', {sample: [100, 200, 300]}],
             ['{"fixed_tokens": 300}', {fixed_tokens: 300}]]) {
        await h.set(page, 'pasted', '1');
        await h.set(page, 'pasted', text);
        const {json} = await server.post(
            '/v1/estimates', {...JOB, epochs: 10, dataset: {...JOB.dataset, lengths}});
        h.claim(
            (await numbersOf(page)).includes(String(json.duration_s)),
            `another duration for ${text}`);
    }
    await h.set(page, 'pasted', 'p50 900\nmax 10');
    h.claim((await faultOf(page, 'pasted')).length > 0, 'no fault beside falling quantiles');
    await page.close();
}

async function addressesRestore(browser, server) {
    const page = await h.newPage(browser);
    const other = await h.newPage(browser);
    for (const [view, name, value] of [
             ['quote', 'gpu', 'H100-SXM-80GB'], ['compare', 'budget_usd', '20'],
             ['explore', 'y', 'memory_bytes'], ['plan', 'experts', '1, 4, 16'],
             ['serve', 'gpu_count', '4']]) {
        await h.visit(page, server, `#${view}`);
        await h.set(page, name, value);
        await other.goto(page.url());
        await h.settled(other);
        h.same(await other.inputValue(`[name="${name}"]`), value, `${name} of ${view}`);
        h.same(await numbersOf(other), await numbersOf(page), `numbers of ${view}`);
        await other.goto('about:blank');
    }
    await h.visit(page, server, '#quote?gpu=H100-SXM-80GB');
    await page.click('[data-view=compare]');
    await page.waitForSelector('.view.compare .answer[data-round]');
    h.same(await page.inputValue('[name=gpus]'), '', 'what another view was not asked');
    await page.click('[data-view=explore]');
    await page.waitForSelector('.view.explore .answer[data-round]');
    h.same(await page.inputValue('[name=gpu]'), 'H100-SXM-80GB', 'the GPU of the same job');
    await page.goBack();
    await page.waitForSelector('.view.compare .answer[data-round]');
    await page.goBack();
    await page.waitForSelector('.view.quote .answer[data-round]');
    h.same(await page.inputValue('[name=gpu]'), 'H100-SXM-80GB', 'the GPU after going back');
    await page.close();
    await other.close();
}

async function slidersBound(browser, server) {
    const page = await h.newPage(browser);
    await h.visit(page, server, '#compare');
    const slider = page.locator('input[type=range]').first();
    await slider.focus();
    await page.keyboard.press('Home');
    await page.waitForFunction(
        () => document.querySelector('[name=budget_usd]').value !== '' &&
            !document.querySelector('[aria-busy]'));
    const budget = Number(await page.inputValue('[name=budget_usd]'));
    const costs = await page.$$eval(
        '.view table tbody tr td:nth-child(7) data',
        (all) => all.map((node) => Number(node.getAttribute('value'))));
    h.claim(
        costs.length > 0 && costs.every((cost) => cost <= budget), `costs ${costs} over ${budget}`);
    await page.close();
}

async function byKeyboard(browser, server) {
    const page = await h.newPage(browser);
    await h.visit(page, server, '');
    await page.keyboard.press('Tab');
    h.same(await page.evaluate(() => document.activeElement.className), 'skip', 'the first stop');
    await page.keyboard.press('Enter');
    h.same(await page.evaluate(() => document.activeElement.id), 'view', 'where the link leads');
    await page.keyboard.press('Tab');
    h.same(await page.evaluate(() => document.activeElement.name), 'model', 'the next stop');
    await page.focus('[data-view=plan]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.view.plan h2');
    h.same(
        await page.evaluate(() => document.activeElement.dataset.view), 'plan', 'the focus after');
    h.claim(
        /experts, .*Parameters/.test(await page.textContent('[role=status].sr')),
        'nothing is said of the new answer');
    await page.close();
}

async function copiesCurl(browser, server) {
    const page = await h.newPage(browser);
    await h.visit(page, server, '');
    await page.click('text=Copy as curl');
    const text = await page.textContent('.copies pre');
    const body = JSON.parse(/-d '(.*)'$/s.exec(text)[1]);
    h.same(
        (await server.post('/v1/estimates', body)).json.batch_size, 4,
        'the batch by the copied call');
    await page.close();
}

async function withoutCharts(browser, server) {
    const page = await h.newPage(browser);
    await page.route('**/uplot-*.js', (route) => route.abort());
    await h.visit(page, server, '#explore');
    await page.waitForSelector('.chart details[open] table');
    await page.close();
}

export async function all(report, browser, server) {
    const run = (name, work) => report.run(name, () => work(browser, server));
    await run('every_view_loads_without_console_errors', viewsLoad);
    await run('a_quote_is_what_the_api_answers', quoteIsTheApis);
    await run('every_number_is_one_that_the_api_returned', numbersAreTheApis);
    await run('bad_fields_show_the_apis_message', badFieldsAreMarked);
    await run('pasted_lengths_are_told_apart', pastedLengths);
    await run('an_address_restores_its_view', addressesRestore);
    await run('sliders_bound_cost_and_time', slidersBound);
    await run('the_keyboard_is_enough', byKeyboard);
    await run('a_copied_call_is_the_question', copiesCurl);
    await run('without_the_chart_library_tables_stay', withoutCharts);
}
