/**
 * The same batches give the same log, whoever runs them: frame bodies (byte for byte), answers, errors and positions are
 * those of `workers: 0`, for 1, 2 and 4 workers (design §3; R33, R35, R47, R51, R52). And the order that a frame shows
 * is the one that the requests fix: partitions in order, then what was sent to the cross-partition lane, then the strays by
 * partition and arrival; running the requests one by one in that order gives the same answers and the same rows (R20, R25).
 *
 * One `Promise.all` of calls on a quiet database is one batch; the clock and the seed are fixed.
 */
import { SluiceError, type App, type Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import { partitionOfOne } from '../../engine/schema/placement.js'
import lanesApp, { counting, lanes, move, work, workAnywhere, type Work } from '../support/apps/lanes-app.js'
import modelApp, { run, runAt } from '../support/apps/model-app.js'
import { newFolder } from '../support/fixture.js'
import { framesIn, openInside, type LoggedBatch } from '../support/inside.js'
import { runOf } from '../oracle/twins.js'
import stirApp, { anywhere, somewhere } from '../support/apps/stir-app.js'
import { other, stir } from '../support/apps/stir-tables.js'
import { planOf } from '../support/plans.js'
import { randomOf, seeds, withSeed, type Random } from '../support/random.js'
import { readerOf, tables } from '../support/reading.js'
import { canon } from '../support/same.js'

interface Request {
  readonly procedure: never
  readonly input: Readonly<Record<string, unknown>>
  readonly id: string | undefined
  /** The value that places it; undefined: the cross-partition lane. */
  readonly at: string | number | undefined
}
type Batch = readonly Request[]
interface Transcript {
  readonly answers: readonly (readonly string[])[]
  readonly rows: string
  readonly frames: readonly LoggedBatch[]
}

const partitions = 8
const fixed = { nowMs: 1_700_000_000_000, stepMs: 3, seed: 77 }

// ── plans ───────────────────────────────────────────────────────────────────────────────────────────────────

const texts = [
  '',
  'a',
  'é☂😀',
  'z'.repeat(11),
  'y'.repeat(30),
  `${'long value '.repeat(20)}`,
  'ß'.repeat(700),
  'w'.repeat(5_000),
]

export function lanesPlan(random: Random, batches: number): Batch[] {
  const kinds = [
    'put',
    'put',
    'add',
    'add',
    'set',
    'set',
    'drop',
    'line',
    'line',
    'line',
    'clear',
    'look',
    'emit',
    'read',
    'draw',
  ] as const
  const earlier: Request[] = []
  let number = 0
  const request = (): Request => {
    if (earlier.length > 0 && random.chance(0.06)) return random.pick(earlier) // a repeat
    number += 1
    const home = random.below(40)
    const strays = random.chance(0.12)
    const steps = Array.from({ length: 1 + random.below(5) }, (): Work => {
      const kind = random.chance(0.04)
        ? random.pick(['abort', 'throw', 'world'] as const)
        : random.pick(kinds)
      return {
        kind,
        at: strays && random.chance(0.4) ? random.below(40) : home,
        n: random.below(12),
        text: random.pick(texts),
      }
    })
    const id = random.chance(0.3) ? `id ${number}` : undefined
    const die = random.below(10)
    let made: Request
    if (die < 7) made = { procedure: work as never, input: { at: home, work: steps }, id, at: home }
    else if (die < 9) {
      const scattered = steps.map((one) => ({ ...one, at: random.below(40) }))
      made = { procedure: workAnywhere as never, input: { work: scattered }, id, at: undefined }
    } else
      made = { procedure: move as never, input: { from: home, to: random.below(40), n: 1 }, id, at: home }
    if (id !== undefined) earlier.push(made)
    if (id !== undefined && random.chance(0.05))
      earlier.push({ ...made, procedure: work as never, input: { at: home, work: [] }, at: home }) // ID_REUSED
    return made
  }
  return Array.from({ length: batches }, () =>
    Array.from({ length: random.chance(0.05) ? 150 : 1 + random.below(24) }, request),
  )
}

/** Scripts of the model tests: every column type, every index, nested calls and atomic handlers. */
function modelPlan(random: Random, batches: number): Batch[] {
  const groups = planOf(random, { steps: batches * 4, reopen: false }).flatMap((step) =>
    'calls' in step ? [step.calls] : [],
  )
  const made: Batch[] = []
  for (let from = 0; from < groups.length && made.length < batches;) {
    const size = 1 + random.below(3)
    made.push(
      groups.slice(from, from + size).flatMap((calls) =>
        calls.map(({ n, at, script }): Request => ({
          procedure: (at === null ? run : runAt) as never,
          input: at === null ? { script } : { at, script },
          id: random.chance(0.2) ? `call ${n}` : undefined,
          at: at ?? undefined,
        })),
      ),
    )
    from += size
  }
  return made
}

/** Programs of the serial oracle. */
function stirPlan(random: Random, batches: number): Batch[] {
  return runOf(random.below(2 ** 31), batches).plan.map((calls) =>
    calls.map(({ at, id, script }): Request => ({
      procedure: (at === null ? anywhere : somewhere) as never,
      input: at === null ? { script } : { at, script },
      id,
      at: at ?? undefined,
    })),
  )
}

// ── running ─────────────────────────────────────────────────────────────────────────────────────────────────

const describeError = (error: unknown): string =>
  SluiceError.is(error)
    ? `${error.code} ${error.reason} ${error.message} ${canon(error.details)}`
    : `no SluiceError: ${String(error)}`

export async function answerOf(db: Database, { procedure, input, id }: Request): Promise<string> {
  try {
    const { value, position, repeated } = await db.submit(
      procedure,
      input as never,
      id === undefined ? {} : { id },
    )
    return `${canon(value)} ${repeated ? 'again ' : ''}at ${position}`
  } catch (error) {
    return describeError(error)
  }
}
const withoutPosition = (answer: string): string => answer.replace(/ at [^ ]+$/, '')

function rowsOf(application: App, db: Database): string {
  const all: Record<string, unknown> = {}
  if (application === modelApp)
    for (const name of Object.keys(tables)) all[name] = [...readerOf(db, name)].map(canon).sort()
  else {
    const services = application === stirApp ? [stir, other] : [lanes, counting]
    for (const table of services.flatMap(({ tables }) => Object.entries(tables as Record<string, unknown>)))
      all[table[0]] = [...(db.table(table[1] as never) as Iterable<unknown>)].map(canon).sort()
  }
  return canon(all)
}

async function transcribe(application: App, workers: number, plan: readonly Batch[], speculation: 'always' | 'never' = 'never'): Promise<Transcript> {
  const path = await newFolder()
  const inside = await openInside(application, { path, workers, partitions, durability: 'os', fixed, speculation })
  const answers: string[][] = []
  for (const batch of plan)
    answers.push(await Promise.all(batch.map((request) => answerOf(inside.db, request))))
  const rows = rowsOf(application, inside.db)
  await inside.close()
  return { answers, rows, frames: framesIn(path) }
}

/** Every batch in the order that the rule gives, from what the frames say of strays. */
function mustBeInOrder(plan: readonly Batch[], { frames }: Transcript): void {
  let records = 0
  let strays = 0
  for (const frame of frames) {
    const lanesSeen = frame.records.map(({ lane }) => (lane < 0 ? Infinity : lane))
    expect(lanesSeen, 'lanes by partition, the cross-partition lane last').toEqual(
      lanesSeen.toSorted((a, b) => a - b),
    )
    // The clock steps once a batch and once for every call with an id; batches without a frame are gaps. So a frame is
    // found by the only batch whose requests fit, which the caller has checked by comparing all of them.
    for (const lane of new Set(lanesSeen)) {
      if (lane === Infinity) continue
      const places = frame.records.filter((it) => it.lane === lane).map(({ place }) => place)
      expect(places, 'arrival decides within a lane').toEqual(places.toSorted((a, b) => a - b))
    }
    records += frame.records.length
    strays += frame.records.filter(({ lane }) => lane < 0).length
  }
  expect(records).toBeGreaterThan(plan.length)
  expect(strays).toBeGreaterThan(plan.length / 10)
}

function mustBeSame(other: Transcript, serial: Transcript, what: string): void {
  other.answers.forEach((answers, n) => {
    answers.forEach((answer, place) => {
      if (answer !== serial.answers[n]![place])
        expect.fail(
          `${what}: call ${place} of batch ${n}\n  got      ${answer}\n  expected ${serial.answers[n]![place]}`,
        )
    })
  })
  expect(
    other.frames.map(({ batch }) => batch),
    `${what}: batches with a frame`,
  ).toEqual(serial.frames.map(({ batch }) => batch))
  other.frames.forEach((frame, n) => {
    const body = serial.frames[n]!.body
    if (Buffer.compare(frame.body, body) === 0) return
    const at = frame.body.findIndex((byte, index) => byte !== body[index])
    expect.fail(
      `${what}: the bodies of frame ${n} (${frame.body.length} and ${body.length} bytes) differ from byte ${at}`,
    )
  })
  expect(other.rows === serial.rows, `${what}: the rows at the end`).toBe(true)
}

const applications = [
  { name: 'draws, strays and repeats', application: lanesApp, planOf: lanesPlan, batches: 140, met: ['ABORTED', 'PROCEDURE_FAILED'] },
  { name: 'scripts over every column type', application: modelApp, planOf: modelPlan, batches: 80, met: ['ABORTED', 'PROCEDURE_FAILED'] },
  { name: 'programs that depend on what they read', application: stirApp, planOf: stirPlan, batches: 120, met: ['ABORTED', 'NOT_FOUND'] },
]

describe.each(applications)('$name', ({ application, planOf: makePlan, batches, met }) => {
  test.each(seeds(1))(
    'R51: frame bodies, answers and positions are the same for 0, 1, 2 and 4 workers, seed %i',
    { timeout: 300_000 },
    async (seed) => {
      await withSeed(seed, async (random) => {
        const plan = makePlan(random, batches)
        const serial = await transcribe(application, 0, plan)
        mustBeInOrder(plan, serial)
        const codes = new Set(serial.answers.flat().map((answer) => answer.split(' ')[0]))
        for (const code of met)
          expect([...codes], 'the plan meets what can go wrong').toContain(code)
        expect(
          serial.answers.flat().every((answer) => !answer.startsWith('no SluiceError')),
          'nothing of ours escapes',
        ).toBe(true)
        for (const workers of [1, 2, 4])
          mustBeSame(await transcribe(application, workers, plan), serial, `workers ${workers}`)
        for (const workers of [0, 1, 2, 4])
          mustBeSame(await transcribe(application, workers, plan, 'always'), serial, `workers ${workers}, run ahead`)
      })
    },
  )
})

describe('the order of a batch is fixed by its requests', () => {
  test.each(seeds(2))(
    'R25, R35: a batch equals its requests one by one, lane by lane, seed %i',
    { timeout: 60_000 },
    async (seed) => {
      await withSeed(seed, async (random) => {
        // Every call has an id, so that every outcome is recorded, and no draws, which differ between batches.
        let number = 0
        const plan = lanesPlan(randomOf(random.below(2 ** 31)), 60).map((batch) =>
          batch.map((request): Request => {
            number += 1
            const steps = (request.input['work'] as Work[] | undefined)?.map((one) =>
              one.kind === 'draw' || one.kind === 'put' || one.kind === 'emit'
                ? { ...one, kind: 'add' as const }
                : one,
            )
            return {
              ...request,
              id: `only ${number}`,
              input: steps === undefined ? request.input : { ...request.input, work: steps },
            }
          }),
        )
        const together = await openInside(lanesApp, {
          path: await newFolder(),
          workers: 2,
          partitions,
          fixed,
        })
        const answers: string[][] = []
        for (const batch of plan)
          answers.push(await Promise.all(batch.map((request) => answerOf(together.db, request))))
        const rows = rowsOf(lanesApp, together.db)
        await together.close()
        const frames = framesIn(together.path!)
        expect(frames.length).toBe(plan.length)

        const single = await openInside(lanesApp, { workers: 0, partitions })
        for (const [n, batch] of plan.entries()) {
          const records = frames[n]!.records
          expect(records.map(({ place }) => place).toSorted((a, b) => a - b)).toEqual(
            batch.map((_, place) => place),
          )
          const laneOf = ({ at }: Request): number => (at === undefined ? -1 : partitionOfOne(at, partitions))
          expect(
            records,
            'partitions in order, then the unplaced, then the strays by partition and arrival',
          ).toEqual(
            records.toSorted((a, b) => {
              const [one, other] = [batch[a.place]!, batch[b.place]!]
              const rank = (it: typeof a, request: Request): number =>
                it.lane >= 0 ? it.lane : laneOf(request) < 0 ? 1_000 : 2_000 + laneOf(request)
              return rank(a, one) - rank(b, other) || a.place - b.place
            }),
          )
          for (const { lane, place } of records) {
            if (lane >= 0)
              expect(lane, 'a request runs in the lane of its partition').toBe(laneOf(batch[place]!))
            const alone = withoutPosition(await answerOf(single.db, batch[place]!))
            const inBatch = withoutPosition(answers[n]![place]!)
            if (alone !== inBatch)
              expect.fail(`call ${place} of batch ${n}\n  together ${inBatch}\n  alone    ${alone}`)
          }
        }
        expect(rowsOf(lanesApp, single.db) === rows, 'the rows at the end').toBe(true)
        await single.close()
      })
    },
  )
})
