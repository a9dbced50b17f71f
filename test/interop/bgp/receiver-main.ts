/**
 * A fanway speaker that takes routes and says when it has as many as it was told to wait for, how
 * long that took since the first, and what memory it has then: one line of JSON.
 * Arguments: own address, neighbour's address, number of entries.
 * @module
 */
import { Speaker } from '../../../src/bgp/speaker.ts';
import { realTimers } from '../../../src/control/speakers/bgp/timers.ts';
import { BgpTransport } from '../../../src/control/speakers/bgp/transport.ts';
import { silentLog } from '../../../src/log.ts';
import { parseIpv4 } from '../../../src/net/ipv4.ts';
import { neighbourSettings, network } from '../../bgp/lab.ts';

const [own = '', address = '', entries = '0'] = process.argv.slice(2);
const local = parseIpv4(own);
const wanted = Number(entries);
const neighbours = [neighbourSettings({ address, maxPrefixes: 1_000_000, connectRetrySeconds: 1 })];
const transport = new BgpTransport({
  ...{ bind: local, port: 179, neighbours, log: silentLog },
  accept: (from, connection) => speaker.accept(from, connection),
});
let firstMs = 0;
let changes = 0;
const speaker = new Speaker({
  settings: {
    ...{ as: 65000, routerId: local, vtep: local, restartSeconds: 0, staleSeconds: 60 },
    ...{ isRestarting: false, transit: false, vteps: [{ address: 0, length: 0 }], neighbours },
  },
  ...{ transport, timers: realTimers, random: Math.random, events: { log: () => undefined } },
  changed: () => {
    changes++;
    if (firstMs === 0) firstMs = performance.now();
    if (changes !== wanted) return;
    const tookMs = Math.round(performance.now() - firstMs);
    const { user, system } = process.cpuUsage();
    const cpuMs = Math.round((user + system) / 1000);
    // What is garbage now would be taken when somebody needs it.
    globalThis.gc?.();
    const { rss, heapUsed } = process.memoryUsage();
    const rssMb = Math.round(rss / 2 ** 20);
    const heapMb = Math.round(heapUsed / 2 ** 20);
    process.stdout.write(
      `${JSON.stringify({ tookMs, cpuMs, rssMb, heapMb, routes: speaker.table.size })}\n`,
    );
  },
});
speaker.setNetworks([network(100)]);
await transport.listen();
speaker.start();
