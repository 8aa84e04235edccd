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
 * A cycle is an anomaly: no serial order (with rt: none that respects time) explains what was seen.
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
  const edges = edgesOf(history, longest, appenders)
  const cycle = cycleIn(edges)
  if (cycle) found.push(`cycle: ${cycle.map((at) => describe(at, history)).join('  ->  ')}`)
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

function edgesOf(
  history: readonly Observed[],
  longest: ReadonlyMap<number, readonly number[]>,
  appenders: ReadonlyMap<number, number>,
): Set<number>[] {
  const edges = history.map(() => new Set<number>())
  const add = (from: number | undefined, to: number | undefined) => {
    if (from !== undefined && to !== undefined && from !== to) edges[from]!.add(to)
  }
  for (const list of longest.values())
    for (let at = 1; at < list.length; at += 1) add(appenders.get(list[at - 1]!), appenders.get(list[at]!))
  history.forEach(({ actions, outcome }, at) => {
    if (outcome !== 'committed') return
    for (const action of actions) {
      if (!('read' in action)) continue
      const order = longest.get(action.read)!
      add(appenders.get(action.list.at(-1)!), at)
      add(at, appenders.get(order[action.list.length]!))
    }
  })
  addRealTime(history, add)
  return edges
}

/**
 * Only from the frontier: those answered after which nobody else has been called and answered; the rest
 * follows by transitivity.
 */
function addRealTime(history: readonly Observed[], add: (from: number, to: number) => void): void {
  const moments = history.flatMap(({ called, answered, outcome }, at) =>
    outcome === 'committed'
      ? [
          { at, when: called, calls: true },
          { at, when: answered, calls: false },
        ]
      : [],
  )
  moments.sort((one, other) => one.when - other.when)
  let frontier: number[] = []
  for (const { at, calls } of moments) {
    if (calls) for (const before of frontier) add(before, at)
    else frontier = [...frontier.filter((before) => history[before]!.answered > history[at]!.called), at]
  }
}

/** Depth first, without recursion. */
function cycleIn(edges: readonly ReadonlySet<number>[]): number[] | undefined {
  const state = new Uint8Array(edges.length) // 0 new, 1 on the path, 2 done
  for (let root = 0; root < edges.length; root += 1) {
    if (state[root] !== 0) continue
    const path: { readonly at: number; readonly next: Iterator<number> }[] = []
    const enter = (at: number) => {
      state[at] = 1
      path.push({ at, next: edges[at]!.values() })
    }
    enter(root)
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const { value, done } = top.next.next()
      if (done) {
        state[top.at] = 2
        path.pop()
      } else if (state[value] === 1)
        return [...path.slice(path.findIndex(({ at }) => at === value)).map(({ at }) => at), value]
      else if (state[value] === 0) enter(value)
    }
  }
  return undefined
}

const describe = (at: number, history: readonly Observed[]) =>
  `T${at}(${history[at]!.actions.map((it) => ('append' in it ? `append ${it.append} ${it.value}` : `read ${it.read} [${it.list.slice(-4).join()}]`)).join('; ')})`
