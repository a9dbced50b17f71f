import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { Lab, type LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { neighbourSettings } from '../../bgp/lab.ts';
import { skipWithoutNamespaces } from '../../netns/privileges.ts';
import { skipLong } from '../../support/long.ts';
import { Gobgp, whyNoFrr, whyNoGobgp } from './routers.ts';
import { client, fill, frrRoutes, gobgpRoutes, reflected, startFrr } from './scale.ts';
import { startSpeaker } from './speaker.ts';

const skip = skipWithoutNamespaces() || whyNoGobgp() || whyNoFrr() || skipLong;
t.setTimeout(900_000);

/** GoBGP 3.10 looks at all it has for each type 2 that comes: more than this takes it minutes. */
const GOBGP_ROUTES_MAX = 3000;
const ROUTES = Number(process.env['FANWAY_BGP_SCALE']) || 50_000;

/** Resident memory of a process, MB. */
function residentMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024);
}

function runReceiver(
  host: LabHost,
  reflector: string,
  routes: number,
): Promise<Record<string, number>> {
  const program = fileURLToPath(new URL('./receiver-main.js', import.meta.url));
  const args = ['--expose-gc', program, formatIpv4(host.address), reflector, String(routes)];
  const child = host.spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (chunk) => {
      child.kill('SIGKILL');
      resolve(JSON.parse(String(chunk)) as Record<string, number>);
    });
    child.once('exit', (code) => reject(new Error(`the receiver ended with ${code}`)));
  });
}

async function startSource(t: Test, host: LabHost, reflector: string, routes: number) {
  const neighbours = [neighbourSettings({ address: reflector, connectRetrySeconds: 1 })];
  const source = await startSpeaker(host, { neighbours });
  t.teardown(() => source.close());
  for (let mac = 1; mac <= routes; mac++) {
    const route = { kind: 'mac', vni: 100, mac: 0x0200_0000_0000 + mac, ip: null } as const;
    source.speaker.announce({ ...route, sequence: 0, sticky: false, gateway: false });
  }
}

t.test(`${ROUTES} type 2 routes from FRR, beside FRR`, { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 4, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const text = (index: number): string => formatIpv4(lab.host(index).address);
  const source = await startFrr(lab.host(1), [text(0), text(2), text(3)], true);
  t.teardown(() => source.close());
  await startSource(t, lab.host(0), text(1), ROUTES);
  const tookMs = await fill(ROUTES, () => frrRoutes(source, text(0)));
  t.comment(`FRR takes them from fanway in ${tookMs} ms`);
  const fanway = await runReceiver(lab.host(2), text(1), ROUTES);
  const second = await startFrr(lab.host(3), [text(1)], false);
  t.teardown(() => second.close());
  const frrTookMs = await fill(ROUTES, () => frrRoutes(second, text(1)));
  t.comment(`fanway ${JSON.stringify(fanway)}`);
  t.comment(`FRR {"tookMs":${frrTookMs},"rssMb":${residentMb(second.pid)}}`);
  t.equal(fanway['routes'], ROUTES);
});

const FEW = Math.min(ROUTES, GOBGP_ROUTES_MAX);
t.test(`${FEW} type 2 routes from GoBGP, beside GoBGP`, { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 4, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const text = (index: number): string => formatIpv4(lab.host(index).address);
  const clients = [0, 2, 3].map((index) => client(text(index), reflected(text(1))));
  const global = (index: number) => `[global.config]\nas = 65000\nrouter-id = "${text(index)}"\n`;
  const source = await Gobgp.start(lab.host(1), global(1) + clients.join(''));
  await startSource(t, lab.host(0), text(1), FEW);
  t.comment(`GoBGP takes them from fanway in ${await fill(FEW, () => gobgpRoutes(source))} ms`);
  const fanway = await runReceiver(lab.host(2), text(1), FEW);
  const second = await Gobgp.start(lab.host(3), global(3) + client(text(1)));
  const tookMs = await fill(FEW, () => gobgpRoutes(second));
  t.comment(`fanway ${JSON.stringify(fanway)}`);
  t.comment(`GoBGP {"tookMs":${tookMs},"rssMb":${residentMb(second.pid)}}`);
  t.equal(fanway['routes'], FEW);
});
