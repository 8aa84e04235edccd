/** The steps of a program (stir-app.ts), and how often each is drawn. */
import { Dice, places } from './stir-dice.js'
import { inner, type Tx } from './stir-tables.js'

const seqs = 5
const texts = ['', 'a', 'bc', 'ß☂', 'long '.repeat(9), 'longer '.repeat(40)]
const kinds = ['calm', 'glad', 'sad', null] as const
const words = ['x', 'y', 'a word of more than the bytes that fit into a row', null] as const

class Program extends Dice {
  run(script: readonly number[]): void {
    for (const number of script) {
      const die = this.throwWith(number)
      const actions = this.home === undefined ? everywhere : atHome
      const action = actions[die % actions.length]!
      this.see(action, this[action]())
    }
  }

  // ── cells ─────────────────────────────────────────────────────────────────────────────────────────────

  get(): unknown {
    return this.tx.db.cell.get(this.at()) ?? 'none'
  }
  has(): unknown {
    return this.below(3) === 0 ? this.tx.db.line.has([this.at(), this.below(seqs)]) : this.tx.db.cell.has(this.at())
  }
  /** Some columns only. */
  glance(): unknown {
    const row = this.tx.db.cell.row(this.at())
    if (row === undefined) return 'none'
    const which = this.below(5)
    return which === 0 ? row.n : which === 1 ? [row.twin, row.small] : which === 2 ? [row.word, row.flag] : which === 3 ? row.kind : [row.doc, row.big]
  }
  /** Reads a row to choose the next key. */
  chase(): unknown {
    let at = this.at()
    let hops = 0
    for (; hops < 4; hops += 1) {
      const row = this.tx.db.cell.row(at)
      if (row === undefined) break
      if (this.home !== undefined) return row.n
      at = Math.abs(row.n + hops) % places
    }
    return [at, hops]
  }
  put(): void {
    this.tx.db.cell.put(this.#cell(this.at()))
  }
  insert(): unknown {
    const at = this.at()
    if (this.below(4) > 0 && this.tx.db.cell.has(at)) return 'there'
    return this.tx.db.cell.insert(this.#cell(at))
  }
  #cell(at: number) {
    return {
      at,
      n: this.below(40) - 10,
      twin: this.below(3),
      real: this.below(100) / 8,
      big: BigInt(this.below(9)),
      small: this.below(4),
      word: this.pick(words),
      blob: this.below(3) === 0 ? null : Buffer.alloc(this.below(60), 7),
      doc: this.below(3) === 0 ? null : { a: this.below(4), b: this.pick(texts) },
      flag: this.below(2) === 0,
      kind: this.pick(kinds),
    }
  }
  update(): unknown {
    const at = this.at()
    if (this.below(6) > 0 && !this.tx.db.cell.has(at)) return 'none'
    this.tx.db.cell.update(at, this.#patch())
    return undefined
  }
  #patch() {
    switch (this.below(7)) {
      case 0:
        return { n: this.below(30) }
      case 1:
        return { word: this.pick(words), twin: this.below(3) }
      case 2:
        return { doc: [this.below(9)], kind: this.pick(kinds) }
      case 3:
        return { blob: Buffer.alloc(this.below(90), this.below(3)) }
      case 4:
        return { flag: this.below(2) === 0, real: this.below(9) / 4 }
      case 5:
        return { n: -100 } // breaks the rule, always
      default:
        return {}
    }
  }
  updateBy(): unknown {
    const at = this.at()
    let seen: unknown
    if (this.tx.db.cell.has(at)) {
      this.tx.db.cell.update(at, (row) => {
        seen = [row.n, row.twin]
        if (this.below(20) === 0) this.tx.db.cell.delete(at)
        return { twin: row.n % 7, small: (row.small + 1) % 50 }
      })
    }
    return seen
  }
  drop(): unknown {
    return this.tx.db.cell.delete(this.at())
  }
  /** Deleted and put again in one transaction. */
  revive(): unknown {
    const at = this.at()
    const was = this.tx.db.cell.delete(at)
    this.tx.db.cell.insert(this.#cell(at))
    return was
  }
  set(): unknown {
    const row = this.tx.db.cell.row(this.at())
    if (row === undefined) return 'none'
    switch (this.below(7)) {
      case 0:
        row.n = this.below(30)
        return undefined
      case 1:
        row.twin += 1
        return undefined
      case 2:
        row.word = this.pick(words)
        row.doc = { d: this.below(3) }
        return undefined
      case 3:
        row.small = this.below(9)
        row.small -= 1
        return row.small
      case 4:
        row.kind = this.pick(kinds)
        row.real = row.twin / 2
        return row.kind
      case 5:
        row.blob = this.below(2) === 0 ? null : Buffer.alloc(30 + this.below(9), 1)
        return undefined
      default:
        row.twin = this.below(3) // perhaps what it is
        return undefined
    }
  }
  /** Two live rows of one key see each other's writes. */
  twins(): unknown {
    const at = this.at()
    const [one, other] = [this.tx.db.cell.row(at), this.tx.db.cell.row(at)]
    if (one === undefined || other === undefined) return 'none'
    if (this.below(2) === 0) one.twin = this.below(5)
    else this.tx.db.cell.add(at, { twin: 1 })
    other.small = (other.twin + 1) % 90
    return [one.small, other.twin]
  }
  /** A live row is kept while its row is deleted, and perhaps put again. */
  kept(): unknown {
    const at = this.at()
    const row = this.tx.db.cell.row(at)
    if (row === undefined) return 'none'
    const before = row.twin
    this.tx.db.cell.delete(at)
    const again = this.below(3)
    if (again > 0) this.tx.db.cell.put(this.#cell(at))
    if (again === 1) row.twin = 77
    if (again === 0 && this.below(3) === 0) row.twin = 1 // refused
    return [before, row.twin, row.n]
  }
  add(): unknown {
    const at = this.at()
    if (this.below(8) > 0 && !this.tx.db.cell.has(at)) return 'none'
    this.tx.db.cell.add(at, { n: this.below(12) - 6, real: 0.1, big: 3n })
    return this.below(4) === 0 ? this.tx.db.cell.get(at)!.n : undefined
  }

  // ── counters ──────────────────────────────────────────────────────────────────────────────────────────

  count(): unknown {
    const at = this.below(2)
    const { counter } = this.tx.db
    if (this.home !== undefined) return counter.has(this.at())
    if (!counter.has(at)) return void counter.insert({ at, n: 0 })
    counter.add(at, this.below(2) === 0 ? { n: this.below(24) - 12, up: 1 } : { real: 0.3, n: 2, big: -1n })
    if (this.below(5) === 0) counter.add(at, { n: -5 })
    if (this.below(7) === 0) counter.update(at, { up: this.below(3) })
    if (this.below(7) === 0) counter.add(at, { n: this.below(3) })
    return this.below(6) === 0 ? counter.row(at)!.n : undefined
  }
  /** Adds as its only step: never stale, unless the rule breaks. */
  addOnly(): void {
    const { counter } = this.tx.db
    if (this.home !== undefined || !counter.has(this.below(2))) return
    counter.add(this.below(2) && counter.has(1) ? 1 : counter.has(0) ? 0 : 1, { n: this.below(16) - 9 })
  }

  // ── ranges ────────────────────────────────────────────────────────────────────────────────────────────

  #range(): Record<string, unknown> {
    const prefix = this.home === undefined && this.below(4) === 0 ? {} : { prefix: [this.at()] }
    const at = (prefix.prefix ?? [this.below(places)])[0]!
    const range: Record<string, unknown> = { ...prefix }
    if (this.below(3) === 0) range['from'] = [at, this.below(seqs)]
    else if (this.below(5) === 0) range['after'] = [at, this.below(seqs)]
    if (this.below(3) === 0) range['to'] = this.below(4) === 0 ? [at + 1] : [at, this.below(seqs)]
    if (this.below(3) === 0) range['reverse'] = true
    if (this.below(2) === 0) range['limit'] = this.below(4)
    return range
  }
  scan(): unknown {
    return Array.from(this.tx.db.line.scan(this.#range()), (row) => [row.at, row.seq, row.n, row.rank])
  }
  /** Keys only: what stands in the rows is not read. */
  keys(): unknown {
    let keys = 0
    for (const row of this.tx.db.line.rows(this.#range())) keys = keys * 31 + row.at * 8 + row.seq
    return keys | 0
  }
  /** Looks at no row at all. */
  number(): unknown {
    let rows = 0
    for (const _ of this.tx.db.line.rows(this.#range())) rows += 1
    return rows
  }
  any(): unknown {
    for (const _ of this.tx.db.line.rows({ prefix: [this.at()], limit: 1, reverse: this.below(3) === 0 })) return true
    return false
  }
  /** The first rows of a range, and no more. */
  peek(): unknown {
    for (const row of this.tx.db.line.scan(this.#range())) return [row.at, row.seq, row.n]
    return 'none'
  }
  sweep(): unknown {
    let n = 0
    for (const row of this.tx.db.line.rows(this.#range())) {
      if (this.below(6) === 0) this.tx.db.line.delete([row.at, this.below(seqs)])
      row.n = (row.n + 1) % 50
      n += row.n
    }
    return n
  }
  /** Deletes, and perhaps lays again, what it is about to meet. */
  relay(): unknown {
    let n = 0
    for (const row of this.tx.db.line.rows(this.#range())) {
      n = n * 7 + row.seq
      if (n > 1e9) break
      const seq = this.below(seqs)
      if (this.tx.db.line.delete([row.at, seq]) && this.below(2) === 0) this.tx.db.line.put({ at: row.at, seq, rank: this.below(3), text: this.pick(texts) })
    }
    return n
  }
  /** Lays some and goes along them with the others: what it has done itself, it sees. */
  layAndScan(): unknown {
    this.lay()
    if (this.below(2) === 0) this.rank()
    return this.below(2) === 0 ? this.scan() : this.below(2) === 0 ? this.relay() : this.ranked()
  }
  clear(): unknown {
    let cleared = 0
    for (const row of this.tx.db.line.scan(this.#range())) if (this.tx.db.line.delete([row.at, row.seq])) cleared += 1
    return cleared
  }
  lay(): void {
    const rank = this.pick([null, 0, 1, 2, 3])
    this.tx.db.line.put({ at: this.at(), seq: this.below(seqs), rank, n: this.below(9), text: this.pick(texts) })
  }
  /** A row behind the last one: what queues do. */
  append(): unknown {
    const at = this.at()
    let next = 0
    for (const row of this.tx.db.line.scan({ prefix: [at], reverse: true, limit: 1 })) next = (row.seq + 1) % 9
    if (this.tx.db.line.has([at, next])) return 'full'
    this.tx.db.line.insert({ at, seq: next, rank: next % 3 })
    return next
  }
  pop(): unknown {
    for (const row of this.tx.db.line.scan({ prefix: [this.at()], limit: 1 })) {
      this.tx.db.line.delete([row.at, row.seq])
      return row.text.length
    }
    return 'empty'
  }
  rank(): unknown {
    const key: [number, number] = [this.at(), this.below(seqs)]
    if (!this.tx.db.line.has(key)) return 'none'
    this.tx.db.line.update(key, { rank: this.pick([null, 0, 0, 1, 2, 3]) })
    return undefined
  }
  addLine(): unknown {
    const key: [number, number] = [this.at(), this.below(seqs)]
    if (!this.tx.db.line.has(key)) return 'none'
    this.tx.db.line.add(key, { n: this.below(4) - 2 })
    return undefined
  }
  ranked(): unknown {
    const at = this.at()
    if (this.home !== undefined || this.below(2) === 0) {
      return Array.from(this.tx.db.line.index.byPlaceRank.scan({ prefix: [at], limit: 1 + this.below(3), reverse: this.below(2) === 0 }), (row) => [row.seq, row.rank])
    }
    return Array.from(this.tx.db.line.index.byRank.scan({ from: this.below(4), limit: this.below(4), reverse: this.below(3) === 0 }), (row) => [row.at, row.seq])
  }
  /** Moves rows within the index that it goes along. */
  promote(): unknown {
    let n = 0
    for (const row of this.tx.db.line.index.byPlaceRank.rows([this.at(), this.below(4)])) {
      row.rank = this.below(4)
      n += row.seq
    }
    return n
  }
  found(): unknown {
    if (this.home !== undefined) return this.tx.db.line.index.byPlaceRank.get([this.home, this.below(4)]).length
    const { index } = this.tx.db.cell
    switch (this.below(4)) {
      case 0:
        return Array.from(index.byKind.get(this.pick(kinds)), (row) => row.at)
      case 1:
        return Array.from(index.byWord.rows(this.pick(words)), (row) => row.at)
      case 2:
        return index.byN.get(this.below(20)).length
      default:
        return Array.from(index.byN.scan({ from: this.below(20), to: this.below(30), limit: 1 + this.below(3), reverse: this.below(2) === 0 }), (row) => [row.at, row.twin])
    }
  }
  pairs(): unknown {
    const [at, with_] = [this.at(), this.below(4)]
    switch (this.below(4)) {
      case 0:
        return this.tx.db.pair.put({ at, other: with_ })
      case 1:
        return this.tx.db.pair.delete([at, with_])
      case 2:
        return this.tx.db.pair.has([at, with_])
      default:
        return [...this.tx.db.pair.scan({ prefix: [at], limit: 1 + this.below(3) })]
    }
  }

  // ── the rest ──────────────────────────────────────────────────────────────────────────────────────────

  widen(): unknown {
    const at = this.home ?? this.below(3)
    const { wide } = this.tx.db
    if (this.below(12) === 0) return wide.delete(at)
    const row = wide.row(at) as Record<string, unknown> | undefined
    if (row === undefined) return void wide.put({ at, last: this.below(6), label: this.pick(words) })
    const name = this.pick(['c0', 'c31', 'c31', 'c37'])
    switch (this.below(6)) {
      case 0:
        row[name] = this.below(100)
        return undefined
      case 1:
        return row[name]
      case 2:
        row['label'] = this.pick(texts)
        return row['last']
      case 3:
        row['last'] = this.below(2) === 0 ? null : this.below(2) * this.below(6)
        return undefined
      case 4:
        return void wide.add(at, { total: 2, [name]: 1 })
      default:
        return this.home === undefined ? Array.from(wide.index.byLast.scan({ from: 2, limit: 2 }), (it) => it.at) : row['total']
    }
  }
  large(): unknown {
    const { huge } = this.tx.db
    const at = this.at()
    if (this.below(3) === 0) return void huge.put({ at, c3: this.below(5) } as never)
    const row = huge.row(at) as Record<string, unknown> | undefined
    if (row === undefined) return 'none'
    if (this.below(4) === 0) row['c65'] = this.below(9)
    return [row['c3'], row[`c${this.below(66)}`]]
  }
  globe(): unknown {
    const { world } = this.tx.db
    const name = `w${this.below(5)}`
    switch (this.below(5)) {
      case 0:
        return void world.put({ name, n: this.below(9) })
      case 1:
        return world.delete(name)
      case 2:
        return Array.from(world.scan({ from: name, limit: 2 }), (row) => row.n)
      case 3:
        return Array.from(world.index.byN.scan({ reverse: true, limit: 2 }), (row) => row.name)
      default:
        return world.get(name)?.n ?? 'none'
    }
  }
  draw(): unknown {
    const row = { id: this.tx.uuid(), at: this.at(), chance: this.tx.random(), time: this.below(2) === 0 ? this.tx.now : Date.now() }
    if (this.home === undefined) this.tx.db.drawn.insert(row)
    return [row.id, row.chance, Math.random()]
  }
  forget(): unknown {
    if (this.home !== undefined) return undefined
    let n = 0
    for (const row of this.tx.db.drawn.index.byTime.scan({ limit: 3 })) if (this.tx.db.drawn.delete(row.id)) n += row.at
    return n
  }
  issue(): unknown {
    const tag = this.below(3) === 0 ? this.below(30) : null
    const state = this.pick(['open', 'open', 'shut'] as const)
    const [, id] = this.tx.db.card.insert({ at: this.at(), tag, spot: this.below(2) === 0 ? this.below(40) : null, n: this.below(9), state })
    return id
  }
  /** The first or the last card of a place. */
  #someCard(): [number, number] | undefined {
    const at = this.at()
    for (const row of this.tx.db.card.scan({ prefix: [at], reverse: this.below(2) === 0, limit: 1 })) return [row.at, row.id]
    return undefined
  }
  punch(): unknown {
    const key = this.#someCard()
    if (key === undefined) return 'none'
    const { card } = this.tx.db
    switch (this.below(9)) {
      case 0:
        return void card.update(key, { tag: this.below(30) })
      case 1: {
        const row = card.row(key)!
        row.state = this.pick(['open', 'shut'] as const)
        return row.n
      }
      case 2:
        return void card.add(key, { n: this.below(4) })
      case 3: {
        const row = card.row(key)!
        row.n = 9
        row.cap = 8 + this.below(3)
        return row.spot
      }
      case 4:
        return void card.put({ at: key[0], id: key[1], spot: this.below(40), n: this.below(3) })
      case 5:
        return card.delete(key)
      case 6:
        return void card.update(key, { spot: null, n: this.below(10), tag: null })
      case 7:
        return void card.put({ at: key[0], id: key[1] + this.below(60) })
      default:
        return card.get(key)
    }
  }
  /** Cards by what is theirs alone, and some of them. */
  trace(): unknown {
    const { index } = this.tx.db.card
    switch (this.below(6)) {
      case 0: {
        const row = this.home === undefined ? index.tag.row(this.below(30)) : undefined
        if (row === undefined) return 'none'
        row.tag = this.below(2) === 0 ? null : this.below(30)
        return row.id
      }
      case 1:
        return index.bySpot.get([this.at(), this.below(40)])?.id ?? 'none'
      case 2:
        return this.home === undefined ? Array.from(index.open.scan({ reverse: true, limit: 3 }), (row) => row.id) : 'none'
      case 3:
        return index.full.get(this.home ?? this.at()).length
      case 4:
        return this.home === undefined ? (index.tag.get(this.below(30))?.n ?? 'none') : 'none'
      default: {
        let n = 0
        for (const row of index.full.rows(this.home ?? this.at())) {
          row.spot = 100 + row.id
          n += 1
        }
        return n
      }
    }
  }
  ticket(): unknown {
    return this.below(4) === 0 ? Array.from(this.tx.db.ticket.scan({ reverse: true, limit: 2 }), (row) => row.id) : this.tx.db.ticket.insert({ at: this.at() })
  }
  spend(): void {
    const at = this.at()
    switch (this.below(5)) {
      case 0:
        this.tx.db.purse.put({ at, n: this.below(12) })
        break
      case 1:
        this.tx.db.purse.add(at, { n: this.below(4) })
        break
      default:
        this.tx.db.purse.add(at, { spent: this.below(3) })
    }
  }
  emit(): void {
    this.tx.emit('wrote', { at: this.at(), n: this.below(8), text: this.pick(words) })
  }
  call(): unknown {
    return this.tx.call(inner, { at: this.at(), n: this.below(9) })
  }
  /** Whether it goes on depends on a row. */
  quit(): unknown {
    const row = this.tx.db.cell.row(this.at())
    if (row !== undefined && row.n % 5 === 0) this.tx.abort('UNWANTED', { n: row.n })
    if (row !== undefined && row.n % 7 === 0) throw odd(`seven times ${row.n / 7}`)
    return row === undefined ? 'none' : row.flag
  }
  /** What it leaves behind is a deleted row where perhaps none was. */
  regret(): unknown {
    const at = this.at()
    const was = this.tx.db.cell.has(at)
    this.tx.db.cell.put(this.#cell(at))
    if (this.below(3) > 0) this.tx.abort('UNWANTED', { at })
    return was
  }
  /** An error of tx, or of the procedure, that nobody hears of: the former dooms it all the same. */
  swallow(): unknown {
    try {
      switch (this.below(4)) {
        case 0:
          this.tx.db.cell.update(this.at(), { twin: 5 })
          break
        case 1:
          if (this.tx.db.cell.has(this.at())) throw odd('caught')
          break
        case 2:
          this.tx.db.line.add([this.at(), this.below(seqs)], { n: -2 })
          break
        default:
          this.tx.db.counter.has(this.at())
      }
    } catch {
      return 'caught'
    }
    return 'not thrown'
  }
}

type Action = Exclude<keyof Program, 'run' | 'stirred' | 'answers'>
const repeated = (times: number, ...actions: Action[]): Action[] => actions.flatMap((action) => Array.from({ length: times }, () => action))
const atHome: readonly Action[] = [
  ...repeated(3, 'get', 'glance', 'put', 'set', 'scan', 'lay', 'issue', 'punch'),
  ...repeated(2, 'has', 'add', 'update', 'updateBy', 'drop', 'widen', 'chase', 'append', 'keys', 'number', 'any', 'pop'),
  ...repeated(1, 'insert', 'relay', 'layAndScan', 'revive', 'twins', 'kept', 'peek', 'sweep', 'clear', 'rank', 'addLine', 'ranked', 'promote', 'found', 'pairs', 'large', 'draw', 'emit', 'call', 'quit', 'swallow', 'globe', 'regret', 'trace', 'ticket'),
]
const everywhere: readonly Action[] = [...atHome, ...repeated(4, 'count'), ...repeated(2, 'addOnly', 'chase', 'found', 'globe', 'ranked', 'set', 'widen', 'widen'), ...repeated(2, 'issue', 'punch', 'punch', 'trace', 'spend', 'spend'), 'ticket', 'forget', 'draw']

export function programOf(tx: Tx, home: number | undefined, script: readonly number[]): unknown {
  const program = new Program(tx, home)
  program.run(script)
  return [program.stirred, ...program.answers]
}

/** Without a stack, which would show who ran it. */
const odd = (message: string): Error => Object.assign(new Error(message), { stack: '' })
