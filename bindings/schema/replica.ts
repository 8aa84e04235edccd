/**
 * Replicas: some columns of a table of another service, read like a table of one's own.
 *
 * A replica belongs to one service, as a table does, and has a name there: it is `tx.db.<name>` and `service.replicas.<name>`. What it
 * shows of its source is its strength; what the services share is what is named here, and nothing else of the table.
 */
import type { ReplicaStrength } from '../../engine/schema/descriptor.js'
import { checkName, checkOptions, DefinitionKind, invalidDefinition, shown } from './definition.js'
import type { Flat, shape } from './shape.js'
import { type IndexShape, type Table, tableDefinitions, type TableShape } from './table.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

export type { ReplicaStrength }

/** A replica, as declared (`Name` is `string`) or as part of a service (`Name` is `'service.replica'`). */
export interface Replica<S extends TableShape = any, Name extends string = string> {
  readonly [shape]: S
  /** The full name, `'cart.product'`; empty until a service has the replica. */
  readonly name: Name
  readonly strength: ReplicaStrength
}

/** The columns that may be chosen: all but those of the key, which are there anyhow. */
type Chosen<S extends TableShape> = Exclude<keyof S['row'], S['key'][number]> & string
type Shown<S extends TableShape, C extends readonly string[]> = (S['key'][number] | C[number]) & keyof S['row']
/** Indexes whose columns are all shown; of those that follow none is unique, for two rows may have changed places half. */
type ShownIndexes<X extends Readonly<Record<string, IndexShape>>, P, G> = {
  [
    I in keyof X as X[I]['on'][number] extends P
      ? X[I] extends { readonly where: infer W }
        ? keyof W extends P
          ? NotUnique<X[I], G, I>
          : never
        : NotUnique<X[I], G, I>
      : never
  ]: X[I]
}
type NotUnique<X, G, I> = G extends 'eventual' ? (X extends { readonly unique: true } ? never : I) : I
type ReplicaOf<S extends TableShape, C extends readonly string[], G> = Replica<{
  row: Flat<Pick<S['row'], Shown<S, C>>>
  key: S['key']
  leftOut: never
  added: never
  json: S['json'] & Shown<S, C>
  ordered: S['ordered']
  indexes: Flat<ShownIndexes<S['indexes'], Shown<S, C>, G>>
}>

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

export interface ReplicaDefinition {
  /** Both set once, by the service that takes the replica. */
  name: string
  service: string | undefined
  readonly source: () => unknown
  readonly columns: readonly string[]
  readonly strength: ReplicaStrength
}

export const replicaDefinitions = new DefinitionKind<ReplicaDefinition>('replica')

const strengths: readonly unknown[] = ['strong', 'batch', 'eventual'] satisfies readonly ReplicaStrength[]

class ReplicaHandle {
  readonly #definition: ReplicaDefinition

  constructor(definition: ReplicaDefinition) {
    this.#definition = definition
    Object.freeze(replicaDefinitions.attach(this, definition))
  }

  get name(): string {
    return this.#definition.name
  }
  get strength(): ReplicaStrength {
    return this.#definition.strength
  }
}

/**
 * Declares a replica: the key and the columns that are named, of a table of another service.
 *
 * ```ts
 * const cart = service('cart', {
 *   replicas: { product: replica(() => catalog.tables.product, { columns: ['price'], strength: 'strong' }) },
 * })
 * cart.procedure('priceOf', { input: { id: column.text() } }, (tx, it) => tx.db.product.get(it.id)?.price)
 * ```
 */
export function replica<
  S extends TableShape,
  const C extends readonly Chosen<S>[],
  const G extends ReplicaStrength,
>(
  source: Table<S> | (() => Table<S>),
  options: {
    /** Beside those of the key. */
    readonly columns: C
    /**
     * `'strong'`: what the table holds, in this very transaction; reading it is reading the table. `'batch'`: what the last
     * batch left; any partition may be read without waiting for it. `'eventual'`: rows of its own, which follow.
     */
    readonly strength: G
  },
): ReplicaOf<S, C, G> {
  return new ReplicaHandle(defineReplica(source, options)) as unknown as ReplicaOf<S, C, G>
}

function defineReplica(source: unknown, options: unknown): ReplicaDefinition {
  if (tableDefinitions.of(source) === undefined && typeof source !== 'function') {
    throw invalidDefinition(`The first argument of replica() must be a table, or an arrow that answers one (() => shop.tables.order), not ${shown(source)}.`)
  }
  const { columns, strength } = checkOptions(options, 'replica()', ['columns', 'strength'])
  if (!Array.isArray(columns) || columns.some((name) => typeof name !== 'string')) {
    throw invalidDefinition(`columns of replica() is a list of names, ['price'], not ${shown(columns)}.`)
  }
  const names = columns as readonly string[]
  const twice = names.find((name, place) => names.indexOf(name) !== place)
  if (twice !== undefined) throw invalidDefinition(`columns of replica() names '${twice}' twice.`)
  if (!strengths.includes(strength)) throw invalidDefinition(`strength of replica() is 'strong', 'batch' or 'eventual', not ${shown(strength)}.`)
  return {
    name: '',
    service: undefined,
    source: typeof source === 'function' ? (source as () => unknown) : () => source,
    columns: Object.freeze([...names]),
    strength: strength as ReplicaStrength,
  }
}

/** Looks at the replicas of a service before anything takes its name, so that a refused service leaves all of them free. */
export function checkReplicas(service: string, handles: ReadonlyMap<string, unknown>): void {
  const seen = new Set<unknown>()
  for (const [name, handle] of handles) {
    checkName(name, `a replica of service '${service}'`)
    const definition = replicaDefinitions.of(handle)
    if (definition === undefined) throw invalidDefinition(`Replica '${service}.${name}' must be made by replica(), not ${shown(handle)}.`)
    if (definition.service !== undefined || seen.has(definition)) {
      const other = definition.service === undefined ? 'listed twice' : `'${definition.name}' already`
      throw invalidDefinition(`Replica '${service}.${name}' is ${other}: call replica() again for a second one.`)
    }
    seen.add(definition)
  }
}

/** Gives the replicas their names. */
export function takeReplicas(service: string, handles: ReadonlyMap<string, unknown>): ReadonlyMap<string, ReplicaDefinition> {
  return new Map(
    [...handles].map(([name, handle]) => {
      const definition = replicaDefinitions.of(handle)!
      definition.name = `${service}.${name}`
      definition.service = service
      return [name, definition] as const
    }),
  )
}
