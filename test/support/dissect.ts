/**
 * What somebody else's dissectors say of frames that were seen on an underlay.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  interfaceBlock,
  LINKTYPE_ETHERNET,
  PcapngDirection,
  packetBlock,
  sectionHeaderBlock,
} from '../../src/wire/pcapng.ts';

/** What Wireshark's dissectors find wrong with frames of VXLAN, or of other VNIs, a line each; undefined without tshark. */
export function malformed(frames: readonly Buffer[], vnis: readonly number[]): string | undefined {
  if (spawnSync('tshark', ['--version']).status !== 0) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'fanway-network-'));
  try {
    const blocks = frames.map((bytes, index) =>
      packetBlock({
        ...{ interfaceIndex: 0, direction: PcapngDirection.Unknown, bytes },
        ...{ originalBytes: bytes.length, timeUs: index },
      }),
    );
    const file = join(folder, 'frames.pcapng');
    const head = [sectionHeaderBlock('test'), interfaceBlock(LINKTYPE_ETHERNET, 0, 'eth0')];
    writeFileSync(file, Buffer.concat([...head, ...blocks]));
    const filter = `_ws.malformed || _ws.expert.group == "Malformed" || (vxlan && !(${vnis.map((vni) => `vxlan.vni == ${vni}`).join(' || ')}))`;
    // What random payload looks like is nobody's fault: nothing above TCP and UDP is asked.
    const plain = ['tcp', 'udp'].flatMap((name) => ['-d', `${name}.port==5000-7100,data`]);
    const words = ['-n', '-r', file, ...plain, '-Y', filter];
    const run = spawnSync('tshark', words, { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(`tshark: ${run.stderr}`);
    return run.stdout.trim();
  } finally {
    rmSync(folder, { recursive: true });
  }
}
