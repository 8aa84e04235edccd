/**
 * The whole engine on a disk in memory: the simulator (test/simulator) with one fault at a time, at every place where it
 * can strike. All of them by chance: schedules.test.ts.
 */
import { expect } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import { makeClock } from '../../engine/worker/clock.js'
import type { StorageFault, StorageOperation } from '../../wal/index.js'
import { prefixOf } from '../simulator/oracle.js'
import type { SimulatedDisk } from '../simulator/simulated-disk.js'
import { simulate, type Moment, type SimulationOptions } from '../simulator/simulation.js'
import { VirtualWorld } from '../simulator/virtual-world.js'
import modelApp from '../support/apps/model-app.js'
import type { Random } from '../support/random.js'
import { find } from './find.js'
import { faultRow, type FaultRun } from './row.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!
const workersOf = [0, 1, 2, 4] as const

/** Twelve workloads: short ones, so that every place in them can be tried. */
function workload(n: number, seed: number): SimulationOptions {
  return {
    seed: seed + n,
    workers: workersOf[n % 4]!,
    steps: 25 + (n % 3) * 15,
    faults: false,
    deaths: false,
    durability: 'fsync',
    segmentBytesMax: 8_192 << (n % 3),
    checkpointEvery: 6 + (n % 4),
  }
}

faultRow(
  1,
  {
    title: 'crash at any I/O step',
    injected: 'at every operation of the disk in 12 workloads (open, commit, group commit, new segment, certificate, checkpoint, removal of segments, close) the power goes: nothing, everything, and a seeded part of what nobody synced is kept',
    invariant: 'an exact prefix of the sealed frames, with everything that anybody was told of; opening twice gives the same bytes',
    pr: 2_000,
    nightly: 20_000,
  },
  async (run) => {
    let operations = 0
    for (let round = 0; round < run.rounds && !run.isOver; round += 1) {
      for (let n = 0; n < 12; n += 1) {
        const onOperation = (_: StorageOperation, moment: Moment): undefined => {
          operations += 1
          for (const likely of [0, 1, run.random()]) {
            mustRecover(moment.disk.crash(() => run.random() < likely), moment)
            run.done()
          }
        }
        await simulate(program, { ...workload(n, run.seed + round * 100), onOperation })
      }
    }
    run.figure('operations', operations)
  },
)

function mustRecover(image: SimulatedDisk, { databaseId, frames, promised }: Moment): void {
  const found = find(image, databaseId)
  const count = prefixOf(frames, found.newest, found.checkpoint, found.frames)
  if (count < promised) throw new Error(`${count} frames were recovered, ${promised} were promised`)
  const before = image.copy()
  find(image, databaseId)
  if (!image.equals(before)) throw new Error('opening a second time changes the files')
}

faultRow(
  '6 recovery',
  {
    title: 'crash during recovery',
    injected: 'a crash that tears the log, then a failing disk at the n-th operation of the recovery and another power cut, for every n',
    invariant: 'as row 1; the next recovery finds the same frames as an undisturbed one',
    pr: 300,
    nightly: 10_000,
  },
  async (run) => {
    let torn = 0
    for (let round = 0; !run.isOver && (round === 0 || run.rounds > 1 || torn < 25); round += 1) {
      const crashes: { image: SimulatedDisk; moment: Moment }[] = []
      const onOperation = (_: StorageOperation, moment: Moment): undefined => {
        if (run.random() > 0.25) return
        crashes.push({ image: moment.disk.crash(() => run.random() < 0.7), moment })
      }
      await simulate(program, { ...workload(round % 12, run.seed + round), onOperation })
      for (const { image, moment } of crashes) {
        if (run.isOver) break
        if (find(image.copy(), moment.databaseId).repairedBytes === 0) continue
        torn += 1
        breakRecovery(image, moment, run)
      }
      if (round >= run.rounds * 12 && torn > 25) break
    }
    run.figure('torn logs', torn)
  },
)

