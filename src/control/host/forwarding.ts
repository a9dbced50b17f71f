/**
 * Who stands in the way of what a fan forwards. Every base chain in netfilter's forward hook must
 * let a packet through; one whose policy is drop stops what its rules do not name. Pure functions on
 * the picture that packet-filter.ts takes.
 * @module
 */
import { carriesFrames } from '../../encap/encap.ts';
import { contains } from '../../net/prefix.ts';
import { formatHostAddress } from '../../net/underlay-address.ts';
import type { LegacyForward } from '../../sys/host/iptables-legacy.ts';
import type { NftChain, NftRule } from '../../sys/netlink/nf/tables.ts';
import type { LinkSpec, WireSpec } from '../store/link-spec.ts';
import { HOOK_FORWARD, HOOK_POSTROUTING } from './packet-filter.ts';
import type { PacketFilter, Snapshot } from './snapshot.ts';

/** Something that keeps a fan's packets from crossing this host, with the way out. */
export type Obstacle = { code: string; message: string };

const isIptables = ({ family, table }: NftChain): boolean => family === 'ip' && table === 'filter';
const isDropping = ({ base }: NftChain): boolean =>
  base?.hook === HOOK_FORWARD && base.policy === 'drop';

/** Whether the FORWARD chain that iptables-nft keeps drops what it does not know. */
export function isForwardDropping({ chains }: PacketFilter): boolean {
  return chains.some((chain) => isIptables(chain) && isDropping(chain));
}

/** The chain of `ip filter` in which an accept counts: Docker keeps one for others' rules. */
export function whereToAccept({ chains, rules }: PacketFilter): 'DOCKER-USER' | 'FORWARD' {
  const there = chains.some((chain) => isIptables(chain) && chain.name === 'DOCKER-USER');
  const isAsked = rules.some(
    ({ family, table, chain, target }) =>
      family === 'ip' && table === 'filter' && chain === 'FORWARD' && target === 'DOCKER-USER',
  );
  return there && isAsked ? 'DOCKER-USER' : 'FORWARD';
}

/** Whether a rule accepts all that comes in, or goes out, by a device. */
export function acceptsDevice(
  { verdict, matches, expressions }: NftRule,
  direction: 'iifname' | 'oifname',
  device: string,
): boolean {
  const [match, more] = matches;
  const known = ['meta', 'cmp', 'counter', 'immediate', 'xt'];
  return (
    verdict === 'accept' &&
    match !== undefined &&
    more === undefined &&
    match.what === direction &&
    match.equal &&
    match.value.replace(/\0.*$/s, '') === device &&
    expressions.every((name) => known.includes(name))
  );
}

/** The devices that a fan's forwarded packets come in and go out by. */
export function forwardingDevices(spec: Pick<WireSpec, 'name' | 'device' | 'encap'>): string[] {
  return carriesFrames(spec.encap) ? [spec.name] : [spec.name, spec.device];
}

/** A chain of somebody's, as `nft` wants it written. */
const written = ({ family, table, name }: NftChain): string => `${family} ${table} ${name}`;

/** iptables-legacy's FORWARD chain, where it drops and does not let these devices through. */
export function legacyObstacles(
  devices: readonly string[],
  legacy: LegacyForward | undefined,
): Obstacle[] {
  if (legacy?.policy !== 'drop') return [];
  const lines = devices.flatMap((device) => [
    ...(legacy.accepted.iifname.includes(device) ? [] : [`-i ${device}`]),
    ...(legacy.accepted.oifname.includes(device) ? [] : [`-o ${device}`]),
  ]);
  if (lines.length === 0) return [];
  const typed = lines.map((line) => `iptables-legacy -I FORWARD ${line} -j ACCEPT`).join('; ');
  return [
    {
      code: 'forward-drop',
      message: `chain FORWARD of iptables-legacy has policy drop (Docker sets it so) and does not let this link through; fanway cannot change it: ${typed}`,
    },
  ];
}

