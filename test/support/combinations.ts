/**
 * Who says that he is whom, to whom, by which tunnel: outer source, inner source, inner destination
 * and encapsulation combined. Only two of the 256 are honest.
 * @module
 */
import { ipv4, udp } from './bytes.ts';
import { type Ground, inFrame, outer, type Probe, shim } from './probes.ts';

type Named = [name: string, address: number];

/** Slice of an underlay host in 250.0.0.0/8 over a /16: written out here as the tests' own oracle. */
const sliceOfHost = (host: number): number => (0xfa000000 | ((host & 0xffff) << 8)) >>> 0;

/**
 * The 256 combinations and the end of each. `wrong` is the ground of a second fan of the victim's,
 * over another overlay and in another encapsulation: the door for "wrong mode".
 */
export function combinations(ground: Ground, wrong: Ground): Probe[] {
  const outers: Named[] = [
    ['the peer', ground.peer],
    ['another peer', ground.otherPeer],
    ['a stranger', ground.stranger],
    ['ourselves', ground.victim],
  ];
  const destinations: Named[] = [
    ['our container', ground.container],
    ["another's slice", sliceOfHost(0xac1e0306) + 9],
    ['our broadcast', ground.slice + 255],
    ['the Internet', 0x08080808],
  ];
  const probes: Probe[] = [];
  // The first and last address of a slice are special on a routed fan only.
  const isBridged = ground.encap === 'vxlan';
  for (const [from, source] of outers) {
    const own = sliceOfHost(source);
    const another = source === ground.peer ? ground.otherInner : ground.inner;
    const inners: Named[] = [
      ['its own slice', own + 10],
      ["another's slice", another],
      ['our container', ground.container + 1],
      ['our gateway', ground.slice + 1],
      ['its network address', own],
      ['127.0.0.1', 0x7f000001],
      ['255.255.255.255', 0xffffffff],
      ['the Internet', 0x08080404],
    ];
    for (const [inside, inner] of inners) {
      for (const [to, destination] of destinations) {
        for (const mode of ['right', 'wrong'] as const) {
          const ends = { source: inner, destination };
          const packet = ipv4(ends, udp(ends, { destinationPort: 9000 }));
          const way = mode === 'right' ? ground : wrong;
          const ofOuter = inside === 'its own slice' || inside === 'its network address';
          const forUs = to === 'our container' || to === 'our broadcast';
          let end = 'delivered';
          if (from === 'ourselves') end = 'own_source';
          else if (from === 'a stranger') end = 'stranger';
          else if (mode === 'wrong') end = ofOuter && forUs ? 'mode_mismatch' : 'foreign_source';
          else if (!ofOuter || (inside !== 'its own slice' && !isBridged)) end = 'foreign_source';
          else if (!forUs) end = 'foreign_destination';
          else if (to === 'our broadcast' && !isBridged) end = 'broadcast';
          probes.push({
            name: `${mode} mode: outer ${from}, inner ${inside} to ${to}`,
            end,
            frames: [outer(way, shim(way, inFrame(way, packet)), { source })],
          });
        }
      }
    }
  }
  return probes;
}
