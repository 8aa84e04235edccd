/** Sellers and customers, made up from the seed and their number. */
import { declinedCard, paymentTypes } from './messages.js'
import { Random } from './random.js'

const firstNames = [
  'Ana',
  'Bruno',
  'Clara',
  'Davi',
  'Elisa',
  'Felipe',
  'Gilda',
  'Heitor',
  'Iris',
  'João',
] as const
const lastNames = [
  'Almeida',
  'Barbosa',
  'Cardoso',
  'Dias',
  'Esteves',
  'Ferreira',
  'Gomes',
  'Lima',
  'Moura',
  'Nunes',
] as const
const cities = ['Recife', 'Manaus', 'Curitiba', 'Belém', 'Natal', 'Santos'] as const
const states = ['PE', 'AM', 'PR', 'PA', 'RN', 'SP'] as const
const installmentsMax = 10
const declinedProbability = 0.05
const brands = ['Visa', 'Mastercard', 'Elo'] as const

/** The input of `addSeller`. */
export function merchant(seed: number, id: number) {
  const random = new Random(seed ^ 0x27d4eb2f, id)
  const place = random.between(0, cities.length - 1)
  return {
    id,
    name: `Seller ${id}`,
    companyName: `${random.pick(lastNames)} & ${random.pick(lastNames)}`,
    email: `seller${id}@example.com`,
    phone: digits(random, 10),
    mobilePhone: digits(random, 11),
    cpf: digits(random, 11),
    cnpj: digits(random, 14),
    address: `Rua ${random.pick(lastNames)} ${random.between(1, 999)}`,
    complement: '',
    city: cities[place]!,
    state: states[place]!,
    zipCode: digits(random, 8),
  }
}

/** The input of `addCustomer`. */
export function buyer(seed: number, id: number) {
  const random = new Random(seed ^ 0x165667b1, id)
  const place = random.between(0, cities.length - 1)
  const firstName = random.pick(firstNames)
  const lastName = random.pick(lastNames)
  return {
    id,
    firstName,
    lastName,
    address: `Avenida ${random.pick(lastNames)} ${random.between(1, 999)}`,
    complement: `apto ${random.between(1, 99)}`,
    birthDate: `19${random.between(50, 99)}-0${random.between(1, 9)}-${random.between(10, 28)}`,
    zipCode: digits(random, 8),
    city: cities[place]!,
    state: states[place]!,
    cardNumber: digits(random, 16),
    cardExpiration: `0${random.between(1, 9)}/3${random.between(0, 9)}`,
    cardHolder: `${firstName} ${lastName}`,
    cardType: random.pick(brands),
    data: '',
  }
}

/** What a customer types into the checkout. */
export function payer(seed: number, customer: number, random: Random) {
  const known = buyer(seed, customer)
  const paymentType = random.pick(paymentTypes)
  return {
    firstName: known.firstName,
    lastName: known.lastName,
    street: known.address,
    complement: known.complement,
    city: known.city,
    state: known.state,
    zipCode: known.zipCode,
    paymentType,
    cardNumber: random.fraction() < declinedProbability ? declinedCard : known.cardNumber,
    cardHolder: known.cardHolder,
    cardExpiration: known.cardExpiration,
    cardBrand: known.cardType,
    installments: paymentType === 'CREDIT_CARD' ? random.between(1, installmentsMax) : 1,
  }
}

function digits(random: Random, count: number): string {
  let text = ''
  while (text.length < count)
    text += random
      .word()
      .toString()
      .slice(-Math.min(5, count - text.length))
      .padStart(1, '0')
  return text.slice(0, count)
}
