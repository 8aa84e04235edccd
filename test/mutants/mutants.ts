/**
 * Bugs that are put into the engine, one at a time, to see whether the tests find them: each is a line of a source that says something
 * else, and the check that must complain.
 */
import type { Change } from '../oracle/bundle.js'
import type { CheckName } from './checks.js'

export interface Mutant {
  /** What is wrong then. */
  readonly name: string
  readonly changes: readonly Change[]
  readonly killedBy: CheckName
  /** The first seed that is tried, 1 unless said, and how many there are. */
  readonly from?: number
  readonly seeds?: number
}

const written = 'engine/txn/written-set.ts'
const speculation = 'engine/txn/speculation.ts'
const handle = 'engine/txn/speculative-handle.ts'
const accessor = 'engine/txn/speculative-accessor.ts'
const lane = 'engine/partition/speculated-lane.ts'
const runner = 'engine/partition/lane-runner.ts'
const laneHosts = 'engine/worker/lane-hosts.ts'
const sequencer = 'engine/sequencer/sequencer.ts'

const one = (file: string, from: string, to: string): readonly Change[] => [{ file, from, to }]

export const mutants: readonly Mutant[] = [
  // ── what is read ────────────────────────────────────────────────────────────────────────────────────────
  { name: 'an absent key is not noted as read', killedBy: 'serial oracle', changes: one(speculation, 'this.readSet.note(standIn, existence)\n      return 0', 'return 0') },
  { name: 'the existence of a row is not noted as read', killedBy: 'serial oracle', changes: one(speculation, 'this.foundRead = this.readSet.note(row, existence)', 'this.foundRead = this.readSet.note(row, 0)') },
  { name: 'get() notes that the row exists, not its columns', killedBy: 'serial oracle', changes: one(handle, 'if (foundRead >= 0) readSet.widen(foundRead, wholeRow)', 'readSet.widen(foundRead, 0)') },
  { name: 'a live row does not note the column that was got', killedBy: 'serial oracle', changes: one(accessor, 'if (this.#read >= 0) support.widen(this.#read, groups)', '') },
  { name: 'columns of a row that the run has written are not noted', killedBy: 'serial oracle', changes: one(speculation, 'if (copy === 0 || (this.#i32[copy * 2 + copyMeta.marks]! & mark.inserted) === 0)', 'if (copy === 0)') },
  { name: 'rows of a scan are not noted', killedBy: 'serial oracle', changes: one(handle, 'if (!this.#speculation.scratch.holds(row)) this.#speculation.readSet.note(row, wholeRow)\n', '') },
  { name: 'columns behind the 31st belong to no group', killedBy: 'serial oracle', seeds: 60, changes: one('engine/store/column-groups.ts', '1 << Math.min(ordinal, lastGroup)', 'ordinal > lastGroup ? 0 : 1 << ordinal') },
  { name: 'no range is noted', killedBy: 'serial oracle', changes: one(handle, 'readSet.noteRange(this.#table.ordinal, plan.ordinal, from, to, withTo)', '') },
  { name: 'a range that its limit cut off ends before its last row', killedBy: 'serial oracle', seeds: 30, changes: one(handle, 'withTo = true', 'withTo = false') },
  { name: 'a range in reverse that its limit cut off is noted from its other end', killedBy: 'serial oracle', changes: one(handle, 'if (range.reverse) from = end', 'if (false as boolean) from = end') },
  { name: 'a range that its limit cut off is noted to its end', killedBy: 'what is kept', changes: one(handle, 'if (rows.length === limit)', 'if (false as boolean)') },
  { name: 'a scan over what the run itself has moved shows the state', killedBy: 'serial oracle', changes: one(handle, 'if (moved.length > 0) rows = ', 'if (false as boolean) rows = ') },

  // ── what is written ─────────────────────────────────────────────────────────────────────────────────────
  { name: 'no range is looked up', killedBy: 'serial oracle', changes: one(written, 'if (this.#isEntered(words, bytes, at)) return true', '') },
  { name: 'null bits are no change', killedBy: 'serial oracle', seeds: 60, changes: one('engine/store/column-groups.ts', 'if (nulls === undefined) continue', 'continue') },
  { name: 'deletes are noted as no change of existence', killedBy: 'serial oracle', changes: one(written, 'const groups = isMoved ? wholeRow : ', 'const groups = ') },
  { name: 'an insert is not noted under its key', killedBy: 'serial oracle', changes: one(written, 'this.#groups.add(row, wholeRow)\n          this.#groups.add(absentKey(table.ordinal, table.key.hashOfRow(row)), wholeRow)', 'this.#groups.add(row, wholeRow)') },
  { name: 'a revived row is not noted under its key', killedBy: 'what was found', changes: one(written, 'if (isMoved && (before[from + 3]! & flagDeleted) !== 0)', 'if (false as boolean)') },
  { name: 'a row that is checked at the end is not read', killedBy: 'what was found', changes: one(speculation, 'if (isChanged && table.rowChecks.length > 0) this.readSet.note(row, wholeRow)', '') },
  { name: 'keys that left a tree are not noted', killedBy: 'serial oracle', changes: one(written, 'case opKind.treeRemoved: {', 'case 99 as never: {') },
  { name: 'keys that entered a tree are not noted', killedBy: 'serial oracle', changes: one(written, 'case opKind.treeInserted:\n', '') },
  { name: 'what ran in order is not noted as written', killedBy: 'serial oracle', changes: one(runner, 'this.#ahead?.noteCommitted(transaction)', 'if (run !== undefined) this.#ahead?.noteCommitted(transaction)') },
  { name: 'what was kept is not noted as written', killedBy: 'serial oracle', changes: one(runner, 'this.#ahead?.noteCommitted(transaction)', 'if (run === undefined) this.#ahead?.noteCommitted(transaction)') },
  { name: 'what the last batch has written counts in the next one', killedBy: 'what is kept', changes: one(written, 'this.#groups.clear()', '') },

  // ── committing ──────────────────────────────────────────────────────────────────────────────────────────
  { name: 'stale runs are committed', killedBy: 'serial oracle', changes: one(lane, 'if (this.#written.isStale(log.words, log.bytes, this.#entry))', 'if (false as boolean)') },
  { name: 'an add sets the sum that was seen', killedBy: 'serial oracle', changes: one(handle, 'this.#speculation.noteAdd(part, copy, column, values[n]!)', 'this.#speculation.noteSet(part, copy, column)') },
  {
    name: 'an add is not checked in its turn',
    killedBy: 'serial oracle',
    seeds: 30,
    changes: one(
      lane,
      'const checked = this.#inputs[table.ordinal]!.column(column, sum)',
      'const checked = sum',
    ),
  },
  { name: 'events of runs ahead are lost', killedBy: 'serial oracle', changes: one(lane, 'for (let n = 0, at = eventsAt; n < events;', 'for (let n = 0, at = eventsAt; n < 0;') },
  { name: 'a column that is set after an add is not', killedBy: 'serial oracle', seeds: 40, changes: one(speculation, 'if (this.hasSet(copy, column)) return\n    const i32 = this.#i32\n    const at = copy * 2', 'if (this.hasSet(copy, column) || this.#i32[copy * 2 + copyMeta.lastSet] === 0 && this.operations.length > 0) return\n    const i32 = this.#i32\n    const at = copy * 2') },
  { name: 'chance is drawn by the place in the lane', killedBy: 'serial oracle', changes: one('engine/partition/speculator.ts', 'transaction.begin(crossLane, record.place(index))', 'transaction.begin(crossLane, n)') },
  { name: 'a long value of a copy is shared with it', killedBy: 'serial oracle', changes: one('engine/store/row-codec.ts', 'this.i32[column.at + 1] = own', 'domain.release(own, words)') },

  // ── the order of a batch ────────────────────────────────────────────────────────────────────────────────
  { name: 'the cross-partition lane does not wait for the others', killedBy: 'serial oracle', changes: one(sequencer, 'lanes.runLanes()\n        this.#reclaimGlobal(record.batch)\n        const strays = this.#collectStrays(taken)\n        lanes.runCross(strays)', 'const strays = this.#collectStrays(taken)\n        lanes.runCross(strays)\n        lanes.runLanes()') },
  {
    name: 'runs ahead see the state before the lanes',
    killedBy: 'serial oracle',
    changes: [
      { file: laneHosts, from: 'speculation!.claims.open(count)\n    this.#runAhead(count)\n', to: '' },
      { file: laneHosts, from: 'this.#cross = new CrossLane(parts, this.#runner, (count) => own.run(count))', to: 'this.#cross = new CrossLane(parts, this.#runner, (count) => own.run(count))\n    Object.assign(this, { own })' },
      {
        file: laneHosts,
        from: 'runLanes(): void {\n    runOwnLanes(this.#parts, this.#runner, 0)',
        to: `runLanes(): void {
    this.#parts.speculation?.claims.open(4_096)
    if (this.#parts.speculation !== undefined) (this as unknown as { own: OwnSpeculation }).own.run(this.#parts.record.crossRequests(0))
    runOwnLanes(this.#parts, this.#runner, 0)`,
      },
    ],
  },
  { name: 'strays run in the order of arrival', killedBy: 'order of a batch', changes: one(sequencer, 'record.setStray(strays, n)\n      strays += 1\n    }\n    return strays', 'let to = strays\n      for (; to > 0 && record.place(record.stray(to - 1)) > record.place(n); to -= 1) record.setStray(to, record.stray(to - 1))\n      record.setStray(to, n)\n      strays += 1\n    }\n    return strays') },
  { name: 'lanes stand in the frame by worker', killedBy: 'serial oracle', changes: one('engine/sequencer/seal.ts', 'return lanes.length < 2 ? lanes : lanes.sort(byPartition)', 'return lanes') },
  { name: 'two calls of one batch with the same id both run', killedBy: 'calls with an id', changes: one(sequencer, 'if (this.#ids.has(id) || this.#outcomes.find(id) !== undefined) {', 'if (this.#outcomes.find(id) !== undefined) {') },
  { name: 'a call with an id that is known runs again', killedBy: 'calls with an id', changes: one(sequencer, 'if (this.#ids.has(id) || this.#outcomes.find(id) !== undefined) {', 'if (this.#ids.has(id)) {') },

  // ── versions and undoing ────────────────────────────────────────────────────────────────────────────────
  { name: 'undoing takes the mark of the batch back', killedBy: 'mark of the undone', changes: one('engine/txn/row-writer.ts', "const queued = i32[row * 2 + 3]! & flagQueued", "this.#f64[row] = this.#f64[i32[row * 2 + 2]!]!\n    const queued = i32[row * 2 + 3]! & flagQueued") },
  { name: 'versions are freed although a snapshot holds them', killedBy: 'simulator', from: 1_000, seeds: 30, changes: one('engine/store/store.ts', 'const bound = this.snapshots.oldestHeld(durable)', 'const bound = durable') },
  { name: 'versions are freed up to the newest executed batch', killedBy: 'simulator', from: 1_000, seeds: 60, changes: [
    { file: 'engine/store/store.ts', from: 'if (oldest > durable || (domain.keptWords() <= share && !isShort)) return', to: 'if (oldest >= batch || (domain.keptWords() <= share && !isShort)) return' },
    { file: 'engine/store/store.ts', from: 'const bound = this.snapshots.oldestHeld(durable)', to: 'const bound = batch - 1' },
  ] },
  { name: 'the batch of a dead worker is not rolled back', killedBy: 'simulator', from: 1_000, seeds: 30, changes: one('engine/worker/supervisor.ts', 'if (isUnfinished) store.rollback()', '') },
  { name: 'who dies ahead of his turn is blamed', killedBy: 'simulator', from: 1_010, changes: one('engine/worker/supervisor.ts', "if (this.#isUnfinished() && place >= 0 && control.load('speculating') !== 0) {", 'if (false as boolean) {') },

  // ── the log ─────────────────────────────────────────────────────────────────────────────────────────────
  { name: 'answers are given before their frame is durable', killedBy: 'simulator', from: 1_000, seeds: 30, changes: one('engine/shared/response-ring.ts', 'if (entry.needs > durable) break', '') },
  { name: 'a failed sync is tried again, and believed', killedBy: 'simulator', from: 1_100, seeds: 20, changes: one('wal/log-writer.ts', '    if (!this.#dirty) return\n    this.#file!.sync()', '    if (!this.#dirty) return\n    try {\n      this.#file!.sync()\n    } catch {\n      this.#file!.sync()\n    }') },
  { name: 'recovery forgets the outcomes of calls with an id', killedBy: 'simulator', from: 1_015, seeds: 20, changes: one('engine/stream/replay.ts', 'forEachOutcome(body, this.#layOutcome)', '') },
  { name: 'a checkpoint forgets deletions', killedBy: 'simulator', from: 1_000, seeds: 30, changes: one('engine/stream/changed-rows.ts', 'if (isDelete) this.#into.deletePart(key.bytes, 0, key.length)\n        else this', 'if (!isDelete) this') },
  { name: 'a segment leaves although only the newer checkpoint has passed it', killedBy: 'simulator', from: 1_045, seeds: 20, changes: one('wal/retention.ts', 'if (next.previous > olderCheckpoint) break', '') },
]
