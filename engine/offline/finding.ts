/** What is wrong, and where: one sentence for people, and the place as data. */

export interface Finding {
  readonly part: 'log' | 'checkpoint' | 'rows' | 'index'
  /** A sentence without its place. */
  readonly message: string
  /** Inside the directory: `log/0000000001.slog`. */
  readonly file?: string | undefined
  readonly segment?: number | undefined
  readonly offset?: number | undefined
  readonly batch?: number | undefined
  readonly table?: string | undefined
  readonly key?: unknown
}

/** So many findings of one kind are listed; the rest is counted. */
const listedMax = 20

/** Collects findings, and says how many more there were than are worth reading. */
export class Findings {
  readonly list: Finding[] = []
  readonly #counts = new Map<string, number>()

  add(finding: Finding): void {
    const kind = `${finding.part} ${finding.file ?? ''} ${finding.table ?? ''}`
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    if (count <= listedMax) this.list.push(finding)
  }

  /** All of them, with a last line for each kind that has more. */
  get all(): readonly Finding[] {
    const more = [...this.#counts].flatMap(([kind, count]): Finding[] => {
      if (count <= listedMax) return []
      const first = this.list.find((one) => `${one.part} ${one.file ?? ''} ${one.table ?? ''}` === kind)!
      const { part, file, table } = first
      return [{ part, file, table, message: `and ${count - listedMax} more of this kind` }]
    })
    return [...this.list, ...more]
  }
}
