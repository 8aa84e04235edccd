/**
 * The whole engine on a disk in memory: the simulator (test/simulator) with one fault at a time, at every place where it
 * can strike, and with all of them by chance.
 */
import { expect } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import type { StorageFault, StorageOperation } from '../../wal/index.js'
import { prefixOf } from '../simulator/oracle.js'
import type { SimulatedDisk } from '../simulator/simulated-disk.js'
import { simulate, type Moment, type SimulationOptions } from '../simulator/simulation.js'
import modelApp from '../support/apps/model-app.js'
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
  for (let round = 0; round < run.rounds && !run.isOver; round += 1) {
    for (let n = 0; n < 6; n += 1) {
      for (const isOnce of [true, false]) {
        for (let at = 0; !run.isOver; at += 1) {
          let seen = 0
          let isOver = false
          const onOperation = (operation: StorageOperation, moment: Moment): StorageFault | undefined => {
            if (moment.hasFailed && moment.folder === 'log') {
              afterwards(operation)
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
    injected: 'the n-th sync fails, once and from then on, for every n in 6 workloads; what it should have written is dropped and counts as clean. Then the power goes, or the process, or it is closed',
    invariant: 'nobody is told of that batch or a later one; the log has failed; nothing is written or synced again; opening again gives a prefix with all that was told',
    pr: 100,
    nightly: 2_000,
  },
  async (run) => {
    const isSync = ({ kind }: StorageOperation, { folder }: Moment): boolean => folder === 'log' && kind.startsWith('sync')
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
    injected: 'ENOSPC at the n-th write or new file, with a part of it written, once and from then on, for every n in 6 workloads',
    invariant: 'reads and subscribers go on; nobody is told of what is not durable; with room again, opening gives a prefix with all that was told',
    pr: 200,
    nightly: 4_000,
  },
  async (run) => {
    const takesRoom = ({ kind }: StorageOperation): boolean => kind === 'write' || kind === 'create'
    const { failures } = await atEvery(run, takesRoom, 'ENOSPC', () => undefined)
    run.figure('logs that failed', failures)
  },
)

faultRow(
  25,
  {
    title: 'random schedules of threads, with every fault of this page',
    injected: 'the simulator: seeds for calls, steps, lanes, sectors; W in {0, 1, 2, 4, 8, 16}; failing disks, power cuts, kills, dying workers',
    invariant: 'answers, changes, events, snapshots and recovered states are those of the serial run on plain maps; without dying workers all W leave the same bytes',
    pr: 60,
    nightly: 20_000,
  },
  async (run) => {
    let lives = 0
    let calls = 0
    let deaths = 0
    for (const index of run.cases()) {
      const seed = run.chance.below(2 ** 31)
      if (index % 10 === 0) {
        const disks: string[] = []
        for (const workers of [0, 1, 2, 4, 8, 16]) {
          const result = await simulate(program, { seed, workers, steps: 150, faults: true, deaths: false })
          disks.push(result.disk)
          lives += result.lives
          calls += result.calls
        }
        expect(new Set(disks).size, `seed ${seed}: ${disks.join(' | ')}`).toBe(1)
        continue
      }
      const workers = run.chance.pick([0, 1, 2, 4, 8, 16])
      const result = await simulate(program, { seed, workers, steps: 150, faults: true, deaths: true })
      lives += result.lives
      calls += result.calls
      deaths += result.deaths
    }
    run.figure('lives', lives)
    run.figure('calls', calls)
    run.figure('workers that died', deaths)
  },
)
