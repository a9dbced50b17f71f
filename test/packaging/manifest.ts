/**
 * The Kubernetes manifest as kubectl reads it, without a cluster: as it stands, and through the API's own
 * types, which drop what they do not know.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { findRoot } from '../style/sources.ts';

export type PodContainer = {
  name: string;
  command?: string[];
  args?: string[];
  securityContext?: { privileged?: boolean };
  volumeMounts: { name: string; mountPath: string }[];
};
export type PodSpec = {
  containers: PodContainer[];
  volumes: { name: string; hostPath?: { path: string } }[];
};
export type Manifest = {
  kind: string;
  data?: Record<string, string>;
  spec?: { template: { spec: PodSpec } };
};

const PATH = join(findRoot(), 'packaging/kubernetes/fanway.yaml');

function kubectl(words: readonly string[], input = ''): string {
  // A home of nobody's: no cluster is asked.
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent' };
  const { stdout, stderr, status } = spawnSync('kubectl', [...words], {
    ...{ encoding: 'utf8', env, input },
  });
  if (status === 0) return stdout;
  throw new Error(`kubectl ${words[0]}: ${stderr}`);
}

/** Why it cannot be read here, or false. */
export function skipWithoutKubectl(): string | false {
  const { error, status } = spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
  return (error !== undefined || status !== 0) && 'no kubectl (kubernetes-client)';
}

/** Its objects as they are written. */
export function readManifest(): Manifest[] {
  const said = kubectl(['annotate', '--local', '-f', PATH, 'checked=yes', '-o', 'json']);
  const texts = said.split(/^(?=\{)/m).filter((text) => text.trim() !== '');
  return texts.map((text) => JSON.parse(text) as Manifest);
}

/** An object with pods in it as the API's types have it. */
export function throughTypes(object: Manifest): unknown {
  // Nothing is printed of what does not change.
  const words = ['set', 'image', '--local', '-f', '-', 'router=fanway:new', '-o', 'json'];
  return JSON.parse(kubectl(words, JSON.stringify(object)).replaceAll('fanway:new', 'fanway'));
}

/** Where `whole` has something that `part` has not, or otherwise, as paths. */
export function missingIn(part: unknown, whole: unknown, at = ''): string[] {
  if (typeof whole !== 'object' || whole === null) return part === whole ? [] : [at];
  if (typeof part !== 'object' || part === null) return [at];
  return Object.entries(whole).flatMap(([key, value]) =>
    missingIn(Reflect.get(part, key), value, `${at}.${key}`),
  );
}
