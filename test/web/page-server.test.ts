import { createServer } from 'node:net';
import t from 'tap';
import { statusCall } from '../../src/api/status.ts';
import { PageServer } from '../../src/control/web/page-server.ts';
import { silentLog } from '../../src/log.ts';
import { until } from '../support/patience.ts';

const routes = () => [
  { method: 'GET' as const, path: statusCall.path, handle: async () => ({ here: true }) },
  { method: 'GET' as const, path: '/v1/secret', handle: async () => ({ secret: true }) },
];

async function ask(url: string, path: string): Promise<number> {
  const { origin, hash } = new URL(url);
  const headers = { authorization: `Bearer ${hash.slice(1)}` };
  return fetch(new URL(path, origin), { headers }).then(
    ({ status }) => status,
    () => 0,
  );
}

t.test('a page is there while somebody looks, and no longer', async (t) => {
  const pages = new PageServer({ routes, log: silentLog, idleMs: 600 });
  t.teardown(() => pages.set({ on: false, port: null }));
  const { url } = await pages.set({ on: true, port: 0 });
  t.equal(await ask(url, '/v1/status'), 200);
  t.equal(await ask(url, '/v1/secret'), 404, 'the page sees only what it needs');
  for (let look = 0; look < 6; look++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    t.equal(await ask(url, '/v1/status'), 200, 'each look keeps it');
  }
  await until('nobody looks, and it ends', 5000, async () => {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return (await ask(url, '/v1/status')) === 0;
  });
  const again = await pages.set({ on: true, port: 0 });
  t.not(new URL(again.url).hash, new URL(url).hash, 'another token each time');
  t.same(await pages.set({ on: false, port: null }), { url: '', same: false });
  t.same(await pages.set({ on: false, port: null }), { url: '', same: true });
});

t.test('a port that is taken is told, with what to do', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const pages = new PageServer({ routes, log: silentLog });
  await t.rejects(pages.set({ on: true, port }), { code: 'port-taken', message: /--port 0/ });
});
