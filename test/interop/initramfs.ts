/** A root file system for a small guest, as the kernel takes it: cpio, format newc. @module */
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';

const DIRECTORY = 0o040_755;
const PROGRAM = 0o100_755;
const SYMLINK = 0o120_777;

export class Initramfs {
  readonly #pieces: Buffer[] = [];
  readonly #known = new Set<string>();
  #inode = 1;

  /** Adds a file of this content, and the directories above it. */
  file(path: string, content: Buffer | string): this {
    return this.#entry(path, PROGRAM, Buffer.from(content));
  }

  directory(path: string): this {
    return this.#known.has(path) ? this : this.#entry(path, DIRECTORY, Buffer.alloc(0));
  }

  symlink(path: string, target: string): this {
    return this.#entry(path, SYMLINK, Buffer.from(target));
  }

  /** Adds a program of this machine at its own path, with the libraries that it is linked with. */
  program(path: string): this {
    this.file(path, readFileSync(realpathSync(path)));
    const linked = execFileSync('ldd', [path], { encoding: 'utf8' });
    for (const [, library] of linked.matchAll(/(\/\S+) \(0x/g)) {
      if (library !== undefined && !this.#known.has(library)) {
        this.file(library, readFileSync(realpathSync(library)));
      }
    }
    return this;
  }

  /** The archive. */
  build(): Buffer {
    return Buffer.concat([...this.#pieces, entry('TRAILER!!!', 0, 0, Buffer.alloc(0))]);
  }

  #entry(path: string, mode: number, content: Buffer): this {
    const parent = dirname(path);
    if (parent !== '/' && parent !== '.') this.directory(parent);
    this.#known.add(path);
    this.#pieces.push(entry(path.replace(/^\//, ''), this.#inode++, mode, content));
    return this;
  }
}

/** One entry: 110 characters of header, the name, the content, each padded to 4 bytes. */
function entry(name: string, inode: number, mode: number, content: Buffer): Buffer {
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const head = Buffer.from(`${header}${name}\0`);
  return Buffer.concat([padded(head), padded(content)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
