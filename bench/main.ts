/**
 * `npm run bench`: kernel VXLAN and fanway side by side, in interleaved rounds.
 * @module
 */
import { resolve } from 'node:path';
import { runInside } from '../src/demo/privileges.ts';
import { ExitCode, messageOf } from '../src/errors.ts';
import { extras } from './extras.ts';
import { keep, lastKept, resultsDirectory } from './keep.ts';
import { describeMachine, waitForQuiet } from './machine.ts';
import {
  directMeasures,
  type Effort,
  FULL_EFFORT,
  hopMeasures,
  lossyMeasures,
  type Measure,
  QUICK_EFFORT,
} from './measures.ts';
import { installedPackages, obtainPackages, type PeerPackages } from './peer-packages.ts';
import { peerVariants, peerWants, unmeasuredPeers } from './peers.ts';
import { renderText } from './render.ts';
import type { Results } from './results.ts';
import { buildScene, type Scene, type SceneName } from './scene.ts';
import {
  anotherBuild,
  NotAvailable,
  variants as ownVariants,
  type Tunnel,
  titleOf,
  type Variant,
} from './variants.ts';

/** What is there of others' packages; asked for when the first is to start. */
let found: PeerPackages | undefined;

function packages(): PeerPackages {
  found ??= installedPackages(peerWants.map((one) => one.package));
  return found;
}

const peers = peerVariants(packages);
const variants = [...ownVariants, ...peers];

const help = `Usage: npm run bench -- [--quick] [options]

Measures the kernel's VXLAN and fanway (vxlan, fou, ipip; offloads on and off) side
by side in network namespaces: rounds A B C A B C, each variant started anew, and the
median of the rounds with least and most. Writes JSON, a markdown page and SVG charts
to bench/results/ and says what moved since the last kept run. Needs Linux, Node, and
root or a system that lets users make namespaces; nothing else. Takes about a quarter of an hour, so leave the machine alone.

  --quick            one short round in under a minute, kept apart (results/quick)
  --rounds N         how many rounds (default 5, quick 1)
  --variants A,B     of: ${variants.map(({ key }) => key).join(', ')}
  --only A,B         of: ${[...directMeasures, ...hopMeasures, ...lossyMeasures, ...extras]
    .map(({ key }) => key)
    .join(', ')}
  --peers            the kernel and fanway beside the tunnels of others, each with its version: a
                     stream, small packets, pings, loaded and not, CPU per GB. THIS DOWNLOADS, by
                     apt and from this system's archive of Debian, some 200 MB: the newest
                     package of each that this release or a later one has, with its libraries.
                     They are unpacked into a temporary folder, run from there, and removed with
                     it. Nothing is installed, no script of a package runs, and nothing outside
                     of that folder changes. What cannot be had or does not start is said
  --installed        with --peers: download nothing, take what is installed here
  --packages DIR     with --peers: that folder instead, which stays; the next run with it
                     downloads nothing
  --beside DIST      also fanway vxlan of another build, by its dist folder
  --out DIR          where results go
  --no-keep          write nothing
  --json             print the results as JSON
  --help             this text

TCP: one process moves data with 256 KiB calls; the receiver's rate counts. UDP: each
datagram is one packet on entry (no UDP_SEGMENT), 64 bytes of payload; the search
halves between the rate delivered at overload and the rate offered. CPU per GB: busy
time of the whole machine during the one-stream run, generators included. Start: from
\`fanway up\` on the second host to the first answered echo.
`;

type Settings = {
  quick: boolean;
  rounds: number;
  variants: readonly Variant[];
  only: string[];
  peers: boolean;
  /** Downloads none of them. */
  installed: boolean;
  /** Where packages are unpacked; '' = a temporary folder. */
  packages: string;
  out: string;
  keep: boolean;
  json: boolean;
};

const QUIET_SHARE = 0.1;
const VARIANTS_QUICK = ['kernel', 'vxlan', 'fou', 'ipip', 'vxlan-off'];

class UsageError extends Error {}

