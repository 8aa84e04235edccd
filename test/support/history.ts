/**
 * Judges a history of list-append transactions without trusting the database's own order (layer 2 of
 * reference/determinism-reliability.md, B2).
 *
 * Every appended value is unique, so the longest read of a list is the order of its versions, and every
 * other read must be a prefix of it. Edges then say who must have come before whom:
 *
 *   ww  the appender of a value, to the appender of the next one
 *   wr  the appender of the last value that a read shows, to the reader
 *   rw  a reader, to the appender of the first value that it does not show
 *   rt  a transaction that was answered, to every one that was called after that
 *
 * A cycle is an anomaly: no serial order (with rt: none that respects time) explains what was seen. It is told by the name that it
 * has in Adya's thesis and in Elle: G0 is a cycle of ww, G1c of ww and wr, G-single has one rw, G2 more; each is called
 * `-realtime` when only time closes it.
 *
 * What has no answer (a crash, a lost thread) may have happened or not. If somebody sees it, it has, and not before it was called.
 */
export type Action =
  | { readonly append: number; readonly value: number }
  | { readonly read: number; readonly list: readonly number[] }

export interface Observed {
  readonly called: number
  readonly answered: number
  /** Aborted ones may not show; what has no answer (a crash) may or may not have happened. */
  readonly outcome: 'committed' | 'aborted' | 'unknown'
  readonly actions: readonly Action[]
}

export function anomalies(history: readonly Observed[]): string[] {
  const found: string[] = []
  const appenders = new Map<number, number>()
  history.forEach(({ actions }, at) => {
    for (const action of actions) {
      if (!('append' in action)) continue
      if (appenders.has(action.value)) throw new Error(`the history appends ${action.value} twice`)
      appenders.set(action.value, at)
    }
  })
  const longest = longestReads(history)
  for (const [key, list] of longest)
    if (new Set(list).size < list.length) found.push(`list ${key} shows a value twice: ${list.join()}`)
  history.forEach((one, at) => found.push(...judgeReads(one, at, history, longest, appenders)))
  if (found.length > 0) return found
  const anomaly = namedCycle(edgesOf(history, longest, appenders))
  if (anomaly) found.push(`${anomaly.name} cycle: ${anomaly.path.map((at) => describe(at, history)).join('  ->  ')}`)
  return found
}

function longestReads(history: readonly Observed[]): Map<number, readonly number[]> {
  const longest = new Map<number, readonly number[]>()
  for (const { actions, outcome } of history) {
    if (outcome !== 'committed') continue
    for (const action of actions)
      if ('read' in action && action.list.length >= (longest.get(action.read)?.length ?? 0))
        longest.set(action.read, action.list)
  }
  return longest
}

function judgeReads(
  one: Observed,
  at: number,
  history: readonly Observed[],
  longest: ReadonlyMap<number, readonly number[]>,
  appenders: ReadonlyMap<number, number>,
): string[] {
  const found: string[] = []
  if (one.outcome !== 'committed') return found
  const own = new Map<number, number[]>()
  for (const action of one.actions) {
    if ('append' in action) {
      own.set(action.append, [...(own.get(action.append) ?? []), action.value])
      continue
    }
    const { read: key, list } = action
    const order = longest.get(key)!
    if (list.some((value, index) => order[index] !== value))
      found.push(`incompatible order: ${describe(at, history)}, the longest is ${order.join()}`)
    const mine = own.get(key) ?? []
    if (mine.length > 0 && list.slice(-mine.length).join() !== mine.join())
      found.push(`internal: ${describe(at, history)} does not see its own appends`)
    for (const value of list) {
      const appender = appenders.get(value)
      if (appender === undefined) found.push(`garbage: ${value} in ${describe(at, history)}`)
      else if (history[appender]!.outcome === 'aborted')
        found.push(`aborted read (G1a): ${value} in ${describe(at, history)}`)
    }
    const last = list.at(-1)
    const writer = last === undefined ? undefined : appenders.get(last)
    if (writer === undefined || writer === at) continue
    const all = history[writer]!.actions.filter((it) => 'append' in it && it.append === key) as {
      value: number
    }[]
    if (all.at(-1)!.value !== last) found.push(`intermediate read (G1b): ${last} in ${describe(at, history)}`)
  }
  return found
}

/** Kinds of edges, as bits: two transactions may be joined by several. */
const edge = { ww: 1, wr: 2, rw: 4, rt: 8 } as const
type Edges = readonly ReadonlyMap<number, number>[]

function edgesOf(
  history: readonly Observed[],
  longest: ReadonlyMap<number, readonly number[]>,
  appenders: ReadonlyMap<number, number>,
): Edges {
  const edges = history.map(() => new Map<number, number>())
  const add = (kind: number, from: number | undefined, to: number | undefined) => {
    if (from !== undefined && to !== undefined && from !== to)
      edges[from]!.set(to, (edges[from]!.get(to) ?? 0) | kind)
  }
  for (const list of longest.values())
    for (let at = 1; at < list.length; at += 1)
      add(edge.ww, appenders.get(list[at - 1]!), appenders.get(list[at]!))
  history.forEach(({ actions, outcome }, at) => {
    if (outcome !== 'committed') return
    for (const action of actions) {
      if (!('read' in action)) continue
      const order = longest.get(action.read)!
      add(edge.wr, appenders.get(action.list.at(-1)!), at)
      add(edge.rw, at, appenders.get(order[action.list.length]!))
    }
  })
  addUnseen(history, longest, (from, to) => add(edge.rw, from, to))
  addRealTime(history, (from, to) => add(edge.rt, from, to))
  return edges
}

