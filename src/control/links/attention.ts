/**
 * Which links are to be looked at: all of them once in a while, and at once those that something which
 * has changed on the host is about.
 * @module
 */
import type { NetlinkEvent } from '../../sys/netlink/netlink.ts';
import type { ManagedLink } from './link.ts';

/** Whether what has changed on the host is a device of this link, or a port of one. */
function isAbout(event: NetlinkEvent, link: ManagedLink): boolean {
  switch (event.kind) {
    case 'link':
      return link.has(event.link.index, event.link.name) || link.has(event.link.master);
    case 'address':
      return link.has(event.address.index);
    case 'route':
      return link.has(event.route.oif);
    case 'ipv6-address':
    case 'ipv6-route':
    case 'setting':
    case 'hook':
      return link.has(event.index);
    case 'lost':
      return false;
  }
}

export class Attention {
  #due: 'all' | Set<ManagedLink> = new Set();

  /** Every link is to be looked at. */
  all(): void {
    this.#due = 'all';
  }

  /**
   * Something has changed. What is about none of ours may be about any of them, but for what hangs on a
   * device that is another's. Returns whether there is something to look at.
   */
  note(event: NetlinkEvent, links: readonly ManagedLink[]): boolean {
    const about = links.find((link) => isAbout(event, link));
    if (about === undefined && event.kind === 'hook') return false;
    if (this.#due === 'all') return true;
    if (about === undefined) this.#due = 'all';
    else this.#due.add(about);
    return true;
  }

  /** Those of `links` that are to be looked at; from now on none is. */
  take(links: readonly ManagedLink[]): ManagedLink[] {
    const due = this.#due;
    this.#due = new Set();
    return due === 'all' ? [...links] : [...due];
  }
}
