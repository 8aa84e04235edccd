/** A change of the application as streams tell of it: what was, what is, and what is between the two. */
import type { ColumnType } from '../engine/schema/descriptor.js'
import type { Position } from './position.js'

/** The shape of rows and events changes here: an application was changed, and has committed for the first time. */
export interface SchemaChange {
  /** Commits up to here were made by the application of before, those behind it by the one of after. */
  readonly position: Position
  readonly before: SchemaOutline
  readonly after: SchemaOutline
  /** One for each thing that is another one. */
  readonly differences: readonly SchemaDifference[]
}
export interface SchemaDifference {
  /** `'shop.item.price'`, `'shop.item index byPrice'`, `'version'` */
  readonly what: string
  /** `'int → bigint'`, `'new'`, `'gone'` */
  readonly change: string
  /** Full name of the table or event that it is about; undefined: the application as a whole. */
  readonly of: string | undefined
}
/** Tables and events as they were. */
export interface SchemaOutline {
  /** Of the application: `app(…, { version })`. */
  readonly version: number
  readonly tables: readonly TableOutline[]
  readonly events: readonly EventOutline[]
}
export interface TableOutline {
  readonly name: string
  readonly key: readonly string[]
  readonly columns: readonly ColumnOutline[]
}
export interface EventOutline {
  readonly name: string
  readonly columns: readonly ColumnOutline[]
}
export interface ColumnOutline {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  /** The words of an enum. */
  readonly values?: readonly string[]
}
