/**
 * Errors over HTTP: `{ "error": { "code", "message", "retryable", "details" } }`, with `reason` where a procedure said `tx.abort`.
 *
 * The body is the `SluiceError` itself, so that a client decides as a caller in the same process does. The status tells proxies and
 * tools as much as they understand. What is the operator's business (status 500) keeps its words for `onError`: messages of the log or
 * of a procedure that threw may hold paths and values.
 */
import { type ErrorCode, SluiceError } from '../../engine/base/errors.js'
import { jsonOf } from '../value-json.js'
import type { HttpResponse } from './fetch-types.js'

export const statusByCode: Readonly<Record<ErrorCode, number>> = {
  ABORTED: 422,
  CONSTRAINT: 409,
  INVALID_INPUT: 400,
  CONFLICT: 409,
  NOT_FOUND: 404,
  ID_REUSED: 422,
  TIMEOUT: 504,
  CANCELLED: 499, // nobody is left to read it
  OVERLOADED: 503,
  OUT_OF_SPACE: 507,
  SNAPSHOT_TOO_OLD: 503,
  HISTORY_GONE: 410,
  SCHEMA_MISMATCH: 500,
  LOG_CORRUPT: 500,
  DATABASE_LOCKED: 503,
  COMMIT_UNKNOWN: 500,
  LOG_FAILED: 500,
  PROCEDURE_FAILED: 500,
  PROCEDURE_NOT_DETERMINISTIC: 500,
  PROCEDURE_STUCK: 500,
  WORKER_LOST: 500,
  DATABASE_CLOSED: 503,
  APP_NOT_LOADED: 500,
  INVALID_DEFINITION: 500,
  INVALID_USE: 400,
}

const retryAfterSeconds = '1'

/** A refusal of the handler itself, whose status says more than its code. */
export class HttpRefusal extends Error {
  readonly error: SluiceError
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, error: SluiceError, headers: Readonly<Record<string, string>> = {}) {
    super(error.message)
    this.status = status
    this.error = error
    this.headers = headers
  }
}

/** Nothing of this name is there, or it is not exposed: from outside the two are the same. */
export const notThere = (what: string): HttpRefusal => new HttpRefusal(404, SluiceError.of('INVALID_USE', `There is no ${what} here.`))

export const wrongAddress = (message: string): HttpRefusal => new HttpRefusal(400, SluiceError.of('INVALID_USE', message))

/** The error as a client sees it; what is no error of ours is `PROCEDURE_FAILED`, a function of the application threw it. */
export function errorBody(error: unknown): { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: object } {
  const refusal = error instanceof HttpRefusal ? error : undefined
  const known = refusal?.error ?? (SluiceError.is(error) ? error : SluiceError.of('PROCEDURE_FAILED', 'A function of the application threw.', { cause: error }))
  const status = refusal?.status ?? statusByCode[known.code]
  const isInside = status === 500
  const body = {
    error: {
      code: known.code,
      ...(known.reason !== undefined && { reason: known.reason }),
      message: isInside ? `${known.code}: the server knows more.` : known.message,
      retryable: known.retryable,
      details: isInside ? {} : jsonOf(known.details),
    },
  }
  return { status, headers: { ...refusal?.headers, ...(status === 503 && known.retryable && { 'retry-after': retryAfterSeconds }) }, body }
}

const jsonHeaders = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/** A body that is text is JSON already. */
export function jsonResponse(status: number, body: object | string, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers: { ...jsonHeaders, ...headers } })
}

export function errorResponse(error: unknown): HttpResponse {
  const { status, headers, body } = errorBody(error)
  return jsonResponse(status, body, headers)
}