/** Everything in nftables that stops what a fan forwards, and that fanway does not mend itself. */
export function forwardObstacles(
  spec: Pick<WireSpec, 'name' | 'device' | 'encap'> & Partial<Pick<LinkSpec, 'slice'>>,
  filter: PacketFilter,
  hasNft: boolean,
): Obstacle[] {
  const obstacles: Obstacle[] = [];
  for (const chain of filter.chains.filter(isDropping)) {
    if (!['ip', 'inet', 'bridge'].includes(chain.family)) continue;
    if (isIptables(chain) && hasNft) continue;
    // A bridge's own chain sees ports, and the tunnel is one of them; others see the bridge.
    const isBridge = chain.family === 'bridge';
    if (isBridge && !carriesFrames(spec.encap)) continue;
    const devices = isBridge ? [spec.device] : forwardingDevices(spec);
    const inChain = filter.rules.filter(
      (rule) =>
        rule.family === chain.family && rule.table === chain.table && rule.chain === chain.name,
    );
    const shut = devices.flatMap((device) =>
      (['iifname', 'oifname'] as const).flatMap((direction) =>
        inChain.some((rule) => acceptsDevice(rule, direction, device))
          ? []
          : [{ direction, device }],
      ),
    );
    if (shut.length === 0) continue;
    const lines = shut.map(
      ({ direction, device }) => `nft insert rule ${written(chain)} ${direction} ${device} accept`,
    );
    obstacles.push({
      code: 'forward-drop',
      message: `chain ${chain.name} of nftables table ${chain.family} ${chain.table} has policy drop and does not let this link through; if that is not meant: ${lines.join('; ')}`,
    });
  }
  return [...obstacles, ...dockerObstacles(spec, filter)];
}

/**
 * What Docker itself drops of a routed fan on a network of its own that uses our bridge. Since 28 a
 * container is reached only by way of its bridge (chain PREROUTING of `ip raw`); 29 can do the same
 * in tables of its own.
 */
function dockerObstacles(
  spec: Pick<WireSpec, 'name' | 'device' | 'encap'> & Partial<Pick<LinkSpec, 'slice'>>,
  { rules }: PacketFilter,
): Obstacle[] {
  const { slice } = spec;
  if (carriesFrames(spec.encap) || slice === undefined) return [];
  const isForSlice = ({ verdict, matches }: NftRule): boolean =>
    verdict === 'drop' &&
    matches.some(({ equal, value }) => {
      const word = Buffer.from(value, 'latin1');
      return equal && word.length === 4 && contains(slice, word.readUInt32BE(0));
    });
  const bridgeName = Buffer.from(spec.name).toString('hex');
  const isRaw = rules.some(
    (rule) =>
      rule.family === 'ip' &&
      rule.table === 'raw' &&
      rule.chain === 'PREROUTING' &&
      isForSlice(rule),
  );
  const isNftables = rules.some(
    (rule) =>
      rule.table === 'docker-bridges' && (isForSlice(rule) || rule.text.includes(bridgeName)),
  );
  if (isRaw) {
    return [
      {
        code: 'docker-raw-drop',
        message: `Docker drops what comes for its containers by ${spec.device} (chain PREROUTING of table ip raw): make their network with -o com.docker.network.bridge.trusted_host_interfaces=${spec.device}, or set "allow-direct-routing": true in /etc/docker/daemon.json`,
      },
    ];
  }
  if (!isNftables) return [];
  return [
    {
      code: 'docker-nftables-drop',
      message: `Docker's own nftables (table ip docker-bridges) drop what comes for its containers by ${spec.device}: start dockerd with --bridge-accept-fwmark=0xfa, and type: nft 'add table ip fan_accept; add chain ip fan_accept mark { type filter hook forward priority -1; }; add rule ip fan_accept mark iifname "${spec.device}" meta mark set 0xfa'`,
    },
  ];
}

/** Chains of others that may rewrite the source of what leaves this host. */
function translating({ chains }: PacketFilter): NftChain[] {
  return chains.filter(
    ({ table, base }) =>
      base?.type === 'nat' && base.hook === HOOK_POSTROUTING && !table.startsWith('fanway'),
  );
}

/** Whether somebody else translates addresses on this host. */
export function isTranslating({ filter, legacy }: Pick<Snapshot, 'filter' | 'legacy'>): boolean {
  return legacy.nat || translating(filter).length > 0;
}

/**
 * Rules of others that rewrite the source of the tunnel's packets, where no rule of ours comes
 * first: the far end then takes them for a stranger's.
 */
export function translationObstacles(spec: LinkSpec, filter: PacketFilter): Obstacle[] {
  const others = translating(filter);
  const rewriting = others.find(({ family, table, name }) =>
    filter.rules.some(
      (rule) =>
        rule.family === family &&
        rule.table === table &&
        rule.chain === name &&
        rule.expressions.some((expression) => expression === 'masq' || expression === 'nat'),
    ),
  );
  if (rewriting === undefined) return [];
  return [
    {
      code: 'outer-translated',
      message: `chain ${rewriting.name} of nftables table ${rewriting.family} ${rewriting.table} masquerades, perhaps also the tunnel's packets from ${formatHostAddress(spec.local)}; other hosts then count them as ingress.drop.foreign_source: install nftables (fanway prevents it by a rule of its own), or leave them out there`,
    },
  ];
}
