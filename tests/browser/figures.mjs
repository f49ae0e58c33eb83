// How large and how fast the dashboard is, how it looks, and what axe-core says about it.
import fs from 'node:fs';
import path from 'node:path';
import * as h from './harness.mjs';
import {VIEWS} from './cases.mjs';

const ASSETS_MOST_BYTES = 250000;
// What is wished for is 300 and 50 ms; a machine that does much else at once is given more.
const FIRST_DRAW_MOST_MS = 3000;
const REFRESH_MOST_MS = 500;
const RUNS = process.argv.includes('--full') ? 15 : 5;
const THEMES = ['light', 'dark'];
const SIZES = {
    desktop: {width: 1360, height: 900},
    phone: {width: 390, height: 844}
};

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const most = (values) => Math.max(...values);
const told = (values) => `median ${middle(values).toFixed(1)} ms, slowest of ${values.length} ` +
    `${most(values).toFixed(1)} ms`;

// Everything that a visit of all views loads, but the API's answers.
async function assetBytes(report, browser, server) {
    const page = await h.newPage(browser);
    const wire = new Map();
    page.on('response', (response) => {
        const where = new URL(response.url()).pathname;
        if (!where.startsWith('/v1/') && response.status() === 200 && !wire.has(where)) {
            wire.set(where, Number(response.headers()['content-length']));
        }
    });
    for (const view of VIEWS) {
        await h.visit(page, server, `#${view}`);
    }
    const bytes = new Map(); // asked for once more: a browser forgets bodies that it is done with
    for (const where of wire.keys()) {
        const answer = await fetch(server.url + where);
        bytes.set(where, (await answer.arrayBuffer()).byteLength);
    }
    const sum = (map) => [...map.values()].reduce((total, value) => total + value, 0);
    report.note(`assets: ${bytes.size} files, ${sum(bytes)} bytes, ${sum(wire)} on the wire`);
    h.claim(bytes.size > 10 && sum(bytes) < ASSETS_MOST_BYTES, `${sum(bytes)} bytes of assets`);
    await page.close();
}

// From the start of the navigation until the first quote stands on the page, with nothing cached.
async function firstDraw(report, browser, server) {
    const taken = [];
    for (let run = 0; run < RUNS; run += 1) {
        const context = await browser.newContext();
        const page = await context.newPage();
        await page.addInitScript(() => {
            new MutationObserver((_, observer) => {
                if (document.querySelector('.answer .cards')) {
                    observer.disconnect();
                    requestAnimationFrame(() => {
                        window.drawnAt = performance.now();
                    });
                }
            }).observe(document, {childList: true, subtree: true});
        });
        await page.goto(server.url);
        await page.waitForFunction(() => window.drawnAt);
        taken.push(await page.evaluate(() => window.drawnAt));
        await context.close();
    }
    report.note(`first draw of a quote, nothing cached: ${told(taken)}`);
    h.claim(middle(taken) < FIRST_DRAW_MOST_MS, told(taken));
}

// From an input event until the frame after the new quote stands on the page.
async function refresh(report, browser, server) {
    const page = await h.newPage(browser);
    for (const [view, name] of [
             ['quote', 'epochs'], ['serve', 'max_concurrent_requests'], ['plan', 'served_tokens'],
             ['explore', 'epochs'], ['compare', 'epochs']]) {
        await h.visit(page, server, `#${view}`);
        const taken = [];
        for (let run = 0; run < 2 * RUNS; run += 1) {
            taken.push(await page.evaluate(
                ([field, text]) => new Promise((resolve) => {
                    const answer = document.querySelector('.answer');
                    const input = document.querySelector(`[name=${field}]`);
                    const begun = performance.now();
                    new MutationObserver((_, observer) => {
                        observer.disconnect();
                        requestAnimationFrame(() => resolve(performance.now() - begun));
                    }).observe(answer, {attributeFilter: ['data-round']});
                    input.value = text;
                    input.dispatchEvent(new Event('input', {bubbles: true}));
                }),
                [name, String(20 + run)]));
        }
        report.note(`${view} after a change: ${told(taken)}`);
        h.claim(middle(taken) < REFRESH_MOST_MS, told(taken));
    }
    await page.close();
}

// What axe-core finds serious or critical.
async function serious(page) {
    await page.evaluate(h.AXE); // by the debugger, which no policy of the page's holds back
    const {violations} = await page.evaluate(
        () => window.axe.run(
            document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}));
    return violations.filter(({impact}) => ['serious', 'critical'].includes(impact))
        .map(
            ({id, nodes}) => `${id}: ${
                nodes.slice(0, 3)
                    .map(({html, any}) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`)
                    .join(' | ')}`);
}

async function overflow(page) {
    return page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

// Each view in one theme at one size: axe-core, nothing wider than the window, and a picture.
async function look(browser, server, view, theme, size, folder) {
    const page = await h.newPage(browser, {colorScheme: theme, viewport: SIZES[size]});
    await h.visit(page, server, `#${view}`);
    await page.waitForTimeout(300); // charts draw once their library is there
    if (folder) {
        await page.screenshot(
            {path: path.join(folder, `${view}-${theme}-${size}.png`), fullPage: true});
    }
    const found = await serious(page);
    const over = await overflow(page);
    await page.close();
    h.same(found, [], `${view}, ${theme}, ${size}`);
    h.claim(over <= 0, `${view} is ${over} px wider than a ${size}'s window`);
}

export async function figures(report, browser, server) {
    await report.run('first_draw', () => firstDraw(report, browser, server));
    await report.run('assets_are_small', () => assetBytes(report, browser, server));
    await report.run('refresh', () => refresh(report, browser, server));
}

// All looks with pictures in `folder`; without one, a light desktop and a dark phone.
export async function looks(report, browser, server, folder) {
    if (folder) {
        fs.mkdirSync(folder, {recursive: true});
    }
    for (const theme of THEMES) {
        for (const size of Object.keys(SIZES)) {
            if (folder || (theme === 'light') === (size === 'desktop')) {
                await report.run(`nothing_serious_in_${theme}_on_a_${size}`, async () => {
                    for (const view of VIEWS) {
                        await look(browser, server, view, theme, size, folder);
                    }
                });
            }
        }
    }
}
