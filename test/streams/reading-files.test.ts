/** Who reads the log from its files opens each of them once, however its frames are cut into portions. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { expect, test } from 'vitest'
import streamsApp, { count } from '../support/apps/streams-app.js'
import { newFolder, openFor, openOnce } from '../support/fixture.js'

test('a frame of more commits than are read at once is not looked for again (catching up was five times slower, and read each frame a dozen times)', async () => {
  const path = await newFolder()
  const commits = 30_000
  const first = await openOnce(streamsApp, { path, durability: 'os' })
  await first.submitMany(count, Array.from({ length: commits }, (_, n) => ({ shelf: `s${n % 4}`, n })))
  await first.close()

  const db = await openFor(streamsApp, { path, durability: 'os' })
  const { openSync } = fs
  let opened = 0
  fs.openSync = (...args: Parameters<typeof openSync>) => {
    if (String(args[0]).endsWith('.slog')) opened += 1
    return openSync(...args)
  }
  syncBuiltinESMExports()
  try {
    const batches = new Set<string>()
    let seen = 0
    for await (const { position } of db.changes({ from: 'beginning' })) {
      batches.add(position.split('-')[0]!)
      seen += 1
      if (seen === commits) break
    }
    expect(commits / batches.size, 'commits of a frame').toBeGreaterThan(1_024)
    // The file itself, and the heads among which it was found.
    expect(opened).toBeLessThan(3 + 3 * fs.readdirSync(`${path}/log`).length)
  } finally {
    fs.openSync = openSync
    syncBuiltinESMExports()
  }
})
