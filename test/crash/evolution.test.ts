/**
 * A database and an application that change together, at random: columns come, lose their bounds and get new ones, change their
 * type by migration; rows are written under all of it, and lives end well or with SIGKILL. After each the rows are those of a model, and the
 * stream from the beginning leads to them. `SEED=7 npx vitest run test/crash/evolution.test.ts` repeats one.
 */
import { expect, test } from 'vitest'
import { open, type Database } from 'sluicedb'
import { sluice } from '../cli/sluice.js'
import { type ColumnPlan, evolved, type Evolved, type Plan } from '../support/apps/evolving-app.js'
import { packageRoot, startCompiled } from '../support/child.js'
import { newFolder, refused } from '../support/fixture.js'
import { randomOf, type Random } from '../support/random.js'
import type { EvolutionLife } from './evolution-child.js'

type Row = Record<string, unknown>
const lives = 14
const words = ['calm', 'glad', 'sad', 'odd', 'shy', 'wry']

/** The application and the rows, as they should be. */
class Model {
  columns: Record<string, ColumnPlan> = { id: { type: 'text' }, n: { type: 'int' }, mood: { type: 'enum', values: words.slice(0, 2) } }
  indexes: Record<string, { on: string[]; range: boolean }> = {}
  version = 1
  migrations: Record<number, string> = {}
  rows = new Map<string, Row>()
  readonly #random: Random
  #names = 0

  constructor(random: Random) {
    this.#random = random
  }

  get plan(): Plan {
    return { version: this.version, migrations: this.migrations, tables: { item: { columns: this.columns, indexes: this.indexes } } }
  }

  /** Another application, and what becomes of the rows by it. Answers what it was. */
  evolve(): string {
    const random = this.#random
    switch (random.below(7)) {
      case 0:
        return this.#add({ type: 'text', nullable: true }, null)
      case 1:
        return this.#add({ type: 'text', default: 'a default that is too long to stand in its row' }, 'a default that is too long to stand in its row')
      case 2: {
        const value = random.below(1_000)
        return this.#add({ type: 'i32', default: value }, value)
      }
      case 3: {
        this.columns = Object.fromEntries(Object.entries(this.columns).sort(() => random.below(3) - 1))
        return 'columns in another order'
      }
      case 4: {
        const mood = this.columns['mood']!
        const values = words.slice(0, Math.min(words.length, mood.values!.length + 1))
        this.columns['mood'] = { ...mood, values: random.chance(0.3) ? [...values].reverse() : [...mood.values!, ...values.filter((word) => !mood.values!.includes(word))] }
        return `mood is one of ${this.columns['mood'].values!.join(', ')}`
      }
      case 5: {
        this.indexes = { ...this.indexes, [`by${Object.keys(this.indexes).length}`]: { on: ['n', 'mood'], range: true } }
        return 'an index'
      }
      default: {
        const isText = this.columns['n']!.type === 'text'
        this.version += 1
        this.migrations = { ...this.migrations, [this.version]: isText ? 'nAsNumber' : 'nAsText' }
        this.columns = { ...this.columns, n: { type: isText ? 'int' : 'text' } }
        for (const row of this.rows.values()) row['n'] = isText ? Number(row['n']) : String(row['n'])
        return `n becomes ${isText ? 'int' : 'text'}`
      }
    }
  }

