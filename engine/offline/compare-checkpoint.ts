/**
 * A checkpoint against what the log says: the rows of one batch, from two sources, row by row; and the recorded outcomes.
 *
 * Rows: each row of the checkpoint is looked up in a store that was replayed to the same batch, and the counts are compared, so
 * that nothing is missing on either side. The store lays images down with code of its own (row-loader.ts) and the checkpoint was
 * collected with other code (image-collector.ts): they do not share their mistakes.
 *
 * Outcomes: how long they are kept is an option of `open()` that the files do not know, but they leave oldest first. So the
 * checkpoint must hold every outcome of the log that is younger than its oldest one, and none that differs.
 */
import { messageOf } from '../base/errors.js'
import { type LoggedTable, tableProgramOf } from '../schema/catalog.js'
import { areOfOneGeneration, reshaping } from '../schema/row-shape.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'
import { type CheckpointMeta, decodeOutcome, layoutNumber, outcomesPlace, type OutcomeRow, rowBytes } from '../stream/checkpoint-rows.js'
import { handlerOfEvent } from '../schema/handler-ids.js'
import { forEachOutcome } from '../stream/recorded-outcomes.js'
import { type Checkpoint, FrameBodyReader, type RowBlock, rowWords } from '../../wal/index.js'
import type { Findings } from './finding.js'
import { differences, ImageDecoder } from './image-decoder.js'
import { keyOf, type RebuiltStore } from './rebuilt-store.js'

/** Views, valid until the next block. */
const keyIn = ({ rows, bytes }: RowBlock, n: number): Uint8Array => bytes.subarray(rows[n * rowWords]!, rows[n * rowWords]! + rows[n * rowWords + 1]!)
const valueIn = ({ rows, bytes }: RowBlock, n: number): Uint8Array => bytes.subarray(rows[n * rowWords + 2]!, rows[n * rowWords + 2]! + rows[n * rowWords + 3]!)

/** The place of the table, in the first two bytes of a key. */
const placeOf = (key: Uint8Array): number => (key[0]! << 8) | key[1]!

export interface ComparedCheckpoint {
  readonly file: string
  readonly batch: number
  readonly checkpoint: Checkpoint
  readonly meta: CheckpointMeta
}

/** The rows of a checkpoint as plain rows, by table, in key order. A row that cannot be read is a finding. */
export function* rowsOf({ file, batch, checkpoint, meta }: ComparedCheckpoint, findings: Findings): Generator<{ readonly table: number; readonly row: PlainRow }, void> {
  const tables = meta.catalog.tables.map((now, place) => ({ name: now.name, layouts: (meta.layouts?.[place] ?? [now]).map((layout) => decoderOf(layout, now)) }))
  for (const block of checkpoint.blocks()) {
    for (let n = 0; n < block.count; n += 1) {
      const key = keyIn(block, n)
      const place = placeOf(key)
      if (place === outcomesPlace) continue
      const table = tables[place]
      if (table === undefined) {
        findings.add({ part: 'checkpoint', file, batch, message: `a row belongs to table ${place}, which the checkpoint does not explain` })
        continue
      }
      try {
        const value = valueIn(block, n)
        const image = value.subarray(0, rowBytes(value.length))
        const layout = table.layouts[layoutNumber(block.words, block.rows[n * rowWords + 2]!, value.length)]
        if (layout === undefined) throw new Error('it is of a layout that the checkpoint does not explain')
        if (!layout.decoder.hasKey(image, key.subarray(2))) throw new Error('it stands under the key of another row')
        const row = layout.decoder.decode(image)
        yield { table: place, row: layout.reshape === undefined ? row : layout.reshape(row) }
      } catch (error) {
        findings.add({ part: 'checkpoint', file, batch, table: table.name, message: `a row cannot be read: ${messageOf(error)}` })
      }
    }
  }
}

/** Of rows of a layout, in the shape that their table has in the checkpoint's catalog. */
function decoderOf(layout: LoggedTable, now: LoggedTable): { readonly decoder: ImageDecoder; readonly reshape: ((row: PlainRow) => PlainRow) | undefined } {
  return { decoder: new ImageDecoder(tableProgramOf(layout).descriptor), reshape: areOfOneGeneration(layout, now) ? reshaping(layout, now) : undefined }
}

