// Questions to the API of the server that this page came from: failures as problems with pointers,
// a server that does not answer asked again until it does.

import {storage} from './state.js';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const TOKEN = 'llmquote-token';

// What the API answered in place of what was asked (RFC 9457).
export class Problem extends Error {
    constructor(status, document) {
        super(document.detail ?? document.title ?? `status ${status}`);
        this.status = status;
        this.title = document.title ?? '';
        this.errors = document.errors ?? [];
        this.type = (document.type ?? '').split(':').at(-1);
    }
}

// Listeners are told {lost: true, waitMs} when a server does not answer, and {lost: false} after.
export const connection = new EventTarget();
let isLost = false;

function tell(lost, waitMs, why) {
    if (lost || isLost) {
        isLost = lost;
        connection.dispatchEvent(new CustomEvent('change', {detail: {lost, waitMs, why}}));
    }
}

// A token for servers that answer nobody without one; kept while the tab lives, or the page.
let held = storage('sessionStorage')?.getItem(TOKEN) ?? '';
export function useToken(text) {
    held = text;
    storage('sessionStorage')?.setItem(TOKEN, text);
}

function sleep(ms, signal) {
    return new Promise((resolve, reject) => {
        const stop = () => {
            clearTimeout(timer);
            reject(signal.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener('abort', stop);
            resolve();
        }, ms);
        signal?.addEventListener('abort', stop, {once: true});
    });
}

function request(path, body, signal) {
    const headers = {Accept: 'application/json'};
    if (body !== undefined) {
        headers['Content-Type'] = 'application/json';
    }
    if (held) {
        headers.Authorization = `Bearer ${held}`;
    }
    return fetch(path, {
        method: body === undefined ? 'GET' : 'POST',
        headers,
        signal,
        body: body === undefined ? undefined : JSON.stringify(body)
    });
}

// One try: {answer} or {waitMs} after which to try again. Throws a Problem, or when aborted.
async function attempt(path, body, signal) {
    let response;
    let document;
    try {
        response = await request(path, body, signal);
        document = await response.json();
    } catch (fault) {
        if (signal?.aborted) {
            throw fault;
        }
        return {why: 'The server does not answer.'};
    }
    if (response.ok) {
        return {answer: document};
    }
    if (response.status === 429 || response.status === 503) {
        const waitMs = Number(response.headers.get('Retry-After') ?? 1) * 1000;
        return {waitMs, why: document.detail ?? 'The server is busy.'};
    }
    throw new Problem(response.status, document);
}

// The answer to GET path or, with a body, to POST path. Rejects with a Problem, or with the
// signal's reason once it is aborted; a server that is away is waited for.
export async function ask(path, {body, signal} = {}) {
    let waitMs = FIRST_WAIT_MS;
    for (;;) {
        const tried = await attempt(path, body, signal);
        if ('answer' in tried) {
            tell(false);
            return tried.answer;
        }
        const pauseMs = tried.waitMs ?? waitMs;
        tell(true, pauseMs, tried.why);
        await sleep(pauseMs, signal);
        waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    }
}

// All entries of a paged list, up to `most` pages; {entries, complete}.
export async function list(path, member, {signal, most = 20} = {}) {
    const entries = [];
    const start = `${path}${path.includes('?') ? '&' : '?'}limit=1000`;
    let cursor = null;
    for (let page = 0; page < most; page += 1) {
        const answer =
            await ask(cursor ? `${start}&cursor=${encodeURIComponent(cursor)}` : start, {signal});
        entries.push(...answer[member]);
        cursor = answer.next_cursor;
        if (!cursor) {
            return {entries, complete: true};
        }
    }
    return {entries, complete: false};
}
