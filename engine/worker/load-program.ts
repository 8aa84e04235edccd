/**
 * How a worker gets the application: it imports the module that called `app()` and finds the application among its exports.
 *
 * A TypeScript module is loaded with the project's tsx, else by Node where it can (22.18 and later). That is decided before the
 * first import, because a failed import of an address stays failed. tsx is resolved from the application's own folder.
 */
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { messageOf, SluiceError } from '../base/errors.js'
import type { Program } from '../schema/descriptor.js'
import { programText } from '../schema/program-text.js'
import { workerMark } from './worker-mark.js'

const appBrand = Symbol.for('sluicedb.app')

export async function loadProgram(url: string, description: string): Promise<Program> {
  workerMark.enter(url)
  const module = await importModule(url)
  if (workerMark.hasOpened()) throw notLoaded(url, 'it also calls open(), which would run again in every worker: put the application into a module of its own')
  const found = [module['default'], ...Object.values(module)].find((value) => typeof value === 'object' && value !== null && appBrand in value)
  if (found === undefined) throw notLoaded(url, `it exports no application (it exports: ${Object.keys(module).join(', ') || 'nothing'}): export what app() answers`)
  const program = (found as Readonly<Record<symbol, Program>>)[appBrand]!
  const own = programText(program)
  if (own !== description) throw notLoaded(url, `the worker loaded another application than the main thread; the first difference: ${firstDifference(description, own)}`)
  return program
}

async function importModule(url: string): Promise<Record<string, unknown>> {
  try {
    if (/\.[mc]?tsx?$/.test(new URL(url).pathname)) await registerTypeScript(url)
    return (await import(url)) as Record<string, unknown>
  } catch (cause) {
    if (SluiceError.is(cause)) throw cause
    const message = messageOf(cause)
    throw SluiceError.of('APP_NOT_LOADED', `A worker could not load the application ${url}: ${message}`, { cause })
  }
}

/** `createRequire().resolve('tsx/esm/api')` answers the CommonJS build, which cannot register: read the import condition. */
async function registerTypeScript(url: string): Promise<void> {
  try {
    const require = createRequire(url)
    const manifest = require.resolve('tsx/package.json')
    const { exports } = require(manifest) as { exports: Record<string, { import: { default: string } }> }
    const api = new URL(exports['./esm/api']!.import.default, pathToFileURL(manifest))
    const { register } = (await import(api.href)) as { register: () => void }
    register()
  } catch {
    if (!('typescript' in process.features) || !process.features.typescript) {
      throw SluiceError.of('APP_NOT_LOADED', `${fileURLToPath(url)} is TypeScript, which this version of Node cannot load by itself: install tsx in the project, or open() the compiled module.`)
    }
  }
}

function notLoaded(url: string, why: string): SluiceError {
  return SluiceError.of('APP_NOT_LOADED', `The application module ${url} cannot be used by workers: ${why}.`, { details: { module: url } })
}

function firstDifference(main: string, worker: string): string {
  const mainLines = main.split('\n')
  const workerLines = worker.split('\n')
  const at = mainLines.findIndex((line, n) => line !== workerLines[n])
  return at < 0 ? `the worker has more: ${workerLines[mainLines.length]}` : `main has "${mainLines[at]}", the worker "${workerLines[at] ?? 'nothing'}"`
}
