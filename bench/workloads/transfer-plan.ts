/**
 * The transfers of the canonical workload, drawn in advance: the same for every contestant, and reckoned here as well.
 *
 * Accounts are drawn uniformly, if nothing else is said, and no account can run dry, so the state after n transfers is the
 * same in whatever order they ran: it has one digest, which every contestant must reach. Transfer i writes ledger row i.
 */
import { Checksum, randomSource } from '../statistics.js'
import { draws, type Distribution } from './distribution.js'

export interface TransferSettings {
  readonly accounts: number
  readonly transfers: number
  /** Both accounts of a transfer are equal modulo this number; 1: any two. Whole-number keys are placed by their value
   * modulo the number of partitions, so a multiple of it keeps a transfer inside one partition. */
  readonly stride?: number | undefined
  /** Of all transfers, percent whose accounts differ modulo `stride`, which is then above 1; default 0. */
  readonly cross?: number | undefined
  /** Of payers and of payees; default uniform. */
  readonly distribution?: Distribution | undefined
}

export interface TransferPlan extends TransferSettings {
  readonly from: Int32Array
  readonly to: Int32Array
  readonly amount: Int32Array
}

const seed = 20_261_120
const balanceAtStart = 1_000_000
const amountMax = 100

export function transferPlan(settings: TransferSettings): TransferPlan {
  const { accounts, transfers, stride = 1, cross = 0, distribution = 'uniform' } = settings
  const below = randomSource(seed)
  const from = new Int32Array(transfers)
  const to = new Int32Array(transfers)
  const amount = new Int32Array(transfers)
  const classMembers = Math.floor(accounts / stride)
  if (classMembers < 2) throw new RangeError(`${accounts} accounts are too few for a stride of ${stride}`)
  if (cross > 0 && stride < 2) throw new RangeError('with a stride of 1 no transfer can be said to cross anything')
  const member = draws(distribution, classMembers, below)
  const pairOf = distribution === 'uniform'
    ? (): readonly [number, number] => {
        const payer = member()
        return [payer, (payer + 1 + below(classMembers - 1)) % classMembers]
      }
    : (): readonly [number, number] => {
        const one = member()
        for (;;) {
          const other = member()
          // Who of the two pays is thrown: by the order of drawing, the popular would pay more often than they are paid.
          if (other !== one) return below(2) === 0 ? [one, other] : [other, one]
        }
      }
  for (let index = 0; index < transfers; index += 1) {
    const residue = below(stride)
    const [payer, payee] = pairOf()
    const crosses = cross > 0 && below(100) < cross
    from[index] = payer * stride + residue
    to[index] = payee * stride + (crosses ? (residue + 1 + below(stride - 1)) % stride : residue)
    amount[index] = 1 + below(amountMax)
  }
  const plan = { ...settings, from, to, amount }
  if (distribution !== 'uniform') checkFunds(plan)
  return plan
}

/** Popular accounts pay often, and are paid as often: in the order of the plan none may come anywhere near zero. */
function checkFunds({ accounts, transfers, from, to, amount }: TransferPlan): void {
  const balances = new Float64Array(accounts).fill(balanceAtStart)
  for (let index = 0; index < transfers; index += 1) {
    const left = (balances[from[index] as number]! -= amount[index] as number)
    balances[to[index] as number]! += amount[index] as number
    if (left < balanceAtStart / 2) throw new RangeError(`account ${from[index]} runs dry: draw fewer transfers`)
  }
}

export interface AccountRow {
  readonly id: number
  readonly owner: string
  readonly balance: number
}

export function accountRow(id: number): AccountRow {
  return { id, owner: `owner-${id}`, balance: balanceAtStart }
}

/** What the bank must look like after the first `count` transfers of the plan. */
export function transferDigest(plan: TransferPlan, count: number): string {
  const balances = new Float64Array(plan.accounts).fill(balanceAtStart)
  for (let index = 0; index < count; index += 1) {
    const amount = plan.amount[index] as number
    balances[plan.from[index] as number]! -= amount
    balances[plan.to[index] as number]! += amount
  }
  return bankDigest(balances, count)
}

/** `balances` by account number. */
export function bankDigest(balances: Float64Array, ledgerRows: number): string {
  const checksum = new Checksum().number(ledgerRows)
  for (const balance of balances) checksum.number(balance)
  return checksum.toString()
}
