/** The application. Every worker loads this module, so it and what it imports hold definitions only. */
import { app } from 'sluicedb'
import { cart } from './cart.js'
import { catalogue } from './catalogue.js'
import { orders } from './orders.js'
import { payment } from './payment.js'
import { shipping } from './shipping.js'
import { stock } from './stock.js'

export default app(import.meta.url, [catalogue, cart, stock, orders, payment, shipping])
