/** What a server of NATS refuses, told by its numbers. */
interface ServerError {
  readonly code?: unknown
  readonly message?: unknown
  readonly api_error?: { readonly err_code?: number }
}

/** Numbers of the API of JetStream. */
export const serverCode = { streamNotFound: 10_059, consumerNotFound: 10_014, messageNotFound: 10_037, wrongLastSequence: 10_071, messageTooLong: 10_054 } as const

/** The client refuses what the server would not take. */
const payloadTooLong: ReadonlySet<unknown> = new Set(['MAX_PAYLOAD_EXCEEDED'])

export function isServerError(error: unknown, code: keyof typeof serverCode): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { code: own, api_error, message } = error as ServerError
  if (code === 'messageTooLong' && (payloadTooLong.has(own) || (typeof message === 'string' && /payload.*max_payload/.test(message)))) return true
  // The successor of the package has the number as its code.
  return (api_error?.err_code ?? own) === serverCode[code]
}
