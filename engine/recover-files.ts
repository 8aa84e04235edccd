/**
 * The files of a database into a new store, under the application that opens it.
 *
 *   same application   one pass, as in `recover`: the first catalog is the application's, and so are all that follow
 *   another one        the first catalog that is not stops the pass. The newest catalog of the log says what is between the two
 *                      (schema-change.ts); what must be proved is proved on the rows as the log has them, read into a store of their
 *                      own; then the pass begins again, and rows of older layouts become such of today's
 *
 * Nothing is written before the last step of the last pass, which mends the end of the log. So a refusal leaves the files alone.
 */
import { join } from 'node:path'
import { RebuiltStore } from './offline/rebuilt-store.js'
import type { LoggedCatalog } from './schema/catalog.js'
import type { Program } from './schema/descriptor.js'
import { isUnchanged } from './schema/difference.js'
import { changeTo, isOfApplication, proveReferences, proveRows, type SchemaChange, succeeding } from './schema-change.js'
import { Store, type StorePlan } from './store/store.js'
import { type LaidOut, recover, type Recovered, type RecoverProgress } from './stream/recover.js'
import { CheckpointSet, decodeSchema, FileLogStorage, LmdbCheckpointStore, newestSchema } from '../wal/index.js'

export interface RecoverFilesOptions {
  readonly program: Program
  readonly withSystem: Program
  readonly directory: string
  /** Undefined: as many as the database has. */
  readonly partitions: number | undefined
  readonly outcomeWindowMs: number
  readonly memoryBytes: number
  readonly layOut: (partitions: number) => StorePlan
  readonly onProgress: ((progress: RecoverProgress) => void) | undefined
  /** Between two steps: lets the event loop turn, and throws when opening was given up. */
  readonly pause: () => Promise<void>
}

export interface RecoveredFiles extends Recovered {
  /** What the log goes on with; undefined when nothing was ever written. */
  readonly today: LoggedCatalog | undefined
  readonly change: SchemaChange | undefined
  /** The rows as the log has them, where the change needs them. */
  readonly old: RebuiltStore | undefined
}

/** Not an error of anybody's: the application is another one, and the pass begins again. */
class OtherCatalog extends Error {
  readonly catalog: LoggedCatalog
  constructor(catalog: LoggedCatalog) {
    super('the application is another one than that of the log')
    this.catalog = catalog
  }
}

export async function recoverFiles(options: RecoverFilesOptions): Promise<RecoveredFiles> {
  const { program, partitions } = options
  let other: LoggedCatalog
  try {
    const recovered = await recoverSame(options)
    return { ...recovered, today: recovered.catalog && succeeding(program, recovered.catalog, partitions), change: undefined, old: undefined }
  } catch (error) {
    if (!(error instanceof OtherCatalog)) throw error
    other = error.catalog
  }
  const schema = newestSchema(logIn(options))
  const newest = schema === undefined ? other : (JSON.parse(decodeSchema(schema)) as LoggedCatalog)
  const change = changeTo(program, newest, partitions)
  const needsOld = change.toProve.size > 0 || change.migrates
  const old = needsOld ? await readOld(options, newest) : undefined
  if (old !== undefined) proveRows(program, change, old)
  await options.pause()
  const recovered = await pass(options, 'repair', storeOnce(options, change.today))
  // With a migration some rows are still to be made (migration.ts).
  if (!change.migrates && recovered.store !== undefined) proveReferences(recovered.store, change)
  return { ...recovered, today: change.today, change, old }
}

const logIn = ({ directory }: RecoverFilesOptions): FileLogStorage => FileLogStorage.open(join(directory, 'log'))

/** Throws `OtherCatalog` before a row is made of bytes that mean something else to the application. */
async function recoverSame(options: RecoverFilesOptions): Promise<Recovered> {
  const { program, partitions } = options
  let first: LoggedCatalog | undefined
  let laid: ((catalog: LoggedCatalog) => LaidOut) | undefined
  return await pass(options, 'repair', (catalog) => {
    const isSame = first === undefined ? isOfApplication(program, catalog, partitions) : isUnchanged(first, catalog)
    if (!isSame) throw new OtherCatalog(catalog)
    first ??= catalog
    laid ??= storeOnce(options, succeeding(program, catalog, partitions))
    return laid(catalog)
  })
}

function storeOnce({ withSystem, layOut }: RecoverFilesOptions, today: LoggedCatalog): (catalog: LoggedCatalog) => LaidOut {
  let laid: LaidOut | undefined
  return ({ partitions }) => {
    if (laid === undefined) {
      const plan = layOut(partitions)
      laid = { plan, store: new Store(withSystem, plan, plan.domains), today }
    }
    return laid
  }
}

/** The database as the log has it, with the tables that it had. Reads only. */
async function readOld(options: RecoverFilesOptions, newest: LoggedCatalog): Promise<RebuiltStore> {
  const old = new RebuiltStore(newest, options.memoryBytes)
  const { store } = old
  await pass({ ...options, outcomeWindowMs: Infinity }, 'salvage', () => ({ plan: store.plan, store, today: newest }))
  return old
}

async function pass(options: RecoverFilesOptions, mode: 'repair' | 'salvage', layOut: (catalog: LoggedCatalog) => LaidOut): Promise<Recovered> {
  const steps = recover({
    log: logIn(options),
    checkpoints: CheckpointSet.open(LmdbCheckpointStore.open(join(options.directory, 'checkpoint'))),
    outcomeWindowMs: options.outcomeWindowMs,
    mode,
    layOut,
  })
  let step = await steps.next()
  try {
    for (; step.done !== true; step = await steps.next()) {
      options.onProgress?.(step.value)
      await options.pause()
    }
    return step.value
  } finally {
    if (step.done !== true) await steps.return(undefined as never) // closes what it reads
  }
}
