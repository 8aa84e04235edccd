/**
 * Every way the database can say no. Each code has a section in docs/errors.md.
 *
 * The table says whether the same call may succeed when it is tried again without any change; an error of its code for which that cannot be is `isFinal`.
 */
const retryableByCode = {
  ABORTED: false,
  CONSTRAINT: false,
  INVALID_INPUT: false,
  CONFLICT: true,
  NOT_FOUND: false,
  ID_REUSED: false,
  TIMEOUT: true,
  CANCELLED: false,
  OVERLOADED: true,
  OUT_OF_SPACE: false,
  SNAPSHOT_TOO_OLD: true,
  HISTORY_GONE: false,
  SCHEMA_MISMATCH: false,
  LOG_CORRUPT: false,
  DATABASE_LOCKED: true,
  COMMIT_UNKNOWN: false,
  LOG_FAILED: false,
  PROCEDURE_FAILED: false,
  PROCEDURE_NOT_DETERMINISTIC: false,
  PROCEDURE_STUCK: false,
  WORKER_LOST: false,
  DATABASE_CLOSED: false,
  APP_NOT_LOADED: false,
  INVALID_DEFINITION: false,
  INVALID_USE: false,
} as const satisfies Record<string, boolean>

export type ErrorCode = keyof typeof retryableByCode

/** The codes in a fixed order: a code's number in shared memory and in the log is its place here. Only append. */
export const errorCodes = Object.keys(retryableByCode) as readonly ErrorCode[]

export interface ErrorParts {
  readonly reason?: string | undefined
  readonly details?: Readonly<Record<string, unknown>> | undefined
  readonly cause?: unknown
  /** What stands in the way stays: no retry can succeed, though others with this code may. */
  readonly isFinal?: boolean | undefined
}

const brand = Symbol.for('sluicedb.error')

/**
 * The one error class. Recognise it with `SluiceError.is(error, code)`, never with `instanceof`: two copies of the
 * package, or two threads, have two classes.
 */
export class SluiceError extends Error {
  static {
    // Bundlers rename classes; what consoles print is this.
    Object.defineProperty(this, 'name', { value: 'SluiceError', configurable: true })
  }

  override readonly name = 'SluiceError'
  readonly code: ErrorCode
  /** The procedure's own word, when `code` is `'ABORTED'`. */
  readonly reason: string | undefined
  /** The same call may succeed when tried again unchanged. */
  readonly retryable: boolean
  readonly details: Readonly<Record<string, unknown>>

  private constructor(code: ErrorCode, message: string, parts: ErrorParts) {
    super(message, parts.cause === undefined ? undefined : { cause: parts.cause })
    this.code = code
    this.reason = parts.reason
    this.retryable = retryableByCode[code] && parts.isFinal !== true
    this.details = parts.details ?? {}
    Object.defineProperty(this, brand, { value: true })
  }

  /** @internal */
  static of(code: ErrorCode, message: string, parts: ErrorParts = {}): SluiceError {
    return new SluiceError(code, message, parts)
  }

  static is(error: unknown): error is SluiceError
  static is<C extends ErrorCode>(error: unknown, code: C): error is SluiceError & { readonly code: C }
  static is(error: unknown, code?: ErrorCode): boolean {
    if (typeof error !== 'object' || error === null) return false
    try {
      return brand in error && (code === undefined || (error as { readonly code?: unknown }).code === code)
    } catch {
      return false // a proxy that throws at every look is none of ours
    }
  }
}

/** No retry can succeed, though one of an error with this code may. */
export const isFinal = ({ code, retryable }: SluiceError): boolean => !retryable && retryableByCode[code]

/** The database takes no calls any more. */
export const isTheEnd = ({ code }: SluiceError): boolean => code === 'DATABASE_CLOSED' || code === 'LOG_FAILED' || code === 'COMMIT_UNKNOWN'

/** The disk may have room again; a call that needs more memory than there is will need it again. */
export const isDiskFull = ({ code, details }: SluiceError): boolean => code === 'OUT_OF_SPACE' && details['disk'] === true

/** What was thrown, in words; and its code, if it is one of ours. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
export const codeOf = (error: unknown): ErrorCode | null => (SluiceError.is(error) ? error.code : null)
