/** The four distributions of a database that are not uniform, with their constants C drawn from the seed. */
import { Random } from '../marketplace/random.js'
import { lastNamesMax, shareBelow, type NonUniform } from './drawing.js'
import type { TpccScale } from './scale.js'

export interface Distributions {
  /** Last names of loaded customers, and those that transactions ask for: their C differ as clause 2.1.6.1 wants it. */
  readonly loadedName: NonUniform
  readonly askedName: NonUniform
  readonly customer: NonUniform
  readonly item: NonUniform
}

const place = 0x7c

export function distributionsOf(scale: TpccScale, seed: number): Distributions {
  const random = new Random(seed, place)
  const names = namesOf(scale)
  const nameA = shareBelow(names, 4)
  const loaded = random.between(0, nameA)
  const customerA = shareBelow(scale.customers, 3)
  const itemA = shareBelow(scale.items, 12.5)
  return {
    loadedName: { a: nameA, c: loaded, low: 0, high: names - 1 },
    askedName: { a: nameA, c: askedC(random, loaded, nameA), low: 0, high: names - 1 },
    customer: { a: customerA, c: random.between(0, customerA), low: 1, high: scale.customers },
    item: { a: itemA, c: random.between(0, itemA), low: 1, high: scale.items },
  }
}

/** Each name has a customer in each district: the first ones are numbered through. */
export function namesOf(scale: TpccScale): number {
  return Math.min(lastNamesMax, scale.customers)
}

/** Away from the C of the load by 65 to 119, and by neither 96 nor 112. A smaller database has no such distance. */
function askedC(random: Random, loaded: number, a: number): number {
  if (a < 255) return random.between(0, a)
  for (;;) {
    const asked = random.between(0, a)
    const distance = Math.abs(asked - loaded)
    if (distance >= 65 && distance <= 119 && distance !== 96 && distance !== 112) return asked
  }
}