function readSettings(args: readonly string[]): Settings {
  const quick = args.includes('--quick');
  const settings: Settings = {
    quick,
    rounds: quick ? 1 : 5,
    variants: quick
      ? variants.filter(({ key }) => VARIANTS_QUICK.includes(key))
      : variants.filter(({ onRequest }) => onRequest !== true),
    only: [],
    peers: false,
    installed: false,
    packages: '',
    out: '',
    keep: true,
    json: false,
  };
  const beside: Variant[] = [];
  for (let i = 0; i < args.length; i += 1) {
    const name = args[i] ?? '';
    if (name === '--quick') continue;
    if (name === '--no-keep') settings.keep = false;
    else if (name === '--json') settings.json = true;
    else if (name === '--installed') settings.installed = true;
    else if (name === '--peers') comparePeers(settings);
    else {
      i += 1;
      const value = args[i];
      if (value === undefined) throw new UsageError(`${name}: unknown, or its value is missing`);
      if (name === '--rounds') settings.rounds = readRounds(value);
      else if (name === '--only') settings.only = value.split(',');
      else if (name === '--beside') beside.push(anotherBuild(resolve(value)));
      else if (name === '--packages') settings.packages = resolve(value);
      else if (name === '--out') settings.out = value;
      else if (name === '--variants') settings.variants = readVariants(value);
      else throw new UsageError(`unknown option ${name}; see --help`);
    }
  }
  settings.variants = [...settings.variants, ...beside];
  if (!settings.peers && (settings.installed || settings.packages !== '')) {
    throw new UsageError('--installed and --packages go with --peers');
  }
  if (settings.out === '') settings.out = resultsDirectory();
  return settings;
}

/** What others' tunnels are measured by, and what stands beside them. */
const PEER_ROWS = ['tcp', 'udp', 'echo', 'echoIdle', 'echoLoaded'];
const PEER_REFERENCES = ['kernel', 'vxlan'];

function comparePeers(settings: Settings): void {
  settings.peers = true;
  settings.variants = [
    ...variants.filter(({ key }) => PEER_REFERENCES.includes(key)),
    ...peers.filter(({ onRequest }) => onRequest !== true),
  ];
  settings.only = [...PEER_ROWS];
}

function readRounds(text: string): number {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    throw new UsageError('--rounds must be a whole number from 1 to 100');
  }
  return rounds;
}

function readVariants(text: string): Variant[] {
  return text.split(',').map((key) => {
    const variant = variants.find((variant) => variant.key === key);
    if (variant === undefined) throw new UsageError(`--variants: ${key} is not known`);
    return variant;
  });
}

const shown = ({ key, title, ours }: Variant) => ({ key, title, ours });

