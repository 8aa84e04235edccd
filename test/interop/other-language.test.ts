/**
 * The log in another language: what flatc makes of `sluice schema --fbs`, and the rules of docs/log-format.md, are all that a reader in
 * C++ needs (examples/reader). It reads real logs and says of them what `db.changes()` says.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { app, column as c, service, table, type Commit } from 'sluicedb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ByteWriter } from '../../engine/base/bytes.js'
import { encodeCanonical } from '../../engine/base/canonical.js'
import type { LoggedCatalog, LoggedColumn } from '../../engine/schema/catalog.js'
import { columnTypes } from '../../engine/schema/descriptor.js'
import { flatbuffersRows } from '../../engine/schema/flatbuffers-rows.js'
import { layoutOf, rowHeaderWords } from '../../engine/schema/row-layout.js'
import { packageRoot } from '../support/child.js'
import { newFolder, openOnce } from '../support/fixture.js'
import { seeds, withSeed } from '../support/random.js'
import { compilers, flatcs } from './flatc.js'
import { lay, makeShop, shopApp } from './shop-log.js'

const example = (name: string): string => join(packageRoot, 'examples/reader', name)
/** Of flatc's C++, as Debian has them. */
const headers = join(packageRoot, 'test/fixtures/flatbuffers')
const text = (path: string): string => readFileSync(path, 'utf8')

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}
function run(program: string, ...args: readonly string[]): Ended {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 28 })
  if (error !== undefined) throw error
  return { code: status, out: stdout, err: stderr }
}
/** The built command: it has no sources beside it. */
const sluice = (...args: readonly string[]): Ended => run(process.execPath, join(packageRoot, 'dist/bindings/cli/main.js'), ...args)

// ── the schema ────────────────────────────────────────────────────────────────────────────────────────────────

/** Columns and tables named as nobody should, and more that may be null than one word has bits. */
const odd: LoggedCatalog = {
  format: 1, seed: 1, partitions: 1, events: [{ name: 'a.struct', columns: [] }, { name: 'a_struct', columns: [column('table', 'enum', ['*/ \\', '\n', '\u2028'])] }], procedures: ['int', '$int', 'a.b', 'a_b', 'aB'],
  tables: [
    { name: 'a.b_c', key: ['n'], columns: [column('n', 'i32'), ...columnTypes.map((type) => column(type, type, type === 'enum' ? ['', '*/', 'a"'] : undefined))] },
    { name: 'a_b.c', key: ['n_'], columns: ['n_', 'n', 'aBc', 'a_bc', 'ABcRow', 'table', 'struct', 'namespace', 'true', 'class', 'double', 'nulls', 'self', 'id', 'key'].map((name) => column(name, 'f64')) },
    { name: '$own', key: ['n0'], columns: Array.from({ length: 70 }, (_, n) => ({ ...column(`n${n}`, 'bool'), nullable: true })) },
    { name: 'words', key: ['x'], columns: [column('x', 'u32')] },
  ],
}
function column(name: string, type: LoggedColumn['type'], values?: readonly string[]): LoggedColumn {
  return { name, type, nullable: false, ...(values && { values }) }
}

