/**
 * What the services of the marketplace say to each other: the columns of shared inputs and payloads, and the
 * lines that travel inside them. Money is integer cents, identities are integers, `instance` is the number of
 * the client's request.
 *
 * Events keep the original's habit of carrying the whole checkout downstream (cart → stock → order → payment
 * → shipment), because that is the traffic to be compared. The security number of a card is the exception: no
 * service stores it, and a log keeps what it is told.
 */
import { column as c } from 'sluicedb'

export const paymentTypes = ['CREDIT_CARD', 'DEBIT_CARD', 'BOLETO'] as const
export type PaymentType = (typeof paymentTypes)[number]

/** The card that is always declined, as payment providers have one for tests: whether a payment fails is part of the input. */
export const declinedCard = '4000000000000002'

/** The input of a checkout. */
export const checkoutColumns = {
  customer: c.int(),
  instance: c.int(),
  firstName: c.text(),
  lastName: c.text(),
  street: c.text(),
  complement: c.text(),
  city: c.text(),
  state: c.text(),
  zipCode: c.text(),
  paymentType: c.enum(paymentTypes),
  cardNumber: c.text(),
  cardHolder: c.text(),
  cardExpiration: c.text(),
  cardBrand: c.text(),
  installments: c.int().min(1).max(24),
}

export interface Checkout {
  readonly customer: number
  readonly instance: number
  readonly firstName: string
  readonly lastName: string
  readonly street: string
  readonly complement: string
  readonly city: string
  readonly state: string
  readonly zipCode: string
  readonly paymentType: PaymentType
  readonly cardNumber: string
  readonly cardHolder: string
  readonly cardExpiration: string
  readonly cardBrand: string
  readonly installments: number
}

/**
 * A line of a cart as it leaves the cart. `addedBy` is the request that put it there: the same product may
 * return later.
 */
export interface CartLine {
  readonly seller: number
  readonly product: number
  readonly name: string
  readonly category: string
  readonly unitPrice: number
  readonly freight: number
  readonly quantity: number
  readonly voucher: number
  readonly version: number
  readonly addedBy: number
}

/** A line of an order as it leaves the order service. */
export interface OrderLine {
  readonly item: number
  readonly seller: number
  readonly product: number
  readonly name: string
  readonly category: string
  readonly unitPrice: number
  readonly freight: number
  readonly quantity: number
  readonly totalItems: number
  readonly totalIncentive: number
  readonly totalAmount: number
}

/** What a shipment has come to, for one order. */
export interface ShipmentNotice {
  readonly customer: number
  readonly order: number
  readonly status: 'APPROVED' | 'DELIVERY_IN_PROGRESS' | 'CONCLUDED'
}

/** One package that has arrived. */
export interface DeliveryNotice {
  readonly customer: number
  readonly order: number
  readonly package: number
  readonly seller: number
  readonly product: number
}

/** A deleted product stays as a row, so that orders and carts can still name it; a replacement lists it again. */
export const productStatuses = ['approved', 'deleted'] as const

/**
 * The columns by which a product is described, in the catalogue, in its replica and in the events between
 * them.
 */
export const productColumns = {
  seller: c.int(),
  product: c.int(),
  name: c.text().notBlank(),
  sku: c.text(),
  category: c.text(),
  description: c.text(),
  price: c.int().min(0),
  freight: c.int().min(0),
  status: c.enum(productStatuses),
  version: c.int().min(0),
}
