/**
 * A fanway speaker with real sockets in a lab host's namespace.
 * @module
 */
import type { NeighbourSettings, SpeakerSettings } from '../../../src/bgp/base/api.ts';
import type { EntryChange, ImportedEntry, ImportedPlace } from '../../../src/bgp/rib/imports.ts';
import { Speaker } from '../../../src/bgp/speaker.ts';
import { realTimers } from '../../../src/control/speakers/bgp/timers.ts';
import { BgpTransport } from '../../../src/control/speakers/bgp/transport.ts';
import type { LabHost } from '../../../src/demo/lab.ts';
import { silentLog } from '../../../src/log.ts';
import type { Ip } from '../../../src/wire/bgp/address.ts';
import { network } from '../../bgp/lab.ts';
import { Capture, type Captured } from './captured.ts';

export type RealSpeaker = {
  speaker: Speaker;
  changes: EntryChange[];
  log: string[];
  /** What all neighbours sent. */
  captured: readonly Captured[];
  /** Entries that hold now, as `kind what -> vtep`. */
  entries(): string[];
  close(): Promise<void>;
  /** All connections end without a word, as they do where a process is killed. */
  cut(): void;
};

/** Makes and starts it; `bind` is where its sockets are. */
export async function startSpeaker(
  host: LabHost,
  given: Partial<SpeakerSettings> & { neighbours: readonly NeighbourSettings[] },
  bind: Ip = host.address,
): Promise<RealSpeaker> {
  const capture = new Capture();
  const changes: EntryChange[] = [];
  const log: string[] = [];
  const settings: SpeakerSettings = {
    ...{ as: 65000, routerId: host.address, vtep: host.address, restartSeconds: 60 },
    ...{ staleSeconds: 30, isRestarting: false, transit: false },
    vteps: [{ address: 0, length: 0 }],
    ...given,
  };
  const transport = new BgpTransport({
    ...{ bind, port: 179, neighbours: settings.neighbours, log: silentLog },
    accept: (address, connection) => {
      const listener = speaker.accept(address, connection);
      return listener && capture.listen(connection, listener);
    },
    enter: (work) => host.run(work),
  });
  const speaker = new Speaker({
    ...{ settings, timers: realTimers, random: Math.random },
    transport: capture.transport(transport),
    events: { log: (level, who, text) => log.push(`${level} ${who} ${text}`) },
    changed: (change) => changes.push(change),
  });
  speaker.setNetworks([network(100)]);
  await transport.listen();
  speaker.start();
  return {
    ...{ speaker, changes, log, captured: capture.messages },
    entries: () =>
      [...speaker.imports.entries()].map(({ entry, place }) => text(entry, place)).sort(),
    cut: () => {
      for (const connection of capture.connections) connection.close();
    },
    close: async () => {
      speaker.stop();
      await transport.close();
    },
  };
}

function hex(value: number): string {
  return value.toString(16);
}

function text(entry: ImportedEntry, { vtep, label, sequence }: ImportedPlace): string {
  const at = `${typeof vtep === 'number' ? hex(vtep) : 'v6'} ${label} ${sequence}`;
  switch (entry.kind) {
    case 'mac':
      return `mac ${hex(entry.mac)} at ${at}`;
    case 'address':
      return `address ${typeof entry.ip === 'number' ? hex(entry.ip) : 'v6'} at ${at}`;
    case 'flood':
      return `flood at ${at}`;
    case 'prefix':
      return `prefix ${typeof entry.address === 'number' ? hex(entry.address) : 'v6'}/${entry.length} at ${at}`;
  }
}
