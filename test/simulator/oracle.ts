/**
 * What a simulated database must be, told from the frames it seals: plain maps, one transaction after the other.
 *
 * Each sealed frame is decoded as a subscriber would, each record in it is matched with the call that made it, the model
 * (support/model.ts) runs that call on the state before it, and both must agree on changes, events and outcome. So the
 * order of the log is proven to be a serial order, and every prefix of the log has one state here.
 *
 *   frames     f1 ────── f2 ────── f3           as sealed, byte for byte
 *   versions   v1 v2 v3  v4        v5 v6        one for each record: the state behind it
 *
 * A crash cuts both: what is recovered must be a prefix of the frames, and none that anybody was told of may be missing.
 */
import type { Program } from '../../engine/schema/descriptor.js'
import type { LoggedCatalog } from '../../engine/schema/catalog.js'
import { errorCodes, SluiceError } from '../../engine/base/errors.js'
import type { SnapshotView } from '../../engine/store/snapshot-view.js'
import type { Store } from '../../engine/store/store.js'
import { allRecords, FrameDecoder, type DecodedTransaction } from '../../engine/stream/frame-decoder.js'
import { outcomeKindMask } from '../../engine/txn/outcome.js'
import { FrameBodyReader } from '../../wal/index.js'
import { tableSpecs } from '../support/apps/model-schema.js'
import { bare, canonKey, emptyState, keyOf, runOn, scanOf, type ModelOutcome, type Row, type State } from '../support/model.js'
import type { Call } from '../support/plans.js'
import { canon } from '../support/canon.js'

export interface Frame {
  readonly batch: number
  readonly body: Uint8Array
}

export interface Version {
  readonly n: number
  readonly batch: number
  readonly index: number
  readonly outcome: ModelOutcome
  readonly state: State
}

interface SealedFrame extends Frame {
  /** How many versions there are with it. */
  readonly versions: number
}

/** Outcomes that the model cannot know: a worker died of the call. */
const ofLoss = ['WORKER_LOST', 'PROCEDURE_FAILED', 'PROCEDURE_STUCK']

export class Oracle {
  readonly #calls: ReadonlyMap<number, Call>
  readonly versions: Version[] = []
  readonly #frames: SealedFrame[] = []
  readonly #byCall = new Map<number, Version>()
  #decoder: FrameDecoder | undefined
  /** R56: also from life to life. */
  #now = 0
  /** Frames of which somebody outside has heard: they must survive. */
  #promised = 0
  /** How many calls may have been the death of a worker. */
  #losses = 0

  constructor(calls: ReadonlyMap<number, Call>) {
    this.#calls = calls
  }

  get state(): State {
    return this.versions.at(-1)?.state ?? emptyState
  }
  get frames(): number {
    return this.#frames.length
  }
  get sealedFrames(): readonly Frame[] {
    return this.#frames
  }
  get promised(): number {
    return this.#promised
  }

  versionOf(n: number): Version | undefined {
    return this.#byCall.get(n)
  }

  begin(catalog: LoggedCatalog): void {
    this.#decoder = new FrameDecoder(catalog)
  }
  mayLose(losses: number): void {
    this.#losses = losses
  }

  // ── sealing ───────────────────────────────────────────────────────────────────────────────────────────

