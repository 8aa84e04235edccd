/** The name somebody may have meant: for messages about unknown columns, tables and options. */

const lengthMax = 64

/** The closest of `names` if it is close enough to be a slip of the hand: a third of the letters, at least one. */
export function closestName(given: string, names: readonly string[]): string | undefined {
  if (given.length > lengthMax) return undefined
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(given.length / 3)) + 1
  for (const name of names) {
    if (Math.abs(name.length - given.length) >= bestDistance) continue
    const distance = editDistance(given.toLowerCase(), name.toLowerCase())
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}

/** `; did you mean "balance"?`, or nothing. */
export function didYouMean(given: string, names: readonly string[]): string {
  const name = closestName(given, names)
  return name === undefined ? '' : `; did you mean "${name}"?`
}

/** Letters to insert, remove, replace, or swap with their neighbour. */
function editDistance(left: string, right: string): number {
  let beforePrevious: number[] = []
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row]
    for (let place = 1; place <= right.length; place += 1) {
      const same = left[row - 1] === right[place - 1]
      let best = Math.min(previous[place]! + 1, current[place - 1]! + 1, previous[place - 1]! + (same ? 0 : 1))
      if (row > 1 && place > 1 && left[row - 1] === right[place - 2] && left[row - 2] === right[place - 1]) {
        best = Math.min(best, beforePrevious[place - 2]! + 1)
      }
      current.push(best)
    }
    beforePrevious = previous
    previous = current
  }
  return previous[right.length]!
}
