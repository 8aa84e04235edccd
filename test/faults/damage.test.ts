/**
 * A whole closed database, log and both checkpoints, and damage to its files: every byte of it three ways, and many at
 * once. (The same for LMDB's files is in test/wal/checkpoint-set.test.ts: they are known by their checksum before LMDB
 * sees them.)
 */
import { expect } from 'vitest'
import { SluiceError } from '../../engine/base/errors.js'
import type { Program } from '../../engine/schema/descriptor.js'
import { CheckpointSet, PlainCheckpointStore } from '../../wal/index.js'
import { prefixOf, type Frame } from '../simulator/oracle.js'
import { simulate, simulatedId as databaseId } from '../simulator/simulation.js'
import type { SimulatedDisk } from '../simulator/simulated-disk.js'
import modelApp from '../support/apps/model-app.js'
import { damage } from './damage.js'
import { find } from './find.js'
import { faultRow } from './row.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!
const KiB = 1_024

interface Closed {
  readonly disk: SimulatedDisk
  readonly frames: readonly Frame[]
  readonly bytes: number
}

/** A database of about so many bytes that was closed in good order, with two checkpoints. */
async function closedDatabase(seed: number, least: number, most: number, id = databaseId): Promise<Closed> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const frames: Frame[] = []
    let disk: SimulatedDisk | undefined
    await simulate(program, {
      seed: seed + attempt,
      workers: attempt % 3,
      steps: 30 + (attempt % 4) * 10,
      faults: false,
      deaths: false,
      durability: 'fsync',
      segmentBytesMax: 8_192,
      checkpointEvery: 7,
      databaseId: id,
      onSeal: (batch, body) => void frames.push({ batch, body }),
      onRestart: (image) => (disk = image.copy()),
    })
    const bytes = disk!.files().reduce((sum, file) => sum + file.bytes.length, 0)
    const isWhole = disk!.checkpoint.list().filter((name) => name.endsWith('.plain')).length === 2 && frames.length > 4
    if (isWhole && bytes >= least && bytes <= most) return { disk: disk!, frames, bytes }
  }
  throw new Error(`none of 200 databases has ${least} to ${most} bytes`)
}

faultRow(
  11,
  {
    title: 'one damaged byte',
    injected: 'every byte of a database of about 64 KiB (segments, manifests, checkpoint files), closed in good order: a bit flipped, 0x00, 0xff',
    invariant: 'all of it is found, or the database is refused and nothing changed; never other data, never a hang, memory at most twice the files',
    pr: 140_000,
    nightly: 3_000_000,
  },
  async (run) => {
    let refused = 0
    let passedOver = 0
    let opens = 0
    let most = 0
    for (let round = 0; round < run.rounds && !run.isOver; round += 1) {
      const { disk, frames, bytes } = await closedDatabase(run.seed + round * 1_000, 56 * KiB, 72 * KiB)
      const newest = frames.at(-1)!.batch
      const newestCheckpoint = find(disk.copy(), databaseId).checkpoint
      run.figure('database', Math.round(bytes / KiB), 'KiB')
      let image = disk.copy()
      for (const { folder, name, bytes: pristine } of disk.files()) {
        let target = image[folder].bytesOf(name)
        for (let at = 0; at < pristine.length && !run.isOver; at += 1) {
          const was = pristine[at]!
          for (const damaged of [was ^ (1 << (at % 8)), 0x00, 0xff]) {
            if (damaged === was) continue
            run.done()
            opens += 1
            target[at] = damaged
            const memory = at % 512 === 0 ? process.memoryUsage().arrayBuffers : 0
            let isChanged = true
            try {
              const found = find(image, databaseId)
              const count = prefixOf(frames, found.newest, found.checkpoint, found.frames)
              if (found.newest !== newest || count !== frames.length) throw new Error(`${folder}/${name}, byte ${at}, ${damaged}: ${count} of ${frames.length} frames, and nobody was told`)
              if (found.checkpoint !== newestCheckpoint) passedOver += 1
              if (at % 512 === 0) most = Math.max(most, process.memoryUsage().arrayBuffers - memory)
              isChanged = found.repairedBytes > 0
            } catch (error) {
              if (!SluiceError.is(error, 'LOG_CORRUPT')) throw new Error(`${folder}/${name}, byte ${at}, ${damaged}: ${String(error)}`, { cause: error })
              refused += 1
              target[at] = was
              if (at % 64 === 0 && !image.equals(disk)) throw new Error(`${folder}/${name}, byte ${at}, ${damaged}: refused, and the files were changed`)
              continue
            }
            target[at] = was
            if (!isChanged) continue
            image = disk.copy()
            target = image[folder].bytesOf(name)
          }
        }
      }
      if (most > 2 * bytes + 8 * 2 ** 20) throw new Error(`an opening took ${most} bytes of memory for ${bytes} bytes of files`)
    }
    run.figure('openings', opens)
    run.figure('refused', refused)
    run.figure('opened with the older checkpoint', passedOver)
  },
)

