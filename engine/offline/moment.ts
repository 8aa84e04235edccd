/** Moments that a tool is asked for. */

export type Moment =
  | { readonly kind: 'position'; readonly batch: number; readonly index: number }
  | { readonly kind: 'time'; readonly ms: number }

/** Where a batch lies behind a moment, as far as a frame tells. */
export function isAfter(moment: Moment, batch: number, now: number): boolean {
  return moment.kind === 'position' ? batch > moment.batch : now > moment.ms
}

export function isBefore(moment: Moment, batch: number, now: number): boolean {
  return moment.kind === 'position' ? batch < moment.batch : now < moment.ms
}
