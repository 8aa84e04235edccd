/**
 * The application: services, sealed and lowered to one program.
 *
 * A module that calls `app()` is loaded by the main thread and by every partition worker, so it and all it
 * imports hold definitions only. A worker finds the application among the module's exports by its brand, a
 * registered symbol that also holds the program: that works when the worker's copy of the package is another
 * one.
 */
import { SluiceError } from '../engine/base/errors.js'
import type { Program } from '../engine/schema/descriptor.js'
import { type AppOptions, lowerMigrations } from './migrations.js'
import { lowerServices } from './program.js'
import { invalidDefinition, shown } from './schema/definition.js'
import type { Service } from './service/service.js'
import { type ServiceDefinition, serviceDefinitions } from './service/service-definition.js'

declare global {
  // For users without types of Node or of a browser: the examples say `app(import.meta.url, ...)`.
  interface ImportMeta {
    url: string
  }
}

export interface App {
  /** The module that called `app()`. */
  readonly url: string
  readonly services: readonly Service<any>[]
}

const brand = Symbol.for('sluicedb.app')

/**
 * Makes an application of services: `export default app(import.meta.url, [bank, shop])`.
 *
 * Comes last: it seals its services, and defining more on them is `INVALID_DEFINITION`. So it must import
 * every module that defines procedures or handlers. Changes of tables that no rule makes by itself are declared here as well: see
 * docs/schema-change.md.
 */
export function app(url: string, services: readonly Service<any>[], options: AppOptions = {}): App {
  if (typeof url !== 'string' || !URL.canParse(url)) {
    throw invalidDefinition(
      `The first argument of app() is the module's own address, import.meta.url, not ${shown(url)}.`,
    )
  }
  if (!Array.isArray(services))
    throw invalidDefinition(`The second argument of app() is a list of services, not ${shown(services)}.`)
  const definitions = services.map(serviceAt)
  const names = new Set<string>()
  for (const { name } of definitions) {
    if (names.has(name))
      throw invalidDefinition(`Two services of app() have the name '${name}': rename one, or list it once.`)
    names.add(name)
  }
  const program: Program = { ...lowerServices(url, definitions), ...lowerMigrations(options) }
  for (const definition of definitions) definition.sealedBy ??= url
  const application: App = { url, services: Object.freeze([...services]) }
  return Object.freeze(Object.defineProperty(application, brand, { value: program }))
}

function serviceAt(value: unknown, place: number): ServiceDefinition {
  const definition = serviceDefinitions.of(value)
  if (definition !== undefined) return definition
  const why =
    value === undefined ? ': a module that imports itself in a circle has not reached its service yet' : ''
  throw invalidDefinition(`services[${place}] of app() is ${shown(value)} and no service${why}.`)
}

export function isApp(value: unknown): value is App {
  return typeof value === 'object' && value !== null && brand in value
}

/** The program of an application; `INVALID_USE` for anything else. */
export function programOf(application: App): Program {
  if (!isApp(application)) {
    throw SluiceError.of(
      'INVALID_USE',
      `${shown(application)} is no application: pass what app(import.meta.url, [...]) answered.`,
    )
  }
  return (application as App & Readonly<Record<typeof brand, Program>>)[brand]
}
