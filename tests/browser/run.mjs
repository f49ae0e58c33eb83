// Runs the cases in Debian's Chromium against the built server and prints TAP.
// usage: LQ_NODE_MODULES=DIR node run.mjs SERVER [--full FOLDER] [--only REGEX]
// Pictures go to FOLDER; without it only two of the four looks are tried.
import * as bad from './bad_cases.mjs';
import * as cases from './cases.mjs';
import {figures, looks} from './figures.mjs';
import {Report, Server, launch} from './harness.mjs';

import {parseArgs} from 'node:util';

const {positionals: [program], values} =
    parseArgs({allowPositionals: true, options: {full: {type: 'string'}, only: {type: 'string'}}});
const report = new Report(new RegExp(values.only ?? ''));
const server = await new Server(program).start();
const browser = await launch();
try {
    await figures(report, browser, server);
    await cases.all(report, browser, server);
    await looks(report, browser, server, values.full ?? null);
    await bad.all(report, browser, server, program);
} finally {
    await browser.close();
    await server.close();
}
console.log(`1..${report.number}`);
process.exit(report.failed > 0 ? 1 : 0);
