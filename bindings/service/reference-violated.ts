/** The event that tells of references of strength `eventual` that do not hold. */
import { violatedEvent, violatedName } from '../../engine/index.js'
import type { Column } from '../schema/column.js'
import { eventHandle, type EventType } from './event.js'

/**
 * A row refers to nothing: announced behind the commit of whatever left it so, once for each such change, by references of strength
 * `'eventual'`. Services hear of it (`shop.on(() => referenceViolated, …)`), and streams (`db.events(referenceViolated)`).
 */
export const referenceViolated: EventType<
  '$sluice.referenceViolated',
  {
    /** The full name of the table that refers, and the key of the row. */
    table: Column<string, 'text', never>
    key: Column<unknown, 'json', never>
    /** The name of the reference, the key that it gives, and the table that it leads to. */
    reference: Column<string, 'text', never>
    value: Column<unknown, 'json', never>
    other: Column<string, 'text', never>
  }
> = eventHandle({
  name: violatedName,
  service: '$sluice',
  shape: 1,
  upcast: undefined,
  columns: { columns: violatedEvent.descriptor.columns, definitions: [], checks: [], json: [] },
}) as never