const shownBy = (disk: SimulatedDisk, databaseId: Uint8Array): string => {
  const { checkpoint, frames } = find(disk, databaseId)
  return `checkpoint ${checkpoint}, frames ${frames.map(({ batch }) => batch).join()}`
}

function breakRecovery(image: SimulatedDisk, moment: Moment, run: FaultRun): void {
  const { databaseId } = moment
  const undisturbed = shownBy(image.copy(), databaseId)
  for (let n = 0; ; n += 1) {
    let index = 0
    const onOperation = (operation: StorageOperation): StorageFault | undefined => {
      index += 1
      return index > n ? { code: 'EIO', writtenBytes: Math.floor(run.random() * operation.bytes) } : undefined
    }
    const attempt = image.copy(onOperation)
    let isThrough = true
    try {
      find(attempt, databaseId)
    } catch (error) {
      expect(error).toMatchObject({ code: 'EIO' })
      isThrough = false
    }
    const after = attempt.crash(() => run.random() < 0.5)
    expect(shownBy(after.copy(), databaseId)).toBe(undisturbed)
    mustRecover(after, moment)
    run.done()
    if (isThrough) return
  }
}

/** Strikes at the n-th operation that it may hit, in the first life that has one; for n = 0, 1, ... until it does not any more. */
async function atEvery(
  run: FaultRun,
  hits: (operation: StorageOperation, moment: Moment) => boolean,
  code: 'EIO' | 'ENOSPC',
  afterwards: (operation: StorageOperation) => void,
): Promise<{ failures: number }> {
  let failures = 0
  let cases = 0
  for (let round = 0; round < run.rounds && !run.isOver; round += 1) {
    for (let n = 0; (n === 0 || cases < run.count) && !run.isOver; n += 1) {
      for (const isOnce of [true, false]) {
        for (let at = 0; !run.isOver; at += 1) {
          let seen = 0
          let isOver = false
          const onOperation = (operation: StorageOperation, moment: Moment): StorageFault | undefined => {
            if (moment.hasFailed) {
              if (moment.isLogThread) afterwards(operation)
              isOver = true
            }
            if (isOver || !hits(operation, moment)) return undefined
            seen += 1
            if (isOnce ? seen !== at + 1 : seen <= at) return undefined
            return { code, writtenBytes: Math.floor(run.random() * (operation.bytes / 512)) * 512 }
          }
          const ending = run.chance.pick(['power', 'kill', 'close'] as const)
          const result = await simulateOpened({ ...workload(n, run.seed + round * 100), ending, onOperation })
          failures += result
          cases += 1
          run.done()
          if (seen <= at) break
        }
      }
    }
  }
  return { failures }
}

/** A disk that fails at the very first opening is refused, which is no run. */
async function simulateOpened(options: SimulationOptions): Promise<number> {
  try {
    return (await simulate(program, options)).failures
  } catch (error) {
    if ((error as { code?: unknown }).code === 'LOG_FAILED' || (error as { code?: unknown }).code === 'OUT_OF_SPACE') return 1
    throw error
  }
}

faultRow(
  7,
  {
    title: 'fsync fails',
    injected: 'the n-th sync fails, once and from then on, for every n in some workloads; what it should have written is dropped and counts as clean. Then the power goes, or the process, or it is closed',
    invariant: 'nobody is told of that batch or a later one; the log has failed; nothing is written or synced again; opening again gives a prefix with all that was told',
    pr: 100,
    nightly: 2_000,
  },
  async (run) => {
    // Those of the log thread. The checkpoint thread syncs segments too: what then is told in simulation.ts, at #armFault.
    const isSync = ({ kind }: StorageOperation, { isLogThread }: Moment): boolean => isLogThread && kind.startsWith('sync')
    const { failures } = await atEvery(run, isSync, 'EIO', (operation) => {
      if (operation.kind !== 'read') throw new Error(`after the failure there is a ${operation.kind} of ${operation.name}`)
    })
    run.figure('logs that failed', failures)
  },
)

