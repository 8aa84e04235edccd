import type { Columns } from '../schema/infer.js'
import type { Replica } from '../schema/replica.js'
import type { EventSource } from '../sourcing/event-history.js'
import type { Aggregate } from '../sourcing/aggregate.js'
import type { Projection } from '../sourcing/projection.js'
import type { Table } from '../schema/table.js'

/** What a service is made of, at the level of types. */
export interface ServiceShape {
  name: string
  tables: Readonly<Record<string, Table>>
  events: Readonly<Record<string, EventSource>>
  aborts: Readonly<Record<string, Columns>>
  /** Tables of other services that it may read. */
  reads?: Readonly<Record<string, Table>>
  replicas?: Readonly<Record<string, Replica>>
  aggregates?: Readonly<Record<string, Aggregate>>
  projections?: Readonly<Record<string, Projection>>
}
