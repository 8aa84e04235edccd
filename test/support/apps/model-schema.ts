/**
 * The tables of the model tests, as data that both sides read: `model-app.ts` makes real tables of it,
 * `../model.ts` interprets it on plain maps.
 *
 * Chosen so that every column type appears plain, nullable and with a default; keys of one and of many
 * columns; hash and ordered tables; equality and range indexes with and without the partition column; one
 * global table; one table whose partition is not the first key column; long values. Enum values are in
 * alphabetical order, so that "order of declaration" and "order of text" cannot differ.
 */
export type ColumnType =
  | 'bool'
  | 'i32'
  | 'u32'
  | 'int'
  | 'f64'
  | 'bigint'
  | 'text'
  | 'bytes'
  | 'json'
  | 'timestamp'
  | 'uuid'
  | 'enum'

export interface ColumnSpec {
  readonly type: ColumnType
  readonly nullable?: true
  readonly default?: unknown
  readonly min?: number
  readonly max?: number
  readonly notBlank?: true
  readonly maxLength?: number
}

export interface IndexSpec {
  readonly on: readonly string[]
  readonly range?: true
}

export interface TableSpec {
  readonly columns: Readonly<Record<string, ColumnSpec>>
  readonly key: readonly string[]
  readonly partition?: 'global' | readonly string[]
  readonly ordered?: true
  readonly indexes?: Readonly<Record<string, IndexSpec>>
}

export const moods = ['calm', 'glad', 'sad'] as const
export const scoreMax = 1_000_000

const thing: TableSpec = {
  columns: {
    id: { type: 'int' },
    flag: { type: 'bool' },
    small: { type: 'i32' },
    wide: { type: 'u32' },
    whole: { type: 'int' },
    real: { type: 'f64' },
    big: { type: 'bigint' },
    name: { type: 'text', notBlank: true, maxLength: 200 },
    blob: { type: 'bytes' },
    data: { type: 'json' },
    at: { type: 'timestamp' },
    ref: { type: 'uuid' },
    mood: { type: 'enum' },
    flagN: { type: 'bool', nullable: true },
    smallN: { type: 'i32', nullable: true },
    wideN: { type: 'u32', nullable: true },
    wholeN: { type: 'int', nullable: true },
    realN: { type: 'f64', nullable: true },
    bigN: { type: 'bigint', nullable: true },
    nameN: { type: 'text', nullable: true },
    blobN: { type: 'bytes', nullable: true },
    dataN: { type: 'json', nullable: true },
    atN: { type: 'timestamp', nullable: true },
    refN: { type: 'uuid', nullable: true },
    moodN: { type: 'enum', nullable: true },
    flagD: { type: 'bool', default: true },
    smallD: { type: 'i32', default: -7 },
    realD: { type: 'f64', default: 0.5 },
    bigD: { type: 'bigint', default: -5n },
    nameD: { type: 'text', default: 'none ☂' },
    moodD: { type: 'enum', default: 'glad' },
  },
  key: ['id'],
  indexes: {
    byMood: { on: ['mood'] },
    byName: { on: ['nameN'] },
    bySmall: { on: ['small'], range: true },
    byRealName: { on: ['realN', 'name'], range: true },
    byBig: { on: ['bigN', 'flag'], range: true },
  },
}

const pair: TableSpec = {
  columns: {
    place: { type: 'text' },
    day: { type: 'i32' },
    rank: { type: 'int', nullable: true },
    title: { type: 'text' },
    score: { type: 'int', default: 0, min: 0, max: scoreMax },
  },
  key: ['place', 'day'],
  ordered: true,
  indexes: {
    byRank: { on: ['rank'], range: true },
    byPlaceRank: { on: ['place', 'rank'], range: true },
    byTitle: { on: ['title'] },
    byPlaceTitle: { on: ['place', 'title'] },
  },
}

const every: TableSpec = {
  columns: {
    flag: { type: 'bool' },
    small: { type: 'i32' },
    wide: { type: 'u32' },
    mood: { type: 'enum' },
    whole: { type: 'int' },
    real: { type: 'f64' },
    big: { type: 'bigint' },
    at: { type: 'timestamp' },
    ref: { type: 'uuid' },
    name: { type: 'text' },
    blob: { type: 'bytes' },
    count: { type: 'int' },
  },
  key: ['flag', 'small', 'wide', 'mood', 'whole', 'real', 'big', 'at', 'ref', 'name', 'blob'],
  partition: ['small'],
  ordered: true,
  indexes: { byName: { on: ['name', 'blob'], range: true }, byReal: { on: ['real', 'big'], range: true } },
}

const world: TableSpec = {
  columns: { name: { type: 'text' }, n: { type: 'int' }, note: { type: 'text', nullable: true } },
  key: ['name'],
  partition: 'global',
  ordered: true,
  indexes: { byN: { on: ['n'], range: true } },
}

const long: TableSpec = {
  columns: {
    id: { type: 'text' },
    body: { type: 'text' },
    blob: { type: 'bytes', nullable: true },
    data: { type: 'json', nullable: true },
  },
  key: ['id'],
}

const tally: TableSpec = { columns: { place: { type: 'text' }, count: { type: 'int' } }, key: ['place'] }

/**
 * One row for every script that may write: what ties an answer, a commit of the stream and a plan together.
 */
const journal: TableSpec = {
  columns: { place: { type: 'text' }, n: { type: 'int' } },
  key: ['place', 'n'],
  ordered: true,
}

const note: TableSpec = {
  columns: { place: { type: 'text' }, n: { type: 'int' }, text: { type: 'text', nullable: true } },
  key: ['place', 'n'],
  ordered: true,
}

const audit: TableSpec = {
  columns: { place: { type: 'text' }, n: { type: 'int' }, extra: { type: 'json', nullable: true } },
  key: ['place', 'n'],
}

/** By service. */
export const schema = {
  main: { thing, pair, every, world, long, tally, journal },
  side: { note, audit },
} as const

/** By full name. */
export const tableSpecs: Readonly<Record<string, TableSpec>> = Object.fromEntries(
  Object.entries(schema).flatMap(([service, tables]) =>
    Object.entries(tables).map(([name, spec]) => [`${service}.${name}`, spec as TableSpec]),
  ),
)
