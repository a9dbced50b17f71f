/**
 * What becomes of members that are gone: after a day only their heads stay, which refuse their old
 * blocks, and a full table lets go of who has been gone longest.
 * @module
 */

import { HEAD_HORIZON_MS } from './base/limits.ts';
import { isActive, type Member, type Members } from './members/members.ts';
import type { Tables } from './table/tables.ts';

/** How often it is looked whether somebody has been gone for long. */
const LOOK_MS = 10_000;

export class Departed {
  readonly #members: Members;
  readonly #tables: () => Tables;
  #lookedMs: number;

  constructor(members: Members, tables: () => Tables, nowMs: number) {
    this.#members = members;
    this.#tables = tables;
    this.#lookedMs = nowMs;
  }

  tick(nowMs: number): void {
    if (nowMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = nowMs;
    for (const member of [...this.#members.all()]) {
      if (isActive(member) || nowMs - member.sinceMs < HEAD_HORIZON_MS) continue;
      this.#tables().retire(member.id);
      this.#members.forget(member);
    }
  }

  /** Drops one that is gone, head and all. @returns whether there was one. */
  makeRoom(): boolean {
    const tables = this.#tables();
    for (const owner of tables.store.owners()) {
      if (!tables.store.isRetired(owner)) continue;
      tables.forget(owner);
      return true;
    }
    let oldest: Member | undefined;
    for (const member of this.#members.all()) {
      if (isActive(member)) continue;
      if (oldest === undefined || member.sinceMs < oldest.sinceMs) oldest = member;
    }
    if (oldest === undefined) return false;
    tables.forget(oldest.id);
    this.#members.forget(oldest);
    return true;
  }
}
