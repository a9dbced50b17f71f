/**
 * What an audit finds: each way in which decisions, tables and bridge can differ.
 * @module
 */
import t from 'tap';
import type { ForwardingEntry } from '../../../src/control/host/host.ts';
import { type AuditParts, auditNetwork } from '../../../src/control/networks/audit.ts';
import type { Best } from '../../../src/rib/entry.ts';

const [HERE, THERE, LOST] = [0x0242_0000_0001, 0x0242_0000_0002, 0x0242_0000_0003];
const [PEER, OTHER] = [0xac1e_0002, 0xac1e_0003];
const [DEVICE, BRIDGE, PORT] = [7, 8, 9];
const link = 'br-blue';

function best(source: Best['source'], peer: number, mac = 0): Best {
  return { source, peer, mac, owner: 'x', sequence: 0 };
}

function entry(mac: number, port: number, more: Partial<ForwardingEntry> = {}): ForwardingEntry {
  return { bridge: BRIDGE, port, mac, isOwn: false, isStatic: false, ...more };
}

/** All is well, but for what is given. */
function audit(more: Partial<AuditParts> = {}): string[] {
  const { drifts } = auditNetwork({
    macs: [
      { id: { link, kind: 'mac', mac: HERE }, best: best('local', 1) },
      { id: { link, kind: 'mac', mac: THERE }, best: best('gossip', PEER) },
    ],
    bindings: [
      { id: { link, kind: 'mac+ip', address: 0x0a010002 }, best: best('gossip', PEER, THERE) },
    ],
    place: (mac) => ({ host: mac === HERE ? 'here' : PEER, flags: 0, label: 0 }),
    binding: () => ({ mac: THERE, flags: 0 }),
    bridgeEntries: [entry(HERE, PORT), entry(THERE, DEVICE), entry(0x0200_0000_0009, BRIDGE)],
    ...{ answers: new Map(), told: new Map() },
    ...{ neighbours: [], device: DEVICE, bridge: BRIDGE, isStation: (mac) => mac === HERE },
    isFull: () => false,
    ...more,
  });
  return drifts.map(({ kind, text }) => `${kind}: ${text}`);
}

t.test('auditNetwork() names what differs, and nothing else', async (t) => {
  t.strictSame(audit(), []);
  t.match(audit({ place: () => undefined }), [
    /^table: 02:42:00:00:00:01 is here, the data path has it nowhere/,
    /^table: 02:42:00:00:00:02 is at 172\.30\.0\.2, the data path has it nowhere/,
  ]);
  t.match(
    audit({ place: (mac) => ({ host: mac === HERE ? 'here' : OTHER, flags: 0, label: 0 }) }),
    [/has it at 172\.30\.0\.3/],
  );
  t.match(audit({ place: (mac) => ({ host: mac === HERE ? 'here' : PEER, flags: 0, label: 7 }) }), [
    /is here, the data path/,
    /is at 172\.30\.0\.2, the data path has it at 172\.30\.0\.2 under VNI 7/,
  ]);
  t.match(audit({ binding: () => ({ mac: LOST, flags: 0 }) }), [
    /^table: 10\.1\.0\.2 is 02:42:00:00:00:02, the data path has it as 02:42:00:00:00:03/,
  ]);
  t.match(audit({ bridgeEntries: [entry(LOST, PORT)] }), [/^bridge: .* nobody knows it there/]);
  const refused = audit({ bridgeEntries: [entry(LOST, PORT)], isFull: (port) => port === PORT });
  t.strictSame(refused, [], 'one that was refused behind a full port is no difference');
  t.match(audit({ bridgeEntries: [entry(HERE, DEVICE)] }), [/^bridge: .* into the tunnel/]);
  t.strictSame(audit({ bridgeEntries: [entry(LOST, PORT, { isOwn: true })] }), []);
  const written = (mac: number) =>
    audit({ bridgeEntries: [entry(mac, DEVICE, { isStatic: true })] });
  t.match(written(HERE), [/^written: a static entry .* sends 02:42:00:00:00:01 into the tunnel/]);
  t.strictSame(written(THERE), [], 'another host has it');
  const address = 0x0a010002;
  t.match(audit({ neighbours: [{ address, mac: LOST }] }), [
    /^neighbour: 10\.1\.0\.2 is .*:02, and/,
  ]);
  t.strictSame(audit({ neighbours: [{ address, mac: THERE }] }), []);
});
