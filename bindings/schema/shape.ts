/**
 * The one phantom of the type level.
 *
 * Every definition (column, table, event, service, procedure, workflow) carries `[shape]`, a property that
 * exists for the compiler only, and every other public type reads from it. So each definition has one type
 * parameter that matters, and editors print rows instead of chains of conditional types.
 *
 * Rules that keep it usable, each noticed by a test in test/types when it is broken:
 *   - An interface that can appear in an inferred type is exported by the package, or users who emit
 *     declarations get TS4023.
 *   - A mapped type that people look at ends in `& {}` (`Flat`), which drops its alias: editors then print the row.
 *   - `Pick` and friends keep "go to definition" from a row back to its column; a remapping `as` clause would
 *     lose it.
 */
export declare const shape: unique symbol

/** The same properties, printed flat. */
export type Flat<T> = { [P in keyof T]: T[P] } & {}
/** These properties may be left out, and `undefined` is leaving out. */
export type Loose<T, K extends keyof T> = { [P in K]?: T[P] | undefined }
export type Without<T, K extends PropertyKey> = Pick<T, Exclude<keyof T, K>>
export type DeepReadonly<T> = T extends string | number | boolean | bigint | null | undefined
  ? T
  : T extends object
    ? { readonly [P in keyof T]: DeepReadonly<T[P]> }
    : T

/** A global class by name where the user's `lib` or types have it, else what we ask of it. */
export type GlobalClass<Name extends string, Otherwise> = typeof globalThis extends {
  [P in Name]: { prototype: infer T }
}
  ? T
  : Otherwise
