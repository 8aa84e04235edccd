/**
 * What the log asks of a disk: files by name in one folder, written at places, synced, removed, and put in the place of
 * another one. Nothing is truncated, so these few operations are all that a simulated disk has to model.
 *
 * Two kinds of durability: `LogFile.sync` covers the bytes of a file, `LogStorage.syncDirectory` the fact that it
 * exists. The writing calls block, for the log thread has nothing else to do; `readAsync` is for cursors on main.
 *
 * Errors are the system's own (`code: 'EIO'`, `'ENOSPC'`, ...): what they mean is the caller's business.
 */
export interface LogStorage {
  /** The names of all files, sorted. */
  list(): string[]
  /** A new file, empty, open for reading and writing; fails with `EEXIST` when there is one. */
  create(name: string): LogFile
  /** Fails with `ENOENT` when there is none, and with `ELOOP` or `EINVAL` when it is no regular file. */
  open(name: string, access: 'read' | 'write'): LogFile
  remove(name: string): void
  /** The file `from` has the name `to` from now on; whoever has the file open that had it before goes on reading that one. */
  replace(from: string, to: string): void
  syncDirectory(): void
}

export interface LogFile {
  readonly name: string
  size(): number
  /** Fills `target` from byte `at`; returns fewer bytes only at the end of the file. */
  read(target: Uint8Array, at: number): number
  readAsync(target: Uint8Array, at: number): Promise<number>
  /** Writes all parts, one after the other, from byte `at`, or throws. Parts may lie in shared memory. */
  write(parts: readonly Uint8Array[], at: number): void
  /** Returns when all that was written is on disk. After a failure, what was written since the last one may be lost. */
  sync(): void
  close(): void
}

const namePattern = /^[a-z0-9][a-z0-9.-]{0,62}$/

/** R66: file names are ours. */
export function isStorageName(name: string): boolean {
  return namePattern.test(name)
}
