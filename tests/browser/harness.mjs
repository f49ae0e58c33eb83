// What the browser's cases stand on: a server, a browser, pages whose faults are remembered, TAP.
import {spawn, spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {createRequire} from 'node:module';
import os from 'node:os';
import path from 'node:path';

const require = createRequire(path.join(process.env.LQ_NODE_MODULES, 'here.js'));
const {chromium} = require('playwright-core');
export const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const ARGUMENTS = [
    '--no-sandbox', '--headless', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'
];
export const PATIENCE_MS = 60000;

export function launch() {
    return chromium.launch(
        {executablePath: process.env.LQ_CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS});
}

// A server with a database of its own in a folder of its own.
export class Server {
    constructor(program, flags = []) {
        this.program = program;
        this.flags = flags;
        this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'llmquote-browser-'));
        this.db = path.join(this.folder, 'test.db');
        this.port = 0;
    }

    // Starts it; again on the port it had before.
    start() {
        const log = fs.openSync(path.join(this.folder, 'log'), 'a');
        this.process = spawn(
            this.program, ['--listen', `127.0.0.1:${this.port}`, '--db', this.db, ...this.flags],
            {stdio: ['ignore', 'pipe', log]});
        this.ended = new Promise((resolve) => {
            this.process.on('exit', resolve);
        });
        return new Promise((resolve, reject) => {
            this.process.on(
                'exit', (status) => reject(new Error(`the server has ended with ${status}`)));
            this.process.stdout.on('data', (text) => {
                const found = /listening on (https?:\/\/\S+:(\d+))/.exec(text);
                if (found) {
                    this.port = Number(found[2]);
                    this.url = found[1];
                    resolve(this);
                }
            });
        });
    }

    async stop() {
        this.process.kill('SIGTERM');
        await this.ended;
    }

    async close() {
        await this.stop();
        fs.rmSync(this.folder, {recursive: true});
    }

    token(...scopes) {
        const flags = scopes.flatMap((scope) => ['--scope', scope]);
        const made = spawnSync(
            this.program, ['token', 'create', '--name', 'browser', ...flags, '--db', this.db]);
        return made.stdout.toString().trim().split('\n').at(-1);
    }

    post(where, body) {
        return this.send('POST', where, body);
    }

    async send(method, where, body, headers = {}) {
        const response = await fetch(this.url + where, {
            method,
            body: JSON.stringify(body),
            headers: {'Content-Type': 'application/json', ...headers}
        });
        return {status: response.status, json: await response.json()};
    }
}

// A page that remembers what went wrong in it and what the API answered. `faults` are console
// errors but those of answers that the API refused, which browsers report too.
export async function newPage(browser, options = {}) {
    const page = await browser.newPage(options);
    page.setDefaultTimeout(PATIENCE_MS);
    page.faults = [];
    page.answers = [];
    page.on('console', (message) => {
        if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) {
            page.faults.push(message.text());
        }
    });
    page.on('pageerror', (error) => page.faults.push(String(error.stack)));
    // in the page: the browser itself forgets bodies that it is done with
    await page.exposeFunction('heard', (answer) => page.answers.push(answer));
    await page.addInitScript(() => {
        const plain = window.fetch;
        window.fetch = async (...asked) => {
            const response = await plain(...asked);
            if (response.url.includes('/v1/')) {
                await window.heard(await response.clone().json().catch(() => null));
            }
            return response;
        };
    });
    return page;
}

// Once the view is there and nothing is being asked.
export async function settled(page) {
    await page.waitForFunction(() => {
        const view = document.querySelector('#view .view');
        return view && view.children.length > 0 && !document.querySelector('[aria-busy]') &&
            document.querySelector('h2, .problem');
    });
}

export async function visit(page, server, address) {
    await page.goto('about:blank');
    await page.goto(`${server.url}/${address}`);
    await settled(page);
}

// Fills one field by its name and waits for the next answer.
export async function set(page, name, value) {
    const round = await page.$eval('.answer', (node) => node.dataset.round);
    const field = page.locator(`[name="${name}"]`);
    await (
        await field.evaluate((node) => node.tagName) === 'SELECT' ? field.selectOption(value) :
                                                                    field.fill(value));
    await page.waitForFunction(
        (before) => document.querySelector('.answer').dataset.round !== before &&
            !document.querySelector('[aria-busy]'),
        round);
}

export function claim(holds, what) {
    if (!holds) {
        throw new Error(what);
    }
}

export function same(got, want, what) {
    claim(
        JSON.stringify(got) === JSON.stringify(want),
        `${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

// Runs the cases of a file one by one and prints TAP; returns how many failed.
export class Report {
    number = 0;

    failed = 0;

    constructor(only) {
        this.only = only;
    }

    async run(name, work) {
        if (!this.only.test(name)) {
            return;
        }
        this.number += 1;
        try {
            await work();
            console.log(`ok ${this.number} - ${name}`);
        } catch (fault) {
            this.failed += 1;
            console.log(`not ok ${this.number} - ${name}`);
            console.log(String(fault.stack).replaceAll(/^/gm, '# '));
        }
    }

    note(text) {
        console.log(`# ${text}`);
    }
}
