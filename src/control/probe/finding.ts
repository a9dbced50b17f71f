/**
 * What one end finds of a packet, put together fact by fact; the first reason to drop it counts.
 * @module
 */
import type { Fact, Finding } from '../../api/network/ends.ts';
import { ENCAPS } from '../../encap/encap.ts';
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { Best } from '../../rib/entry.ts';
import type { AnySpec } from '../store/link-spec.ts';

/** Outer source ports are of the range that RFC 6335 §6 leaves to everybody. */
const SOURCE_PORTS = 'a port by the hash of the flow';

export class Findings {
  readonly #facts: Fact[] = [];
  #dies = '';
  #counter = '';

  add(what: string, value: string, by = ''): void {
    this.#facts.push({ what, value, by });
  }

  /** It goes no further. */
  die(why: string, counter = ''): void {
    if (this.#dies !== '') return;
    this.#dies = why;
    this.#counter = counter;
  }

  get(): Finding {
    return { facts: this.#facts, dies: this.#dies, counter: this.#counter };
  }
}

/** Who says where something is, in words. */
export function sourceText(
  { source, owner, sequence }: Best,
  nameOf: (owner: string) => string,
): string {
  const moves = sequence === 0 ? '' : `, move ${sequence}`;
  if (source === 'local') return `the bridge at this end${moves}`;
  const name = nameOf(owner);
  return `${source}, told by ${name === '' ? owner : `${name} (${owner})`}${moves}`;
}

/** What a link is on the wire, for comparing two ends. */
export function wireOf({ encap, port, vni }: AnySpec): string {
  return `${encap} ${port} ${vni}`;
}

/** What a packet of `spec` looks like outside on its way to `host`. */
export function addOuter(
  findings: Findings,
  spec: AnySpec,
  host: UnderlayAddress,
  pathMtu: number,
): void {
  const { encap, port, vni, local, innerMtu, underlayMtu } = spec;
  const { hasVni } = ENCAPS[encap];
  findings.add('encapsulation', hasVni ? `${encap}, VNI ${vni}` : encap, 'the link');
  const [from, to] = [formatHostAddress(local), formatHostAddress(host)];
  const ports = port === 0 ? '' : `, UDP from ${SOURCE_PORTS} to port ${port}`;
  findings.add('outer', `${from} to ${to}${ports}`, 'the link');
  const limit = pathMtu === 0 ? '' : `; the path there carries ${pathMtu} outside`;
  findings.add(
    'mtu',
    `${innerMtu} inside, ${underlayMtu} outside${limit}`,
    limit === '' ? 'the underlay device' : 'the path',
  );
}
