/** What the specification draws: texts of random letters, last names, numbers that are not uniform (clauses 2.1.6, 4.3.2). */
import { Random } from '../marketplace/random.js'

const alphanumeric = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 'latin1')
const capitals = alphanumeric.subarray(0, 26)
const digits = alphanumeric.subarray(52)
const original = 'ORIGINAL'
const originalPercent = 10

const scratch = Buffer.alloc(512)

/** Made by a decoder and not by `+`, which would leave ropes: those would inflate the stores that keep our strings. */
function text(random: Random, letters: Buffer, length: number): string {
  fill(random, letters, length)
  return scratch.toString('latin1', 0, length)
}

/** Five letters of a word of 32 bits: the texts are most of the population, and their letters need no more chance. */
function fill(random: Random, letters: Buffer, length: number): void {
  const count = letters.length
  for (let place = 0; place < length; ) {
    let word = random.word()
    for (let drawn = 0; drawn < 5 && place < length; drawn += 1, place += 1) {
      scratch[place] = letters[word % count] as number
      word = Math.floor(word / count)
    }
  }
}

export function alphanumericText(random: Random, low: number, high: number): string {
  return text(random, alphanumeric, random.between(low, high))
}

export function numericText(random: Random, length: number): string {
  return text(random, digits, length)
}

export function stateName(random: Random): string {
  return text(random, capitals, 2)
}

export function zipCode(random: Random): string {
  fill(random, digits, 4)
  scratch.write('11111', 4, 'latin1')
  return scratch.toString('latin1', 0, 9)
}

/** I_DATA and S_DATA: a tenth of them says ORIGINAL somewhere. */
export function maybeOriginal(random: Random): string {
  const length = random.between(26, 50)
  const says = random.between(1, 100) <= originalPercent
  const at = says ? random.between(0, length - original.length) : 0
  fill(random, alphanumeric, length)
  if (says) scratch.write(original, at, 'latin1')
  return scratch.toString('latin1', 0, length)
}

const syllables = ['BAR', 'OUGHT', 'ABLE', 'PRI', 'PRES', 'ESE', 'ANTI', 'CALLY', 'ATION', 'EING']
const lastNames = Array.from({ length: 1_000 }, (_, number) => {
  const name = [Math.floor(number / 100), Math.floor(number / 10) % 10, number % 10].map((digit) => syllables[digit]).join('')
  return Buffer.from(name, 'latin1').toString('latin1')
})
export const lastNamesMax = lastNames.length

/** Number 371 is PRICALLYOUGHT. */
export function lastName(number: number): string {
  const name = lastNames[number]
  if (name === undefined) throw new RangeError(`last names have the numbers 0 to ${lastNamesMax - 1}, not ${number}`)
  return name
}

/** NURand(A, low, high) with its C (clause 2.1.6). */
export interface NonUniform {
  readonly a: number
  readonly c: number
  readonly low: number
  readonly high: number
}

export function drawNonUniform(random: Random, { a, c, low, high }: NonUniform): number {
  return (((random.between(0, a) | random.between(low, high)) + c) % (high - low + 1)) + low
}

/** The A of the specification, also for fewer values than it has: 1023 of 3,000, 8191 of 100,000, 255 of 1,000. */
export function shareBelow(count: number, share: number): number {
  return 2 ** Math.ceil(Math.log2(count / share + 1)) - 1
}
