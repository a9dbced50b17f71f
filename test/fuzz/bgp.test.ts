import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { derivedExport, targetCommunity } from '../../src/bgp/base/targets.ts';
import { outgoingAttributes } from '../../src/bgp/rib/outgoing.ts';
import { Speaker } from '../../src/bgp/speaker.ts';
import { EntryService, entryText } from '../../src/control/entries/entry-service.ts';
import { OwnEntries } from '../../src/control/networks/local/own-entries.ts';
import { EntryTable } from '../../src/control/plane/entry-table.ts';
import { NetworkBgp } from '../../src/control/speakers/bgp/network-bgp.ts';
import { realTimers } from '../../src/control/speakers/bgp/timers.ts';
import { entryJson, routeJson } from '../../src/control/speakers/bgp/views.ts';
import type { NetworkSpec } from '../../src/control/store/link-spec.ts';
import { silentLog } from '../../src/log.ts';
import type { EntryId } from '../../src/rib/entry.ts';
import { AttributeCache } from '../../src/wire/bgp/attribute-cache.ts';
import { emitReach, emitUnreach } from '../../src/wire/bgp/emit-update.ts';
import { ESI_ZERO, type EvpnRoute } from '../../src/wire/bgp/evpn.ts';
import { SessionReset } from '../../src/wire/bgp/faults.ts';
import {
  emitMessage,
  MessageReader,
  parseNotification,
  parseRouteRefresh,
} from '../../src/wire/bgp/message.ts';
import { emitOpen, parseOpen } from '../../src/wire/bgp/open.ts';
import { parseUpdate, type Update } from '../../src/wire/bgp/update.ts';
import { neighbourSettings, network } from '../bgp/lab.ts';
import { until } from '../support/patience.ts';
import { BAD_OPENS, BAD_UPDATES } from '../vectors/bgp-malformed.ts';
import { fuzz } from './mutate.ts';

/** Mutations in all; CI takes ten million: FANWAY_BGP_FUZZ_RUNS. */
const RUNS = Number(process.env['FANWAY_BGP_FUZZ_RUNS']) || 60_000;
/** No run of ours takes longer; one that does has found a loop. */
const BUDGET_MS = Math.max(200_000, RUNS / 5);
t.setTimeout(3 * BUDGET_MS);
// Of an error only the class matters here, and a stack costs more than the parser.
Error.stackTraceLimit = 0;

const HERE = 0x0a00_00fe;
const NETWORK: NetworkSpec = {
  ...{ name: 'br-blue', network: 'blue', encap: 'vxlan', device: 'fwn-100', vni: 100, port: 4789 },
  ...{ underlay: { address: 0x0a000000, length: 8 }, local: HERE, mac: 2 },
  ...{ underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
  ...{ bum: 'replicate', serviceNodes: [], guard: 'learn', replicator: false },
};
const INTERNAL = { as4: true, internal: true };

/** What `read` returns, or undefined when it refuses with the one error that may leave it. */
function orReset<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof SessionReset) return undefined;
    throw error;
  }
}

/** What is announced can be written, and reads the same again. */
function isFaithful(update: Update, context: typeof INTERNAL): boolean {
  const { attributes, nextHop, reach, unreach } = update;
  if (unreach.length > 0) {
    const again = emitUnreach(unreach).flatMap((body) => parseUpdate(body, context).unreach);
    if (JSON.stringify(again) !== JSON.stringify(unreach)) return false;
  }
  if (nextHop === undefined || reach.length === 0) return true;
  const bodies = emitReach(attributes, nextHop, reach, context);
  const read = bodies.map((body) => parseUpdate(body, context));
  if (read.some(({ faults }) => faults.length > 0)) return false;
  const routes = read.flatMap((each) => each.reach);
  const written = JSON.stringify([read[0]?.attributes.asPath, read[0]?.nextHop, routes]);
  return written === JSON.stringify([attributes.asPath, nextHop, reach]);
}

