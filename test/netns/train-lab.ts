/**
 * A card that damages trains on the way between two hosts, and a stream that has to get through.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Lab, LabContainer } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { startTraffic } from '../../src/traffic/run.ts';
import { nowMs } from '../faults/rig.ts';
import { testProgram } from './relay.ts';
import type { Damage, TrainRelayStart } from './train-relay-main.ts';

const PORT = 5001;
const STREAM_S = 200;
const PROGRESS_MS = 100;
/** What arrives between two reports of a stream that flows: damaged, it makes some 10 kB a second. */
const FLOWS_BYTES = 1e6;

/** Copies between two ports of the middle, by name. */
export async function startRelay(
  lab: Lab,
  names: readonly string[],
  damage: Damage,
): Promise<{ child: ChildProcess; set(damage: Damage): Promise<void> }> {
  const ports = [];
  for (const name of names) ports.push((await lab.middle.netlink.link(name)).index);
  const start: TrainRelayStart = { ports, damage };
  const program = testProgram('netns/train-relay-main.js');
  const child = lab.middle.spawn(process.execPath, [program, JSON.stringify(start)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { stdout } = child;
  if (stdout === null) throw new TypeError('the relay is piped');
  const lines = createInterface({ input: stdout });
  const line = (): Promise<unknown> => new Promise((resolve) => lines.once('line', resolve));
  await line();
  return {
    child,
    async set(damage) {
      child.stdin?.write(`${damage}\n`);
      await line();
    },
  };
}

/** A TCP stream for as long as it takes. */
export async function startStream(from: LabContainer, to: LabContainer) {
  const address = formatIpv4(to.address);
  const common = { port: PORT, seconds: STREAM_S, timeout: STREAM_S, progress: PROGRESS_MS };
  const receiver = startTraffic(to, 'tcp', { listen: address, ...common }, STREAM_S * 1000);
  const arrived: { atMs: number; bytes: number }[] = [];
  receiver.onInterim = (report) => {
    if (report.event !== 'tcp-progress') return;
    arrived.push({ atMs: report.atNs / 1e6, bytes: report.bytes });
  };
  await receiver.ready;
  const beganMs = nowMs();
  const sender = startTraffic(from, 'tcp', { connect: address, ...common }, STREAM_S * 1000);
  const isFlow = (i: number): boolean =>
    (arrived[i]?.bytes ?? 0) - (arrived[i - 1]?.bytes ?? 0) > FLOWS_BYTES;
  return {
    /** When it began to flow, ms after its beginning; undefined = not yet. */
    flowsAfterMs(): number | undefined {
      const first = arrived.find((_, i) => isFlow(i));
      return first && first.atMs - beganMs;
    },
    /** Whether it flows now. */
    flows: (): boolean => isFlow(arrived.length - 1),
    end(): void {
      sender.kill();
      receiver.kill();
    },
  };
}
