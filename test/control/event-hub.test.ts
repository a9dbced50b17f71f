import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { RouterEvent } from '../../src/api/events.ts';
import { ADMIN_HOST, serveAdmin } from '../../src/control/admin/admin.ts';
import { followRouter } from '../../src/control/admin/follow.ts';
import { EVENT_CLIENTS_MAX, EventHub, QUEUED_BYTES_MAX } from '../../src/control/event-hub.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { silentLog } from '../../src/log.ts';
import { until } from '../support/patience.ts';

const folder = mkdtempSync(join(tmpdir(), 'fanway-events-'));
t.teardown(() => rmSync(folder, { recursive: true }));

t.test('events come as they happen; who reads slowly is told what it missed', async (t) => {
  const run = new RunDirectory(folder);
  run.create();
  const hub = new EventHub();
  const server = await serveAdmin(run.socket, [hub.route()], silentLog);
  t.teardown(() => server.close());
  hub.publish({ kind: 'link', name: 'nobody', state: 'up', reason: '' });
  const heard: RouterEvent[] = [];
  const ends: string[] = [];
  const follower = {
    event: (event: RouterEvent) => void heard.push(event),
    end: ({ message }: Error) => void ends.push(message),
  };
  const stop = followRouter(run, follower);
  await until('it listens', 5000, () => hub.clients === 1);
  hub.linksAre([{ name: 'fan-250', state: 'up', reason: '' }]);
  hub.linksAre([{ name: 'fan-250', state: 'up', reason: '' }]);
  hub.linksAre([]);
  const id = { link: 'fan-250', kind: 'prefix', address: 0xfa000107, length: 32 } as const;
  const best = { peer: 0x0a000001, owner: 'a', sequence: 0, mac: 0, source: 'gossip' } as const;
  hub.entriesChanged([{ id, before: undefined, after: best }]);
  await until('all of it', 5000, () => heard.length === 3);
  t.same(heard, [
    { kind: 'link', name: 'fan-250', state: 'up', reason: '' },
    { kind: 'link', name: 'fan-250', state: 'gone', reason: '' },
    {
      ...{ kind: 'entry', link: 'fan-250', entry: '250.0.1.7/32', host: '10.0.0.1' },
      ...{ source: 'gossip', owner: 'a' },
    },
  ]);
  stop();
  await until('it is gone', 5000, () => hub.clients === 0);

  const slow = connect(run.socket);
  t.teardown(() => slow.destroy());
  slow.pause();
  slow.write(`GET /v1/events HTTP/1.1\r\nhost: ${ADMIN_HOST}\r\n\r\n`);
  await until('the slow one listens', 5000, () => hub.clients === 1);
  const reason = 'x'.repeat(1000);
  const sent = (4 * QUEUED_BYTES_MAX) / 1000;
  for (let i = 0; i < sent; i++) hub.publish({ kind: 'link', name: 'a', state: 'up', reason });
  let text = '';
  slow.on('data', (chunk) => {
    text += chunk.toString();
  });
  slow.resume();
  await until('it is told what it missed', 5000, () => {
    hub.publish({ kind: 'link', name: 'late', state: 'up', reason: '' });
    return text.includes('"lost"');
  });
  const lost = Number(/"lost","count":(\d+)/.exec(text)?.[1]);
  const came = text.split('"name":"a"').length - 1;
  t.ok(lost > 0 && came > 0, `${came} came, ${lost} did not`);
  slow.destroy();
  await until('it is gone too', 5000, () => hub.clients === 0);

  const many = Array.from({ length: EVENT_CLIENTS_MAX }, () => followRouter(run, follower));
  await until('as many as may', 5000, () => hub.clients === EVENT_CLIENTS_MAX);
  followRouter(run, follower);
  await until('one more is refused', 5000, () => ends.length === 1);
  t.match(ends, [/programs listen for events already/]);
  for (const end of many) end();
});
