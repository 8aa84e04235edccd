/**
 * SmallBank (Alomari, Cahill, Fekete, Röhm, "The cost of serializability on platforms that use snapshot isolation"), drawn in advance:
 * customers with a savings and a checking balance, in cents, and six transactions.
 *
 *   balance         15 %  reads both balances
 *   deposit         15 %  adds to checking
 *   transact        15 %  adds to savings or takes from it; refused where savings would be below zero
 *   amalgamate      15 %  moves all that a customer has to the checking balance of another one
 *   writeCheck      15 %  takes from checking; one cent more where both balances together do not suffice
 *   sendPayment     25 %  moves from checking to checking; refused where the balance does not suffice
 *
 * The mix is that of OLTP-Bench. There amounts are fixed; here they are drawn up to twice of that, and what is taken from savings is
 * put in as often, so that customers do not run dry in a long run. With a hotspot, nine of ten customers are drawn from
 * the first `hotspot` ones.
 */
import { randomSource } from '../statistics.js'
import { draws, type Distribution } from './distribution.js'

export interface SmallBankSettings {
  readonly customers: number
  readonly operations: number
  /** How many customers are popular. 0: none. */
  readonly hotspot: number
  readonly distribution?: Distribution | undefined
}

export const smallBankKinds = ['balance', 'deposit', 'transact', 'amalgamate', 'writeCheck', 'sendPayment'] as const
export type SmallBankKind = (typeof smallBankKinds)[number]
const percents = [15, 15, 15, 15, 15, 25]

export interface SmallBankPlan extends SmallBankSettings {
  /** Index into `smallBankKinds`. */
  readonly kind: Uint8Array
  readonly customer: Int32Array
  /** The other one, of an amalgamation or a payment. */
  readonly other: Int32Array
  /** Cents. */
  readonly amount: Int32Array
}

const seed = 20_080_407
const hotPercent = 90
const amountsMax = [0, 260, 4_040, 0, 1_000, 1_000]
const savingsAtStart = 3_000_000
const checkingAtStart = 2_000_000

export function smallBankPlan(settings: SmallBankSettings): SmallBankPlan {
  const { customers, operations, hotspot, distribution = 'uniform' } = settings
  if (customers < 2 || hotspot === 1 || hotspot > customers) {
    throw new RangeError(`no hotspot of ${hotspot} among ${customers} customers`)
  }
  const below = randomSource(seed)
  const any = draws(distribution, customers, below)
  const customerOf = (): number => (hotspot > 0 && below(100) < hotPercent ? below(hotspot) : any())
  const kinds = Uint8Array.from(percents.flatMap((percent, kind) => Array<number>(percent).fill(kind)))
  const plan = {
    kind: new Uint8Array(operations), customer: new Int32Array(operations),
    other: new Int32Array(operations), amount: new Int32Array(operations),
  }
  for (let index = 0; index < operations; index += 1) {
    const kind = kinds[below(100)] as number
    const customer = customerOf()
    let other = customerOf()
    while (other === customer) other = customerOf()
    const most = amountsMax[kind] as number
    const amount = most === 0 ? 0 : 1 + below(most)
    plan.kind[index] = kind
    plan.customer[index] = customer
    plan.other[index] = other
    plan.amount[index] = smallBankKinds[kind] === 'transact' && below(2) === 0 ? -amount : amount
  }
  return { ...settings, ...plan }
}

export interface Customer {
  readonly id: number
  readonly name: string
  readonly savings: number
  readonly checking: number
}

export function customerRow(id: number): Customer {
  return { id, name: `customer-${String(id).padStart(9, '0')}`, savings: savingsAtStart, checking: checkingAtStart }
}
