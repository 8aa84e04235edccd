/** What the request with number `n` asks for: known to the parent and to the child without talking. */
export const accounts = ['a', 'b', 'c', 'd', 'e', 'f'] as const
export const opening = 500

interface Shared {
  readonly n: number
  readonly amount: number
  readonly filler: string
}
export type Order = Shared &
  (
    | { readonly kind: 'deposit'; readonly to: string }
    | { readonly kind: 'transfer'; readonly from: string; readonly to: string }
  )

/**
 * About half are transfers, and some of those ask for more than there is. Some carry a long text, so that
 * frames differ in size.
 */
export function orderOf(n: number): Order {
  const mixed = Math.imul(n + 1, 0x9e3779b1) >>> 0
  const from = accounts[mixed % 6]!
  const to = accounts[((mixed % 6) + 1 + ((mixed >>> 8) % 5)) % 6]!
  const filler = mixed % 7 === 0 ? String(n).repeat(200) : ''
  if ((mixed >>> 16) % 2 === 0) return { kind: 'deposit', to, n, amount: 1 + (mixed % 5), filler }
  return { kind: 'transfer', from, to, n, amount: (mixed >>> 12) % 9 === 0 ? 400 : 1 + (mixed % 20), filler }
}

export const idOf = (n: number) => `order-${n}`
