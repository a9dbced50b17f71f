/**
 * Somebody's tools take one piece of a network after the other: each comes back by itself, and is named.
 * @module
 */
import { execFileSync } from 'node:child_process';
import type { Test } from 'tap';
import { until } from '../../support/patience.ts';
import { type NetworkLab, networkOf, ping } from './lab.ts';
import { addressOf, hostAddressOf } from './measures.ts';

/** What is done, and what status calls it when it is put right; nothing where nothing was lost. */
const UNDONE: readonly [string, readonly string[], RegExp | undefined][] = [
  ["a container's port", ['ip', 'link', 'set', 'PORT', 'nomaster'], undefined],
  ["the tunnel's port", ['ip', 'link', 'set', 'fwn-100', 'nomaster'], /fwn-100/],
  ['what the bridge has learned', ['bridge', 'fdb', 'flush', 'dev', 'br-blue'], undefined],
  ["the tunnel's device", ['ip', 'link', 'del', 'fwn-100'], /fwn-100/],
  ['the bridge is down', ['ip', 'link', 'set', 'br-blue', 'down'], /br-blue/],
  ['the bridge', ['ip', 'link', 'del', 'br-blue'], /br-blue/],
  ["the host's address", ['ip', 'address', 'flush', 'dev', 'br-blue'], /10\.1\.0\.101/],
];

/** On the first host, while its container and that of the second talk. */
export async function undo(t: Test, { lab }: NetworkLab): Promise<void> {
  const [first, near, far] = [lab.host(0), lab.container(0, 0), lab.container(1, 0)];
  const talk = async (): Promise<boolean> => {
    const answers = [
      ping(near, addressOf(1)),
      ping(far, addressOf(0)),
      ping(far, hostAddressOf(0)),
    ];
    return (await Promise.all(answers)).every((count) => count === 1);
  };
  for (const [what, words, named] of UNDONE) {
    const [tool = '', ...args] = words.map((word) => (word === 'PORT' ? near.hostEnd : word));
    const startMs = performance.now();
    first.run(() => execFileSync(tool, args));
    await until(`${what} is back`, 15_000, talk);
    const { repaired, lostPorts } = await networkOf(first, 'blue');
    const tookMs = performance.now() - startMs;
    t.strictSame(lostPorts, [], what);
    const since = repaired.filter(({ agoMs }) => agoMs <= tookMs).map((one) => one.what);
    t.comment(`${what}: ${Math.round(tookMs)} ms, ${since.join('; ') || 'nothing made anew'}`);
    if (named !== undefined) t.match(since.join(), named, what);
  }
}
