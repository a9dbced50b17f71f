/**
 * Cleaning up for a lab whose process was killed: routers outlive who started them, and a process
 * that gets SIGKILL can end nothing. A shell waits for the lab's end of a pipe to close; it holds
 * the namespaces, so that their numbers can be nobody else's when it looks for who lives there.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { NetworkNamespace } from '../sys/process/netns.ts';

/**
 * Constant text. Arguments: how many namespaces, their inodes, then folders to remove. Whatever
 * lives in the namespaces is killed until a look finds nobody, 50 times at most.
 */
const GUARD_SCRIPT = `read -r word
count=$1
shift
inside=
while [ "$count" -gt 0 ]; do
  inside="$inside net:[$1] "
  shift
  count=$((count - 1))
done
pass=0
while [ $pass -lt 50 ]; do
  pass=$((pass + 1))
  found=
  for entry in /proc/[0-9]*; do
    namespace=$(readlink "$entry/ns/net" 2>/dev/null) || continue
    case "$inside" in
      *" $namespace "*) kill -9 "\${entry#/proc/}" 2>/dev/null; found=1 ;;
    esac
  done
  [ -n "$found" ] || break
done
[ $# -eq 0 ] || rm -rf -- "$@"`;

export class Guard {
  readonly #child: ChildProcess;

  /** Watches over `namespaces` until {@link Guard.dismiss}; `folders` go with them. */
  constructor(namespaces: readonly NetworkNamespace[], folders: readonly string[]) {
    const inodes = namespaces.map(({ inode }) => String(inode));
    const words = [String(inodes.length), ...inodes, ...folders];
    this.#child = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'fanway-guard', ...words], {
      stdio: ['pipe', 'ignore', 'ignore', ...namespaces.map(({ fd }) => fd)],
      detached: true,
      cwd: '/',
    });
    // Without a shell the lab works as well; only nobody would clean up after a SIGKILL.
    this.#child.on('error', () => undefined);
    this.#child.stdin?.on('error', () => undefined);
    this.#child.unref();
    (this.#child.stdin as { unref?: () => void } | null)?.unref?.();
  }

  /** The lab cleans up by itself. */
  dismiss(): void {
    this.#child.kill('SIGKILL');
  }
}
