/**
 * The checks that mutants must not pass, for one seed each: what they complain of, or undefined. They are those of the suites beside,
 * as functions over whatever engine they were bundled with.
 */
import type { Program } from '../../engine/schema/descriptor.js'
import { partitionOfOne } from '../../engine/schema/placement.js'
import { FrameBodyReader, transactionField, transactionWords } from '../../wal/index.js'
import { Bench, outcomeWindowMs as benchOutcomeWindowMs } from '../oracle/bench.js'
import { keptOrNot } from '../oracle/keeping.js'
import { stories } from '../oracle/stories.js'
import { differenceOf, program, requestOf, runOf, type Call, type Plan } from '../oracle/twins.js'
import { lifeOf, simulate } from '../simulator/simulation.js'
import modelApp from '../support/apps/model-app.js'
import type { Script } from '../support/apps/script.js'

export type Check = (seed: number) => string | undefined | Promise<string | undefined>

const modelProgram = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!
const runProcedure = modelProgram.procedures.findIndex(({ descriptor }) => descriptor.name === 'main.run')

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export const checks = {
  /** test/oracle/serial.test.ts */
  'serial oracle': (seed) => differenceOf(runOf(seed, 300)),

  /** test/oracle/found.test.ts */
  'what was found': () => {
    for (const [name, story] of Object.entries(stories)) {
      try {
        story()
      } catch (error) {
        return `${name}: ${messageOf(error)}`
      }
    }
    return undefined
  },

  /** test/oracle/keeping.test.ts */
  'what is kept': () => keptOrNot(),

  /** test/simulator/simulator.test.ts */
  simulator: async (seed) => {
    try {
      await simulate(modelProgram, lifeOf(seed))
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  },

  /** The rule of test/model/workers.test.ts: lanes by partition, what was sent to the cross-partition lane, strays by partition and arrival. */
  'order of a batch': (seed) => {
    // Without ids every call has its place.
    const plan = runOf(seed, 100).plan.map((calls) => calls.map(({ at, script }) => ({ at, script })))
    return complaintOf(plan, seed, (records, calls) => {
      const ranks = records.map(({ lane, place }) => {
        const { at } = calls[place]!
        const own = at === null ? -1 : partitionOfOne(at, 4)
        if (lane >= 0 && lane !== own) return NaN
        return (lane >= 0 ? lane : own < 0 ? 1_000 : 2_000 + own) * 1_000 + place
      })
      return ranks.some((rank, at) => !(rank > (ranks[at - 1] ?? -1))) ? `has its records at ${ranks.join()}` : undefined
    })
  },

  /** R57: of the calls with the same id one runs, as long as its outcome is remembered. */
  'calls with an id': (seed) => {
    const ranAt = new Map<string, number>()
    return complaintOf(runOf(seed, 300).plan, seed, (records, _, now) => {
      for (const { id } of records) {
        if (id !== '' && now - (ranAt.get(id) ?? -Infinity) < benchOutcomeWindowMs) return `has run "${id}" twice within ${now - ranAt.get(id)!} ms`
        ranAt.set(id, now)
      }
      return undefined
    })
  },

  /** R10: who has copied columns of a transaction that was undone finds the mark of its batch in the row, and goes to the version. */
  'mark of the undone': () => {
    const bench = new Bench(modelProgram, 'never', 1)
    const say = (script: Script): void => void bench.run([{ procedure: runProcedure, input: { script }, id: undefined, at: undefined }])
    const table = bench.store.tables.find(({ name }) => name === 'main.tally')!
    const markOf = (): number => {
      table.key.set('a')
      return bench.store.region.f64[table.part(table.partitionOfKey()).findAny()]!
    }
    say([{ op: 'put', table: 'tally', row: { place: 'a', count: 1 } }])
    const before = markOf()
    say([{ op: 'update', table: 'tally', key: 'a', patch: { count: 2 } }, { op: 'abort', reason: 'UNWANTED', details: {} }])
    const after = markOf()
    bench.end()
    return after > before ? undefined : `the row of an undone change is marked ${after}, and before ${before}`
  },
} as const satisfies Record<string, Check>

export type CheckName = keyof typeof checks

interface LoggedRecord {
  readonly lane: number
  readonly place: number
  readonly id: string
}

/** Looks at every frame of a plan. */
function complaintOf(plan: Plan, seed: number, look: (records: readonly LoggedRecord[], calls: readonly Call[], now: number) => string | undefined): string | undefined {
  const bench = new Bench(program, 'never', seed)
  try {
    for (const [n, calls] of plan.entries()) {
      const { frame } = bench.run(calls.map(requestOf))
      const complaint = frame === undefined ? undefined : look(recordsOf(frame), calls, new FrameBodyReader(frame).now)
      if (complaint !== undefined) return `batch ${n} ${complaint}`
    }
    return undefined
  } finally {
    bench.end()
  }
}

function recordsOf(frame: Uint8Array): LoggedRecord[] {
  const reader = new FrameBodyReader(frame)
  return reader.lanes.flatMap(({ partition, transactionIndex, transactionCount, bytesAt }) =>
    Array.from({ length: transactionCount }, (_, n) => {
      const at = reader.transactionsWord + (transactionIndex + n) * transactionWords
      const word = (field: keyof typeof transactionField): number => reader.words[at + transactionField[field]]!
      const from = bytesAt + word('id')
      return { lane: partition | 0, place: word('place'), id: Buffer.from(reader.bytes.slice(from, from + word('idBytes'))).toString() }
    }),
  )
}