/** A network with tables that a data process would read, and the speaker that fills them. */
function makeChain() {
  const table = new EntryTable();
  const entries = new EntryService({
    writer: {
      setEntry: () => undefined,
      deleteEntry: () => undefined,
      networks: () => table.networks,
    },
    log: silentLog,
    limits: { max: 100_000, ownerMax: 100_000 },
  });
  const here = new OwnEntries({
    best: (id) => entries.get(id),
    isHeld: (id) => entries.isHeld(id),
    isContested: (id) => entries.isContested(id),
    nowMs: () => 0,
    update: (updates) => entries.update('local', updates),
  });
  const bgp = new NetworkBgp({
    sink: entries,
    own: here,
    networks: () => [NETWORK],
    log: silentLog,
  });
  const neighbours = [neighbourSettings({ maxPrefixes: 1_000_000 })];
  const any = [0, new Uint8Array(16)].map((address) => ({ address, length: 0 }));
  const speaker = new Speaker({
    settings: {
      ...{ as: 65000, routerId: 1, vtep: HERE, restartSeconds: 0, staleSeconds: 60 },
      ...{ isRestarting: false, transit: false, vteps: any, neighbours },
    },
    timers: realTimers,
    ...{ random: () => 0, transport: { dial: () => () => undefined } },
    ...{ events: { log: () => undefined }, changed: (change) => bgp.changed(change) },
  });
  speaker.setNetworks([network(NETWORK.vni)]);
  table.networks.bind(NETWORK.name, 1);
  bgp.follow(speaker);
  const ribIn = speaker.neighbours[0]?.ribIn;
  if (ribIn === undefined) throw new Error('the speaker has its neighbour');
  /** Routes of our own. */
  const own = speaker.table.size;
  return {
    ...{ table, entries, ribIn, speaker },
    /** Everything in it can be printed and passed on; how many entries of the tables that were. */
    print(): number {
      let count = 0;
      for (const { path, isBest } of speaker.table.paths()) {
        JSON.stringify(routeJson(path, isBest, 1));
        outgoingAttributes(path, 'external', 65000);
      }
      for (const { entry, place } of speaker.imports.entries()) {
        JSON.stringify(entryJson(entry, place));
      }
      for (const { id, best } of entries.all()) {
        JSON.stringify([entryText(id), best]);
        count++;
      }
      return count;
    },
    /** What the neighbour told is all there, or all gone. */
    has: (routes: number): boolean => ribIn.size === routes && speaker.table.size === routes + own,
    close: () => {
      entries.close();
      table.close();
    },
  };
}
type Chain = ReturnType<typeof makeChain>;

/** One that moved too often is left where it is, whatever is told of it. */
const movesIn =
  ({ entries }: Chain) =>
  ({ id }: { id: EntryId }): boolean =>
    !entries.isHeld(id);

/** Sound UPDATEs of MACs and addresses, in {@link NETWORK}: mutations of them are half of what comes. */
const SOUND = [null, 0x0a64_0001, new Uint8Array(16).fill(0xfd)].map((ip, index): Uint8Array => {
  const rd = { type: 1, administrator: 9, assigned: 100 };
  const own = { rd, esi: ESI_ZERO, tag: 0, ip, label: NETWORK.vni, label2: null };
  const routes = [1, 2].map((mac): EvpnRoute => {
    return { type: 2, mac: 0x0200_0000_0000 + 16 * index + mac, ...own };
  });
  const extended = [targetCommunity(derivedExport(65000, NETWORK.vni))];
  const attributes = { origin: 0, asPath: [], localPref: 100, extended };
  return emitReach(attributes, 0x0a00_0001 + index, routes, INTERNAL)[0] ?? new Uint8Array(4);
});

const CONTEXTS = [INTERNAL, { as4: false, internal: false }].map((context) => {
  return { context, cache: new AttributeCache() };
});
const ROUTES_MAX = 200;
/** After so many the tables get their turn. */
const SLICE_RUNS = 5000;
const chain = makeChain();
t.teardown(() => chain.close());
let taken = 0;
/** Entries of the data path's tables that were printed. */
let printed = 0;

function walkUpdate(bytes: Uint8Array): boolean {
  for (const { context, cache } of CONTEXTS) {
    const update = orReset(() => parseUpdate(bytes, context, cache));
    if (update === undefined) continue;
    // Reading is what is tried here: of what passes, one in eight is also written and read again,
    // and read by somebody who has not seen its like before.
    if (taken % 8 === 0) {
      if (!isFaithful(update, context)) return false;
      if (JSON.stringify(parseUpdate(bytes, context)) !== JSON.stringify(update)) return false;
    }
    chain.ribIn.take(update);
    taken++;
  }
  const { ribIn, speaker } = chain;
  if (!chain.has(ribIn.size)) return false;
  if (ribIn.size <= ROUTES_MAX) return true;
  chain.print();
  ribIn.dropAll();
  return chain.has(0) && speaker.imports.size === 0;
}

/** What the speaker told is written in a turn of its own: then the tables are as it says, and can be told. */
async function showTables(): Promise<void> {
  await nextTurn();
  printed += chain.print();
}

