/**
 * What fanway reports when something cannot be done: a stable code for programs, a sentence for
 * people that says what to do next, and the exit code the command ends with.
 * @module
 */

/**
 * Exit codes, fixed for scripts and for the supervising loop (which restarts on anything but
 * {@link ExitCode.Ok} and {@link ExitCode.Usage}).
 */
export const ExitCode = {
  /** Done, or nothing to do. */
  Ok: 0,
  /** Something failed while it was being done; what had been done was undone. */
  Failed: 1,
  /** The command line or a configuration file is wrong; nothing was touched. */
  Usage: 2,
  /** Refused because of what is on this host now; nothing was touched. */
  Refused: 3,
  /** Not allowed: root or a capability is missing. */
  NotPermitted: 4,
  /** No router answers on the admin socket. */
  NotRunning: 5,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export type FanwayErrorOptions = {
  /** Process exit code; {@link ExitCode.Failed} when left out. */
  exitCode?: ExitCode;
  cause?: unknown;
  /** What was done all the same, for programs: with --json its fields stand beside `error`. */
  answer?: Readonly<Record<string, unknown>>;
};

/** Every error that fanway expects. `message` is one or more full sentences. */
export class FanwayError extends Error {
  /** Stable, kebab-case, for programs (`overlay-in-use`). */
  readonly code: string;
  readonly exitCode: ExitCode;
  readonly answer: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: FanwayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FanwayError';
    this.code = code;
    this.exitCode = options.exitCode ?? ExitCode.Failed;
    this.answer = options.answer ?? {};
  }
}

/** A wrong command line: exit code 2. */
export function usageError(code: string, message: string): FanwayError {
  return new FanwayError(code, message, { exitCode: ExitCode.Usage });
}

/** Refused because of the host's state: exit code 3. */
export function refusedError(code: string, message: string): FanwayError {
  return new FanwayError(code, message, { exitCode: ExitCode.Refused });
}

/** The text of anything thrown, one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s*\n\s*/g, ' ');
}

/** The symbolic code of anything thrown (`EEXIST`, `overlay-in-use`), '' when it has none. */
export function codeOf(error: unknown): string {
  if (error !== null && typeof error === 'object' && 'code' in error) {
    return typeof error.code === 'string' ? error.code : '';
  }
  return '';
}
