/**
 * Loaded into a process before anything else (`node --import`): its wall clock is off by as many
 * milliseconds as the file FANWAY_TEST_CLOCK says, now and whenever the file changes. All wall-clock
 * time in Node comes from Date.
 * @module
 */
import { readFileSync } from 'node:fs';

const LOOK_MS = 100;
const file = process.env['FANWAY_TEST_CLOCK'] ?? '';
const RealDate = Date;
let shiftMs = 0;

function look(): void {
  shiftMs = Number(readFileSync(file, 'utf8'));
}

class ShiftedDate extends RealDate {
  constructor(...values: unknown[]) {
    if (values.length === 0) super(RealDate.now() + shiftMs);
    else super(...(values as [number]));
  }

  static override now(): number {
    return RealDate.now() + shiftMs;
  }
}

if (file !== '') {
  look();
  setInterval(look, LOOK_MS).unref();
  globalThis.Date = ShiftedDate as DateConstructor;
}
