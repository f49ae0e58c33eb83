// Bad input and bad luck in a browser: markup in names, scripts in addresses, ids that are gone, a
// server that goes away, an empty database, a server that wants a token.
import * as h from './harness.mjs';

const MARKUP = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>';
const PRICES = {
    price_date: '2026-09-15',
    source: 'contract',
    prices: [{gpu: 'A40', usd_per_gpu_hour: 0.32, instance_type: MARKUP, region: MARKUP}]
};

async function nothingRan(page) {
    h.same(await page.evaluate(() => window.ran), undefined, 'a script has run');
    h.same(await page.locator('main script, main img').count(), 0, 'elements out of texts');
}

async function markupIsText(browser, server) {
    const stored = await server.send(
        'PUT', '/v1/prices/own', PRICES,
        {Authorization: `Bearer ${server.token('catalog:write')}`});
    h.same(stored.status, 201, JSON.stringify(stored.json));
    const page = await h.newPage(browser);
    for (const [address, selector] of [
             ['#quote?providers=own', '.scroll td'],
             ['#compare?providers=own&gpus=A40', '.scroll td']]) {
        await h.visit(page, server, address);
        const texts = await page.$$eval(selector, (all) => all.map((node) => node.textContent));
        h.claim(texts.includes(MARKUP), `${address} does not show the name as text`);
        await nothingRan(page);
    }
    await page.close();
}

async function addressesRunNothing(browser, server) {
    const page = await h.newPage(browser);
    const script = encodeURIComponent(MARKUP);
    await h.visit(
        page, server,
        `?next=${script}&view=javascript:window.ran=1#quote?model=${script}&gpu=${script}`);
    await nothingRan(page);
    h.claim(
        (await page.textContent('form')).includes('<img'), 'the API\'s message has no name in it');
    await h.visit(page, server, `#${script}`);
    await nothingRan(page);
    for (const view
             of ['calibrations?fit=', 'validation?set=', 'compare?model=', 'explore?x=',
                 'plan?law=', 'serve?stack=']) {
        await h.visit(page, server, `#${view}${script}`);
        await nothingRan(page);
    }
    const refused = await page.evaluate(
        () => new Promise((resolve) => {
            document.addEventListener(
                'securitypolicyviolation', (event) => resolve(event.violatedDirective));
            document.body.append(
                Object.assign(document.createElement('script'), {textContent: 'window.ran=1'}));
        }));
    h.same(refused, 'script-src-elem', 'what the policy refuses');
    await nothingRan(page);
    await page.close();
}

async function staleIdsAreNamed(browser, server) {
    const page = await h.newPage(browser);
    for (const [view, name] of [
             ['quote', 'model'], ['quote', 'gpu'], ['compare', 'model'], ['explore', 'model'],
             ['serve', 'gpu'], ['plan', 'law'], ['quote', 'lengths']]) {
        await h.visit(page, server, `#${view}?${name}=gone-with-the-wind`);
        const told = await page.$eval(
            `[name="${name}"]`,
            (node) => document.getElementById(node.getAttribute('aria-describedby').split(' ')[0])
                          .textContent);
        h.claim(told.includes('gone-with-the-wind'), `beside ${name} of ${view}: ${told}`);
        h.same(await page.inputValue(`[name="${name}"]`), 'gone-with-the-wind', 'the value');
    }
    await h.visit(page, server, '#calibrations?fit=gone-with-the-wind');
    h.claim((await page.textContent('.problem')).length > 0, 'nothing is said of the fit');
    await page.close();
}

async function lostServersAreWaitedFor(browser, program) {
    const server = await new h.Server(program).start();
    const page = await h.newPage(browser);
    await h.visit(page, server, '');
    await server.stop();
    const round = await page.$eval('.answer', (node) => node.dataset.round);
    await page.fill('[name=epochs]', '2');
    await page.waitForSelector('#connection:not([hidden])');
    h.claim(
        (await page.textContent('#connection')).includes('Trying again'),
        'that it is tried again is not said');
    await server.start();
    await page.waitForFunction(
        (before) => document.querySelector('.answer').dataset.round !== before, round);
    await page.waitForSelector('#connection', {state: 'hidden'});
    h.same(await page.locator('.problem').count(), 0, 'problems once it is back');
    await page.close();
    await server.close();
}

async function emptyDatabases(browser, server) {
    const page = await h.newPage(browser);
    const lists = ['models', 'gpus', 'providers', 'datasets', 'stacks', 'calibrations', 'fits'];
    for (const name of lists) {
        await page.route(
            `**/v1/${name}?*`,
            (route) => route.fulfill({json: {[name]: [], next_cursor: null, pending_points: 0}}));
    }
    await page.route(
        '**/v1/scaling-laws?*',
        (route) => route.fulfill({json: {scaling_laws: [], next_cursor: null}}));
    await page.route('**/v1/validation', (route) => route.fulfill({
        json: {
            throughput: [],
            max_batch: [],
            serving: [],
            grades: [],
            outcomes: [],
            pending_points: 0
        }
    }));
    for (const view
             of ['quote', 'compare', 'explore', 'plan', 'serve', 'calibrations', 'validation']) {
        await h.visit(page, server, `#${view}`);
    }
    await h.visit(page, server, '#calibrations');
    h.claim(
        (await page.textContent('main')).includes('Nothing has been measured yet'),
        'emptiness is not said');
    await h.visit(page, server, '#quote');
    h.claim(
        (await page.textContent('main')).includes('catalog has no models'),
        'emptiness is not said');
    h.same(page.faults, [], 'console errors');
    await page.close();
}

async function tokensAreAskedFor(browser, program) {
    const server = await new h.Server(program, ['--reads', 'token']).start();
    const page = await h.newPage(browser);
    await page.goto(server.url);
    await page.fill('.problem input[type=password]', server.token('read'));
    await page.click('.problem button');
    await page.waitForSelector('.answer .cards');
    await page.close();
    await server.close();
}

export async function all(report, browser, server, program) {
    const run = (name, work, what) => report.run(name, () => work(browser, what));
    await run('markup_in_names_is_shown_as_text', markupIsText, server);
    await run('scripts_in_addresses_do_not_run', addressesRunNothing, server);
    await run('ids_that_are_gone_are_named_beside_their_field', staleIdsAreNamed, server);
    await run('a_server_that_goes_away_is_waited_for', lostServersAreWaitedFor, program);
    await run('an_empty_database_is_said', emptyDatabases, server);
    await run('a_server_that_wants_a_token_gets_one', tokensAreAskedFor, program);
}
