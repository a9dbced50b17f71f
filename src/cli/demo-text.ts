/**
 * What `fanway demo` says of itself; the demo is a program of its own and is loaded only to run.
 * @module
 */
import type { VerbText } from './verb/verb.ts';

export const demoText: VerbText = {
  name: 'demo',
  summary: 'three hosts and six containers on this machine, real traffic, one table',
  details: [
    'Builds three hosts with two containers each out of network namespaces, joins them by a fan',
    '(underlay 172.30.0.0/16, overlay 250.0.0.0/8), and sends real traffic: echo requests between',
    'all containers, 256 MB of TCP with a SHA-256 at both ends, and UDP both ways, for each',
    "encapsulation. The kernel's own VXLAN is measured beside them. Everything is taken down again",
    'at the end.',
    '',
    '--l2 shows layer-2 networks instead: two tenants with the same addresses and MACs on three hosts,',
    'and a container that moves to another host while it is asked.',
    '',
    'Needs Linux, /dev/net/tun and root, or a system that lets users make namespaces. Exits 0 when',
    'everything arrived as it should, 1 when something did not, 4 when the machine or the rights of',
    'the user do not allow it.',
  ],
  usage: ['demo [--encap LIST] [--json]', 'demo --l2 [--json]'],
  options: [
    ['--encap LIST', 'comma-separated: vxlan, ipip, fou, kernel (default: all)'],
    ['--l2', 'layer-2 networks: two tenants on three hosts, and a move'],
    ['--json', 'one JSON document on standard output, progress on standard error'],
  ],
  examples: [
    ['fanway demo', 'all encapsulations, and the VXLAN of the kernel'],
    ['fanway demo --l2', 'two tenants with the same addresses, and a container that moves'],
    ['fanway demo --encap fou --json', 'one of them, for a program'],
  ],
};
