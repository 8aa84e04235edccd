/**
 * Rows of a range of one tree, from one partition or merged from all of them in key order (R20).
 *
 * The addresses are gathered before anything else runs (R23): a loop that updates what it scans must not meet a row twice.
 */
import type { TablePart, TreePlan } from './table-store.js'
import { compareCursors, Cursor, type KeyRange, type SnapshotGuard } from './ordered-cursor.js'

export function gatherRows(
  parts: readonly TablePart[],
  plan: TreePlan,
  range: KeyRange,
  limit: number,
  rootOf: (part: TablePart) => number,
  guard?: SnapshotGuard,
): number[] {
  const rows: number[] = []
  if (limit <= 0) return rows
  if (parts.length === 1) {
    const part = parts[0]!
    const root = rootOf(part)
    if (root !== 0) part.trees[plan.ordinal]!.gather(root, range, limit, rows, guard)
    return rows
  }
  mergeRows(parts, range, limit, rootOf, guard, rows)
  return rows
}

/** Partitions are few and each step takes the least of them: a heap would pay from some dozens on. */
function mergeRows(parts: readonly TablePart[], range: KeyRange, limit: number, rootOf: (part: TablePart) => number, guard: SnapshotGuard | undefined, rows: number[]): void {
  const cursors: Cursor[] = []
  const heads: number[] = []
  for (const part of parts) {
    const root = rootOf(part)
    if (root === 0) continue
    const cursor = new Cursor(part.domain.region)
    cursor.seek(root, range, guard)
    const row = cursor.next()
    if (row === 0) continue
    cursors.push(cursor)
    heads.push(row)
  }
  const sign = range.reverse ? -1 : 1
  while (cursors.length > 0 && rows.length < limit) {
    let least = 0
    for (let n = 1; n < cursors.length; n += 1) if (sign * compareCursors(cursors[n]!, cursors[least]!) < 0) least = n
    rows.push(heads[least]!)
    const row = cursors[least]!.next()
    if (row === 0) {
      cursors.splice(least, 1)
      heads.splice(least, 1)
    } else heads[least] = row
  }
}