class Bench {
  readonly results: Results;
  readonly #settings: Settings;
  readonly #effort: Effort;
  readonly #scenes = new Map<SceneName, Scene>();
  readonly #given = new Set<string>();
  readonly #started = performance.now();
  #failed = false;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#effort = settings.quick ? QUICK_EFFORT : FULL_EFFORT;
    this.results = {
      format: 1,
      date: new Date().toISOString(),
      quick: settings.quick,
      rounds: settings.rounds,
      machine: describeMachine(),
      noisy: 0,
      variants: settings.variants.map((one) => ({ ...one, title: titleOf(one) })).map(shown),
      samples: {},
      notAvailable: settings.peers && !settings.installed ? unmeasuredPeers(packages()) : [],
    };
  }

  /** Something of ours did not start or did not get through; the reasons are in the results. */
  get failed(): boolean {
    return this.#failed;
  }

  async run(): Promise<void> {
    const scenes: [SceneName, readonly Measure[]][] = [
      ['direct', directMeasures],
      ['hop', hopMeasures],
      ['lossy', lossyMeasures],
    ];
    for (let round = 1; round <= this.#settings.rounds; round += 1) {
      for (const [name, measures] of scenes) {
        const wanted = measures.filter((measure) => this.#wants(measure));
        if (wanted.length === 0) continue;
        const scene = await this.#scene(name);
        if (scene === undefined) continue;
        for (const variant of this.#settings.variants) {
          const own = wanted.filter((measure) => variant.full || measure.essential);
          if (own.length > 0) await this.#block(scene, variant, own, round);
        }
      }
    }
    for (const extra of extras.filter((extra) => this.#wants(extra))) {
      this.#say(extra.key);
      try {
        const table = await extra.run((row, variant, value) => this.#note(row, variant, value));
        if (typeof table === 'string') this.#giveUp(extra.key, extra.key, table);
        else if (table !== undefined) {
          this.results.extras = [...(this.results.extras ?? []), table];
        }
      } catch (error) {
        this.#failed = true;
        const reason = error instanceof Error ? error.message : String(error);
        this.#giveUp(extra.key, extra.key, reason);
      }
    }
  }

  #wants(measure: { key: string; slow: boolean }): boolean {
    const { only, quick } = this.#settings;
    return only.length > 0 ? only.includes(measure.key) : !(quick && measure.slow);
  }

  /** The scene by name, built at first use; undefined (and noted) when this machine cannot. */
  async #scene(name: SceneName): Promise<Scene | undefined> {
    const known = this.#scenes.get(name);
    if (known !== undefined) return known;
    if (this.#given.has(name)) return undefined;
    const built = await buildScene(name);
    if (typeof built !== 'string') {
      this.#scenes.set(name, built);
      return built;
    }
    this.#giveUp(name, `scene "${name}"`, built);
    return undefined;
  }

  #giveUp(key: string, what: string, reason: string): void {
    if (this.#given.has(key)) return;
    this.#given.add(key);
    this.results.notAvailable.push({ what, reason });
  }

  /** One variant in one round: started, measured, stopped. */
  async #block(
    scene: Scene,
    variant: Variant,
    measures: readonly Measure[],
    round: number,
  ): Promise<void> {
    if (this.#given.has(variant.key)) return;
    const { quiet } = await waitForQuiet(QUIET_SHARE, this.#settings.quick ? 1000 : 10_000);
    if (!quiet) this.results.noisy += 1;
    let tunnel: Tunnel;
    try {
      tunnel = await variant.start(scene);
    } catch (error) {
      // A variant that cannot start must not cost the others of a quarter of an hour.
      this.#failed ||= !(error instanceof NotAvailable);
      const reason = error instanceof Error ? error.message : String(error);
      this.#giveUp(variant.key, variant.title, reason);
      return;
    }
    const before = structuredClone(this.results.samples);
    try {
      if (tunnel.startMs !== undefined && scene.name === 'direct') {
        this.#note('startMs', variant.key, tunnel.startMs);
      }
      for (const measure of measures) {
        this.#say(`round ${round}/${this.#settings.rounds}  ${variant.title}: ${measure.key}`);
        try {
          const figures = await measure.run(tunnel, this.#effort);
          for (const [row, value] of Object.entries(figures)) this.#note(row, variant.key, value);
        } catch (error) {
          this.#failed = true;
          const reason = error instanceof Error ? error.message : String(error);
          const what = `${measure.key} of ${variant.title}, round ${round}`;
          this.#giveUp(what, what, reason);
        }
      }
    } finally {
      await this.#stop(variant, tunnel, before);
    }
  }

  /** A variant whose end says that it has not carried what was measured has no figures of that block. */
  async #stop(variant: Variant, tunnel: Tunnel, before: Results['samples']): Promise<void> {
    try {
      await tunnel.stop();
    } catch (error) {
      this.#failed = true;
      this.results.samples = before;
      this.#giveUp(variant.key, variant.title, messageOf(error));
    }
  }

  #note(row: string, variant: string, value: number): void {
    const { samples } = this.results;
    samples[row] = samples[row] ?? {};
    samples[row][variant] = [...(samples[row][variant] ?? []), value];
  }

  #say(line: string): void {
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(0).padStart(4);
    process.stderr.write(`[${seconds} s] ${line}\n`);
  }

  close(): void {
    for (const scene of this.#scenes.values()) scene.close();
    this.#scenes.clear();
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return 0;
  }
  const settings = readSettings(args);
  if (settings.peers && !settings.installed) {
    const say = (line: string) => process.stderr.write(`${line}\n`);
    found = obtainPackages(peerWants, settings.packages, say);
  }
  const inside = await runInside();
  if (inside.kind === 'done') return inside.code;
  if (inside.kind === 'unfit') {
    process.stderr.write(`bench: ${inside.reason}\n`);
    return ExitCode.NotPermitted;
  }
  const bench = new Bench(settings);
  // Namespaces and programs go with us, however we end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      bench.close();
      process.exit(130);
    });
  }
  try {
    await bench.run();
  } finally {
    bench.close();
  }
  const { results } = bench;
  const before = lastKept(settings.out, settings.quick);
  process.stdout.write(
    settings.json ? `${JSON.stringify(results)}\n` : `\n${renderText(results, before)}\n`,
  );
  if (settings.keep) {
    process.stderr.write(`\nwritten to ${keep(settings.out, results, before)}\n`);
  }
  return bench.failed ? ExitCode.Failed : ExitCode.Ok;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? ExitCode.Usage : ExitCode.Failed;
}