describe('the schema', () => {
  test('has the frame as wal/frame.fbs has it, and the rows of today: the one beside the reader is no older', async () => {
    const path = join(await newFolder(), 'shop')
    const db = await openOnce(shopApp, { path, workers: 0, durability: 'os' })
    await db.call(lay, { row: 1, shelf: 'a', item: 'b' })
    await db.close()
    const { code, out, err } = sluice('schema', path, '--fbs')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out.startsWith(text(join(packageRoot, 'wal/frame.fbs')))).toBe(true)
    expect(out).toBe(text(example('shop.fbs')))
    expect(JSON.parse(sluice('schema', path).out)).toMatchObject({ format: 1, tables: [{ name: 'shop.item', key: ['id'] }, { name: 'shop.place' }, {}] })
  })

  test.each(flatcs)('is what Debian\'s flatc makes the committed header of: %s', async (flatc) => {
    const folder = await newFolder()
    expect(run(flatc, '--cpp', '--warnings-as-errors', '-o', folder, example('shop.fbs'))).toMatchObject({ code: 0 })
    expect(text(join(folder, 'shop_generated.h'))).toBe(text(example('shop_generated.h')))
  })

  test('has identifiers that are different, whatever names the application has', async () => {
    const rows = flatbuffersRows(odd)
    for (const [, name, block] of rows.matchAll(/^(?:struct|enum) (\w+).*?\{\n(.*?)^\}/gms)) {
      const fields = [...block!.matchAll(/^  (\w+)(?::| =)/gm)].map(([, field]) => field!.replaceAll('_', '').toLowerCase())
      expect(fields.length, name).toBeGreaterThan(0)
      expect(new Set(fields).size, name).toBe(fields.length)
    }
    const structs = [...rows.matchAll(/^struct (\w+Row\w*) /gm)].map(([, name]) => name!)
    expect(structs).toHaveLength(odd.tables.length)
    for (const flatc of flatcs) {
      const folder = await newFolder()
      writeFileSync(join(folder, 'odd.fbs'), `namespace odd;\n${rows}`)
      for (const language of ['cpp', 'ts', 'go', 'java', 'csharp', 'python', 'rust']) {
        expect(run(flatc, `--${language}`, '-o', join(folder, language), join(folder, 'odd.fbs'))).toMatchObject({ code: 0 })
      }
      const sizes = odd.tables.map((one, n) => `static_assert(sizeof(odd::${structs[n]!}) == ${(layoutOf({ ...one, key: [], partition: 'global', ordered: false, indexes: [] }).words - rowHeaderWords) * 8}, "");`)
      writeFileSync(join(folder, 'odd.cpp'), ['#include "cpp/odd_generated.h"', ...sizes, ''].join('\n'))
      for (const compiler of compilers) expect(run(compiler, '-std=c++17', '-fsyntax-only', '-I', headers, join(folder, 'odd.cpp'))).toMatchObject({ code: 0, err: '' })
    }
  })

  test('is that of a moment, and known by every catalog of its log that has the same rows', async () => {
    const path = join(await newFolder(), 'notes')
    const note = { id: c.text() }
    const applications = [{ columns: note }, { columns: { ...note, n: c.int().nullable() } }, { columns: { ...note, n: c.int().max(5).nullable() } }].map(({ columns }) => {
      const notes = service('notes', { tables: { note: table({ columns, key: ['id'] }) } })
      const add = notes.procedure('add', { input: { id: c.text() } }, (tx, row) => void tx.db.note.put(row as never))
      return { application: app(import.meta.url, [notes]), add }
    })
    const positions: string[] = []
    for (const { application, add } of applications) {
      const db = await openOnce(application, { path, workers: 0, durability: 'os' })
      positions.push((await db.submit(add, { id: `note ${positions.length}` })).position)
      await db.close()
    }
    const schemas = [undefined, positions[0]].map((at) => sluice('schema', path, '--fbs', ...(at === undefined ? [] : ['--at', at])).out)
    expect(schemas.map((one) => [one.includes('"n", int'), one.match(/mark_\d+ = \d+/g)?.length])).toEqual([[true, 2], [false, 1]])
  })
})

// ── the reader ────────────────────────────────────────────────────────────────────────────────────────────────

describe.each(compilers)('a reader in C++, by %s', (compiler) => {
  let reader: string
  beforeAll(() => {
    reader = join(mkdtempSync(join(tmpdir(), 'sluice-reader-')), 'reader')
    expect(run(compiler, '-std=c++17', '-O0', '-Wall', '-Wextra', '-I', headers, example('reader.cpp'), '-o', reader)).toEqual({ code: 0, out: '', err: '' })
  }, 60_000)
  afterAll(() => rmSync(dirname(reader), { recursive: true, force: true }))

  test.each(seeds(2))('says of a log what db.changes() says, seed %i', (seed) =>
    withSeed(seed, async (random) => {
      const { path, commits } = await makeShop(random, 60)
      expect(readdirSync(join(path, 'log')).length, 'segments').toBeGreaterThan(1)
      const { code, out, err } = run(reader, join(path, 'log'))
      expect({ code, err }).toEqual({ code: 0, err: '' })
      const lines = out.split('\n').slice(0, -1)
      expect(lines.map((line) => JSON.parse(line) as object)).toEqual(commits.map(printed))

      // A byte of some body in the first segment: the log ends in front of it, for this reader.
      const segment = join(path, 'log/0000000001.slog')
      const bytes = readFileSync(segment)
      const at = 8_192 + random.below(bytes.findLastIndex((byte) => byte !== 0) / 2 - 8_192)
      bytes[at]! ^= 0x10
      writeFileSync(segment, bytes)
      const rest = run(reader, join(path, 'log')).out.split('\n').slice(0, -1)
      expect(rest.length).toBeLessThan(lines.length)
      expect(rest).toEqual(lines.slice(0, rest.length))
    }))

  test('refuses a log whose catalog it was not made of', () => {
    const { code, out, err } = run(reader, join(packageRoot, 'test/fixtures/format-1/database/log'))
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain('a schema that this program was not made of')
  })
})

/** A commit as the reader prints it. */
function printed({ position, procedure, changes, events }: Commit): object {
  return {
    position,
    procedure: procedure!.replaceAll('.', '_'),
    changes: changes.map(({ kind, table, key, before, after }) => ({ kind, table, key, ...(before && { before: columnsOf(before) }), ...(after && { after: columnsOf(after) }) })),
    events: events.map(({ type }) => type),
  }
}
function columnsOf(row: object): object {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, name === 'more' && value !== null ? canonicalOf(value) : plainOf(value)]))
}
function plainOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return typeof value === 'number' && !Number.isFinite(value) ? { $number: String(value) } : value
}
function canonicalOf(value: unknown): string {
  const writer = new ByteWriter(64)
  encodeCanonical(value, writer)
  return Buffer.from(writer.bytes()).toString('hex')
}
