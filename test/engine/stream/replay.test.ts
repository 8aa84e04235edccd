/** Frames into a store: tables by name, calls with an id, and frames that contradict what was said before. */
import { describe, expect, test } from 'vitest'
import { loggedCatalog } from '../../../engine/schema/catalog.js'
import type { TableProgram } from '../../../engine/schema/descriptor.js'
import { OutcomeTable } from '../../../engine/sequencer/outcome-table.js'
import { changeInts, transactionInts, type LaneLog } from '../../../engine/shared/lane-log.js'
import { checkStore } from '../../../engine/store/check.js'
import type { Store } from '../../../engine/store/store.js'
import { Replay, replayBatch } from '../../../engine/stream/replay.js'
import { withSystemTables } from '../../../engine/worker/engine-plan.js'
import { layoutBody, writeBodyHead } from '../../../wal/index.js'
import { seeds, withSeed } from '../../support/random.js'
import { programWith, randomTable, randomValue, rowsOf, storeOf, Written } from '../store/row-loader-fixture.js'

const partitions = 4
const windowMs = 1_000

/** The frame of all that one lane recorded. */
function frameOf(log: LaneLog, head: { readonly batch: number; readonly now: number }): Uint8Array {
  const piece = log.piece(0, { partition: 0, transactionsAt: 0, transactions: 0, changesAt: 0, changes: 0, eventsAt: 0, events: 0, bytesAt: 0, bytes: 0 })
  const layout = layoutBody({ lanes: 1, transactions: piece.transactions, changes: piece.changes, events: 0, bytes: piece.bytes })
  const body = new Uint8Array(layout.total)
  const words = new Int32Array(body.buffer)
  writeBodyHead(new DataView(body.buffer), 0, layout, { ...head, seed: 0 })
  words.set([piece.partition, piece.transactions, piece.changes, 0, piece.bytes], layout.lanesAt / 4)
  words.set(log.transactions.subarray(0, piece.transactions * transactionInts), layout.transactionsAt / 4)
  words.set(log.changes.subarray(0, piece.changes * changeInts), layout.changesAt / 4)
  body.set(log.bytes.subarray(0, piece.bytes), layout.bytesAt)
  return body
}

/** Ends the lane that a `Written` began, and begins the next one. */
function sealed(written: Written, head: { readonly batch: number; readonly now: number }, id = ''): Uint8Array {
  const { log } = written
  const bytes = Buffer.from(id)
  const idAt = id === '' ? 0 : log.putBytes(bytes, bytes.length)
  log.addTransaction(0, 0, 0, 77, idAt, bytes.length, idAt, bytes.length)
  log.endLane()
  const frame = frameOf(log, head)
  written.next()
  return frame
}

const counter = (name: string): TableProgram => ({
  descriptor: {
    name,
    columns: [{ name: 'id', type: 'int', nullable: false }, { name: 'n', type: 'text', nullable: false }],
    key: [0],
    partition: [0],
    ordered: false,
    indexes: [{ name: 'byN', on: [1], range: true, unique: false }],
  },
  checks: [],
  json: [],
})

function replaying(tables: readonly TableProgram[]): { store: Store; replay: Replay } {
  const store = storeOf(withSystemTables(programWith(tables)), partitions)
  return { store, replay: new Replay(store, windowMs) }
}

describe('frames', () => {
  test.each(seeds(4))('T11: leave the rows of the transactions that wrote them, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const tables = Array.from({ length: 3 }, (_, n) => randomTable(random, `t${n}`))
      const written = new Written(storeOf(programWith(tables), partitions))
      // The application of today declares its tables in another order than that of the log.
      const { store, replay } = replaying([...tables].reverse())
      replay.schema(loggedCatalog(programWith(tables), { seed: 1, partitions }))
      for (let batch = 2; batch < 60; batch += 1) {
        for (let n = random.below(40); n >= 0; n -= 1) {
          const table = random.pick(written.store.tables)
          const values = table.descriptor.columns.map((column) => randomValue(random, column, 40))
          if (random.chance(0.2)) written.delete(table, values)
          else written.insertOrUpdate(table, values)
        }
        replay.frame(sealed(written, { batch, now: batch * 10 }))
      }
      replay.end()
      checkStore(store, replayBatch)
      for (const table of written.store.tables) {
        expect(rowsOf(store.tables.find(({ name }) => name === table.name)!)).toEqual(rowsOf(table))
      }
      expect([replay.lastNow, replay.transactions]).toEqual([590, 58])
    })
  })

  test('of a table that the schema does not have are LOG_CORRUPT; rows of one that is gone are passed over', () => {
    // Behind the tables of the program a log has those of the engine: the row is of one beyond.
    const written = new Written(storeOf(programWith([counter('a'), counter('b'), counter('c')]), partitions))
    written.insertOrUpdate(written.store.tables[2]!, [1, 'x'])
    const frame = sealed(written, { batch: 2, now: 1 })
    const catalogOf = (...names: string[]) => loggedCatalog(programWith(names.map(counter)), { seed: 1, partitions })
    const { replay } = replaying([counter('a')])
    expect(() => replay.frame(frame)).toThrow('before any schema')
    replay.schema(catalogOf('a', 'b', 'c'))
    replay.frame(frame)
    replay.schema(catalogOf('a'))
    expect(() => replay.frame(frame)).toThrow('names table 2, which its schema does not have')
  })

  test('that insert a row twice are LOG_CORRUPT', () => {
    const written = new Written(storeOf(programWith([counter('a')]), partitions))
    written.insertOrUpdate(written.store.tables[0]!, [1, 'x'])
    const frame = sealed(written, { batch: 2, now: 1 })
    const { replay } = replaying([counter('a')])
    replay.schema(loggedCatalog(programWith([counter('a')]), { seed: 1, partitions }))
    replay.frame(frame)
    expect(() => replay.frame(frame)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT', details: { table: 'a', key: 1 } }))
  })
})

describe('calls with an id', () => {
  test('R57: are remembered as they were recorded, as long as the window lasts', () => {
    const written = new Written(storeOf(programWith([counter('a')]), partitions))
    const { store, replay } = replaying([counter('a')])
    replay.schema(loggedCatalog(programWith([counter('a')]), { seed: 1, partitions }))
    const calls = 3_000
    for (let n = 0; n < calls; n += 1) {
      written.insertOrUpdate(written.store.tables[0]!, [n % 5, `n${n}`])
      replay.frame(sealed(written, { batch: 2 + n, now: n }, `call ${n % 2_000}`))
    }
    // More leave the window in the course of a log than may leave it at its end.
    const remembered = store.tables.at(-1)!.part(0).countNow()
    expect(remembered).toBeLessThan(2_000)
    replay.end()
    checkStore(store, replayBatch)
    const outcomes = new OutcomeTable(store, windowMs)
    expect(outcomes.find('call 999')).toMatchObject({ batch: 2_999 + 2, place: 0, outcome: 0, request: 77, value: new Uint8Array(Buffer.from('call 999')) })
    expect(outcomes.find('call 1999')).toMatchObject({ batch: 1_999 + 2 })
    expect(outcomes.find('call 1500')).toBeUndefined()
    expect(rowsOf(store.tables[0]!)).toEqual(rowsOf(written.store.tables[0]!))
  })
})
