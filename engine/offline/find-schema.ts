/** The catalog that explains the frames at a moment of the log, and what it is known by. */
import { crc32 } from 'node:zlib'
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { flatbuffersRows } from '../schema/flatbuffers-rows.js'
import { decodeSchema, FrameBodyReader } from '../../wal/index.js'
import { type LogEnd, walkLog } from './log-walk.js'
import { isBefore, type Moment } from './moment.js'
import type { Source } from './source.js'

export interface FoundSchema {
  readonly catalog: LoggedCatalog
  /** The structs of its rows, in FlatBuffers. */
  readonly rows: string
  /**
   * What the catalogs of this log are known by whose numbers and structs are the same, ascending: crc32 of the text from `"tables":`
   * on. So another rule, and another database of the application, makes no other schema for readers.
   */
  readonly marks: readonly number[]
  /** How the log ended. */
  readonly end: LogEnd
}

/** The one of the first frame at or after `at`; without it, and where there is none, the newest. */
export function findSchema(source: Source, at: Moment | undefined): FoundSchema {
  const marks = new Map<string, Set<number>>()
  let current: { readonly json: string; readonly catalog: LoggedCatalog; readonly rows: string } | undefined
  let found: typeof current
  const parts = walkLog(source.log)
  let step = parts.next()
  for (; step.done !== true; step = parts.next()) {
    const part = step.value
    if (part.kind === 'schema') {
      const json = decodeSchema(part.body)
      if (json === current?.json) continue
      const catalog = JSON.parse(json) as LoggedCatalog
      current = { json, catalog, rows: flatbuffersRows(catalog) }
      const known = marks.get(current.rows) ?? new Set()
      marks.set(current.rows, known.add(markOf(json)))
    }
    if (part.kind !== 'frame' || at === undefined || found !== undefined) continue
    if (!isBefore(at, part.batch, new FrameBodyReader(part.body).now)) found = current
  }
  found ??= current
  if (found === undefined) throw noSchema(source.path, step.value)
  const { catalog, rows } = found
  return { catalog, rows, marks: [...marks.get(rows)!].sort((a, b) => a - b), end: step.value }
}

function noSchema(path: string, { damage }: LogEnd): SluiceError {
  const why = damage === undefined ? 'is empty: its schema comes with the first commit' : 'has no schema that can be read: sluice verify says more'
  return SluiceError.of('INVALID_USE', `The log of ${path} ${why}.`, { details: { path } })
}

/** The texts of catalogs begin with what is of the database alone: seed and partitions. */
const markOf = (json: string): number => crc32(Buffer.from(json.slice(json.indexOf('"tables":')), 'utf8'))
