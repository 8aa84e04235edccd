/** The projections of an open database: one keeper for each. */
import { SluiceError } from '../../engine/base/errors.js'
import type { OpenEngine, Program } from '../../engine/index.js'
import { shown } from '../schema/definition.js'
import { mustNotBeAborted, type SignalLike } from '../signal.js'
import { projectionDefinitions } from './projection.js'
import { ProjectionKeeper } from './projection-keeper.js'

export interface StartOptions {
  readonly signal: SignalLike | undefined
  /** How much of the log has been read for the projection that is being built, and how much there is. */
  readonly told: ((bytes: number, bytesInAll: number) => void) | undefined
}

export class ProjectionHost {
  readonly #keepers: ReadonlyMap<string, ProjectionKeeper>

  constructor(open: OpenEngine, { projections = [] }: Program) {
    this.#keepers = new Map(projections.map((projection) => [projection.name, new ProjectionKeeper(open, projection)]))
  }

  /**
   * Resolves when every projection has a place from which it goes on, whatever happens to the process. A signal that is aborted stops what is
   * being built, and so does what `told` throws: the next life goes on with it.
   */
  async start({ signal, told }: StartOptions): Promise<void> {
    let thrown: { readonly error: unknown } | undefined
    const stop = (): void => void this.close()
    const tell = (bytes: number, bytesInAll: number): void => {
      if (thrown !== undefined) return
      try {
        told?.(bytes, bytesInAll)
      } catch (error) {
        thrown = { error }
        stop()
      }
    }
    signal?.addEventListener('abort', stop)
    try {
      for (const keeper of this.#keepers.values()) {
        mustNotBeAborted('open()', signal)
        await keeper.start(tell)
        if (thrown !== undefined) throw (thrown as { readonly error: unknown }).error
      }
    } catch (error) {
      mustNotBeAborted('open()', signal) // it was closed for that
      throw error
    } finally {
      signal?.removeEventListener('abort', stop)
    }
    mustNotBeAborted('open()', signal)
  }

  of(projection: unknown): ProjectionKeeper {
    const definition = projectionDefinitions.of(projection)
    const keeper = definition && this.#keepers.get(definition.name)
    if (keeper !== undefined) return keeper
    const what = definition === undefined ? `${shown(projection)} is no projection` : `Projection '${definition.name}' is not in this application: put it into a service, and the service into app()`
    throw SluiceError.of('INVALID_USE', `${what}.`)
  }

  /** Resolves when no file is read any more. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#keepers.values(), (keeper) => keeper.close()))
  }
}
