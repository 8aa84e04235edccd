/**
 * Whether a bank did the operations of a SmallBank plan, in whatever order: no cent may be lost, for any customer.
 *
 * The order decides who is refused, so each operation says what it did, as one number:
 *
 *   balance       savings and checking together             amalgamate   what was moved
 *   deposit       1                                         writeCheck   1, or 2 with the penalty
 *   transact      1, or 0 where it was refused              sendPayment  1, or 0 where it was refused
 *
 * What a customer has in the end must be what he began with and what was said to have come and gone. A bank that loses an update, shows
 * one twice or says what it did not do is off by some cents for some customer. A bank that refuses
 * without reason is found by how much it refuses: beside the plan in its own order, one operation of a hundred.
 */
import { Checksum } from '../statistics.js'
import { customerRow, smallBankKinds, type SmallBankPlan } from './smallbank-plan.js'

const [balance, deposit, transact, amalgamate, writeCheck, sendPayment] = smallBankKinds.map((_, index) => index)

/** Of all operations. In flight together they may be done in another order, which moves few refusals. */
const refusedShareMax = 0.01
const refusedMax = 20

export class SmallBankWitness {
  readonly #plan: SmallBankPlan
  readonly #money: Float64Array
  #answers = 0
  #refused = 0
  #wrong = 0
  #customers = 0

  constructor(plan: SmallBankPlan) {
    this.#plan = plan
    this.#money = Float64Array.from({ length: plan.customers }, (_, id) => moneyAtStart(id))
  }

  /** What operation `index` said that it did. */
  answered(index: number, answer: number): void {
    this.#answers += 1
    const { kind, customer, other, amount } = this.#plan
    const money = this.#money
    const [who, whom, cents] = [customer[index] as number, other[index] as number, amount[index] as number]
    switch (kind[index]) {
      case balance:
        if (!Number.isSafeInteger(answer)) this.#wrong += 1
        return
      case deposit:
        money[who]! += cents
        this.#expect(answer === 1)
        return
      case transact:
        money[who]! += answer * cents
        this.#refusable(answer)
        return
      case amalgamate:
        money[who]! -= answer
        money[whom]! += answer
        if (answer === 0) this.#refused += 1
        return
      case writeCheck:
        money[who]! -= answer === 2 ? cents + 1 : cents
        if (answer === 2) this.#refused += 1
        this.#expect(answer === 1 || answer === 2)
        return
      case sendPayment:
        money[who]! -= answer * cents
        money[whom]! += answer * cents
        this.#refusable(answer)
    }
  }

  /** One customer of those that are there in the end. */
  customer(id: number, savings: number, checking: number): void {
    this.#customers += 1
    if (savings < 0 || savings + checking !== this.#money[id]) this.#wrong += 1
  }

  digest(): string {
    if (this.#wrong > 0) return `${this.#wrong} customers or answers that do not add up`
    const expected = refusedInOrder(this.#plan, this.#answers)
    const isPlausible = Math.abs(this.#refused - expected) <= refusedMax + this.#answers * refusedShareMax
    if (!isPlausible) return `${this.#refused} refused, where the plan in its order has ${expected}`
    return digestOf(this.#customers, this.#answers)
  }

  #refusable(answer: number): void {
    if (answer === 0) this.#refused += 1
    this.#expect(answer === 0 || answer === 1)
  }

  #expect(isRight: boolean): void {
    if (!isRight) this.#wrong += 1
  }
}

/** What must come out after the first `count` operations of the plan. */
export function smallBankDigest(plan: SmallBankPlan, count: number): string {
  return digestOf(plan.customers, count)
}

function digestOf(customers: number, answers: number): string {
  return new Checksum().number(customers).number(answers).toString()
}

function moneyAtStart(id: number): number {
  const { savings, checking } = customerRow(id)
  return savings + checking
}

/** How many of the first `count` operations are refused, move nothing or cost a penalty when they are done one after the other. */
function refusedInOrder({ customers, kind, customer, other, amount }: SmallBankPlan, count: number): number {
  const savings = Float64Array.from({ length: customers }, (_, id) => customerRow(id).savings)
  const checking = Float64Array.from({ length: customers }, (_, id) => customerRow(id).checking)
  let refused = 0
  for (let index = 0; index < count; index += 1) {
    const [who, whom, cents] = [customer[index] as number, other[index] as number, amount[index] as number]
    const [saved, checked] = [savings[who] as number, checking[who] as number]
    switch (kind[index]) {
      case deposit:
        checking[who] = checked + cents
        break
      case transact:
        if (saved + cents < 0) refused += 1
        else savings[who] = saved + cents
        break
      case amalgamate:
        if (saved + checked === 0) refused += 1
        savings[who] = 0
        checking[who] = 0
        checking[whom]! += saved + checked
        break
      case writeCheck:
        if (saved + checked < cents) refused += 1
        checking[who] = checked - (saved + checked < cents ? cents + 1 : cents)
        break
      case sendPayment:
        if (checked < cents) refused += 1
        else {
          checking[who] = checked - cents
          checking[whom]! += cents
        }
    }
  }
  return refused
}
