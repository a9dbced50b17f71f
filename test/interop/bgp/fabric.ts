/**
 * One fabric of routers: fanway, two route reflectors (GoBGP and FRR's bgpd), a VTEP (FRR with a
 * kernel bridge and kernel VXLAN), and a neighbour of another AS with a key.
 * @module
 */
import { Lab, type LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { ask, Frr, Gobgp } from './routers.ts';

export const OUTSIDE_AS = 4200000001;
export const MD5_KEY = 'not the key of any fabric';
const [FANWAY, GOBGP, REFLECTOR, VTEP, OUTSIDE] = [0, 1, 2, 3, 4];

export type Fabric = {
  lab: Lab;
  /** Where fanway runs. */
  host: LabHost;
  gobgp: Gobgp;
  reflector: Frr;
  vtep: Frr;
  outside: Gobgp;
  /** Addresses in that order. */
  addresses: { host: string; gobgp: string; reflector: string; vtep: string; outside: string };
  /** To start each anew. */
  startGobgp(...flags: string[]): Promise<Gobgp>;
  reflectorConfig: string;
  close(): Promise<void>;
};

const EVPN = `[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
`;

function gobgpClient(address: string, cluster: string): string {
  return `[[neighbors]]
[neighbors.config]
neighbor-address = "${address}"
peer-as = 65000
[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = "${cluster}"
[neighbors.timers.config]
connect-retry = 5
[neighbors.graceful-restart.config]
enabled = true
restart-time = 20
${EVPN.replace('\n[neighbors.afi-safis.config]', '\n[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n[neighbors.afi-safis.config]')}`;
}

/** FRR with a kernel bridge and kernel VXLAN, whose bridge answers for those that it knows. */
export async function startVtep(
  host: LabHost,
  address: string,
  reflectors: readonly string[],
): Promise<Frr> {
  for (const words of [
    'link add br100 type bridge',
    `link add vxlan100 type vxlan id 100 local ${address} dstport 4789 nolearning`,
    'link set vxlan100 master br100',
    'link set dev vxlan100 type bridge_slave neigh_suppress on learning off',
    'link set br100 up',
    'link set vxlan100 up',
  ]) {
    await ask(host, 'ip', words.split(' '));
  }
  const lines = (what: string) => reflectors.map((each) => ` neighbor ${each} ${what}\n`).join('');
  const config = `router bgp 65000
 bgp router-id ${address}
 no bgp default ipv4-unicast
${lines('remote-as 65000')}${lines('timers connect 3')} address-family l2vpn evpn
 ${lines('activate')}  advertise-all-vni
 exit-address-family
`;
  return Frr.start(host, config, true);
}

/** GoBGP as route reflector of these clients. */
export function gobgpReflector(own: string, clients: readonly string[]): string {
  return `[global.config]
as = 65000
router-id = "${own}"
${clients.map((client) => gobgpClient(client, own)).join('')}`;
}

/** FRR as theirs. */
export function frrReflector(own: string, clients: readonly string[]): string {
  const each = (what: string) => clients.map((client) => ` neighbor ${client} ${what}\n`).join('');
  return `router bgp 65000
 bgp router-id ${own}
 no bgp default ipv4-unicast
${each('remote-as 65000')}${each('timers connect 3')} address-family l2vpn evpn
 ${each('activate')} ${each('route-reflector-client')} exit-address-family
`;
}

export async function buildFabric(): Promise<Fabric> {
  const lab = await Lab.create({ hosts: 5, containersPerHost: 1 });
  const text = (index: number): string => formatIpv4(lab.host(index).address);
  const [host, gobgp, reflector, vtep, outside] = [FANWAY, GOBGP, REFLECTOR, VTEP, OUTSIDE].map(
    (index) => text(index),
  ) as [string, string, string, string, string];
  const clients = [host, vtep];
  const gobgpConfig = gobgpReflector(gobgp, clients);
  const reflectorConfig = frrReflector(reflector, clients);
  const outsideConfig = `[global.config]
as = ${OUTSIDE_AS}
router-id = "${outside}"
[[neighbors]]
[neighbors.config]
neighbor-address = "${host}"
peer-as = 65000
auth-password = "${MD5_KEY}"
[neighbors.transport.config]
passive-mode = true
${EVPN}`;
  const startGobgp = (...flags: string[]) => Gobgp.start(lab.host(GOBGP), gobgpConfig, flags);
  const started = await Promise.all([
    startGobgp(),
    Frr.start(lab.host(REFLECTOR), reflectorConfig),
    startVtep(lab.host(VTEP), vtep, [gobgp, reflector]),
    Gobgp.start(lab.host(OUTSIDE), outsideConfig),
  ]).catch((error: unknown) => {
    lab.close();
    throw error;
  });
  return {
    ...{ lab, host: lab.host(FANWAY), gobgp: started[0], reflector: started[1], vtep: started[2] },
    ...{ outside: started[3], addresses: { host, gobgp, reflector, vtep, outside } },
    ...{ startGobgp, reflectorConfig },
    close: async () => {
      await started[1].close();
      await started[2].close();
      lab.close();
    },
  };
}
