/**
 * All verbs, in the order of the help: the one table that help, completion and manual pages are made from.
 * @module
 */
import { announce, withdraw } from './announce.ts';
import { bench } from './bench.ts';
import { bgp } from './bgp.ts';
import { capture } from './capture.ts';
import { check } from './check.ts';
import { cni } from './cni.ts';
import { completionVerb } from './completion/verb.ts';
import { counters } from './counters.ts';
import { daemon } from './daemon.ts';
import { demoText } from './demo-text.ts';
import { docker } from './docker.ts';
import { doctor } from './doctor.ts';
import { down } from './down.ts';
import { explain } from './explain.ts';
import { ip } from './ip.ts';
import { join, leave } from './join.ts';
import { key } from './key.ts';
import { keygen } from './keygen.ts';
import { manVerb } from './man.ts';
import { members } from './members.ts';
import { peers } from './peers.ts';
import { plan } from './plan.ts';
import { report } from './report/verb.ts';
import { show } from './show.ts';
import { status } from './status.ts';
import { table } from './table.ts';
import { up } from './up.ts';
import type { Verb, VerbGroup } from './verb.ts';
import { wait } from './wait.ts';

const completion = completionVerb(() => VERB_GROUPS);
const man = manVerb(() => VERB_GROUPS);

const RUNNABLE: readonly (readonly [title: string, verbs: readonly Verb[]])[] = [
  ["This host's fans", [up, down, show, plan, explain]],
  ['How they are', [status, wait, counters, doctor, report, capture, bench]],
  ['Container engines', [docker, cni, ip]],
  ['Gossip between hosts', [keygen, join, leave, peers, members, table, announce, withdraw, key]],
  ['Routers of others', [bgp]],
  ['As a service', [daemon, check]],
  ['For the shell', [completion, man]],
];

/** The verbs that this program runs itself; the demo is loaded when it is asked for. */
export const VERBS: readonly Verb[] = RUNNABLE.flatMap(([, verbs]) => verbs);

/** Every verb that has a text, by group. */
export const VERB_GROUPS: readonly VerbGroup[] = [
  ...RUNNABLE.map(([title, verbs]) => ({ title, verbs })),
  { title: 'To see it work', verbs: [demoText] },
];
