/**
 * `open()`: checks the options, and that workers will be able to load the application, before anything starts.
 *
 * Workers import the module that called `app()`. If that module is the program's entry, or opens the database itself, every
 * worker would run the whole program again; so that is refused here (api.md, "Where the application may live").
 */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { mustBeLoadable, openEngine, type Program, workerMark, type EngineOptions } from '../engine/index.js'
import { type App, programOf } from './app.js'
import { SluiceDatabase } from './database.js'
import type { Database, OpenOptions } from './database-types.js'
import { durationMs } from './duration.js'
import { failureListener } from './failure-listener.js'
import { checkRetention } from './retention.js'
import { ProjectionHost } from './sourcing/projection-host.js'
import { shown } from './schema/definition.js'
import { isSignal } from './signal.js'

const optionNames = new Set(['path', 'workers', 'queue', 'partitions', 'durability', 'memory', 'outcomes', 'history', 'checkpoint', 'retention', 'onProgress', 'module', 'signal', 'onHandlerError'])
/** Tests open databases with a clock and a seed of their own. */
const fixedOption = Symbol.for('sluicedb.fixed')

/**
 * Opens a database, and creates it where there is none.
 *
 * ```ts
 * await using db = await open(application, { path: './data', workers: 1 })
 * ```
 *
 * Errors: `DATABASE_LOCKED`, `SCHEMA_MISMATCH`, `LOG_CORRUPT`, `APP_NOT_LOADED`, `OUT_OF_SPACE`, `CANCELLED`, `INVALID_USE`.
 */
export async function open(application: App, options: OpenOptions = {}): Promise<Database> {
  const program = programOf(application)
  if (workerMark.module !== undefined) {
    workerMark.noteOpened()
    throw SluiceError.of('APP_NOT_LOADED', `open() ran inside a partition worker, while it was loading ${workerMark.module}: put the application into a module of its own, without open().`)
  }
  const checked = checkOptions(options, program)
  if (checked.workers !== 'auto' && checked.workers > 0) mustBeLoadable(checked.module)
  const { signal, onProgress } = checked
  const opened = await openEngine(program, checked)
  const projections = new ProjectionHost(opened, program)
  try {
    await projections.start({ signal, told: onProgress && ((bytes, bytesInAll) => onProgress({ phase: 'projection', bytes, bytesInAll })) })
  } catch (error) {
    const stopped = projections.close()
    await opened.close()
    await stopped
    throw error
  }
  return new SluiceDatabase(opened, program, projections) as unknown as Database
}

function checkOptions(options: OpenOptions, program: Program): EngineOptions {
  if (typeof options !== 'object' || options === null) throw wrong(`The options of open() are an object, not ${shown(options)}.`)
  for (const name of Object.keys(options)) if (!optionNames.has(name)) throw wrong(`open() has no option "${name}"; it has ${[...optionNames].join(', ')}.`)
  const { path, workers = 0, queue = {}, partitions, durability, memory, outcomes, history, checkpoint, retention, onProgress, module, signal, onHandlerError } = options
  if (path !== undefined && (typeof path !== 'string' || path === '')) throw wrong(`The option path is the directory of the database, not ${shown(path)}.`)
  if (workers !== 'auto') whole('workers', workers, 0, limits.workersMax, "'auto' or ")
  if (typeof queue !== 'object' || queue === null) throw wrong(`The option queue is an object, not ${shown(queue)}.`)
  for (const name of Object.keys(queue)) if (name !== 'calls' && name !== 'whenFull') throw wrong(`The option queue has no "${name}"; it has calls and whenFull.`)
  const { calls = limits.callsInFlightMax, whenFull = 'refuse' } = queue
  whole('queue.calls', calls, 1, limits.callsInFlightOptionMax)
  if (whenFull !== 'refuse' && whenFull !== 'wait') throw wrong(`The option queue.whenFull is 'refuse' or 'wait', not ${shown(whenFull)}.`)
  if (partitions !== undefined) whole('partitions', partitions, 1, limits.partitionsMax)
  if (memory !== undefined) whole('memory.bytes', memory.bytes, limits.memoryBytesMin, limits.memoryBytesMax)
  if (history !== undefined) whole('history.bytes', history.bytes, 0, limits.memoryBytesMax)
  if (durability !== undefined && !['fsync', 'os', 'memory'].includes(durability)) throw wrong(`The option durability is 'fsync', 'os' or 'memory', not ${shown(durability)}.`)
  if (path === undefined && durability !== undefined && durability !== 'memory') throw wrong(`Durability '${durability}' needs a path: without one the database is in memory only.`)
  if (checkpoint !== undefined && checkpoint.logBytes !== Infinity) whole('checkpoint.logBytes', checkpoint.logBytes, limits.checkpointLogBytesMin, Number.MAX_SAFE_INTEGER)
  const kept = checkRetention(program, retention)
  if (onProgress !== undefined && typeof onProgress !== 'function') throw wrong(`The option onProgress is a function, not ${shown(onProgress)}.`)
  if (signal !== undefined && !isSignal(signal)) throw wrong(`The option signal is an AbortSignal, not ${shown(signal)}.`)
  if (onHandlerError !== undefined && typeof onHandlerError !== 'function') throw wrong(`The option onHandlerError is a function, not ${shown(onHandlerError)}.`)
  if (path === undefined && (checkpoint ?? retention) !== undefined) throw wrong('Checkpoints and retention need a path: without one the newest frames in memory are the log.')
  return {
    path,
    workers,
    queue: { calls, whenFull },
    partitions,
    durability: path === undefined ? 'memory' : (durability ?? 'fsync'),
    memoryBytes: memory === undefined ? undefined : Math.floor(memory.bytes / 8) * 8,
    historyBytes: history?.bytes ?? limits.historyHoldBytes,
    outcomeWindowMs: outcomes === undefined ? limits.outcomeWindowMsDefault : durationMs('outcomes.window', outcomes.window),
    checkpointLogBytes: checkpoint?.logBytes ?? limits.checkpointLogBytesDefault,
    retention: kept,
    onProgress,
    onHandlerFailure: failureListener(onHandlerError),
    module: module === undefined ? program.url : moduleUrl(module),
    signal,
    fixed: (options as Readonly<Record<symbol, EngineOptions['fixed']>>)[fixedOption],
  }
}

function whole(name: string, value: unknown, least: number, most: number, or = ''): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw wrong(`The option ${name} is ${or}a whole number from ${least} to ${most}, not ${shown(value)}.`)
  }
}

function moduleUrl(module: string | { readonly href: string }): string {
  const text = typeof module === 'string' ? module : module.href
  if (URL.canParse(text)) return text
  throw wrong(`The option module is the address of a module, such as new URL('./app.js', import.meta.url), not ${shown(module)}.`)
}

const wrong = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)
