/** Which customer an order is of: few, so that each has many. */
export const customerOf = (n: number): string => `customer ${n % 5}`
