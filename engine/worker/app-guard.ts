/**
 * Whether workers can load the application at all, looked at before one starts.
 *
 * Workers import the module that called `app()`. If that is the program's entry, or the module that opens the database, every
 * worker would run the whole program again.
 */
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SluiceError } from '../base/errors.js'
import { realPath } from '../../wal/index.js'

/** Refuses with `APP_NOT_LOADED` what every worker would run again. `module`: what workers would load. */
export function mustBeLoadable(module: string): void {
  const entry = entryUrl()
  if (sameModule(module, entry)) {
    throw notLoadable(module, "it is the program's entry: every worker would run the whole program again. Put app() into a module of its own; in a bundle make that module an entry of its own, and without code splitting also pass { module: new URL('./app.js', import.meta.url) }")
  }
  if (sameModule(module, callerUrl())) {
    throw notLoadable(module, 'app() and open() are in the same module: every worker would open the database again. Put app() into a module of its own, or open with workers: 0')
  }
}

/** Whether they could. */
export function isLoadable(module: string): boolean {
  try {
    mustBeLoadable(module)
    return true
  } catch (error) {
    if (SluiceError.is(error, 'APP_NOT_LOADED')) return false
    throw error
  }
}

function notLoadable(module: string, why: string): SluiceError {
  return SluiceError.of('APP_NOT_LOADED', `Workers cannot load the application from ${module}, because ${why}.`, { details: { module } })
}

function entryUrl(): string | undefined {
  const entry = process.argv[1]
  if (entry === undefined) return undefined
  const path = realPath(entry)
  return path === undefined ? undefined : pathToFileURL(path).href
}

function sameModule(module: string, other: string | undefined): boolean {
  if (other === undefined) return false
  const plain = (url: string): string => {
    const { protocol, pathname } = new URL(url)
    if (protocol !== 'file:') return url
    return realPath(fileURLToPath(`file://${pathname}`)) ?? pathname
  }
  return plain(module) === plain(other)
}

/** The package's own modules, whatever the folder it lies in holds besides. */
const ownFiles = ['bindings/', 'engine/', 'index.js', 'index.ts']

/** The file whose code called `open`: the first frame of the stack that is not ours. Right under tsx and vitest, too. */
function callerUrl(): string | undefined {
  const own = new URL('../../', import.meta.url).href
  for (const line of (new Error().stack ?? '').split('\n').slice(1)) {
    const match = /(?:\(|at |async )((?:file:\/\/)?\/[^():]+):\d+:\d+\)?$/.exec(line)
    if (match === null) continue
    const url = match[1]!.startsWith('file:') ? match[1]! : pathToFileURL(match[1]!).href
    if (!ownFiles.some((folder) => url.startsWith(own + folder))) return url
  }
  return undefined
}
