/**
 * A log that can be written no more (R44): what was acknowledged stays readable and comes back, the rest is said to be unknown.
 * The file system really refuses here: the name of a segment that the log needs is taken.
 */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { open } from 'sluicedb'
import { expect, test } from 'vitest'
import application, { items, putText } from '../support/apps/text-app.js'
import { newFolder } from '../support/fixture.js'

const memory = { bytes: 2 ** 28 }
const text = 'x'.repeat(60_000)

test.each([0, 1])('workers %i: unanswered calls are unknown, new ones refused, reads go on, nothing acknowledged is lost', async (workers) => {
  const path = await newFolder()
  const log = join(path, 'log')
  const obstacle = join(log, '0000000003.slog')
  const acknowledged: number[] = []
  const codes = new Set<string>()
  {
    await using db = await open(application, { path, workers, memory })
    await mkdir(obstacle)
    for (let id = 0; id < 1_000 && codes.size === 0; id += 4) {
      const ids = [id, id + 1, id + 2, id + 3]
      const outcomes = await Promise.allSettled(ids.map((one) => db.call(putText, { id: one, text })))
      outcomes.forEach((outcome, n) => {
        if (outcome.status === 'fulfilled') acknowledged.push(ids[n]!)
        else codes.add((outcome.reason as { code: string }).code)
      })
    }
    // A batch of four may have been answered in part; what was not is unknown, and none of it is called a success.
    expect([...codes].every((code) => code === 'COMMIT_UNKNOWN' || code === 'LOG_FAILED')).toBe(true)
    expect(codes.size).toBeGreaterThan(0)
    await expect(db.call(putText, { id: 0, text: 'late' })).rejects.toMatchObject({ code: 'LOG_FAILED', retryable: false })
    expect(acknowledged.length).toBeGreaterThan(10)
    expect(acknowledged.every((id) => db.table(items).get(id)?.text === text)).toBe(true)
  }
  await rm(obstacle, { recursive: true })
  await using again = await open(application, { path, workers, memory })
  expect(acknowledged.every((id) => again.table(items).get(id)?.text === text)).toBe(true)
  await again.call(putText, { id: 0, text: 'in time' })
  expect(again.table(items).get(0)?.text).toBe('in time')
  expect((await readdir(log)).length).toBeGreaterThan(1)
})