faultRow(
  '9 engine',
  {
    title: 'disk full',
    injected: 'ENOSPC at the n-th write or new file, with a part of it written, once and from then on, for every n in some workloads',
    invariant: 'reads and subscribers go on; nobody is told of what is not durable; with room again, opening gives a prefix with all that was told',
    pr: 120,
    nightly: 4_000,
  },
  async (run) => {
    const takesRoom = ({ kind }: StorageOperation): boolean => kind === 'write' || kind === 'create'
    const { failures } = await atEvery(run, takesRoom, 'ENOSPC', () => undefined)
    run.figure('logs that failed', failures)
  },
)

faultRow(
  10,
  {
    title: 'short writes and reads, EINTR, EAGAIN',
    injected: 'reads and writes of log and checkpoints that do a part, or nothing and say "again": the n-th one for every n in 3 workloads, and a tenth of all',
    invariant: 'continued: nothing fails, nothing is lost, and the files are those of an undisturbed run',
    pr: 100,
    nightly: 5_000,
  },
  async (run) => {
    let shortened = 0
    for (let round = 0; round < run.rounds && !run.isOver; round += 1) {
      for (let n = 0; n < 3; n += 1) {
        const options = { ...workload(n, run.seed + round * 100), steps: 25, ending: 'close' as const }
        const undisturbed = (await simulate(program, options)).disk
        let calls = 0
        for (let at = -8; at < calls || at <= 0; at += 1 + Math.floor(calls / 60)) {
          if (run.isOver) return
          let seen = 0
          const onOperation = ({ kind, bytes }: StorageOperation): StorageFault | undefined => {
            if ((kind !== 'read' && kind !== 'write') || bytes === 0) return undefined
            seen += 1
            if (at < 0 ? run.random() > 0.1 : seen !== at + 1) return undefined
            shortened += 1
            const part = 1 + Math.floor(run.random() * bytes)
            return run.random() < 0.5 ? { writtenBytes: part, readBytes: part } : { code: run.random() < 0.5 ? 'EINTR' : 'EAGAIN' }
          }
          const result = await simulate(program, { ...options, onOperation })
          expect(result.failures).toBe(0)
          expect(result.disk, `operation ${at}`).toBe(undisturbed)
          calls = Math.max(calls, seen)
          run.done()
        }
      }
    }
    run.figure('calls cut short or interrupted', shortened)
  },
)

faultRow(
  24,
  {
    title: 'clock jumps',
    injected: 'simulated databases whose wall clock is set between lives: an hour back, ten years ahead, a millisecond back, not at all; the monotonic clock stands still for whole batches',
    invariant: 'the time of batches never goes back, also from life to life; order, answers and replay are those of plain maps; time-outs go by the monotonic clock',
    pr: 50,
    nightly: 1_000,
  },
  async (run) => {
    let lives = 0
    for (const index of run.cases()) {
      const result = await simulate(program, { seed: run.chance.below(2 ** 31), workers: index % 3, steps: 120, faults: true, deaths: false, clockJumps: true })
      lives += result.lives
    }
    // makeClock alone, against clocks of every kind.
    for (let n = 0; n < 1_000; n += 1) mustNeverGoBack(run.chance)
    run.figure('lives', lives)
  },
)

function mustNeverGoBack(random: Random): void {
  let monotonicMs = random.fraction() * 1e6
  const environment = new VirtualWorld(0)
  environment.monotonicMs = () => monotonicMs
  let lastLogged = 0
  for (let life = 0; life < 4; life += 1) {
    const wallMs = Math.max(lastLogged, random.pick([0, 1_700_000_000_000, 1_700_000_000_000 - 3_600_000, 2_015_000_000_000]))
    const clock = makeClock({ wallMs, monotonicMs, stepMs: undefined }, environment)
    for (let batch = 0; batch < 10; batch += 1) {
      const now = clock.now()
      if (!Number.isInteger(now) || now < lastLogged) throw new Error(`the time goes from ${lastLogged} to ${now}`)
      lastLogged = now
      monotonicMs += random.pick([0, 0.001, 0.4, 1, 59_000])
    }
  }
}
