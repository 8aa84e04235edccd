/** The projections of an open database: one keeper for each. */
import { SluiceError } from '../../engine/base/errors.js'
import type { OpenEngine, Program } from '../../engine/index.js'
import { shown } from '../schema/definition.js'
import { projectionDefinitions } from './projection.js'
import { ProjectionKeeper } from './projection-keeper.js'

export class ProjectionHost {
  readonly #keepers: ReadonlyMap<string, ProjectionKeeper>

  constructor(open: OpenEngine, { projections = [] }: Program) {
    this.#keepers = new Map(projections.map((projection) => [projection.name, new ProjectionKeeper(open, projection)]))
  }

  /** Resolves when every projection has a place from which it goes on, whatever happens to the process. */
  async start(): Promise<void> {
    for (const keeper of this.#keepers.values()) await keeper.start()
  }

  of(projection: unknown): ProjectionKeeper {
    const definition = projectionDefinitions.of(projection)
    const keeper = definition && this.#keepers.get(definition.name)
    if (keeper !== undefined) return keeper
    const what = definition === undefined ? `${shown(projection)} is no projection` : `Projection '${definition.name}' is not in this application: put it into a service, and the service into app()`
    throw SluiceError.of('INVALID_USE', `${what}.`)
  }

  close(): void {
    for (const keeper of this.#keepers.values()) keeper.close()
  }
}
