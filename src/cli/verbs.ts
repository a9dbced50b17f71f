/**
 * All verbs, in the order of the help: the one table that help, completion and manual pages are made from.
 * @module
 */

import { completionVerb } from './completion/verb.ts';
import { daemon } from './daemon.ts';
import { demoText } from './demo-text.ts';
import { doctor } from './doctor/doctor.ts';
import { cni } from './engines/cni.ts';
import { docker } from './engines/docker.ts';
import { fanatic } from './engines/fanatic.ts';
import { incus, lxd } from './engines/lxd.ts';
import { podman } from './engines/podman.ts';
import { lxc, nspawn } from './engines/snippets.ts';
import { check } from './fans/check.ts';
import { down } from './fans/down.ts';
import { plan } from './fans/plan.ts';
import { show } from './fans/show.ts';
import { up } from './fans/up.ts';
import { bench } from './inspect/bench.ts';
import { bgp } from './inspect/bgp.ts';
import { capture } from './inspect/capture.ts';
import { counters } from './inspect/counters.ts';
import { explain } from './inspect/explain.ts';
import { flowsVerb } from './inspect/flows.ts';
import { ip } from './inspect/ip.ts';
import { status } from './inspect/status.ts';
import { table } from './inspect/table.ts';
import { wait } from './inspect/wait.ts';
import { web } from './inspect/web.ts';
import { manVerb } from './man.ts';
import { announce, withdraw } from './members/announce.ts';
import { join, leave } from './members/join.ts';
import { key } from './members/key.ts';
import { keygen } from './members/keygen.ts';
import { members } from './members/members.ts';
import { peers } from './members/peers.ts';
import { migrate } from './migrate/verb.ts';
import { audit } from './networks/audit.ts';
import { arp, mac } from './networks/mac.ts';
import { net } from './networks/net.ts';
import { serviceNode } from './networks/service-node.ts';
import { latency } from './paths/latency.ts';
import { pingVerb } from './paths/ping.ts';
import { test } from './paths/test.ts';
import { report } from './report/verb.ts';
import { run } from './run/run.ts';
import type { Verb, VerbGroup } from './verb/verb.ts';

const completion = completionVerb(() => VERB_GROUPS);
const man = manVerb(() => VERB_GROUPS);

const RUNNABLE: readonly (readonly [title: string, verbs: readonly Verb[]])[] = [
  ["This host's fans", [up, down, show, plan, explain, migrate]],
  ['Layer-2 networks', [net, serviceNode, mac, arp, audit]],
  [
    'How they are',
    [
      status,
      wait,
      counters,
      doctor,
      report,
      pingVerb,
      test,
      flowsVerb,
      capture,
      web,
      bench,
      latency,
    ],
  ],
  ['Without root', [run]],
  ['Container engines', [docker, podman, cni, lxd, incus, lxc, nspawn, fanatic, ip]],
  ['Gossip between hosts', [keygen, join, leave, peers, members, table, announce, withdraw, key]],
  ['Routers of others', [bgp]],
  ['As a service', [daemon, check]],
  ['For the shell', [completion, man]],
];

/** The verbs that this program runs itself; the demo is loaded when it is asked for. */
export const VERBS: readonly Verb[] = RUNNABLE.flatMap(([, verbs]) => verbs);

/** Every verb that has a text, by group. */
export const VERB_GROUPS: readonly VerbGroup[] = [
  { title: 'To see it work', verbs: [demoText] },
  ...RUNNABLE.map(([title, verbs]) => ({ title, verbs })),
];