/** Lists only grow: whoever reads one without a value that was committed comes before it, also where nobody has seen it. */
function addUnseen(
  history: readonly Observed[],
  longest: ReadonlyMap<number, readonly number[]>,
  add: (reader: number, appender: number) => void,
): void {
  const unseen = new Map<number, number[]>()
  history.forEach(({ actions, outcome }, at) => {
    if (outcome !== 'committed') return
    for (const action of actions) {
      if (!('append' in action) || longest.get(action.append)?.includes(action.value)) continue
      unseen.set(action.append, [...(unseen.get(action.append) ?? []), at])
    }
  })
  if (unseen.size === 0) return
  history.forEach(({ actions, outcome }, at) => {
    if (outcome !== 'committed') return
    for (const action of actions)
      if ('read' in action) for (const appender of unseen.get(action.read) ?? []) add(at, appender)
  })
}

/**
 * Only from the frontier: those answered after which nobody else has been called and answered; the rest
 * follows by transitivity. What has no answer comes after whatever was answered before it was called.
 */
function addRealTime(history: readonly Observed[], add: (from: number, to: number) => void): void {
  const moments = history.flatMap(({ called, answered, outcome }, at) => {
    if (outcome === 'aborted') return []
    const call = { at, when: called, calls: true }
    return outcome === 'unknown' ? [call] : [call, { at, when: answered, calls: false }]
  })
  moments.sort((one, other) => one.when - other.when)
  let frontier: number[] = []
  for (const { at, calls } of moments) {
    if (calls) for (const before of frontier) add(before, at)
    else frontier = [...frontier.filter((before) => history[before]!.answered > history[at]!.called), at]
  }
}

/** The worst that there is: fewer kinds of edges are worse, and so is what needs no clock. */
function namedCycle(edges: Edges): { readonly name: string; readonly path: readonly number[] } | undefined {
  for (const [time, suffix] of [
    [0, ''],
    [edge.rt, '-realtime'],
  ] as const) {
    const written = edge.ww | time
    const read = written | edge.wr
    const g0 = cycleIn(edges, written)
    if (g0) return { name: `G0${suffix}`, path: g0 }
    const g1c = cycleIn(edges, read)
    if (g1c) return { name: `G1c${suffix}`, path: g1c }
    const g2 = cycleIn(edges, read | edge.rw)
    if (!g2) continue
    const single = singleIn(edges, read)
    return single ? { name: `G-single${suffix}`, path: single } : { name: `G2${suffix}`, path: g2 }
  }
  return undefined
}

/** A cycle with exactly one rw: a way back from where such an edge leads, without another one. */
function singleIn(edges: Edges, kinds: number): number[] | undefined {
  for (const [from, targets] of edges.entries()) {
    for (const [to, kind] of targets) {
      if ((kind & edge.rw) === 0) continue
      const cameFrom = new Map<number, number>([[to, to]])
      const waiting = [to]
      for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
        if (at === from) {
          const path = [from]
          for (let step = from; step !== to; ) path.unshift((step = cameFrom.get(step)!))
          return [from, ...path]
        }
        for (const [next, one] of edges[at]!) {
          if ((one & kinds) === 0 || cameFrom.has(next)) continue
          cameFrom.set(next, at)
          waiting.push(next)
        }
      }
    }
  }
  return undefined
}

/** Depth first, without recursion, along edges of these kinds. */
function cycleIn(edges: Edges, kinds: number): number[] | undefined {
  const state = new Uint8Array(edges.length) // 0 new, 1 on the path, 2 done
  for (let root = 0; root < edges.length; root += 1) {
    if (state[root] !== 0) continue
    const path: { readonly at: number; readonly next: Iterator<readonly [number, number]> }[] = []
    const enter = (at: number) => {
      state[at] = 1
      path.push({ at, next: edges[at]!.entries() })
    }
    enter(root)
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const { value, done } = top.next.next()
      if (done) {
        state[top.at] = 2
        path.pop()
        continue
      }
      const [to, kind] = value as readonly [number, number]
      if ((kind & kinds) === 0) continue
      if (state[to] === 1) return [...path.slice(path.findIndex(({ at }) => at === to)).map(({ at }) => at), to]
      if (state[to] === 0) enter(to)
    }
  }
  return undefined
}

const describe = (at: number, history: readonly Observed[]) =>
  `T${at}(${history[at]!.actions.map((it) => ('append' in it ? `append ${it.append} ${it.value}` : `read ${it.read} [${it.list.slice(-4).join()}]`)).join('; ')})`
