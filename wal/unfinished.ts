/**
 * A directory that is being made: a copy, a backup, a restored moment. While the file `unfinished` lies in it, it is no database:
 * whoever opens directories asks here first.
 *
 * The file is there, synced, before anything else is, and goes when all the rest is on disk. So a crash leaves either nothing,
 * or something that says what it is, or the whole.
 *
 * Why not a rename of the finished directory: renaming over another file system fails, and a half-made directory of another name
 * says nothing about itself.
 */
import { SluiceError } from '../engine/base/errors.js'
import type { LogStorage } from './storage.js'

const name = 'unfinished'

/** `directory`: the top of the database, empty so far. */
export function markUnfinished(directory: LogStorage): void {
  const file = directory.create(name)
  try {
    file.write([new TextEncoder().encode('This copy of a database was not finished. Remove the directory and copy again.\n')], 0)
    file.sync()
  } finally {
    file.close()
  }
  directory.syncDirectory()
}

/** Everything in it is on disk. */
export function clearUnfinished(directory: LogStorage): void {
  directory.syncDirectory()
  directory.remove(name)
  directory.syncDirectory()
}

/** Throws when the directory is an unfinished copy. */
export function mustBeFinished(directory: LogStorage, path: string): void {
  if (!directory.list().includes(name)) return
  throw SluiceError.of(
    'INVALID_USE',
    `The directory ${path} is a copy that was not finished: it is no database. Remove it and copy again.`,
    { details: { path } },
  )
}