function walkOpen(bytes: Uint8Array): boolean {
  const open = orReset(() => parseOpen(bytes));
  if (open === undefined) return true;
  const written = emitOpen(open);
  return Buffer.compare(emitOpen(parseOpen(written)), written) === 0;
}

/** A stream in pieces holds less than a message, whatever it says. */
function walkStream(bytes: Uint8Array): boolean {
  const reader = new MessageReader();
  orReset(() => {
    for (const piece of [bytes.subarray(0, 21), bytes.subarray(21)]) {
      for (const { type, body } of reader.push(piece)) {
        if (type === 3) parseNotification(body);
        if (type === 5) parseRouteRefresh(body);
      }
    }
  });
  return reader.pendingBytes < 4096;
}

const UPDATES = BAD_UPDATES.map(([, bytes]) => bytes);
const OPENS = BAD_OPENS.map(([, bytes]) => bytes);
const STREAMS = [
  emitMessage(1, OPENS[0] ?? new Uint8Array(10)),
  emitMessage(2, UPDATES[20] ?? new Uint8Array(4)),
  emitMessage(3, Uint8Array.of(6, 2)),
  emitMessage(4, new Uint8Array(0)),
  emitMessage(5, Uint8Array.of(0, 25, 0, 70)),
];

for (const [what, share, seeds, walk] of [
  ['an UPDATE, through RIB and tables to text', 0.7, [...SOUND, ...UPDATES], walkUpdate],
  ['an OPEN', 0.15, OPENS, walkOpen],
  ['a stream of messages', 0.15, STREAMS, walkStream],
] as const) {
  const runs = Math.floor(RUNS * share);
  t.test(`${what}: ${runs.toLocaleString('en')} mutations`, async (t) => {
    const first = Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0;
    let made = 0;
    for (let slice = 0; made < runs; slice++) {
      const report = fuzz(
        seeds,
        ({ buffer }, length) => walk(new Uint8Array(buffer as ArrayBuffer, 0, length)),
        { runs: Math.min(SLICE_RUNS, runs - made), budgetMs: BUDGET_MS, seed: first + slice },
      );
      made += report.runs;
      if (report.failure !== '') t.fail(report.failure);
      if (report.failure !== '' || report.runs === 0) break;
      if (walk === walkUpdate) await showTables();
    }
    t.equal(made, runs, 'all runs made');
    if (walk !== walkUpdate) return;
    t.ok(taken > runs / 20, `${taken} were taken into the table`);
    chain.ribIn.dropAll();
    const rest = (): boolean => [...chain.entries.all()].some(movesIn(chain));
    await until('the tables are empty', 5000, () => !rest());
    t.ok(printed > 0, `${printed} entries of the data path were printed`);
  });
}

const SLICES = 20;
t.test('what passes reaches the tables of the data path, and leaves them again', async (t) => {
  const one = makeChain();
  t.teardown(() => one.close());
  const { table, entries, ribIn, speaker } = one;
  const runs = Math.ceil(RUNS / 150 / SLICES);
  let most = 0;
  for (let slice = 0; slice < SLICES; slice++) {
    const seeds = slice % 2 === 0 ? SOUND : [...SOUND, ...UPDATES];
    const report = fuzz(
      seeds,
      ({ buffer }, length) => {
        const bytes = new Uint8Array(buffer as ArrayBuffer, 0, length);
        const update = orReset(() => parseUpdate(bytes, INTERNAL));
        if (update !== undefined) ribIn.take(update);
        return true;
      },
      { runs, budgetMs: BUDGET_MS },
    );
    t.equal(report.failure, '');
    // What the speaker told is written in turns of their own.
    const settle = (what: string, wanted: () => boolean) => until(what, 5000, wanted);
    const moves = movesIn(one);
    const macs = (): number => [...entries.entries(NETWORK.name, 'mac')].filter(moves).length;
    // Asked each time: it may come to be held by what is only now written.
    const here = (): unknown[] =>
      [...speaker.imports.entries(NETWORK.vni)].filter(
        ({ entry, place }) =>
          entry.kind === 'mac' &&
          typeof place.vtep === 'number' &&
          moves({ id: { link: NETWORK.name, kind: 'mac', mac: entry.mac } }),
      );
    await settle('all MACs', () => macs() === here().length);
    most = Math.max(most, macs());
    one.print();
    ribIn.dropAll();
    await settle('nothing', () => ![...entries.all()].some(moves));
    t.equal(table.networks.status(NETWORK.name).waiting, 0);
  }
  t.ok(most > 0, `${most} MACs at once`);
});