  sealed(batch: number, body: Uint8Array): void {
    const last = this.#frames.at(-1)?.batch ?? 0
    if (batch <= last) throw new Error(`batch ${batch} was sealed after batch ${last}`)
    const reader = new FrameBodyReader(body)
    reader.check()
    if (reader.now < this.#now) throw new Error(`the time of batch ${batch} is ${this.#now - reader.now} ms before that of the batch before`)
    this.#now = reader.now
    this.#decoder!.decode(reader, allRecords, 0, (record) => this.#record(record))
    this.#frames.push({ batch, body, versions: this.versions.length })
  }

  #record(record: DecodedTransaction): void {
    const n = callOf(record)
    const call = this.#calls.get(n)
    if (call === undefined) throw new Error(`a record of call ${n}, which nobody made`)
    if (this.#byCall.has(n)) throw new Error(`call ${n} has an effect for the second time`)
    const kind = record.outcome & outcomeKindMask
    const code = kind === 0 ? undefined : errorCodes[kind - 1]!
    const isLoss = code !== undefined && ofLoss.includes(code) && this.#losses > 0
    const expected = runOn(this.state, call.script)
    let outcome = expected
    if (isLoss && (expected.ok || !expected.codes.includes(code))) outcome = { ok: false, codes: [code] }
    else if (expected.ok !== (code === undefined)) throw new Error(`call ${n} ended with ${code ?? 'a commit'}, the model says ${said(expected)}: ${canon(call.script)}`)
    else if (!expected.ok && !expected.codes.includes(code!)) throw new Error(`call ${n} ended with ${code}, the model says ${said(expected)}`)
    const state = outcome.ok ? outcome.state : this.state
    if (outcome.ok) {
      mustBeSame(canon(record.events.map(({ type, payload }) => ({ type, payload }))), canon(outcome.events), `the events of call ${n}`)
    } else if (record.changes.length + record.events.length > 0) throw new Error(`call ${n} was aborted and left changes`)
    mustFollow(this.state, state, record, `call ${n}`)
    const version = { n, batch: record.batch, index: record.index, outcome, state }
    this.versions.push(version)
    this.#byCall.set(n, version)
  }

  // ── telling ───────────────────────────────────────────────────────────────────────────────────────────

  /** Somebody outside knows of everything up to `batch`. */
  promise(batch: number): void {
    while (this.#promised < this.#frames.length && this.#frames[this.#promised]!.batch <= batch) this.#promised += 1
  }

  /** The answer of a call: what it is in the log, or what it would have been somewhere between two versions. */
  answered(n: number, answer: { readonly value: unknown } | { readonly error: unknown }, between: { readonly low: number; readonly high: number }): void {
    const version = this.#byCall.get(n)
    if (version !== undefined) {
      if (!fits(version.outcome, answer)) throw new Error(`call ${n} was answered ${shown(answer)}, the model says ${said(version.outcome)}`)
      return
    }
    const call = this.#calls.get(n)!
    const why: string[] = []
    for (let at = between.low; at <= between.high; at += 1) {
      const outcome = runOn(at === 0 ? emptyState : this.versions[at - 1]!.state, call.script)
      if (outcome.ok && call.writes) why.push('a commit')
      else if (fits(outcome, answer)) return
      else why.push(said(outcome))
    }
    const lost = 'error' in answer && this.#losses > 0 && SluiceError.is(answer.error) && ofLoss.includes(answer.error.code)
    if (lost) return
    throw new Error(`call ${n} left no record and was answered ${shown(answer)}; the model says ${[...new Set(why)].join(' or ')}: ${canon(call.script)}`)
  }

  // ── after a crash ─────────────────────────────────────────────────────────────────────────────────────

  /**
   * What a new life found: `log` are the frames behind the checkpoint that it read, `newest` is the batch it goes on from. With
   * `keepsPromises`, nothing that anybody was told of may be missing.
   */
  recovered(newest: number, checkpoint: number, log: readonly Frame[], keepsPromises: boolean): void {
    const count = prefixOf(this.#frames, newest, checkpoint, log)
    if (keepsPromises && count < this.#promised) {
      throw new Error(`${count} of ${this.#frames.length} frames were recovered, and ${this.#promised} were promised`)
    }
    this.#frames.length = count
    this.#promised = count
    const versions = this.#frames.at(-1)?.versions ?? 0
    const last = this.#frames.at(-1)
    this.#now = last === undefined ? 0 : new FrameBodyReader(last.body).now
    for (const gone of this.versions.splice(versions)) this.#byCall.delete(gone.n)
  }

  // ── states ────────────────────────────────────────────────────────────────────────────────────────────

  /** The state after a batch. */
  stateAt(batch: number): State {
    return this.versions.findLast((version) => version.batch <= batch)?.state ?? emptyState
  }
}

/** How many of the sealed frames there are; throws when what was found is anything but a prefix of them. */
export function prefixOf(sealed: readonly Frame[], newest: number, checkpoint: number, log: readonly Frame[]): number {
  const count = newest === 0 ? 0 : sealed.findIndex(({ batch }) => batch === newest) + 1
  if (newest > 0 && count === 0) throw new Error(`it goes on from batch ${newest}, which was never sealed`)
  const start = checkpoint === 0 ? 0 : sealed.findIndex(({ batch }) => batch === checkpoint) + 1
  if (checkpoint > 0 && start === 0) throw new Error(`there is a checkpoint of batch ${checkpoint}, which was never sealed`)
  if (count - start !== log.length) throw new Error(`from batch ${checkpoint} to ${newest} there are ${log.length} frames, sealed were ${count - start}`)
  log.forEach(({ batch, body }, at) => {
    const was = sealed[start + at]!
    if (was.batch !== batch) throw new Error(`frame ${start + at} is batch ${batch}, sealed was ${was.batch}`)
    if (Buffer.compare(was.body, body) !== 0) throw new Error(`batch ${batch} came back with other bytes`)
  })
  return count
}

/** Every call with an id carries its number there, every other one that is recorded has a row in the journal. */
function callOf(record: DecodedTransaction): number {
  if (record.id !== undefined) return Number(record.id.slice(record.id.indexOf('-') + 1))
  const entry = record.changes.find((change) => change.table === 'main.journal')
  if (entry?.after === undefined) throw new Error(`a record without id and journal: ${record.procedure} ${canon(record.changes)}`)
  return Number(entry.after['n'])
}

/** The changes of the record lead from one state to the other. */
function mustFollow(before: State, after: State, record: DecodedTransaction, what: string): void {
  const touched = new Map<string, Map<string, Row>>()
  for (const change of record.changes) {
    const spec = tableSpecs[change.table]!
    let rows = touched.get(change.table)
    if (rows === undefined) touched.set(change.table, (rows = new Map(before[change.table])))
    const key = canonKey(spec, change.key)
    mustBeSame(canon(change.before), text(rows.get(key)), `${what}: the row before, in ${change.table} ${key}`)
    if (change.after === undefined) rows.delete(key)
    else rows.set(key, change.after)
  }
  for (const name of Object.keys(tableSpecs)) {
    const is = touched.get(name)
    const should = after[name]!
    if (is === undefined) {
      // A script may put the very row that is there: then the model has a new map of the same rows.
      if (should !== before[name]) mustHoldSame(before[name]!, should, `${what}: ${name}, of which nothing is recorded`)
    } else mustHoldSame(is, should, `${what}: ${name}`)
  }
}

function mustHoldSame(is: ReadonlyMap<string, Row>, should: ReadonlyMap<string, Row>, what: string): void {
  if (is.size !== should.size) throw new Error(`${what} has ${is.size} rows, the model ${should.size}`)
  for (const [key, row] of should) mustBeSame(text(is.get(key)), text(row), `${what} ${key}`)
}

/** All rows of all tables as a view shows them are those of a state. */
export function mustShow(view: SnapshotView, store: Store, program: Program, state: State, what: string): void {
  program.tables.forEach(({ descriptor }, ordinal) => {
    const table = store.tables[ordinal]!
    const spec = tableSpecs[descriptor.name]!
    const should = state[descriptor.name]!
    const rows = [...view.all(table)] as Row[]
    const where = `${what}, ${descriptor.name}`
    if (rows.length !== should.size) throw new Error(`${where} has ${rows.length} rows, the model ${should.size}`)
    if (view.count(table) !== should.size) throw new Error(`${where} counts ${view.count(table)} rows, the model ${should.size}`)
    if (spec.ordered) {
      scanOf(spec, should.values(), {}).forEach((row, at) => mustBeSame(canon(rows[at]), text(row), `${where}, row ${at} in order`))
      return
    }
    for (const row of rows) {
      const key = canonKey(spec, bare(keyOf(spec, row)))
      mustBeSame(canon(row), text(should.get(key)), `${where} ${key}`)
    }
  })
}

function fits(outcome: ModelOutcome, answer: { readonly value: unknown } | { readonly error: unknown }): boolean {
  if ('value' in answer) return outcome.ok && canon(outcome.value) === canon(answer.value)
  const { error } = answer
  if (outcome.ok || !SluiceError.is(error) || !outcome.codes.includes(error.code)) return false
  return outcome.reason === undefined || (error.reason === outcome.reason && canon(error.details) === canon(outcome.details))
}

const said = (outcome: ModelOutcome): string => (outcome.ok ? canon(outcome.value) : `${outcome.codes.join(' or ')} ${outcome.reason ?? ''}`)
const shown = (answer: { readonly value: unknown } | { readonly error: unknown }): string =>
  'value' in answer ? canon(answer.value) : String(answer.error)

function mustBeSame(is: string, should: string, what: string): void {
  if (is !== should) throw new Error(`${what}\n  is        ${is.slice(0, 2_000)}\n  should be ${should.slice(0, 2_000)}`)
}

const texts = new WeakMap<Row, string>()
/** Rows of the model never change, so their text does not either. */
function text(row: Row | undefined): string {
  if (row === undefined) return 'undefined'
  let known = texts.get(row)
  if (known === undefined) texts.set(row, (known = canon(row)))
  return known
}
