/**
 * `fanway web`: the page of this router, on its loopback address.
 * @module
 */
import { webCall } from '../../api/web.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { WEB_PORT_DEFAULT } from '../../control/web/page-server.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

export const web: Verb = {
  name: 'web',
  summary: 'a page with the hosts, links, entries and events of this router, live',
  details: [
    'The router serves the page on its loopback address only, and only until fanway web --off, its',
    'own end, or an hour in which nobody looked. Whoever has the whole address may look; nothing can',
    'be changed there.',
  ],
  usage: ['web [--port N] [--json]', 'web --off [--json]'],
  options: [
    ['--port N', `another port than ${WEB_PORT_DEFAULT}; 0 = any that is free`],
    ['--off', 'end it'],
    ['--json', 'print the address as JSON'],
  ],
  examples: [
    ['fanway web', 'prints the address to open; from afar: ssh -L 7980:127.0.0.1:7980 HOST'],
    ['fanway web --off', 'and it is gone'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '--port': 'value',
      '--off': 'switch',
      '--json': 'switch',
    });
    noMore(rest, web);
    const portText = flags.get('--port');
    const isOff = flags.has('--off');
    const isPort = /^[0-9]{1,5}$/.test(portText ?? '') && Number(portText) <= 65_535;
    if (portText !== undefined && (isOff || !isPort)) {
      throw usageError('usage', 'a port is a number: fanway web --port 8080; --off takes none');
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const port = portText === undefined ? null : Number(portText);
    const answer = await ask(run, webCall, { on: !isOff, port });
    if (flags.has('--json')) printJson(io, answer);
    else if (!isOff) io.out(`${answer.url}\n`);
    else io.out(answer.same ? 'there was none\n' : 'ended\n');
    return ExitCode.Ok;
  },
};
