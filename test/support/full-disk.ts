/**
 * A disk without room, for this process: its limit for the length of a file. The system refuses to make a file longer, exactly where a full
 * disk does, and nobody has to be root for it. What is in the first segment of a log has its place already, and the next one cannot be made.
 */
import { execFileSync } from 'node:child_process'
import { type Database, SluiceError } from 'sluicedb'
import { onTestFinished } from 'vitest'
import { until } from './fixture.js'

const segmentBytes = 4 * 2 ** 20

/** No segment can be made beside the first one until the answer is called, or the test has ended. */
export function fillDisk(): () => void {
  limitFiles(String(segmentBytes + 1_024))
  onTestFinished(makeRoom)
  return makeRoom
}

const makeRoom = (): void => limitFiles('unlimited')
const limitFiles = (bytes: string): void => void execFileSync('prlimit', [`--pid=${process.pid}`, `--fsize=${bytes}:unlimited`])

/** Writes until the log says that there is no room; answers how many were acknowledged. */
export async function writeUntilFull(write: (n: number) => Promise<unknown>): Promise<number> {
  for (let n = 0; n < 1_000; n += 1) {
    try {
      await write(n)
    } catch (error) {
      if (SluiceError.is(error, 'OUT_OF_SPACE') && error.details['disk'] === true && !error.retryable) return n
      throw error
    }
  }
  throw new Error('there was room for a thousand of them')
}

/** The log has noticed that there is room again. */
export const hasRoom = (db: Database): Promise<void> => until(() => !db.stats().log.isDiskFull, 'the log has room')