  #add(column: ColumnPlan, fill: unknown): string {
    const name = `c${this.#names}`
    this.#names += 1
    this.columns = { ...this.columns, [name]: column }
    for (const row of this.rows.values()) row[name] = fill
    return `a new column ${name}`
  }

  /** A nullable column that takes no null any more: undefined when there is none. */
  tightened(): { readonly plan: Plan; readonly isHeld: boolean; readonly take: () => void } | undefined {
    const name = Object.keys(this.columns).find((one) => this.columns[one]!.nullable === true)
    if (name === undefined) return undefined
    const columns = { ...this.columns, [name]: { ...this.columns[name]!, nullable: false } }
    const plan = { ...this.plan, tables: { item: { columns, indexes: this.indexes } } }
    return { plan, isHeld: [...this.rows.values()].every((row) => row[name] !== null), take: () => void (this.columns = columns) }
  }

  change(): EvolutionLife['changes'][number] {
    const id = `row ${this.#random.below(40)}`
    if (this.rows.has(id) && this.#random.chance(0.2)) {
      this.rows.delete(id)
      return { remove: id }
    }
    const row: Row = {}
    for (const [name, { type, nullable, values }] of Object.entries(this.columns)) {
      const number = this.#random.below(100_000)
      if (name === 'id') row[name] = id
      else if (nullable === true && this.#random.chance(0.1)) row[name] = null
      else if (type === 'enum') row[name] = values![number % values!.length]
      // The migration to numbers wants numbers in there.
      else if (type === 'text') row[name] = name === 'n' ? String(number) : 'x'.repeat(number % 60)
      else row[name] = number
    }
    this.rows.set(id, row)
    return { row }
  }
}

const sorted = (rows: Iterable<Row>): readonly Row[] => [...rows].sort((x, y) => (String(x['id']) < String(y['id']) ? -1 : 1))
const rowsOf = (db: Database, app: Evolved): readonly Row[] => sorted(db.table(app.table('item')) as unknown as Iterable<Row>)

async function followed(db: Database, app: Evolved): Promise<readonly Row[]> {
  const state = new Map<string, Row>()
  const end = db.snapshot()
  const { position } = end
  end.close()
  for await (const commit of db.changes({ from: 'beginning', tables: [app.table('item')] } as never) as unknown as AsyncIterable<{ position: string; changes: { kind: string; key: string; after?: Row }[] }>) {
    for (const { kind, key, after } of commit.changes) {
      if (kind === 'delete') state.delete(key)
      else state.set(key, after!)
    }
    if (commit.position >= position) break
  }
  return sorted(state.values())
}

test('a database follows its application through random changes and deaths', { timeout: 400_000 }, async () => {
  const seed = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  const random = randomOf(seed)
  const model = new Model(random)
  const path = await newFolder()
  const said: string[] = []
  try {
    for (let life = 0; life < lives; life += 1) {
      if (life > 0) said.push(model.evolve())
      const changes = Array.from({ length: 1 + random.below(25) }, () => model.change())
      const end = random.chance(0.5) ? 'kill' : 'close'
      const told: EvolutionLife = { path, plan: model.plan, changes, checkpointAfter: random.chance(0.4) ? random.below(changes.length) : -1, end }
      said.push(`${changes.length} changes, then ${end}`)
      const child = startCompiled(`${packageRoot}test/crash/evolution-child.ts`, [JSON.stringify(told)])
      const ended = await child.ended
      expect(end === 'kill' ? ended.signal : ended.code, child.errors.join('\n')).toBe(end === 'kill' ? 'SIGKILL' : 0)

      const tightened = random.chance(0.4) ? model.tightened() : undefined
      if (tightened?.isHeld === true) {
        tightened.take()
        said.push('a column that takes no null any more')
      } else if (tightened !== undefined) await refused(open(evolved(tightened.plan).application, { path }), 'SCHEMA_MISMATCH')
      const app = evolved(model.plan)
      const db = await open(app.application, { path })
      try {
        expect(rowsOf(db, app)).toEqual(sorted(model.rows.values()))
        if (model.rows.size > 0) expect(await followed(db, app)).toEqual(sorted(model.rows.values()))
      } finally {
        await db.close()
      }
    }
    const verified = await sluice('verify', path)
    expect(verified.out).toContain('whole')
  } catch (error) {
    throw new Error(`SLUICE_SEED=${seed}\n${said.join('\n')}`, { cause: error })
  }
})
