/**
 * Measuring in a process of its own: it waits for answers and nothing else, so its times are those of the
 * paths, and the router goes on meanwhile. Targets go in as one line of JSON, results come out as another.
 * @module
 */
import { spawn } from 'node:child_process';
import { count, fields, host, list, text } from '../../api/reader.ts';
import { layerReport } from '../../api/test.ts';
import { FanwayError } from '../../errors.ts';
import { programCommand } from '../../sys/host/paths.ts';
import type { Measured, Target } from './survey.ts';

/** The hidden verb that measures. */
export const PROBE_VERB = '__probe';
/** It takes some 15 s where packets vanish. */
const LIFE_MS = 45_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;

export const readTargets = list(
  fields<Target>({
    ...{ local: host, host, gateway: host, inside: host, device: text },
    ...{ underlayMtu: count, innerMtu: count },
  }),
);
const readMeasured = list(fields<Measured>({ underlay: layerReport, tunnel: layerReport }));

/** Measures all targets at once. @throws FanwayError with what the process said. */
export function measureApart(targets: readonly Target[]): Promise<Measured[]> {
  return new Promise((resolve, reject) => {
    const [command, ...words] = programCommand('fanway');
    const child = spawn(command, [...words, PROBE_VERB], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), LIFE_MS);
    let [output, noise] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.length > OUTPUT_BYTES_MAX) child.kill('SIGKILL');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      noise = `${noise}${chunk.toString()}`.slice(-500);
    });
    child.stdin.on('error', () => undefined);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      try {
        if (code !== 0) throw new Error(noise.trim() || 'it took too long');
        resolve(readMeasured(JSON.parse(output), ''));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        reject(new FanwayError('probe', `measuring failed: ${why}`, { cause: error }));
      }
    });
    child.stdin.end(JSON.stringify(targets));
  });
}
