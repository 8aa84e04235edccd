/** Random transactions of the branch application: most of them commit, many break a rule. */
import type { Random } from './random.js'
import type { Step } from './apps/branch-app.js'

export interface Act {
  /** The lane that it asks for; undefined: none. */
  readonly member: number | undefined
  readonly steps: readonly Step[]
}

const members = 24
const words = ['a', 'b', 'c', 'dd'] as const

export function actOf(random: Random): Act {
  const isInLane = random.chance(0.3)
  const member = random.below(members)
  const steps = Array.from({ length: 1 + random.below(4) }, () => stepOf(random, isInLane && random.chance(0.85) ? member : undefined))
  if (random.chance(0.05)) steps.push(['abort', ''])
  return { member: isInLane ? member : undefined, steps }
}

function stepOf(random: Random, own: number | undefined): Step {
  const id = own ?? random.below(members)
  const email = random.chance(0.4) ? null : `${random.pick(words)}${random.below(6)}@club`
  const row = { email, room: random.pick(words), seat: random.below(8), about: random.chance(0.2) ? 'long '.repeat(30 + random.below(20)) : 'short', ...(random.chance(0.2) ? { extra: { n: [id, null] } } : {}) }
  const pet = { member: id, points: random.below(9), of: 6 + random.below(4), name: random.pick(words) }
  const n = random.below(5) * 4 + (id % 4)
  const small: Step[] = [
    ['pet', 'insert', pet],
    ['pet', 'put', { ...pet, n }],
    ['pet', 'add', [id, n], { points: 1 }],
    ['pet', 'set', [id, n], { name: random.pick(words), points: random.below(9) }],
    ['pet', 'delete', [id, n]],
    ['pet', 'scan', { prefix: id, limit: 1 + random.below(3), reverse: random.chance(0.5) }],
    ['pet', 'get', [id, n]],
    ['member', 'get', id],
    ['member', 'set', id, { seat: random.below(8) }],
    ['member', 'update', id, random.chance(0.5) ? { email } : { room: row.room, status: random.pick(['here', 'gone'] as const) }],
    ['member', 'delete', id],
  ]
  if (own !== undefined) return random.pick(small)
  return random.pick<Step>([
    ...small,
    ['member', 'insert', row],
    ['member', 'insert', row],
    ['member', 'insert', { ...row, id }],
    ['member', 'put', { ...row, id }],
    ['member', 'change', id, { seat: random.below(8) }],
    ['member', 'has', id],
    ['member', 'count'],
    ['member', 'scan', random.chance(0.5) ? { from: random.below(members), limit: 3 } : { reverse: true, limit: 4 }],
    ['member', 'get by email', email ?? 'nobody@club'],
    ['member', 'get by byRoom', row.room],
    ['member', 'scan by byRoom', { from: row.room, limit: 3, reverse: random.chance(0.5) }],
    ['member', 'get by bySeat', [row.room, row.seat]],
    ['pet', 'get by byName', random.pick(words)],
    ['pet', 'count'],
    ['friend', 'put', { id: random.below(9), of: random.chance(0.3) ? null : id }],
    ['friend', 'insert', { id: random.below(9), of: id }],
    ['loan', 'put', { id: random.below(5), to: id }],
    ['loan', 'delete', random.below(5)],
    ['tally', 'get', random.pick(words)],
    ['emit', random.pick(words)],
  ])
}
