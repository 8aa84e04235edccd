/** `db.erase(subject)`: takes the data of one subject away, and says what it has done. */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type DecodedTransaction, type ErasureReport, isErasureRecordId, type OpenEngine, recordedErasures, reportOf } from '../engine/index.js'
import type { EraseOptions, ErasureRecord, ErasureSubject } from './erasure-types.js'
import { formatPosition } from './position.js'
import { partsOf } from './progress.js'
import { shown } from './schema/definition.js'

export async function eraseSubject({ eraser, engine }: OpenEngine, subject: unknown, options: EraseOptions): Promise<ErasureRecord> {
  engine.mustBeOutside()
  engine.mustBeOpen()
  const { batch, index, report } = await eraser.erase(checkSubject(subject), { signal: options.signal, onProgress: partsOf(options.onProgress) })
  return recordOf(batch, index, report)
}

/** Those that the database has done, oldest first; of one subject, where it is given. */
export function erasuresIn(open: OpenEngine, subject: unknown): readonly ErasureRecord[] {
  open.engine.mustBeOpen()
  const digest = subject === undefined ? undefined : open.eraser.digestOf(checkSubject(subject))
  return recordedErasures(open.engine)
    .filter(({ report }) => digest === undefined || report.subject === digest)
    .map(({ batch, index, report }) => recordOf(batch, index, report))
}

/** What a commit of the log says of erasures: that it has lost something to one, or that it is the record of one. */
export function erasureIn(transaction: DecodedTransaction): { readonly erased?: true; readonly erasure?: ErasureRecord } {
  const { isErased, id, value, batch, index } = transaction
  const isRecord = id !== undefined && value !== undefined && isErasureRecordId(id)
  if (!isErased && !isRecord) return {}
  return { ...(isErased && { erased: true }), ...(isRecord && { erasure: recordOf(batch, index, reportOf(value)) }) }
}

function recordOf(batch: number, index: number, report: ErasureReport): ErasureRecord {
  const { time, subject, rows, tables, events, answers, segments, checkpoints } = report
  const names = [...new Set([...Object.keys(rows), ...Object.keys(tables)])].sort()
  return {
    position: formatPosition(batch, index),
    time,
    subject,
    tables: Object.fromEntries(names.map((name) => [name, { rows: rows[name] ?? 0, changes: tables[name] ?? 0 }])),
    events,
    answers: answers.length,
    segments,
    checkpoints: checkpoints.map(({ name, rows: count, before, after }) => ({ name, rows: count, before, after })),
  }
}

function checkSubject(subject: unknown): ErasureSubject {
  const isOne = (typeof subject === 'string' && subject !== '') || Number.isSafeInteger(subject) || typeof subject === 'bigint'
  if (!isOne) throw SluiceError.of('INVALID_USE', `db.erase() takes the value of a .subject() column: text, a whole number or a bigint, not ${shown(subject)}.`)
  const bytes = Buffer.byteLength(String(subject))
  if (bytes > limits.erasureSubjectBytesMax) {
    throw SluiceError.of('INVALID_USE', `A subject has at most ${limits.erasureSubjectBytesMax} bytes, and this one has ${bytes}.`, { details: { bytes } })
  }
  return subject as ErasureSubject
}
