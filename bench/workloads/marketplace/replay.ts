/**
 * Criterion 11: the run was serializable.
 *
 * The log says in which order the requests took effect, the generator says what each of them asked for.
 * Asking for the same things, one after the other, on a fresh database that does everything on one thread and
 * keeps nothing on disk must end in the same rows. Only the columns that hold the time of a transaction may
 * differ.
 */
import type { Commit, Database, Snapshot } from 'sluicedb'
import { fingerprintOf, timelessText } from './fingerprint.js'
import { submit, type Inputs } from './generator.js'
import type { LogVisitor } from './log.js'
import { tables } from './services.js'
import { Verdict } from './verdict.js'

type Row = Readonly<Record<string, unknown>>
const examplesMax = 3

export class Replay implements LogVisitor {
  readonly verdict = new Verdict(11)
  readonly #fresh: Database
  readonly #inputs: Inputs
  #replayed = 0
  #milliseconds = 0

  /** `fresh`: an empty database, `workers: 0`, without a path. */
  constructor(fresh: Database, inputs: Inputs) {
    this.#fresh = fresh
    this.#inputs = inputs
  }

  get replayed(): number {
    return this.#replayed
  }

  /** Time spent in the replay itself. */
  get milliseconds(): number {
    return this.#milliseconds
  }

  async visit(commit: Commit): Promise<void> {
    if (commit.procedure === 'customer.mark') return
    if (commit.changes.length === 0 && commit.events.length === 0) return // a refusal: nothing to repeat
    const id = commit.requestId
    const step = id === undefined ? undefined : this.#inputs.take(id)
    if (!step) {
      this.verdict.expect(
        false,
        () => `${commit.procedure} at ${commit.position} (${id ?? 'no id'}) is no request of this run`,
      )
      return
    }
    const since = performance.now()
    try {
      await submit(this.#fresh, step, false)
      this.#replayed += 1
      this.verdict.expect(true, () => '')
    } catch (error) {
      this.verdict.expect(
        false,
        () => `${id} committed at ${commit.position}; in the replay it ends in ${String(error)}`,
      )
    }
    this.#milliseconds += performance.now() - since
  }

  finish(snapshot: Snapshot): void {
    using fresh = this.#fresh.snapshot()
    const original = fingerprintOf(snapshot)
    const replayed = fingerprintOf(fresh)
    const same = original.timeless === replayed.timeless && original.rows === replayed.rows
    this.verdict.expect(same, () => {
      const rows = `${original.rows} rows (${original.timeless}), replayed ${replayed.rows} (${replayed.timeless})`
      return `${rows}; ${differences(snapshot, fresh).join('; ')}`
    })
  }
}

/** The first rows that one of the two has and the other has not. */
function differences(original: Snapshot, replayed: Snapshot): string[] {
  const found: string[] = []
  for (const { table } of tables) {
    const texts = new Map<string, number>()
    for (const row of replayed.table(table) as Iterable<Row>) count(texts, timelessText(table.name, row), 1)
    for (const row of original.table(table) as Iterable<Row>) count(texts, timelessText(table.name, row), -1)
    for (const [text, times] of texts) {
      if (times !== 0 && found.length < examplesMax)
        found.push(`${times < 0 ? 'only in the original' : 'only in the replay'}: ${text}`)
    }
  }
  return found
}

function count(texts: Map<string, number>, text: string, by: number): void {
  const sum = (texts.get(text) ?? 0) + by
  if (sum === 0) texts.delete(text)
  else texts.set(text, sum)
}