faultRow(
  '12 database',
  {
    title: 'many damages of a database',
    injected: 'bits, swapped, doubled and misdirected sectors, zeroed pages, files cut short, made longer, removed and of another database: 1 to 4 in log, checkpoints and manifests',
    invariant: 'an exact prefix with everything up to the newest checkpoint that is known, or a refusal that changes nothing',
    pr: 1_000,
    nightly: 20_000,
  },
  async (run) => {
    const databases = await Promise.all([0, 1, 2].map((n) => closedDatabase(run.seed + n * 1_000, 20 * KiB, 300 * KiB)))
    const foreign = await closedDatabase(run.seed + 9_000, 20 * KiB, 300 * KiB, new Uint8Array(16).fill(77))
    let refused = 0
    let whole = 0
    for (const index of run.cases()) {
      const { disk, frames } = databases[index % 3]!
      const other = foreign.disk
      const image = disk.copy()
      const done: string[] = []
      for (let n = 1 + run.chance.below(4); n > 0; n -= 1) {
        const folder = run.chance.chance(0.5) ? 'log' : 'checkpoint'
        if (image[folder].list().length > 0) done.push(`${folder}: ${damage(image[folder], other[folder], run.chance)}`)
      }
      const before = image.copy()
      try {
        const found = find(image, databaseId)
        const count = prefixOf(frames, found.newest, found.checkpoint, found.frames)
        if (count === frames.length) whole += 1
      } catch (error) {
        if (!SluiceError.is(error, 'LOG_CORRUPT')) throw new Error(`${done.join(', ')}: ${String(error)}`, { cause: error })
        if (!image.equals(before)) throw new Error(`${done.join(', ')}: refused, and the files were changed`)
        refused += 1
      }
    }
    run.figure('refused', refused)
    run.figure('opened with everything', whole)
  },
)

faultRow(
  32,
  {
    title: 'checkpoint under load, damaged checkpoint',
    injected: 'simulated databases whose checkpoints are made while calls run; after each life the newest one, or its manifest, is damaged as in row 12',
    invariant: 'the older checkpoint, or none, and the log give the same state as plain maps',
    pr: 20,
    nightly: 2_000,
  },
  async (run) => {
    let damaged = 0
    let checkpoints = 0
    for (const index of run.cases()) {
      const result = await simulate(program, {
        seed: run.chance.below(2 ** 31),
        workers: [0, 1, 2, 4][index % 4]!,
        steps: 200,
        faults: true,
        deaths: false,
        checkpointEvery: 9,
        onRestart: (disk) => {
          const set = disk.checkpoint
          const name = newestOf(disk)
          if (name === undefined) return
          const manifest = `${name}.manifest`
          const file = set.list().filter((one) => one.startsWith(`${name}-`)).at(-1)
          const target = run.chance.chance(0.3) || file === undefined ? manifest : file
          damage(set, set, run.chance, [target])
          damaged += 1
        },
      })
      checkpoints += result.checkpoints
    }
    run.figure('checkpoints that were damaged', damaged)
    run.figure('lives that began with an older one', checkpoints)
    expect(damaged).toBeGreaterThan(run.isOver ? 0 : 20)
  },
)

/** The checkpoint that an opening would read, if there is another whole one: both at once are too much (R59). */
function newestOf({ checkpoint }: SimulatedDisk): string | undefined {
  const set = CheckpointSet.open(new PlainCheckpointStore(checkpoint), { databaseId })
  const whole = set.candidates().filter(({ name }) => set.verify(name))
  return whole.length === 2 ? whole[0]!.name : undefined
}
