/** Databases that earlier versions wrote (test/fixtures), and one that a later version might have written. */
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import { expect } from 'vitest'
import { open, SluiceError } from 'sluicedb'
import application, { keep, write } from '../fixtures/format-1/app.js'
import { stateHash } from '../fixtures/format-1/state.js'
import { newFolder } from '../support/fixture.js'
import { faultRow } from './row.js'

const fixture = fileURLToPath(new URL('../fixtures/format-1/', import.meta.url))
const expected = JSON.parse(readFileSync(join(fixture, 'expected.json'), 'utf8')) as { hash: string; calls: Record<string, number> }
const options = { memory: { bytes: 32 * 2 ** 20 }, outcomes: { window: '100000d' } } as const

async function copied(without: readonly string[] = []): Promise<string> {
  const path = join(await newFolder(), 'database')
  cpSync(join(fixture, 'database'), path, { recursive: true })
  for (const name of without) rmSync(join(path, name), { recursive: true })
  return path
}

function filesOf(path: string): string {
  const names = readdirSync(path, { recursive: true }).map(String).filter((name) => statSync(join(path, name)).isFile() && !name.startsWith('lock'))
  return names.sort().map((name) => `${name} ${crc32(readFileSync(join(path, name)))}`).join('\n')
}

/** Gives the first envelope of a file, or a manifest, the next format, with a right checksum. */
function fromTheFuture(path: string, checksumAt: number): void {
  const bytes = readFileSync(path)
  bytes.writeUInt16LE(2, 4)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, checksumAt)), checksumAt)
  writeFileSync(path, bytes)
}

faultRow(
  35,
  {
    title: 'format upgrade',
    injected: 'a database of format 1 as it was written, without its checkpoints, with one of them; then segments and manifests of format 2',
    invariant: 'opens with the same state, outcomes and a log that goes on; a newer format is refused in words that say so, and nothing is changed',
    pr: 7,
    nightly: 7,
  },
  async (run) => {
    for (const without of [[], ['checkpoint'], ['checkpoint/a.manifest'], ['checkpoint/b.manifest', 'checkpoint/b.mdb']]) {
      const path = await copied(without)
      for (let life = 0; life < 2; life += 1) {
        const db = await open(application, { path, ...options })
        if (life === 0) expect(stateHash(db), without.join()).toBe(expected.hash)
        for (const [id, value] of Object.entries(expected.calls)) expect(await db.call(keep, { id: value }, { id })).toBe(value)
        if (life === 0) expect(stateHash(db)).toBe(expected.hash)
        await db.call(write, { place: 'new', n: life })
        if (life === 0) await db.checkpoint()
        await db.close()
      }
      run.done()
    }
    const newer: readonly (readonly [string, number])[] = [['log/0000000001.slog', 124], ['checkpoint/a.manifest', 508], ['checkpoint/b.manifest', 508]]
    for (const [name, checksumAt] of newer) {
      const path = await copied()
      fromTheFuture(join(path, name), checksumAt)
      const before = filesOf(path)
      const error: unknown = await open(application, { path, ...options }).then((db) => db.close(), (reason: unknown) => reason)
      expect(SluiceError.is(error, 'INVALID_USE'), String(error)).toBe(true)
      expect((error as Error).message).toMatch(/format 2.*upgrade/)
      expect(filesOf(path)).toBe(before)
      run.done()
    }
  },
)