/** Rows of tables that are gone, or that a later migration has made anew, have nothing to be compared with. */
export function compareRows(compared: ComparedCheckpoint, replayed: RebuiltStore, findings: Findings): void {
  const { file, batch, meta } = compared
  const tables = meta.catalog.tables.map((was) => {
    const now = replayed.catalog.tables.find(({ name }) => name === was.name)
    const store = replayed.tables.find(({ name }) => name === was.name)
    return now === undefined || store === undefined || !areOfOneGeneration(was, now) ? undefined : { store, reshape: reshaping(was, now) }
  })
  const counts = tables.map(() => 0)
  for (const { table: place, row } of rowsOf(compared, findings)) {
    counts[place]! += 1
    const compare = tables[place]
    if (compare === undefined) continue
    const { store: table, reshape } = compare
    const expected = replayed.find(table, row)
    const at = { part: 'rows', file, batch, table: table.name, key: keyOf(table, row) } as const
    if (expected === undefined) findings.add({ ...at, message: 'the checkpoint has a row that the log does not make' })
    else {
      const columns = differences(table.descriptor, reshape === undefined ? row : reshape(row), expected)
      if (columns.length > 0) findings.add({ ...at, message: `the checkpoint and the log differ in ${columns.join(', ')}` })
    }
  }
  tables.forEach((compare, place) => {
    if (compare === undefined) return
    const table = compare.store
    const missing = replayed.count(table) - counts[place]!
    if (missing > 0) nameMissing(compared, place, table, replayed, findings)
  })
}

/** Rows of the log that the checkpoint lacks: found the slow way, for there are none in a whole database. */
function nameMissing(compared: ComparedCheckpoint, place: number, table: TableStore, replayed: RebuiltStore, findings: Findings): void {
  const { file, batch } = compared
  const known = new Set<string>()
  for (const found of rowsOf(compared, findings)) if (found.table === place) known.add(JSON.stringify(textKey(keyOf(table, found.row))))
  for (const row of replayed.rows(table)) {
    const key = keyOf(table, row)
    if (known.has(JSON.stringify(textKey(key)))) continue
    findings.add({ part: 'rows', file, batch, table: table.name, key, message: 'the checkpoint lacks a row that the log makes' })
  }
}

/** Keys are compared as text: JSON has no bigint and no bytes. */
function textKey(key: unknown): unknown {
  if (typeof key === 'bigint') return `${key}n`
  if (key instanceof Uint8Array) return Buffer.from(key).toString('hex')
  return Array.isArray(key) ? key.map(textKey) : key
}

// ── outcomes ────────────────────────────────────────────────────────────────────────────────────────────────────

export type Outcomes = Map<string, OutcomeRow>

export function outcomesOf(checkpoint: Checkpoint): Outcomes {
  const outcomes: Outcomes = new Map()
  for (const block of checkpoint.blocks(new Uint8Array([outcomesPlace >>> 8, outcomesPlace & 0xff]))) {
    for (let n = 0; n < block.count; n += 1) {
      const value = valueIn(block, n).slice()
      outcomes.set(Buffer.from(keyIn(block, n).subarray(2)).toString('utf8'), decodeOutcome(value, 0, value.length))
    }
  }
  return outcomes
}

/** Takes in the outcomes of a frame that are not older than `fromMs`. */
export function collectOutcomes(bytes: Uint8Array, fromMs: number, into: Outcomes): void {
  const body = new FrameBodyReader(bytes)
  if (body.now < fromMs) return
  // The body does not stay.
  forEachOutcome(body, (id, outcome) => into.set(Buffer.from(id).toString('utf8'), { ...outcome, value: outcome.value.slice() }))
}

export function compareOutcomes(compared: ComparedCheckpoint, held: Outcomes, replayed: Outcomes, findings: Findings): void {
  const { file, batch } = compared
  let oldest = Infinity
  for (const { time } of held.values()) oldest = Math.min(oldest, time)
  for (const [id, expected] of replayed) {
    const found = held.get(id)
    const at = { part: 'rows', file, batch, key: id } as const
    if (found === undefined) {
      // The events that a handler's cursor has passed are forgotten, whatever their time is.
      if (expected.time > oldest && handlerOfEvent(id) === undefined) findings.add({ ...at, message: 'the checkpoint lacks the outcome of the call with this id' })
    } else if (!isSameOutcome(found, expected)) findings.add({ ...at, message: 'the checkpoint and the log differ in the outcome of the call with this id' })
  }
}

function isSameOutcome(a: OutcomeRow, b: OutcomeRow): boolean {
  const isSame = a.batch === b.batch && a.time === b.time && a.request === b.request && a.place === b.place && a.outcome === b.outcome
  return isSame && Buffer.compare(a.value, b.value) === 0
}
