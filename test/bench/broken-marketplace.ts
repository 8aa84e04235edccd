/**
 * The services of the marketplace with one more procedure each, which writes whatever it is told: the only
 * way to make states that the real procedures never make. The real application is not loaded beside it, for
 * it would seal the services.
 */
import { app, column as c, type Database, type Service } from 'sluicedb'
import { services } from '../../bench/workloads/marketplace/services.js'

export interface Tampering {
  /** `'order.item'` */
  readonly table: string
  readonly kind: 'update' | 'insert' | 'delete'
  readonly key?: unknown
  readonly row?: Readonly<Record<string, unknown>>
}

interface LooseTable {
  insert(row: unknown): unknown
  update(key: unknown, row: unknown): void
  delete(key: unknown): boolean
}

const tamperers = new Map(
  services.map((service: Service<any>) => {
    const input = { tampering: c.json<Tampering>() }
    const procedure = service.procedure('tamper', { input }, (tx, { tampering }) => {
      const { table, kind, key, row } = tampering
      const local = table.slice(table.indexOf('.') + 1)
      const handle = (tx.db as unknown as Readonly<Record<string, LooseTable>>)[local]!
      if (kind === 'insert') handle.insert(row)
      else if (kind === 'update') handle.update(key, row)
      else if (!handle.delete(key)) throw new Error(`nothing to delete in ${table}`)
    })
    return [service.name as string, procedure] as const
  }),
)

export async function tamper(db: Database, tampering: Tampering): Promise<void> {
  const service = tampering.table.slice(0, tampering.table.indexOf('.'))
  await db.submit(tamperers.get(service)!, { tampering })
}

export default app(import.meta.url, services)
