/**
 * The traffic programs: sources and sinks that the demo, the benchmark and the tests start inside
 * network namespaces, one process each. They speak JSON lines on standard output, run in one
 * synchronous loop, are bounded in time, and end when their standard input closes.
 * @module
 */

import { Options } from './base/options.ts';
import { report } from './base/report.ts';
import { runEcho } from './probes/icmp.ts';
import { runPathMtu } from './probes/path-mtu.ts';
import { runProbe } from './probes/probe.ts';
import { runReflect } from './probes/reflect.ts';
import { runSix } from './six.ts';
import { runTcp } from './tcp.ts';
import { runUdpSend } from './udp.ts';
import { runUdpReceive } from './udp-receive.ts';

const programs: Record<string, (options: Options) => void> = {
  tcp: runTcp,
  'udp-send': runUdpSend,
  'udp-receive': runUdpReceive,
  echo: runEcho,
  'path-mtu': runPathMtu,
  six: runSix,
  probe: runProbe,
  reflect: runReflect,
};

const [name = '', ...args] = process.argv.slice(2);
const program = programs[name];
try {
  if (program === undefined) {
    throw new Error(`unknown program "${name}": one of ${Object.keys(programs).join(', ')}`);
  }
  program(new Options(args));
} catch (error) {
  report({ event: 'error', message: error instanceof Error ? error.message : String(error) });
  process.exitCode = 1;
}
