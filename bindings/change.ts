/** A row that changed, as the log tells it. */

/** `before` and `after` are whole rows; `table` is the full name, `'bank.account'`. */
export type Change<Name, Key, Row> =
  | {
      readonly kind: 'insert'
      readonly table: Name
      readonly key: Key
      readonly before: undefined
      readonly after: Row
    }
  | { readonly kind: 'update'; readonly table: Name; readonly key: Key; readonly before: Row; readonly after: Row }
  | {
      readonly kind: 'delete'
      readonly table: Name
      readonly key: Key
      readonly before: Row
      readonly after: undefined
    }

/** A change of any table: its definition recognises it, `bank.tables.account.is(change)`. */
export type AnyChange = Change<string, unknown, Readonly<Record<string, unknown>>>
