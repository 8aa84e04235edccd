/**
 * What callers of the fragile application were told, and whether the rows agree with it: every call that was answered is
 * there whole, every one that was refused is not there at all, and of the unknown ones each is whole or absent.
 */
import { SluiceError, type Database } from 'sluicedb'
import { fragile, heard, remove, stray, write, writeBoth } from './fragile-app.js'

export interface Order {
  readonly n: number
  readonly kind: 'write' | 'writeBoth' | 'stray'
  readonly at: number
  readonly other: number
  readonly fate?: string
  readonly filler?: string
  /** Makes it exactly-once. */
  readonly id?: string
}

export class Told {
  readonly #orders = new Map<number, Order>()
  readonly #codes = new Map<number, string>()
  #next = 0
  /** The longest that a call has waited for its answer since this was set to 0. */
  slowestMs = 0

  nextNumber(): number {
    this.#next += 1
    return this.#next
  }
  codeOf(n: number): string | undefined {
    return this.#codes.get(n)
  }
  /** How often each answer was given. */
  get counts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const code of this.#codes.values()) counts[code] = (counts[code] ?? 0) + 1
    return counts
  }

  /** Calls, and remembers the answer: 'ok' or the code of the error. */
  async call(db: Database, order: Order): Promise<string> {
    this.#orders.set(order.n, order)
    const startedMs = performance.now()
    const options = order.id === undefined ? {} : { id: order.id }
    const { at, other, n, fate = '', filler = '' } = order
    let code = 'ok'
    try {
      const answer =
        order.kind === 'write'
          ? await db.call(write, { at, n, fate, filler }, options)
          : await db.call(order.kind === 'stray' ? stray : writeBoth, { at, other, n, fate, filler }, options)
      if (answer.n !== n) throw new Error(`call ${n} was answered with ${JSON.stringify(answer)}`)
    } catch (error) {
      if (!SluiceError.is(error)) throw error
      code = error.code
    }
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs)
    this.#codes.set(n, code)
    return code
  }

  /** The calls whose effect is there, each whole. */
  get standing(): Order[] {
    return [...this.#orders.values()].filter(({ n }) => this.#codes.get(n) === 'ok')
  }

  /** Takes back what a call that was acknowledged left in one place; 'ok' or the code of the error. */
  async remove(db: Database, order: Order, at: number): Promise<string> {
    try {
      if (!(await db.call(remove, { at, n: order.n }))) throw new Error(`call ${order.n} has left nothing at ${at}`)
    } catch (error) {
      if (!SluiceError.is(error)) throw error
      return error.code
    }
    if (order.kind === 'write') this.#codes.set(order.n, 'removed')
    else this.#orders.set(order.n, { ...order, kind: 'write', at: at === order.at ? order.other : order.at })
    return 'ok'
  }

  /** Compares the rows with all answers. */
  mustHold(db: Database): void {
    const found = new Map<number, number[]>()
    const sums = new Map<number, number>()
    for (const { at, n } of db.table(fragile.tables.entry)) {
      found.set(n, [...(found.get(n) ?? []), at])
      sums.set(at, (sums.get(at) ?? 0) + 1)
    }
    for (const [n, order] of this.#orders) {
      const code = this.#codes.get(n)
      const places = (found.get(n) ?? []).sort((a, b) => a - b).join()
      const whole = (order.kind === 'write' ? [order.at] : [order.at, order.other]).sort((a, b) => a - b).join()
      const why = `${JSON.stringify(order)} was told ${code ?? 'nothing'} and stands at [${places}]`
      if (code === 'ok' && places !== whole) throw new Error(`acknowledged and not there: ${why}`)
      if (code === undefined || code === 'COMMIT_UNKNOWN') {
        if (places !== '' && places !== whole) throw new Error(`half there: ${why}`)
      } else if (code !== 'ok' && places !== '') throw new Error(`refused and there: ${why}`)
      found.delete(n)
    }
    if (found.size > 0) throw new Error(`rows that nobody asked for: ${[...found.keys()].slice(0, 5).join()}`)
    mustAgree('cells', sums, new Map([...db.table(fragile.tables.cell)].filter((row) => row.at >= 0).map((row) => [row.at, row.n])))
    mustAgree('what the handler counted', sums, new Map([...db.table(heard.tables.count)].map((row) => [row.at, row.n])))
    for (const [at, sum] of sums) {
      const listed = db.table(fragile.tables.entry).scan({ prefix: [at] })
      if ([...listed].length !== sum) throw new Error(`the order of ${at} holds other rows than the table`)
    }
  }
}

function mustAgree(what: string, wanted: ReadonlyMap<number, number>, found: ReadonlyMap<number, number>): void {
  for (const at of new Set([...wanted.keys(), ...found.keys()])) {
    if ((wanted.get(at) ?? 0) !== (found.get(at) ?? 0)) throw new Error(`${what}: ${found.get(at) ?? 0} at ${at}, and there are ${wanted.get(at) ?? 0} entries`)
  }
}
